""".msh files: what is read equals what the gmsh API holds, in every version and encoding."""

import sysconfig
import warnings
from pathlib import Path

import numpy as np
import pytest
from gmsh_cases import CASES, FORMATS, counted, held, meshed, mixed, rectangle, saved
from sample_builders import assert_equal_meshes

from meshgnn.io import read, read_fields, write
from meshgnn.mesher import current_mesh, session

MESHES = Path(__file__).parent.parent / "meshes"


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
