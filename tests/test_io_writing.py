"""Writing samples with truth and error; paths that cannot be written; interrupted writes."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_builders import assert_equal_meshes, assert_equal_samples, make, square

import meshgnn as mg
from meshgnn.atomic import replacing
from meshgnn.frames import Frames
from meshgnn.io import read, read_fields, read_frames, write
from meshgnn.sample import Boundary, Sample
from meshgnn.vtkhdf import read_vtkhdf

RNG = np.random.default_rng(3)


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


def test_a_sample_on_a_moving_mesh(tmp_path):
    sample = replace(make(), times=np.array([0.0, 2.0]), u=np.repeat(make().u, 2, axis=0))
    points = np.stack([sample.mesh.points, 2 * sample.mesh.points])
    write(tmp_path / "a.vtkhdf", sample, points=points)
    frames = read_vtkhdf(tmp_path / "a.vtkhdf")
    np.testing.assert_array_equal(frames.points, points)
    assert {"ux", "uy"} <= set(frames.point)
    with pytest.warns(UserWarning, match="the points move in this file, and a sample has one mesh"):
        assert (Sample.load(tmp_path / "a.vtkhdf").mesh.points == points[0]).all()


SAMPLE = make()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"fields": {"f": np.zeros(5)}}, r"point array 'f': expected shape \[16\]"),
        ({"fields": {"f": np.full(16, np.nan)}}, "point array 'f': 16 values are NaN or infinite"),
        ({"cell_fields": {"f": np.zeros(16)}}, r"cell array 'f': expected shape \[12\]"),
        ({"fields": {"ux": np.zeros(16)}}, r"fields: there are arrays \['ux'\] already"),
        ({"times": np.arange(2.0)}, "times go with a mesh; a sample has its own"),
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


def test_lists_and_tensors_are_arrays(tmp_path):
    mesh, values = square(), np.arange(16.0)
    listed = {"a": values.tolist(), "b": torch.from_numpy(values)}
    write(tmp_path / "a.vtu", mesh, fields=listed)
    point = read_fields(tmp_path / "a.vtu")[1]
    for name in listed:
        np.testing.assert_array_equal(point[name], values)
    for wrong, text in (
        ([[1.0], [1.0, 2.0]], "'c' is no array: .*inhomogeneous"),
        (torch.ones(16, requires_grad=True), "'c' is no array: .*grad"),
        (1.0, "expected an array for 'c', got 1.0"),
    ):
        with pytest.raises(ValueError, match=f"fields: {text}"):
            write(tmp_path / "b.vtu", mesh, fields={"c": wrong})
    assert not (tmp_path / "b.vtu").exists()


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
