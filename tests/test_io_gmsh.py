""".msh files: what is read equals what the gmsh API holds, in every version and encoding."""

import sysconfig
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from test_sample import assert_equal_meshes

from meshgnn.io import read, read_fields, write
from meshgnn.io.gmsh_types import ELEMENTS
from meshgnn.mesh import CELL_TYPES, Mesh
from meshgnn.mesher import current_mesh, mesh_file, session

MESHES = Path(__file__).parent.parent / "meshes"
FORMATS = list(product((2.2, 4.1), (0, 1)))
KIND = ("point", "curve", "surface", "volume")


def rectangle(gmsh, tagged=True):
    occ = gmsh.model.occ
    occ.addRectangle(0, 0, 0, 2, 1)
    occ.addDisk(0.5, 0.5, 0, 0.2, 0.2)
    occ.fragment([(2, 1)], [(2, 2)])
    occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.2)
    if tagged:
        gmsh.model.addPhysicalGroup(2, [2, 3], name="all of it")
        gmsh.model.addPhysicalGroup(2, [2], name="disk")
        curves = [tag for _, tag in gmsh.model.getBoundary([(2, 3)], oriented=False)]
        gmsh.model.addPhysicalGroup(1, curves, name="outline")
        gmsh.model.addPhysicalGroup(1, curves[:2], name="it's a part")
        gmsh.model.addPhysicalGroup(1, curves[-1:], tag=77)
        gmsh.model.addPhysicalGroup(0, [1, 2], name="corners")


def untagged(gmsh):
    rectangle(gmsh, tagged=False)


def quads(gmsh):
    rectangle(gmsh)
    gmsh.option.setNumber("Mesh.RecombineAll", 1)
    gmsh.option.setNumber("Mesh.SubdivisionAlgorithm", 1)


def mixed(gmsh):
    rectangle(gmsh)
    gmsh.model.mesh.setRecombine(2, 3)


def tetrahedra(gmsh):
    gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
    gmsh.model.occ.addSphere(0.5, 0.5, 0.5, 0.25)
    gmsh.model.occ.fragment([(3, 1)], [(3, 2)])
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.4)
    volumes = [tag for _, tag in gmsh.model.getEntities(3)]
    surfaces = [tag for _, tag in gmsh.model.getEntities(2)]
    gmsh.model.addPhysicalGroup(3, volumes, name="everything")
    gmsh.model.addPhysicalGroup(3, volumes[:1], name="ball")
    gmsh.model.addPhysicalGroup(2, surfaces, name="faces")
    gmsh.model.addPhysicalGroup(2, surfaces[1:3], name="two")
    curves = [tag for _, tag in gmsh.model.getEntities(1)]
    gmsh.model.addPhysicalGroup(1, curves[-3:], name="edges")
    gmsh.model.addPhysicalGroup(0, [gmsh.model.getEntities(0)[-1][1]], name="corner")


def extruded(gmsh, recombine):
    surface = gmsh.model.occ.addRectangle(0, 0, 0, 1, 1)
    solids = gmsh.model.occ.extrude([(2, surface)], 0, 0, 0.5, numElements=[3], recombine=True)
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.3)
    if recombine:
        gmsh.model.mesh.setTransfiniteAutomatic([(2, surface)], recombine=True)
    gmsh.model.addPhysicalGroup(3, [solids[1][1]], name="solid")
    gmsh.model.addPhysicalGroup(2, [surface], name="bottom")
    gmsh.model.addPhysicalGroup(2, [tag for _, tag in gmsh.model.getEntities(2)], name="skin")


def prisms(gmsh):
    extruded(gmsh, False)


def hexahedra(gmsh):
    extruded(gmsh, True)


def sphere(gmsh):
    gmsh.model.occ.addSphere(0, 0, 0, 1)
    gmsh.model.occ.remove([(3, 1)])
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.5)
    gmsh.option.setNumber("Mesh.MeshSizeMin", 0.5)
    gmsh.model.addPhysicalGroup(2, [1], tag=5)


