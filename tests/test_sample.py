"""The seam: what a sample accepts, and that files give it back."""

import time
from copy import copy
from dataclasses import replace

import h5py
import numpy as np
import pytest
from sample_builders import assert_equal_samples, make, square

from meshgnn.frames import Frames
from meshgnn.sample import Boundary, Sample
from meshgnn.vtkhdf import read_vtkhdf, write_vtkhdf


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("times", "varying"), [(1, False), (1, True), (4, False), (4, True)])
def test_loading_gives_what_was_saved(tmp_path, times, varying, channels):
    """Steady and over time, Dirichlet values constant and over time."""
    sample = make(times, channels, varying)
    sample.save(tmp_path / "s.vtkhdf")
    assert_equal_samples(sample, Sample.load(tmp_path / "s.vtkhdf"))


def test_loading_gives_back_what_is_missing_too(tmp_path):
    """No solution, no inputs, no parameters, no names, no conditions; one time that is not 0."""
    mesh = square()
    boundary = Boundary.none(mesh.num_nodes, 2)
    for sample in (
        Sample(mesh, boundary, np.zeros((mesh.num_nodes, 0))),
        Sample(mesh, boundary, np.zeros((mesh.num_nodes, 0)), np.array([0.5])),
        replace(make(3), u=None),
        replace(make(), names={}),
        replace(make(), names={"u": ["fx", "q"], "inputs": ["fx", "fy", "k"]}),
        replace(make(), times=np.array([2.5])),
        replace(make(), cell_inputs=np.zeros((0, 0)), names={}),
    ):
        sample.save(tmp_path / "s.vtkhdf")
        assert_equal_samples(sample, Sample.load(tmp_path / "s.vtkhdf"))


def test_single_precision_stays(tmp_path):
    sample = make()
    sample = replace(sample, u=sample.u.astype(np.float32))
    sample.save(tmp_path / "s.vtkhdf")
    assert_equal_samples(sample, Sample.load(tmp_path / "s.vtkhdf"))


def test_numpy_values_in_meta_become_json(tmp_path):
    sample = replace(make(), meta={"seed": np.int64(3), "sizes": np.arange(2), "pair": (1, 2)})
    sample.save(tmp_path / "s.vtkhdf")
    assert Sample.load(tmp_path / "s.vtkhdf").meta == {"seed": 3, "sizes": [0, 1], "pair": [1, 2]}
    with pytest.raises(TypeError, match="meta: expected what JSON can hold, got set"):
        replace(make(), meta={"a": {1}}).save(tmp_path / "t.vtkhdf")
    assert [file.name for file in tmp_path.iterdir()] == ["s.vtkhdf"]


def test_small_samples_are_cheap(tmp_path):
    """A training set has 1,000 of them: saving and loading one cost no more than twice what
    h5py alone takes to write and read the same arrays (some 6 ms at 600 nodes).

    CPU time, the fastest of 40, side by side: all the rest is what the machine does beside.
    """
    sample, arrays = make(n=24), {}
    sample.save(tmp_path / "s.vtkhdf")

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    def write_bare():
        with h5py.File(tmp_path / "bare.h5", "w") as file:
            for name, array in arrays.items():
                file[name] = array

    def read_bare():
        with h5py.File(tmp_path / "bare.h5") as file:
            return [file[name][()] for name in arrays]

    with h5py.File(tmp_path / "s.vtkhdf") as file:
        file.visititems(collect)
    calls = (
        write_bare,
        lambda: sample.save(tmp_path / "s.vtkhdf"),
        read_bare,
        lambda: Sample.load(tmp_path / "s.vtkhdf"),
    )
    seconds = np.zeros((40, len(calls)))
    for row in seconds:
        for i, call in enumerate(calls):
            start = time.process_time()
            call()
            row[i] = time.process_time() - start
    bare_write, save, bare_read, load = seconds.min(axis=0)
    assert len(arrays) > 20
    assert save < 2 * bare_write
    assert load < 2 * bare_read


def test_dirichlet_at_is_linear_in_time():
    sample = make(3, varying=True)
    values = sample.boundary.dirichlet_values
    np.testing.assert_allclose(sample.dirichlet_at(0.15), (values[1] + values[2]) / 2)
    np.testing.assert_array_equal(sample.dirichlet_at(9.0), values[2])
    assert make().dirichlet_at(3.0).shape == (16, 2)


