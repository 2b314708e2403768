"""VTK's XML and legacy files that are written here: VTK sees every value, and so do we."""

from pathlib import Path

import numpy as np
import pytest
from mesh_builders import BOXES, box, octasphere
from sample_builders import assert_equal_meshes, square

from meshgnn.io import read, read_fields, read_frames, write
from meshgnn.mesh import Mesh

xml = pytest.importorskip("vtkmodules.vtkIOXML")
legacy = pytest.importorskip("vtkmodules.vtkIOLegacy")
pv = pytest.importorskip("pyvista")
from vtkmodules.util.numpy_support import vtk_to_numpy  # noqa: E402

RNG = np.random.default_rng(5)
EXAMPLES = Path(pv.examples.__file__).parent


def arrays(mesh: Mesh) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    nodes, cells = mesh.num_nodes, mesh.num_cells
    point = {
        "u": RNG.random(nodes),
        "v & <w>": RNG.random((nodes, 3)).astype(np.float32),
        "n": np.arange(nodes),
    }
    return point, {"k": RNG.random((cells, 2)), "i": np.arange(cells, dtype=np.int16)}


def seen_by_vtk(path: Path):
    kind = {
        ".vtu": xml.vtkXMLUnstructuredGridReader,
        ".vtk": legacy.vtkUnstructuredGridReader,
    }[path.suffix]
    reader = kind()
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutput()


@pytest.mark.parametrize("suffix", [".vtu", ".vtk"])
@pytest.mark.parametrize("name", BOXES)
def test_vtk_sees_what_is_written_and_so_do_we(name, suffix, tmp_path):
    """Every cell type; VTK's volumes are positive and add up to those of the mesh."""
    mesh = box(name, 2)
    point, cell = arrays(mesh)
    path = tmp_path / f"a{suffix}"
    write(path, mesh, fields=point, cell_fields=cell)
    grid = seen_by_vtk(path)
    points = vtk_to_numpy(grid.GetPoints().GetData())
    np.testing.assert_array_equal(points[:, : mesh.points.shape[1]], mesh.points)
    rows = [row for block in mesh.cells.values() for row in block.tolist()]
    for number, row in enumerate(rows):
        ids = grid.GetCell(number).GetPointIds()
        assert [ids.GetId(i) for i in range(ids.GetNumberOfIds())] == row
    for data, wanted in ((grid.GetPointData(), point), (grid.GetCellData(), cell)):
        for name_, array in wanted.items():
            np.testing.assert_array_equal(vtk_to_numpy(data.GetArray(name_)), array)
    sizes = pv.wrap(grid).compute_cell_sizes()[("Length", "Area", "Volume")[mesh.dim - 1]]
    assert sizes.min() > 0
    np.testing.assert_allclose(sizes.sum(), mesh.volumes.sum(), rtol=1e-12)
    again, found_point, found_cell = read_fields(path)
    assert_equal_meshes(again, mesh)
    for wanted, found in ((point, found_point), (cell, found_cell)):
        assert list(wanted) == list(found)
        for name_, array in wanted.items():
            assert found[name_].dtype == array.dtype
            np.testing.assert_array_equal(found[name_], array)


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".pvd", ".vtkhdf"])
def test_groups_of_every_dimension_and_closed_surfaces_survive(suffix, tmp_path):
    for mesh in (square(), octasphere(1)):
        write(tmp_path / f"a{suffix}", mesh)
        assert_equal_meshes(read(tmp_path / f"a{suffix}"), mesh)


def test_groups_are_arrays_for_the_eye(tmp_path):
    mesh = square()
    write(tmp_path / "a.vtu", mesh)
    grid = pv.read(tmp_path / "a.vtu")
    for name in ("left", "rest", "corner"):
        np.testing.assert_array_equal(
            np.flatnonzero(grid.point_data[f"group:{name}"]), mesh.nodes_of(name)
        )
    np.testing.assert_array_equal(np.flatnonzero(grid.cell_data["group:low"]), mesh.cells_of("low"))


def test_series_are_read_by_paraviews_reader(tmp_path):
    """Times, points and arrays of a .pvd with points that move."""
    mesh = square()
    times, u = np.array([0.1, 0.25, 2.0]), RNG.random((3, 16))
    points = mesh.points + RNG.random((3, 16, 2))
    write(tmp_path / "run.pvd", mesh, fields={"u": u, "s": u[0]}, times=times, points=points)
    reader = pv.get_reader(tmp_path / "run.pvd")
    assert reader.time_values == times.tolist()
    for k in range(3):
        reader.set_active_time_point(k)
        (block,) = reader.read()
        np.testing.assert_array_equal(block["u"], u[k])
        np.testing.assert_array_equal(block.points[:, :2], points[k])
    frames = read_frames(tmp_path / "run.pvd")
    np.testing.assert_array_equal(frames.times, times)
    np.testing.assert_array_equal(frames.points, points)
    np.testing.assert_array_equal(frames.point["u"], u)
    np.testing.assert_array_equal(frames.point["s"], u[0])
    assert_equal_meshes(frames.mesh, mesh.moved(points[0]))


