""".vtkhdf: VTK's own reader sees every value at every time; reading gives back what was written."""

import time

import h5py
import numpy as np
import pytest
from mesh_builders import BOXES, box
from sample_builders import assert_equal_meshes, square

from meshgnn.frames import Frames
from meshgnn.io import read, read_frames, write
from meshgnn.mesh import Mesh
from meshgnn.vtkhdf import read_grid, read_vtkhdf, write_vtkhdf

vtk_hdf = pytest.importorskip("vtkmodules.vtkIOHDF")
from vtkmodules.util.numpy_support import vtk_to_numpy  # noqa: E402

RNG = np.random.default_rng(11)


def transient(mesh: Mesh, times: int, moving: bool) -> Frames:
    nodes, cells = mesh.num_nodes, mesh.num_cells
    path = mesh.points + 0.1 * RNG.random((times, *mesh.points.shape))
    return Frames(
        mesh,
        {
            "u": RNG.random((times, nodes)),
            "v": RNG.random((times, nodes, 3)),
            "one": RNG.random((times, nodes, 1)).astype(np.float32),
            "static": RNG.random((nodes, 2)),
            "mask": RNG.random(nodes) > 0.5,
        },
        {"heat": RNG.random((times, cells)), "number": np.arange(cells)},
        np.linspace(0.1, 2, times),
        path if moving else None,
        {"table": RNG.random((3, 4)), "none": np.zeros((0, 2))},
        {"problem": "Heat", "nested": [1, {"a": None}]},
    )