def curve(gmsh):
    gmsh.model.occ.addCircle(0, 0, 0, 1)
    gmsh.model.occ.addLine(gmsh.model.occ.addPoint(2, 0, 0), gmsh.model.occ.addPoint(3, 1, 1))
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.2)
    gmsh.model.addPhysicalGroup(1, [1], name="ring")
    gmsh.model.addPhysicalGroup(1, [1, 2], name="both")
    gmsh.model.addPhysicalGroup(0, [2, 3], name="ends")


CASES = {
    f.__name__: f
    for f in (rectangle, untagged, quads, mixed, tetrahedra, prisms, hexahedra, sphere, curve)
}


def meshed(gmsh, case, order=1):
    case(gmsh)
    gmsh.model.mesh.generate(gmsh.model.getDimension())
    gmsh.model.mesh.setOrder(order)


def saved(gmsh, path, version, binary, **options):
    gmsh.option.setNumber("Mesh.MshFileVersion", version)
    gmsh.option.setNumber("Mesh.Binary", binary)
    for name, value in options.items():
        gmsh.option.setNumber(f"Mesh.{name}", value)
    gmsh.write(str(path))
    return path


def held(gmsh):
    """Nodes of the cells, cells by number of corners, elements of the groups: by the gmsh API."""
    dim = gmsh.model.getDimension()
    nodes, cells = set(), {}
    for kind, tags, rows in zip(*gmsh.model.mesh.getElements(dim), strict=True):
        width, _, corners = gmsh.model.mesh.getElementProperties(kind)[3:6]
        cells[corners] = cells.get(corners, 0) + len(tags)
        nodes |= set(rows.reshape(-1, width)[:, :corners].ravel().tolist())
    groups = {}
    for d, tag in gmsh.model.getPhysicalGroups():
        name = gmsh.model.getPhysicalName(d, tag) or f"{KIND[d]}_{tag}"
        parts = gmsh.model.getEntitiesForPhysicalGroup(d, tag)
        lists = [gmsh.model.mesh.getElements(d, part)[1] for part in parts]
        groups[name] = (d, sum(len(tags) for found in lists for tags in found))
    return len(nodes), cells, groups


def counted(mesh: Mesh):
    cells = {rows.shape[1]: len(rows) for rows in mesh.cells.values()}
    groups = {
        name: (group.dim, sum(map(len, group.cells.values())))
        for name, group in mesh.groups.items()
    }
    return mesh.num_nodes, cells, groups


@pytest.mark.parametrize("name", CASES)
def test_counts_equal_those_of_the_api(name, tmp_path):
    """Nodes, cells, groups; the files agree with each other and with the mesh in memory."""
    with session() as gmsh:
        meshed(gmsh, CASES[name])
        paths = [
            saved(gmsh, tmp_path / f"{version}_{binary}.msh", version, binary)
            for version, binary in FORMATS
        ]
        expected, memory = held(gmsh), current_mesh()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meshes = [read(path) for path in paths]
    for mesh in meshes:
        nodes, cells, groups = counted(mesh)
        if all(d != mesh.dim - 1 for d, _ in expected[2].values()):
            groups.pop("boundary", None)
        assert (nodes, cells, groups) == expected
        np.testing.assert_allclose(mesh.volumes.sum(), memory.volumes.sum(), rtol=1e-12)
        for group in expected[2]:
            where = [m.points[m.nodes_of(group)] for m in (mesh, memory)]
            np.testing.assert_allclose(*(np.sort(x, axis=0) for x in where), atol=1e-14)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".vtkhdf", ".pvd"])
def test_msh_to_mesh_to_file_to_mesh(name, suffix, tmp_path):
    with session() as gmsh:
        meshed(gmsh, CASES[name])
        mesh = read(saved(gmsh, tmp_path / "a.msh", 4.1, 1))
    write(tmp_path / f"a{suffix}", mesh)
    assert_equal_meshes(mesh, read(tmp_path / f"a{suffix}"))


