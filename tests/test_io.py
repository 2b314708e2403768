"""Reading what meshio reads, writing samples with truth and error, paths that cannot be written."""

import os
from dataclasses import replace
from pathlib import Path

import meshio
import numpy as np
import pytest
from mesh_builders import box
from test_sample import assert_equal_meshes, assert_equal_samples, make, square

import meshgnn as mg
from meshgnn.atomic import replacing
from meshgnn.frames import Frames
from meshgnn.io import read, read_fields, read_frames, write
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample
from meshgnn.vtkhdf import read_vtkhdf

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


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".msh", ".pvd", ".vtkhdf"])
def test_sample_with_truth_and_error(suffix, tmp_path):
    """Prediction, truth, error = u - truth by name, and as vectors of three components."""
    sample = make()
    truth = replace(sample, u=RNG.random(sample.u.shape))
    path = tmp_path / f"a{suffix}"
    eta = RNG.random(sample.mesh.num_cells)
    write(path, sample, truth=truth, fields={"sigma": sample.u[0, :, 0], "eta": eta})
    mesh, point, cell = read_fields(path)
    for c, name in enumerate(("ux", "uy")):
        np.testing.assert_array_equal(point[name], sample.u[0, :, c])
        np.testing.assert_array_equal(point[f"{name}_truth"], truth.u[0, :, c])
        np.testing.assert_array_equal(point[f"{name}_error"], (sample.u - truth.u)[0, :, c])
    for end, u in (("", sample.u), ("_truth", truth.u), ("_error", sample.u - truth.u)):
        np.testing.assert_array_equal(point[f"u{end}"], np.pad(u[0], [(0, 0), (0, 1)]))
    for f, name in enumerate(("fx", "fy", "k")):
        np.testing.assert_array_equal(point[name], sample.inputs[:, f])
    np.testing.assert_array_equal(point["sigma"], sample.u[0, :, 0])
    np.testing.assert_array_equal(cell["eta"], eta)
    assert mesh.num_cells == sample.mesh.num_cells