def assert_equal_frames(one: Frames, other: Frames) -> None:
    assert_equal_meshes(one.mesh, other.mesh)
    for name in ("times", "points"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for kind in ("point", "cell", "extra"):
        a, b = getattr(one, kind), getattr(other, kind)
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert one.meta == other.meta


def seen_by_vtk(path, frames: Frames) -> None:
    """Points, cells, types and every array, for every time, in vtkHDFReader."""
    reader = vtk_hdf.vtkHDFReader()
    assert reader.CanReadFile(str(path))
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    if frames.times is not None:
        assert reader.GetNumberOfSteps() == frames.num_times
    for k in range(frames.num_times):
        if frames.times is not None:
            reader.SetStep(k)
        reader.Update()
        grid, state = reader.GetOutput(), frames.at(k)
        if frames.num_times > 1:  # of a single one the reader does not say
            assert reader.GetTimeValue() == frames.times[k]
        d = state.mesh.points.shape[1]
        points = vtk_to_numpy(grid.GetPoints().GetData())
        np.testing.assert_array_equal(points[:, :d], state.mesh.points)
        assert not points[:, d:].any()
        rows = [row for block in state.mesh.cells.values() for row in block.tolist()]
        assert grid.GetNumberOfCells() == len(rows)
        for number, row in enumerate(rows):
            ids = grid.GetCell(number).GetPointIds()
            assert [ids.GetId(i) for i in range(ids.GetNumberOfIds())] == row
        for data, arrays in ((grid.GetPointData(), state.point), (grid.GetCellData(), state.cell)):
            for name, array in arrays.items():
                values = vtk_to_numpy(data.GetArray(name)).reshape(array.shape)
                np.testing.assert_array_equal(values, array, err_msg=f"{name} at step {k}")
        for name, group in state.mesh.groups.items():
            top = group.dim == state.mesh.dim
            data = grid.GetCellData() if top else grid.GetPointData()
            marked = np.flatnonzero(vtk_to_numpy(data.GetArray(f"group:{name}")))
            wanted = state.mesh.cells_of(name) if top else state.mesh.nodes_of(name)
            np.testing.assert_array_equal(marked, wanted)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("name", BOXES)
def test_vtk_sees_every_value_at_every_time(name, moving, tmp_path):
    """1D, 2D, 3D, every cell type and mixtures; arrays over time and static; moving points."""
    frames = transient(box(name, 2), 3, moving)
    write_vtkhdf(tmp_path / "a.vtkhdf", frames)
    seen_by_vtk(tmp_path / "a.vtkhdf", frames)
    assert_equal_frames(frames, read_vtkhdf(tmp_path / "a.vtkhdf"))


def test_groups_of_all_dimensions_and_one_state(tmp_path):
    mesh = square()
    frames = Frames(mesh, {"u": RNG.random(mesh.num_nodes)}, meta={"a": 1})
    write_vtkhdf(tmp_path / "a.vtkhdf", frames)
    seen_by_vtk(tmp_path / "a.vtkhdf", frames)
    assert_equal_frames(frames, read_vtkhdf(tmp_path / "a.vtkhdf"))


@pytest.mark.parametrize("moving", [False, True])
def test_a_single_time_stays_a_time(moving, tmp_path):
    frames = transient(square(), 1, moving)
    write_vtkhdf(tmp_path / "a.vtkhdf", frames)
    seen_by_vtk(tmp_path / "a.vtkhdf", frames)
    assert_equal_frames(frames, read_vtkhdf(tmp_path / "a.vtkhdf"))


def test_surface_in_space_and_mesh_moved_into_a_plane(tmp_path):
    """A surface keeps d = 3, also where it was moved flat, which the constructor would drop."""
    points = np.array([[0.0, 0, 0], [1, 0, 0.5], [1, 1, 0], [0, 1, 0.2]])
    mesh = Mesh(points, {"triangle": np.array([[0, 1, 2], [0, 2, 3]])})
    for surface in (mesh, mesh.moved(points * [1, 1, 0])):
        write_vtkhdf(tmp_path / "a.vtkhdf", Frames(surface))
        assert_equal_meshes(surface, read_vtkhdf(tmp_path / "a.vtkhdf").mesh)
        assert read(tmp_path / "a.vtkhdf").points.shape == (4, 3)


def test_strange_names(tmp_path):
    mesh = square()
    mesh = Mesh(mesh.points, mesh.cells, {"an inlet / é": mesh.groups["left"]})
    frames = Frames(mesh, {"a b|c": np.zeros(mesh.num_nodes), "ü": np.ones(mesh.num_nodes)})
    write_vtkhdf(tmp_path / "a.vtkhdf", frames)
    assert_equal_frames(frames, read_vtkhdf(tmp_path / "a.vtkhdf"))
    for name in ("du/dx", "", "."):
        with pytest.raises(ValueError, match=f"array name {name!r}: HDF5 does not allow it"):
            write_vtkhdf(tmp_path / "b.vtkhdf", Frames(mesh, {name: np.zeros(mesh.num_nodes)}))
    assert not (tmp_path / "b.vtkhdf").exists()


def test_600_frames_are_written_in_well_under_a_second(tmp_path):
    """1,900 nodes, three channels; measured as CPU time."""
    mesh = box("triangle", 43)
    u = {name: RNG.random((600, mesh.num_nodes)) for name in ("ux", "uy", "p")}
    frames = Frames(mesh, u, times=np.arange(600.0))
    start = time.process_time()
    write_vtkhdf(tmp_path / "a.vtkhdf", frames)
    assert time.process_time() - start < 0.5
    assert (tmp_path / "a.vtkhdf").stat().st_size < 1.05 * sum(a.nbytes for a in u.values())


def test_equal_content_is_equal_bytes(tmp_path):
    """At different times of the clock."""
    frames = transient(box("mixed 3D", 1), 2, True)
    write_vtkhdf(tmp_path / "a.vtkhdf", frames)
    time.sleep(1.1)
    write_vtkhdf(tmp_path / "b.vtkhdf", frames)
    assert (tmp_path / "a.vtkhdf").read_bytes() == (tmp_path / "b.vtkhdf").read_bytes()


def test_a_grid_that_vtk_wrote_is_read(tmp_path):
    """With points, cells and arrays, as a mesh that is cleaned; without our index."""
    mesh = box("mixed 3D", 1)
    write(tmp_path / "a.vtu", mesh, fields={"u": np.arange(float(mesh.num_nodes))})
    xml = pytest.importorskip("vtkmodules.vtkIOXML").vtkXMLUnstructuredGridReader()
    xml.SetFileName(str(tmp_path / "a.vtu"))
    xml.Update()
    grid = xml.GetOutput()
    grid.GetFieldData().Initialize()
    writer = vtk_hdf.vtkHDFWriter()
    writer.SetInputData(grid)
    writer.SetFileName(str(tmp_path / "b.vtkhdf"))
    writer.Write()
    frames = read_frames(tmp_path / "b.vtkhdf")
    np.testing.assert_array_equal(frames.mesh.points, mesh.points)
    assert {n: len(r) for n, r in frames.mesh.cells.items()} == {
        n: len(r) for n, r in mesh.cells.items()
    }
    np.testing.assert_array_equal(frames.point["u"], np.arange(float(mesh.num_nodes)))
    with pytest.raises(ValueError, match=r"b.vtkhdf was not written by meshgnn, or changed since"):
        read_vtkhdf(tmp_path / "b.vtkhdf")


def parts(path, offsets, connectivity=((0, 1, 2), (0, 1, 2))) -> None:
    """Two triangles as two parts of one time, or as one part at each of two times."""
    with h5py.File(path, "w") as file:
        root = file.create_group("VTKHDF")
        root.attrs["Version"], root.attrs["Type"] = (2, 0), np.bytes_("UnstructuredGrid")
        for name, value in {"Points": 3, "Cells": 1, "ConnectivityIds": 3}.items():
            root[f"NumberOf{name}"] = [value, value]
        root["Points"] = np.array(
            [[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0], [3, 0, 0], [2, 1, 0]]
        )
        root["Connectivity"] = np.concatenate(connectivity)
        root["Offsets"], root["Types"] = [0, 3, 0, 3], np.array([5, 5], np.uint8)
        root["PointData/u"] = np.arange(6.0)
        if offsets is not None:
            steps = root.create_group("Steps")
            steps.attrs["NSteps"], steps["Values"] = 2, [0.0, 1.0]
            steps["NumberOfParts"], steps["PartOffsets"] = [1, 1], [0, 1]
            steps["CellOffsets"], steps["ConnectivityIdOffsets"] = [[0], [1]], [[0], [3]]
            steps["PointOffsets"], steps["PointDataOffsets/u"] = [0, 3], offsets


def test_parts_are_joined(tmp_path):
    parts(tmp_path / "a.vtkhdf", None)
    frames = read_frames(tmp_path / "a.vtkhdf")
    np.testing.assert_array_equal(frames.mesh.cells["triangle"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(frames.point["u"], np.arange(6.0))


def test_a_grid_repeated_at_every_time_is_one_mesh_that_moves(tmp_path):
    parts(tmp_path / "a.vtkhdf", [0, 3])
    frames = read_frames(tmp_path / "a.vtkhdf")
    np.testing.assert_array_equal(frames.mesh.cells["triangle"], [[0, 1, 2]])
    np.testing.assert_array_equal(frames.point["u"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(frames.points[1], [[2, 0], [3, 0], [2, 1]])
    parts(tmp_path / "a.vtkhdf", [3, 0])
    frames = read_frames(tmp_path / "a.vtkhdf")
    np.testing.assert_array_equal(frames.point["u"], [[3, 4, 5], [0, 1, 2]])
    parts(tmp_path / "a.vtkhdf", [0, 3], ((0, 1, 2), (1, 2, 0)))
    with pytest.raises(ValueError, match=r"a.vtkhdf: its cells change in time; extract one time"):
        read(tmp_path / "a.vtkhdf")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.vtkhdf"
    with pytest.raises(FileNotFoundError, match="no such file: .*a.vtkhdf"):
        read_grid(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="a.vtkhdf is damaged or no .vtkhdf file"):
        read_vtkhdf(path)
    write_vtkhdf(path, Frames(square()))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="a.vtkhdf is damaged or no .vtkhdf file"):
        read_vtkhdf(path)
    with h5py.File(path, "w") as file:
        file.create_group("VTKHDF").attrs["Type"] = np.bytes_("PolyData")
    with pytest.raises(ValueError, match="expected an UnstructuredGrid, got PolyData; in ParaView"):
        read_vtkhdf(path)


def test_groups_are_not_put_on_a_grid_that_changed(tmp_path):
    """Another program edited the cells and kept the rest."""
    path = tmp_path / "a.vtkhdf"
    write_vtkhdf(path, Frames(square()))
    with h5py.File(path, "a") as file:
        rows = file["VTKHDF/Connectivity"]
        rows[:3] = np.roll(rows[:3], 1)
    with pytest.raises(ValueError, match="not written by meshgnn, or changed since"):
        read_vtkhdf(path)
    with pytest.warns(UserWarning, match="its cells have changed since meshgnn wrote it; the"):
        mesh = read(path)
    assert list(mesh.groups) == ["boundary"]
