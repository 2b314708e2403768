"""The .msh format: views, losses and their warnings, damaged files, other machines."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest
from gmsh_cases import counted, meshed, rectangle, saved

from meshgnn.io import read, read_fields, write
from meshgnn.io.gmsh_types import ELEMENTS
from meshgnn.mesh import CELL_TYPES, Mesh
from meshgnn.mesher import mesh_file, session

MESHES = Path(__file__).parent.parent / "meshes"
TUTORIALS = Path(sysconfig.get_path("data")) / "share" / "doc" / "gmsh" / "tutorials"


def test_views_become_arrays(tmp_path):
    """Steps of a view after each other; NaN where a view has no value."""
    path = TUTORIALS / "view5.msh"
    if not path.is_file():
        pytest.skip("gmsh was installed without its tutorials")
    mesh, point, cell = read_fields(path)
    assert (mesh.num_nodes, mesh.num_cells) == (6, 2)
    np.testing.assert_array_equal(point["Nodal scalar map"], [0, 0, 0.1, 0.1, 0.5, 0.5])
    np.testing.assert_array_equal(point["Nodal scalar map_1"][2:4], [0.3, 0.3])
    assert any(array.shape == (2, 3) and np.isnan(array).any() for array in cell.values())


def test_element_types_are_gmsh_s_own():
    with session() as gmsh:
        for number, (family, nodes) in ELEMENTS.items():
            if family == "trihedron" or number in range(90, 118):
                continue  # the API does not describe them
            _, dim, _, width, _, corners = gmsh.model.mesh.getElementProperties(number)
            kind = CELL_TYPES[family]
            assert (dim, width, corners) == (kind.dim, nodes, kind.size), number


TWO_CELLS = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
4
1 1 "side"
2 1 "side"
2 9 "nothing"
1 5 "loose"
$EndPhysicalNames
$Nodes
7
10 0 0 0
20 1 0 0
30 1 1 0
40 0 1 0
50 5 5 0
60 6 5 0
70 9 9 0
$EndNodes
$Elements
8
1 2 2 1 1 10 20 30
2 2 2 1 1 10 30 40
3 2 2 2 1 10 30 40
4 2 2 2 1 40 10 30
5 1 2 1 1 10 20
6 1 2 5 1 20 50
7 1 2 0 1 50 60
8 1 2 0 1 20 40
$EndElements
"""


@pytest.mark.filterwarnings("default")
def test_losses_are_warned_of_with_counts(tmp_path):
    """Duplicates, unused nodes, loose cells, a name in two dimensions, a name of nothing."""
    path = tmp_path / "a.msh"
    path.write_text(TWO_CELLS)
    with pytest.warns(UserWarning) as record:
        mesh = read(path)
    texts = sorted(str(warning.message) for warning in record)
    assert texts == [
        "1 duplicate cells were dropped",
        "3 unused nodes were dropped",
        "cells that are no facet or edge of a cell of dimension 2 were dropped: 3 line",
        "group 'loose': 1 elements of dimension 1 belong to no cell and were dropped",
        "group 'nothing' has no elements in the file",
        "group 'side' exists in dimensions 1 and 2: the one of dimension 2 is renamed "
        "'side_surface'",
    ]
    nodes, cells, groups = counted(mesh)
    assert (nodes, cells) == (4, {3: 2})
    assert groups == {"side": (1, 1), "side_surface": (2, 2), "surface_2": (2, 1)}
    np.testing.assert_array_equal(mesh.cells_of("surface_2"), [1])


def changed(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("2.2 0 8", "4.0 0 8", "expected .msh of version 2 or 4.1, got 4.0; convert it: gmsh"),
        ("$MeshFormat", "$NOD", "no .MeshFormat section; files of version 1 must be saved anew"),
        ("$EndElements", "", "section .Elements is not closed; the file was cut off"),
        ("$Elements\n8", "$Elements\n99", "section .Elements ends too early"),
        ("1 2 2 1 1 10 20 30", "1 34 2 1 1 10 20 30", r"element type 34 \(polygon\) has no linear"),
        ("1 2 2 1 1 10 20 30", "1 2 2 1 1 10 20 31", "1 references to nodes that the file does not"
         " define, the first to number 31"),
        ("10 0 0 0", "10 nan 0 0", "1 points are NaN or infinite"),
        ("10 0 0 0", "10 oh 0 0", "unmatched data"),
        ("$Nodes\n7", "$Comments\n7", "the file has no nodes or no elements"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_refused_by_name(old, new, text, tmp_path):
    path = tmp_path / "bad.msh"
    path.write_text(TWO_CELLS)
    changed(path, old.encode(), new.encode())
    if new.startswith("$Comments"):
        changed(path, b"$EndNodes", b"$EndComments")
    with pytest.raises(ValueError, match=f"bad.msh: .*({text})"):
        read(path)


def test_binary_files_that_were_cut_off(tmp_path):
    with session() as gmsh:
        meshed(gmsh, rectangle)
        for version in (2.2, 4.1):
            path = saved(gmsh, tmp_path / "a.msh", version, 1)
            data = path.read_bytes()
            for part in (0.3, 0.6, 0.9):
                path.write_bytes(data[: int(part * len(data))])
                with pytest.raises(ValueError, match=r"a.msh: section .* the file was cut off"):
                    read(path)


def test_big_endian_and_32_bit_sizes(tmp_path):
    """A triangle as a machine of the other byte order writes it, with 4 bytes for a size."""

    def ints(*values):
        return np.array(values, ">i4").tobytes()

    def floats(*values):
        return np.array(values, ">f8").tobytes()

    body = [
        b"$MeshFormat\n4.1 1 4\n", ints(1), b"\n$EndMeshFormat\n$Entities\n",
        ints(0, 0, 1, 0), ints(3), floats(0, 0, 0, 1, 1, 0), ints(1, 8), ints(0),
        b"\n$EndEntities\n$Nodes\n", ints(1, 3, 1, 3), ints(2, 3, 0), ints(3), ints(1, 2, 3),
        floats(0, 0, 0, 1, 0, 0, 0, 1, 0), b"\n$EndNodes\n$Elements\n", ints(1, 1, 1, 1),
        ints(2, 3, 2), ints(1), ints(1, 1, 2, 3), b"\n$EndElements\n",
    ]  # fmt: skip
    path = tmp_path / "a.msh"
    path.write_bytes(b"".join(body))
    mesh = read(path)
    np.testing.assert_array_equal(mesh.points, [[0, 0], [1, 0], [0, 1]])
    assert counted(mesh)[2]["surface_8"] == (2, 1)


@pytest.mark.filterwarnings("ignore")
def test_trihedra_are_left_out(tmp_path):
    path = tmp_path / "a.msh"
    path.write_text(TWO_CELLS)
    changed(path, b"7 1 2 0 1 50 60", b"7 140 2 0 1 10 20 30 40")
    with pytest.warns(UserWarning, match="1 flat trihedra between quadrangles and triangles left"):
        assert read(path).num_cells == 2


def test_what_msh_cannot_hold_is_refused(tmp_path):
    mesh = mesh_file(MESHES / "interval.geo")
    with pytest.raises(ValueError, match="array 'a': .msh files allow 9 components, got 10"):
        write(tmp_path / "a.msh", mesh, fields={"a": np.zeros((mesh.num_nodes, 10))})
    named = Mesh(mesh.points, mesh.cells, {'a "b"': mesh.groups["left"]})
    with pytest.raises(ValueError, match="allow no quotation mark in names"):
        write(tmp_path / "a.msh", named)
    assert not list(tmp_path.iterdir())