@pytest.mark.parametrize("name", CASES)
def test_what_we_write_gmsh_reads(name, tmp_path):
    """Counts by the API after gmsh opened our file; and we read points and cells unchanged."""
    with session() as gmsh:
        meshed(gmsh, CASES[name])
        mesh = read(saved(gmsh, tmp_path / "a.msh", 4.1, 0))
    path = tmp_path / "b.msh"
    write(path, mesh, fields={"u": np.arange(mesh.num_nodes) * 0.5})
    again, point, _ = read_fields(path)
    np.testing.assert_array_equal(point["u"], np.arange(mesh.num_nodes) * 0.5)
    np.testing.assert_array_equal(again.points, mesh.points)
    assert list(again.cells) == list(mesh.cells)
    for kind in mesh.cells:
        np.testing.assert_array_equal(again.cells[kind], mesh.cells[kind])
    assert counted(again) == counted(mesh)
    with session() as gmsh:
        gmsh.merge(str(path))
        assert held(gmsh) == counted(mesh)
        assert len(gmsh.view.getTags()) == 1
        _, _, values, _, _ = gmsh.view.getModelData(gmsh.view.getTags()[0], 0)
        np.testing.assert_array_equal(np.ravel(values), point["u"])


@pytest.mark.parametrize(("version", "binary"), FORMATS)
@pytest.mark.parametrize("order", [2, 3])
def test_higher_order_becomes_linear_with_one_warning(version, binary, order, tmp_path):
    with session() as gmsh:
        meshed(gmsh, mixed, order)
        expected = held(gmsh)
        path = saved(gmsh, tmp_path / "a.msh", version, binary)
    with pytest.warns(UserWarning, match="of second or higher order became linear") as record:
        mesh = read(path)
    assert len(record) == 1
    assert counted(mesh) == expected
    assert mesh.volumes.min() > 0


@pytest.mark.parametrize("binary", [0, 1])
def test_partitions_and_parametric_nodes(binary, tmp_path):
    """Both stop meshio. Cells of partitions are cells; their groups are those of the parents."""
    with session() as gmsh:
        meshed(gmsh, rectangle)
        expected = held(gmsh)
        path = saved(gmsh, tmp_path / "a.msh", 4.1, binary, SaveParametric=1)
        assert counted(read(path)) == expected
        gmsh.model.mesh.partition(3)
        mesh = read(saved(gmsh, tmp_path / "b.msh", 4.1, binary))
        with pytest.raises(ValueError, match="parametric nodes are read in version 4.1 only"):
            read(saved(gmsh, tmp_path / "c.msh", 2.2, binary))
        two = read(saved(gmsh, tmp_path / "d.msh", 2.2, binary, SaveParametric=0))
    for found in (mesh, two):
        nodes, cells, groups = counted(found)
        assert (nodes, cells) == expected[:2]
        assert {name: groups.get(name) for name in expected[2]} == expected[2]


TUTORIALS = Path(sysconfig.get_path("data")) / "share" / "doc" / "gmsh" / "tutorials"


@pytest.mark.skipif(not TUTORIALS.is_dir(), reason="gmsh was installed without its tutorials")
@pytest.mark.parametrize("name", ["t1", "t2", "t4", "t6", "t11", "t12", "t15"])
def test_tutorials_of_gmsh(name, tmp_path):
    """Meshes that nobody here wrote; only what is tagged is in the files."""
    with session() as gmsh:
        gmsh.merge(str(TUTORIALS / f"{name}.geo"))
        gmsh.model.mesh.generate(gmsh.model.getDimension())
        paths = [
            saved(gmsh, tmp_path / f"{version}_{binary}.msh", version, binary)
            for version, binary in FORMATS
        ]
    with session() as gmsh:
        gmsh.merge(str(paths[3]))
        expected = held(gmsh)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        meshes = [read(path) for path in paths]
    texts = " ".join(str(warning.message) for warning in record)
    for mesh in meshes:
        nodes, cells, groups = counted(mesh)
        assert (nodes, cells) == expected[:2]
        for group, held_by_gmsh in expected[2].items():
            loose = f"group {group!r}: {held_by_gmsh[1]} elements of dimension" in texts
            assert groups.get(group) == (None if loose else held_by_gmsh)


def test_the_shipped_meshes_equal_what_gmsh_holds():
    for path in sorted(MESHES.glob("*.msh")):
        with session() as gmsh:
            gmsh.merge(str(path))
            assert counted(read(path)) == held(gmsh), path.name


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
