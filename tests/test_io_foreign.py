"""What meshio reads, geometry, and paths that cannot be read."""

from pathlib import Path

import meshio
import numpy as np
import pytest
from mesh_builders import box
from sample_builders import square

from meshgnn.io import read, read_fields, read_frames
from meshgnn.mesh import Mesh

MESHES = Path(__file__).parent.parent / "meshes"
RNG = np.random.default_rng(3)


def as_meshio(mesh: Mesh, **more) -> meshio.Mesh:
    points = np.pad(mesh.points, [(0, 0), (0, 3 - mesh.points.shape[1])])
    return meshio.Mesh(points, list(mesh.cells.items()), **more)


@pytest.mark.parametrize(
    "suffix", [".inp", ".mesh", ".xdmf", ".su2", ".nas", ".vol", ".med", ".e", ".xml", ".f3grid"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_formats_of_meshio(suffix, tmp_path):
    """Tetrahedra through formats of other programs: nodes, volume, inverted never."""
    mesh = box("tetra", 2)
    try:
        as_meshio(mesh).write(tmp_path / f"a{suffix}")
    except Exception as error:  # some of meshio's writers need libraries of their own
        pytest.skip(f"meshio cannot write {suffix}: {error}")
    found = read(tmp_path / f"a{suffix}")
    assert (found.num_nodes, found.num_cells) == (mesh.num_nodes, mesh.num_cells)
    assert found.volumes.min() > 0
    np.testing.assert_allclose(found.volumes.sum(), 1, rtol=1e-6)


def test_sets_and_tags_of_other_formats_become_groups(tmp_path):
    """Abaqus: element sets and node sets. Medit: references of cells and of sides."""
    mesh = square()
    left = mesh.groups["left"].cells["line"]
    cells = [*mesh.cells.items(), ("line", left)]
    points = np.pad(mesh.points, [(0, 0), (0, 1)])
    sets = {"plates": [np.arange(3), np.zeros(0, int), np.zeros(0, int)]}
    outside = meshio.Mesh(points, cells, point_sets={"tip": np.array([4])}, cell_sets=sets)
    meshio.abaqus.write(tmp_path / "a.inp", outside)
    found = read(tmp_path / "a.inp")
    np.testing.assert_array_equal(found.nodes_of("tip"), [4])
    np.testing.assert_array_equal(found.cells_of("plates"), [0, 1, 2])
    refs = [np.full(len(rows), tag) for (_, rows), tag in zip(cells, (1, 2, 7), strict=True)]
    meshio.Mesh(points[:, :2], cells, cell_data={"medit:ref": refs}).write(tmp_path / "a.mesh")
    found, _, cell = read_fields(tmp_path / "a.mesh")
    assert set(found.groups) == {"surface_1", "surface_2", "curve_7"}
    np.testing.assert_array_equal(found.nodes_of("curve_7"), mesh.nodes_of("left"))
    np.testing.assert_array_equal(cell["medit:ref"], [1] * 6 + [2] * 6)


def test_groups_of_salome(tmp_path):
    """.med: a cell's tag is a family, the set of groups that it is in; fields on some types."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0.5, 0]])[:, :2]
    cells = [("quad", np.array([[0, 1, 2, 3]])), ("triangle", np.array([[1, 4, 2]]))]
    cells.append(("line", np.array([[0, 1], [3, 0]])))
    tags = [np.array([-5]), np.array([-6]), np.array([-7, -8])]
    mesh = meshio.Mesh(points, cells, cell_data={"cell_tags": tags})
    mesh.point_data["point_tags"] = np.array([2, 0, 0, 0, 0])
    mesh.cell_tags = {-5: ["all", "left"], -6: ["all"], -7: ["wall"], -8: ["wall", "inlet"]}
    mesh.point_tags = {2: ["origin"]}
    mesh.write(tmp_path / "a.med")
    found = read(tmp_path / "a.med")
    counts = {n: (g.dim, sum(map(len, g.cells.values()))) for n, g in found.groups.items()}
    assert counts == {
        "all": (2, 2),
        "left": (2, 1),
        "wall": (1, 2),
        "inlet": (1, 1),
        "origin": (0, 1),
    }


def test_arrays_on_some_of_the_cells(tmp_path, monkeypatch):
    mesh = as_meshio(square())
    mesh.cell_data["k"] = [None, np.ones((6, 2))]
    monkeypatch.setattr(meshio, "read", lambda path: mesh)
    (tmp_path / "a.med").touch()
    k = read_fields(tmp_path / "a.med")[2]["k"]
    assert k.shape == (12, 2) and np.isnan(k[:6]).all() and (k[6:] == 1).all()


def test_names_of_tags_are_used(tmp_path):
    """Netgen keeps names beside its numbers."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    cells = [("tetra", np.array([[0, 1, 2, 3]])), ("triangle", np.array([[0, 1, 2]]))]
    mesh = meshio.Mesh(
        points,
        cells,
        cell_data={"netgen:index": [np.array([1]), np.array([4])]},
        field_data={"steel": [1, 3], "inlet": [4, 2]},
    )
    mesh.write(tmp_path / "a.vol")
    found = read(tmp_path / "a.vol")
    assert {name: group.dim for name, group in found.groups.items()} == {"inlet": 2, "steel": 3}


def test_polygons_of_three_and_four_corners_and_more(tmp_path):
    obj = "v 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1\nv -1 0.5 1\n"
    (tmp_path / "a.obj").write_text(obj + "f 1 2 3 4\nf 1 4 5\n")
    assert {k: len(rows) for k, rows in read(tmp_path / "a.obj").cells.items()} == {
        "quad": 1,
        "triangle": 1,
    }
    (tmp_path / "b.obj").write_text(obj + "f 1 2 3 4 5\n")
    with pytest.raises(ValueError, match=r"b.obj: .*(polygon|meshio cannot read it)"):
        read(tmp_path / "b.obj")


def test_cells_that_we_do_not_have_are_named(tmp_path, monkeypatch):
    mesh = meshio.Mesh(np.zeros((7, 2)), [("polygon", np.arange(5)[None])])
    monkeypatch.setattr(meshio, "read", lambda path: mesh)
    (tmp_path / "a.ply").touch()
    with pytest.raises(ValueError, match="a.ply: 1 cells of type 'polygon' have no counterpart"):
        read(tmp_path / "a.ply")


def test_what_meshio_says_is_passed_on(tmp_path, monkeypatch):
    """It prints its warnings, and ends the process when it fails."""
    (tmp_path / "a.ply").write_text("nothing")
    with pytest.raises(ValueError, match="a.ply: meshio cannot read it: "):
        read(tmp_path / "a.ply")
    plain = as_meshio(square())

    def talk(path):
        meshio._common.warn("a section was skipped")
        return plain

    monkeypatch.setattr(meshio, "read", talk)
    with pytest.warns(UserWarning, match="a.ply, read by meshio: Warning: a section was skipped"):
        read(tmp_path / "a.ply")


def test_geometry_is_meshed_with_the_size_given():
    coarse, fine = (read(MESHES / "plate.geo", size=size) for size in (0.3, 0.15))
    assert fine.num_nodes > 1.5 * coarse.num_nodes
    mesh, point, cell = read_fields(MESHES / "interval.geo")
    assert (mesh.dim, point, cell) == (1, {}, {})
    with pytest.raises(ValueError, match="plate.msh: a size applies to geometry .* a mesh already"):
        read(MESHES / "plate.msh", size=0.1)


def test_other_paths_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file: .*none.msh"):
        read(tmp_path / "none.msh")
    with pytest.raises(IsADirectoryError, match="expected a file, got the folder"):
        read_frames(tmp_path)
    (tmp_path / "a.xyz").touch()
    with pytest.raises(ValueError, match=r"a.xyz: unknown format '.xyz'; known are .*\.msh.*\.vtu"):
        read(tmp_path / "a.xyz")
    (tmp_path / "a.msh").write_bytes(b"(0 fluent)")
    with pytest.raises(ValueError, match="a.msh: "):
        read(tmp_path / "a.msh")
    meshio.Mesh(np.zeros((1, 3)), [("vertex", [[0]])]).write(tmp_path / "a.vtk")
    with pytest.raises(ValueError, match="a.vtk: expected cells of dimension 1, 2 or 3, got none"):
        read(tmp_path / "a.vtk")