def test_groups_are_not_put_on_a_grid_that_changed(tmp_path):
    """ParaView's filters keep field data: a clipped mesh must not get the old groups."""
    mesh = square()
    write(tmp_path / "a.vtu", mesh)
    part = pv.read(tmp_path / "a.vtu").extract_cells(np.arange(6))
    part.save(tmp_path / "b.vtu")
    with pytest.warns(UserWarning, match="b.vtu: its cells have changed since meshgnn wrote it"):
        found = read(tmp_path / "b.vtu")
    assert list(found.groups) == ["boundary"]


def test_a_file_that_vtk_saved_again_keeps_its_groups(tmp_path):
    mesh = square()
    write(tmp_path / "a.vtu", mesh)
    pv.read(tmp_path / "a.vtu").save(tmp_path / "b.vtu")
    assert_equal_meshes(read(tmp_path / "b.vtu"), mesh)


def test_a_shorter_series_takes_the_place_of_a_longer_one(tmp_path):
    """Files of its later times are gone, files of other names are not."""
    mesh = square()
    write(tmp_path / "a.pvd", mesh, fields={"u": np.zeros((4, 16))}, times=np.arange(4.0))
    kept = [tmp_path / "a" / f"{name}.vtu" for name in ("b_00003", "a_3", "a_00003_old", "a_x")]
    for path in kept:
        path.write_text("mine")
    write(tmp_path / "a.pvd", mesh, fields={"u": np.zeros((2, 16))}, times=np.arange(2.0))
    found = sorted((tmp_path / "a").iterdir())
    assert found == sorted([*kept, *(tmp_path / "a" / f"a_0000{k}.vtu" for k in (0, 1))])
    assert read_frames(tmp_path / "a.pvd").num_times == 2


def test_an_interrupted_series_leaves_the_old_one(tmp_path, monkeypatch):
    """The write stops at the third of four times: u = 0 as it was, and no leftovers."""
    mesh = square()
    times, path = np.arange(4.0), tmp_path / "a.pvd"
    write(path, mesh, fields={"u": np.zeros((4, 16))}, times=times)
    names = sorted(path.name for path in tmp_path.rglob("*"))
    real, calls = Path.write_bytes, []

    def stop(self: Path, data: bytes) -> int:
        calls.append(self)
        if len(calls) == 3:
            raise OSError("the disk is full")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", stop)
    with pytest.raises(OSError, match="the disk is full"):
        write(path, mesh, fields={"u": np.ones((4, 16))}, times=times)
    assert sorted(path.name for path in tmp_path.rglob("*")) == names
    assert not read_frames(path).point["u"].any()


def test_a_series_whose_folder_is_a_file(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError, match=r"the folder of its series would be .*a, which is a"):
        write(tmp_path / "a.pvd", square())
    assert not (tmp_path / "a.pvd").exists()


def test_series_that_are_incomplete_or_change(tmp_path):
    mesh = square()
    write(tmp_path / "a.pvd", mesh, fields={"u": np.zeros((2, 16))}, times=np.arange(2.0))
    other = tmp_path / "a" / "a_00001.vtu"
    write(other, Mesh(mesh.points, {"quad": mesh.cells["quad"]}))
    with pytest.raises(ValueError, match="a_00001.vtu: its cells are not those of a_00000.vtu"):
        read(tmp_path / "a.pvd")
    other.unlink()
    with pytest.raises(FileNotFoundError, match="1 of its files are missing: .*a_00001.vtu"):
        read(tmp_path / "a.pvd")


EXPECTED = {
    "globe.vtk": (540, 980),
    "hexbeam.vtk": (99, 40),
    "rectilinear.vtk": (18144, 16146),
    "uniform.vtk": (1000, 729),
    "airplane.ply": (1335, 2452),
    "ant.ply": (486, 912),
    "nut.ply": (523, 1046),
    "sphere.ply": (422, 840),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_examples_of_pyvista(name, tmp_path):
    """Files that nobody here wrote; they survive the way through .vtu."""
    if not (EXAMPLES / name).is_file():
        pytest.skip("this version of PyVista has no such example")
    mesh, point, cell = read_fields(EXAMPLES / name)
    grid = pv.read(EXAMPLES / name)
    assert (mesh.num_nodes, mesh.num_cells) == EXPECTED[name] == (grid.n_points, grid.n_cells)
    assert set(point) == set(grid.point_data) and set(cell) == set(grid.cell_data)
    write(tmp_path / "a.vtu", mesh, fields=point, cell_fields=cell)
    assert_equal_meshes(read(tmp_path / "a.vtu"), mesh)