@pytest.mark.parametrize("suffix", [".pvd", ".vtkhdf"])
def test_transient_sample_with_truth(suffix, tmp_path):
    sample = make(4, varying=True)
    truth = replace(sample, u=RNG.random(sample.u.shape))
    write(tmp_path / f"a{suffix}", sample, truth=truth)
    frames = read_frames(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(frames.times, sample.times)
    np.testing.assert_array_equal(frames.point["uy_error"], (sample.u - truth.u)[..., 1])
    np.testing.assert_array_equal(frames.point["u_truth"][..., :2], truth.u)
    np.testing.assert_array_equal(frames.point["k"], sample.inputs[:, 2])
    assert_equal_meshes(frames.mesh, sample.mesh)


def test_a_written_vtkhdf_is_a_sample(tmp_path):
    sample = make(3)
    mg.write(tmp_path / "a.vtkhdf", sample, truth=make(3).with_solution(sample.u))
    assert_equal_samples(Sample.load(tmp_path / "a.vtkhdf"), sample)


def test_unsolved_samples_and_names_that_are_no_vector(tmp_path):
    sample = replace(make(), u=None)
    truth = make()
    truth = replace(truth, mesh=sample.mesh)
    write(tmp_path / "a.vtu", sample, truth=truth)
    _, point, _ = read_fields(tmp_path / "a.vtu")
    np.testing.assert_array_equal(point["ux_truth"], truth.u[0, :, 0])
    assert "ux" not in point and "ux_error" not in point and "u_truth" in point
    for names, vector in (
        (["p", "q"], None),
        (["ux", "p"], None),
        (["x", "y"], "vector"),
        (["v_x", "v_y"], "v"),
    ):
        named = replace(make(), names={"u": names})
        write(tmp_path / "b.vtu", named)
        _, point, _ = read_fields(tmp_path / "b.vtu")
        found = [name for name, array in point.items() if array.shape == (16, 3)]
        assert found == ([vector] if vector else [])


def test_a_vector_does_not_take_a_name(tmp_path):
    sample = replace(make(), names={"u": ["ux", "uy"], "inputs": ["u", "f", "k"]})
    write(tmp_path / "a.vtu", sample)
    _, point, _ = read_fields(tmp_path / "a.vtu")
    assert point["u"].shape == (16,) and point["u_vector"].shape == (16, 3)


def test_fields_go_where_they_fit(tmp_path):
    mesh, times = square(), np.array([0.0, 2.0])
    fields = {
        "a": np.zeros(16),
        "b": np.zeros((2, 16, 3)),
        "c": np.zeros((2, 12)),
        "d": np.zeros(12),
    }
    write(tmp_path / "a.vtkhdf", mesh, fields=fields, times=times)
    frames = read_vtkhdf(tmp_path / "a.vtkhdf")
    assert (set(frames.point), set(frames.cell)) == ({"a", "b"}, {"c", "d"})
    write(tmp_path / "a.vtkhdf", frames)
    assert set(read_vtkhdf(tmp_path / "a.vtkhdf").cell) == {"c", "d"}


SAMPLE = make()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"fields": {"f": np.zeros(5)}}, r"point array 'f': expected shape \[16\]"),
        ({"fields": {"f": np.full(16, np.nan)}}, "point array 'f': 16 values are NaN or infinite"),
        ({"cell_fields": {"f": np.zeros(16)}}, r"cell array 'f': expected shape \[12\]"),
        ({"fields": {"ux": np.zeros(16)}}, r"fields: there are arrays \['ux'\] already"),
        ({"times": np.arange(2.0)}, "times and points go with a mesh; a sample has its own times"),
        ({"truth": replace(SAMPLE, u=None)}, "truth: expected a solved sample, this one has no u"),
        ({"truth": make(channels=1)}, r"truth: expected the components \['ux', 'uy'\], got \['ux'"),
        ({"truth": make(n=4)}, "truth: expected the same 16 nodes, got 25 others; interpolate it"),
        ({"truth": make(2)}, "truth: expected the same 1 times, got 2"),
    ],
)
@pytest.mark.parametrize("suffix", [".vtu", ".vtkhdf", ".pvd"])
def test_what_does_not_fit_is_refused_and_nothing_written(suffix, arguments, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        write(tmp_path / f"a{suffix}", SAMPLE, **arguments)
    assert not list(tmp_path.iterdir())


def test_formats_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.xyz: expected a path ending in .vtkhdf, .pvd, .vtu"):
        write(tmp_path / "a.xyz", square())
    with pytest.raises(ValueError, match="a.vtu: .vtu holds one state, got 3 times; write .vtkhdf"):
        write(tmp_path / "a.vtu", make(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".msh", ".pvd", ".vtkhdf"])
def test_paths_that_cannot_be_written(suffix, tmp_path):
    mesh = square()
    with pytest.raises(FileNotFoundError, match="there is no folder .*missing; create it"):
        write(tmp_path / "missing" / f"a{suffix}", mesh)
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder; give a file name"):
        write(tmp_path / f"folder{suffix}", mesh)


def test_folders_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="no permission to write in"):
        write(tmp_path / "a.vtu", square())


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".msh", ".pvd", ".vtkhdf"])
def test_an_interrupted_write_leaves_the_old_file(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    write(path, square(), fields={"u": np.ones(16)})
    before = sorted(file.name for file in tmp_path.rglob("*"))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write(path, square(), fields={"u": np.zeros(16)})
    assert sorted(file.name for file in tmp_path.rglob("*")) == before
    np.testing.assert_array_equal(read_fields(path)[1]["u"], 1)


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as aside:
        aside.write_text("new")
        assert aside.suffix == ".txt" and not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(RuntimeError, match="half"), replacing(path) as aside:
        aside.write_text("other")
        raise RuntimeError("half way")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_public_names():
    assert mg.read is read and mg.write is write
    sample = Sample(square(), Boundary.none(16, 1), np.zeros((16, 0)))
    assert isinstance(sample.frames(), Frames)