def test_with_solution_replaces_field_and_times():
    sample = make()
    u = np.ones((2, sample.mesh.num_nodes, 2))
    other = sample.with_solution(u, np.array([0.0, 1.0]))
    assert other.u is u and len(other.times) == 2 and other.boundary is sample.boundary


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"inputs": np.zeros((3, 1))}, r"Sample inputs: expected shape \(16, 1\), got \(3, 1\)"),
        (
            {"cell_inputs": np.zeros((3, 1))},
            r"Sample cell_inputs: expected shape \(12, 1\), got \(3",
        ),
        (
            {"cell_inputs": np.full((12, 1), np.inf)},
            r"Sample cell_inputs: 12 values are NaN or inf",
        ),
        ({"u": np.zeros((1, 4, 2))}, r"Sample u: expected shape \(1, 16, 2\), got \(1, 4, 2\)"),
        ({"u": np.zeros((2, 16, 2))}, r"Sample u: expected shape \(1, 16, 2\), got \(2, 16, 2\)"),
        ({"u": np.full((1, 16, 2), np.nan)}, r"Sample u: 32 values are NaN or infinite, the first"),
        ({"params": np.array([np.inf])}, r"Sample params: 1 values are NaN"),
        ({"u": np.zeros((1, 16, 3))}, r"Sample u: expected shape \(1, 16, 2\)"),
        ({"boundary": Boundary.none(4, 2)}, r"dirichlet_mask: expected shape \(16, 2\), got \(4"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, text):
    """Past the annotations, which only the tests execute."""
    sample = copy(make())
    for name, value in change.items():
        object.__setattr__(sample, name, value)
    with pytest.raises(ValueError, match=text):
        sample.__post_init__()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dirichlet_values": np.zeros((16, 1))}, r"dirichlet_values: expected shape \(16, 2\)"),
        ({"dirichlet_values": np.zeros((3, 16, 2))}, r"dirichlet_values: .*\(1, 16, 2\), got \(3,"),
        ({"alpha": np.zeros((2, 2))}, r"boundary.alpha: expected shape \(9, 2\), got \(2, 2\)"),
        ({"flux": np.zeros((9, 1))}, r"boundary.flux: expected shape \(9, 2\), got \(9, 1\)"),
        ({"facets": np.zeros((4, 2), int)}, r"boundary.alpha: expected shape \(4, 2\)"),
        ({"facets": np.full((9, 2), 16)}, r"facets: expected nodes from 0 to 15 .* 9 other rows"),
        ({"facets": np.full((9, 2), -2)}, r"the first 0: \[-2, -2\]"),
        ({"facets": np.full((9, 2), -1)}, r"the first 0: \[-1, -1\]"),
        ({"facets": np.tile([-1, 3], (9, 1))}, r"the first 0: \[-1, 3\]"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(change, text):
    """The seam is checked whole: rows, components, times and nodes of the boundary data."""
    sample = make()
    padded = np.pad(sample.boundary.facets, ((0, 0), (0, 2)), constant_values=-1)
    replace(sample, boundary=replace(sample.boundary, facets=padded))  # triangles beside quads
    boundary = copy(sample.boundary)
    for name, value in change.items():
        object.__setattr__(boundary, name, value)
    with pytest.raises(ValueError, match=text):
        replace(sample, boundary=boundary)


def test_boundary_values_stay_at_their_times():
    """Values [T, N, C] hold at the times of the sample: a solution at others is refused."""
    sample = make(4, varying=True)
    assert sample.with_solution(sample.u, sample.times.copy()).times is not None
    with pytest.raises(ValueError, match=r"\[T, N, C\] belong to the times of the sample; use"):
        sample.with_solution(sample.u, 2 * sample.times)
    with pytest.raises(ValueError, match="belong to the times of the sample"):
        sample.with_solution(sample.u[:2], sample.times[:2])


def test_names_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected 2 names of 'u', got \['p'\]"):
        replace(make(), names={"u": ["p"]}).save(tmp_path / "s.vtkhdf")
    with pytest.raises(ValueError, match="one occurs twice"):
        replace(make(), names={"u": ["p", "p"]}).save(tmp_path / "s.vtkhdf")
    with pytest.raises(ValueError, match=r"expected a path ending in .vtkhdf, got .*s.h5"):
        make().save(tmp_path / "s.h5")
    assert not list(tmp_path.iterdir())


def test_cell_inputs_keep_apart_from_what_is_at_the_nodes(tmp_path):
    """Where both are called alike the cell array is `<name>_cells`; names come back as given."""
    sample = make()
    assert list(sample.frames().cell) == ["k_cells", "mass"]
    assert list(replace(sample, names={}).frames().cell) == ["cell_input_0", "cell_input_1"]
    names = {**sample.names, "cell_inputs": ["k", "k_cells"]}
    with pytest.raises(ValueError, match="one occurs twice in .*'k_cells', 'k_cells'"):
        replace(sample, names=names).save(tmp_path / "s.vtkhdf")
    with pytest.raises(ValueError, match=r"expected 2 names of 'cell_inputs', got \['k'\]"):
        replace(sample, names={"cell_inputs": ["k"]}).save(tmp_path / "s.vtkhdf")
    unsolved = replace(sample, u=None, names={**sample.names, "cell_inputs": ["ux", "mass"]})
    assert list(unsolved.frames().cell) == ["ux_cells", "mass"]


def test_files_without_cell_inputs_load(tmp_path):
    """They were written before there were any."""
    path, sample = tmp_path / "s.vtkhdf", make()
    frames = sample.frames()
    meta = {name: value for name, value in frames.meta.items() if name != "cell_inputs"}
    write_vtkhdf(path, replace(frames, meta=meta, cell={}))
    assert_equal_samples(Sample.load(path), replace(sample, cell_inputs=np.zeros((0, 0))))


def test_files_that_hold_no_sample_are_refused(tmp_path):
    path = tmp_path / "s.vtkhdf"
    write_vtkhdf(path, Frames(square()))
    with pytest.raises(ValueError, match="expected a sample of version 1, got a file that holds"):
        Sample.load(path)
    make().save(path)
    frames = read_vtkhdf(path)
    write_vtkhdf(path, replace(frames, meta={**frames.meta, "sample": 99}))
    with pytest.raises(ValueError, match="expected a sample of version 1, got 99"):
        Sample.load(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        Sample.load(tmp_path / "missing.vtkhdf")


def test_a_sample_is_shown_in_a_line_or_two():
    """Its mesh, solution, times and names, not its arrays."""
    sample = make(3)
    text = repr(sample)
    assert len(text) < 400 and repr(sample.mesh) in text
    assert f"u {list(sample.u.shape)}, 3 times" in text and str(sample.names) in text
    assert "unsolved" in repr(replace(sample, u=None))
