"""Rollouts of any length: into a growing file, from an initial condition alone, and their ends."""

import gc
import pickle
import resource
import time
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from learning_builders import decaying
from mesh_builders import box
from torch import nn

from meshgnn.frames import Frames
from meshgnn.io import read
from meshgnn.marching import BlownUp, march, rollout
from meshgnn.mesh import Mesh, twins
from meshgnn.sample import Boundary, Sample
from meshgnn.vtkhdf import growing, read_vtkhdf

vtk_hdf = pytest.importorskip("vtkmodules.vtkIOHDF")
from vtkmodules.util.numpy_support import vtk_to_numpy  # noqa: E402


class Turn(nn.Module):
    """û_{k+j} = R^j u_k, R a rotation of the two components by 0.1: stable for ever."""

    starts_alone = True

    def __init__(self, history: int = 1, bundle: int = 1, nan_at: int | None = None) -> None:
        super().__init__()
        self.hparams = {"channels": 2, "history": history, "bundle": bundle}
        self.angle = nn.Parameter(torch.tensor(0.1))
        self.nan_at, self.seen = nan_at, []

    def forward(self, graph):
        self.seen.append((graph.known.item(), graph.time.item(), graph.u.clone()))
        angle = self.angle * torch.arange(1, self.hparams["bundle"] + 1)
        cos, sin = angle.cos()[None], angle.sin()[None]
        p, q = graph.u[:, -1:].unbind(dim=2)
        out = torch.stack([cos * p - sin * q, sin * p + cos * q], dim=2)
        first = (len(self.seen) - 1) * self.hparams["bundle"] + 1
        if self.nan_at is not None and first <= self.nan_at < first + self.hparams["bundle"]:
            out[[7, 9], self.nan_at - first, 1] = float("nan")
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet, out)


def free(n: int = 4, states: int = 1) -> Sample:
    """Two components on the unit square, no condition anywhere."""
    mesh = box("triangle", n)
    u = np.random.default_rng(0).normal(size=(states, mesh.num_nodes, 2))
    boundary = Boundary.none(mesh.num_nodes, 2)
    inputs = np.zeros((mesh.num_nodes, 0))
    return Sample(mesh, boundary, inputs, 0.1 * np.arange(states), u, names={"u": ["p", "q"]})


def opened(path):
    reader = vtk_hdf.vtkHDFReader()
    assert reader.CanReadFile(str(path))
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    return reader


def shown(reader, step: int, name: str) -> np.ndarray:
    reader.SetStep(step)
    reader.Update()
    return vtk_to_numpy(reader.GetOutput().GetPointData().GetArray(name))


@pytest.mark.parametrize(("history", "bundle", "steps"), [(1, 1, 7), (2, 3, 8), (3, 2, 1)])
def test_a_file_holds_what_memory_would(tmp_path, history: int, bundle: int, steps: int) -> None:
    """The same states, times and boundary values, to the last bit; the last K are returned."""
    sample = decaying(times=5)
    path = tmp_path / "u.vtkhdf"
    kept = rollout(Turn(history, bundle), sample, steps)
    last = rollout(Turn(history, bundle), sample, steps, path=path)
    found = Sample.load(path)
    for name in ("u", "times"):
        np.testing.assert_array_equal(getattr(found, name), getattr(kept, name))
        np.testing.assert_array_equal(getattr(last, name), getattr(kept, name)[-history:])
    values = (s.boundary.dirichlet_values for s in (found, kept))
    np.testing.assert_array_equal(*values)
    assert found.names == kept.names and len(found.u) == history + steps
    assert len(last.boundary.dirichlet_values) == history
    reader = opened(path)
    assert reader.GetNumberOfSteps() == history + steps
    for k in (0, history + steps - 1):
        np.testing.assert_array_equal(shown(reader, k, "q"), kept.u[k, :, 1])
        assert reader.GetTimeValue() == kept.times[k]


class Watched(Turn):
    """Notes the memory of the process (MB) and the number of tensors alive, every 1,000 steps."""

    def __init__(self) -> None:
        super().__init__(bundle=10)
        self.calls, self.memory, self.tensors = 0, [], []

    def forward(self, graph):
        out = super().forward(graph)
        self.seen.clear()
        self.calls += 1
        if self.calls % 100 == 0:
            self.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            self.tensors.append(sum(type(o) is torch.Tensor for o in gc.get_objects()))
        return out


def test_ten_thousand_steps_neither_leak_nor_end(tmp_path) -> None:
    """From step 1,000 to 10,000 the memory of the process grows by less than half of what the
    states take, 121 nodes of 2 components in float64 = 17 MB, and no tensor stays; every state has
    the norm of the first, to the rounding of float32; VTK plays all 10,001 times."""
    sample, path, model = free(n=10), tmp_path / "long.vtkhdf", Watched()
    begin = time.perf_counter()
    rollout(model, sample, 10_000, dt=0.1, path=path)
    assert time.perf_counter() - begin < 60
    assert len(model.memory) == 10 and model.memory[-1] - model.memory[0] < 8
    assert max(model.tensors) <= min(model.tensors) + 2
    reader = opened(path)
    assert reader.GetNumberOfSteps() == 10_001
    for step in (0, 37, 5000, 10_000):
        p, q = (shown(reader, step, name) for name in "pq")
        np.testing.assert_allclose(p**2 + q**2, (sample.u[0] ** 2).sum(axis=1), rtol=1e-3)
        assert reader.GetTimeValue() == pytest.approx(0.1 * step)


@pytest.mark.parametrize("bundle", [1, 5])
def test_nan_stops_with_its_place_and_keeps_what_was_before(tmp_path, bundle: int) -> None:
    """NaN at two nodes in step 37: step, time, node, position and component; 36 states are kept."""
    sample, path = free(), tmp_path / "u.vtkhdf"
    where = sample.mesh.points[7]
    message = (
        r"state of step 37 \(t = 3.7 s\) holds NaN or infinity in component 'q' at node 7 at "
        rf"\({where[0]:.4g}, {where[1]:.4g}\) \(and 1 other nodes\): the march has blown up"
    )
    with pytest.raises(BlownUp, match=message) as memory:
        rollout(Turn(bundle=bundle, nan_at=37), sample, 100, dt=0.1)
    with pytest.raises(BlownUp, match=r"u.vtkhdf holds the states before it") as file:
        rollout(Turn(bundle=bundle, nan_at=37), sample, 100, dt=0.1, path=path)
    expected = rollout(Turn(), sample, 36, dt=0.1)
    for error in (memory.value, file.value):
        assert (error.step, error.node, error.component) == (37, 7, 1)
        assert error.time == pytest.approx(3.7) and isinstance(error, ValueError)
    assert file.value.path == path and memory.value.sample is not None
    for found in (memory.value.sample, Sample.load(path)):
        assert found.u.shape == (37, 30, 2)  # the initial one and 36
        np.testing.assert_allclose(found.u, expected.u, atol=1e-5)
    assert opened(path).GetNumberOfSteps() == 37


def test_a_march_that_fails_at_once_keeps_its_start(tmp_path) -> None:
    """One state at t = 0 is still a series; what is no march leaves an old file alone."""
    sample, path = free(), tmp_path / "u.vtkhdf"
    with pytest.raises(BlownUp, match="state of step 1 "):
        rollout(Turn(nan_at=1), sample, 3, dt=0.1, path=path)
    np.testing.assert_array_equal(Sample.load(path).u, sample.u)
    assert opened(path).GetNumberOfSteps() == 1
    old = path.read_bytes()
    model = Turn()
    model.hparams = {**model.hparams, "inputs": 3}
    with pytest.raises(ValueError, match="inputs per node: 3"):
        rollout(model, sample, 3, dt=0.1, path=path)
    with pytest.raises(ValueError, match=r"a path ending in .vtkhdf, got .*u.vtu"):
        rollout(Turn(), sample, 3, dt=0.1, path=tmp_path / "u.vtu")
    assert path.read_bytes() == old


def test_the_worst_node_of_a_blow_up_is_named() -> None:
    sample = free()
    sample.u[0, 11] = [3.0, -4.0]
    model = Turn()
    model.forward = lambda graph: 100 * graph.u
    with pytest.raises(BlownUp, match="reaches 400 in component 'q' at node 11 at") as error:
        rollout(model, sample, 3, dt=0.1, limit=50.0)
    assert error.value.step == 1
    assert "the states before it are in the error's attribute sample" in str(error.value)
    unnamed = replace(sample, names={})
    with pytest.raises(BlownUp, match="in component 1 at node 11"):
        next(march(model, unnamed, dt=0.1, limit=50.0))
    again = pickle.loads(pickle.dumps(error.value))  # as it comes from another process
    assert str(again) == str(error.value) and again.node == 11 and again.sample is not None


def test_a_march_is_endless_and_leaves_gradients_alone() -> None:
    sample, model = free(), Turn(bundle=2)
    states = list(islice(march(model, sample, dt=0.1), 7))
    np.testing.assert_allclose([t for t, _ in states], 0.1 * np.arange(1, 8))
    np.testing.assert_array_equal([u for _, u in states], rollout(model, sample, 7, dt=0.1).u[1:])
    model.train()
    for _ in islice(march(model, sample, dt=0.1), 3):
        assert torch.is_grad_enabled() and model.training


def test_one_true_state_is_enough_for_a_model_that_says_so() -> None:
    """K = 4, S = 2: the state is repeated, and known = 1, 3, 4, 4 says how many are true."""
    sample = free(states=6)
    model = Turn(history=4, bundle=2)
    result = rollout(model, sample, 7, known=1)
    np.testing.assert_allclose(result.times, 0.1 * np.arange(8))
    known, times, windows = zip(*model.seen, strict=True)
    assert known == (1, 3, 4, 4)
    np.testing.assert_allclose(times, [0, 0.2, 0.4, 0.6], rtol=1e-6)
    assert (windows[0] == windows[0][:, :1]).all()
    states = result.u.swapaxes(0, 1).astype(np.float32)
    np.testing.assert_array_equal(windows[1], states[:, [0, 0, 1, 2]])
    np.testing.assert_array_equal(windows[2], states[:, 1:5])
    model.seen.clear()
    assert len(rollout(model, sample, 2).u) == 6 and model.seen[0][0] == 4
    assert len(rollout(model, replace(sample, u=sample.u[:2], times=sample.times[:2]), 2).u) == 4


def test_an_unsolved_sample_is_enough_for_a_model_that_starts_alone() -> None:
    """The inputs "initial p", "initial q" are the one true state of a window of three."""
    solved = free(states=4)
    names = {"u": ["p", "q"], "inputs": ["initial p", "initial q"]}
    sample = replace(solved, inputs=solved.u[0], u=None, names=names)
    model = Turn(history=3, bundle=2)
    found = rollout(model, sample, 5)
    assert [known for known, _, _ in model.seen] == [1, 3, 3]
    np.testing.assert_array_equal(found.u, rollout(Turn(bundle=2), solved, 5).u)
    np.testing.assert_allclose(found.times, 0.1 * np.arange(6))


def test_a_start_needs_what_its_model_needs() -> None:
    sample, model = free(states=2), Turn(history=4)
    with pytest.raises(ValueError, match="Turn starts from 1 to 4 known states, got known=5"):
        rollout(model, sample, 1, known=5)
    with pytest.raises(ValueError, match="starts from 3 known states, the sample has 2"):
        rollout(model, sample, 1, known=3)
    model.starts_alone = False
    with pytest.raises(ValueError, match="starts from 4 known states, the sample has 2"):
        rollout(model, sample, 1)
    with pytest.raises(ValueError, match="Turn starts from 4 known states, got known=1"):
        rollout(model, sample, 1, known=1)


def test_boundary_values_are_exact_at_every_step_of_every_bundle(tmp_path) -> None:
    """max |u − g(t)| = 0 on Dirichlet nodes: bundles of 4 that end between, within and beyond the
    times of the data, with another step than theirs; in memory and in the file."""
    sample = decaying(times=6)
    for dt in (None, 0.03, 0.25):
        path = tmp_path / "u.vtkhdf"
        result = rollout(Turn(bundle=4), sample, 11, dt=dt)
        rollout(Turn(bundle=4), sample, 11, dt=dt, path=path)
        mask = sample.boundary.dirichlet_mask
        for found in (result, Sample.load(path)):
            for k, t in enumerate(found.times):
                g = sample.dirichlet_at(float(t))
                assert (found.u[k][mask] == g[mask]).all()
                assert (found.boundary.dirichlet_values[k][mask] == g[mask]).all()


def test_a_periodic_march_is_written_on_all_nodes(tmp_path) -> None:
    """11 nodes of 10 periodic cells: the last is the first at every time."""
    mesh = box("line", 10)
    ends = [np.array([[i]]) for i in np.argsort(mesh.points[:, 0])[[0, -1]]]
    groups = {
        name: type(next(iter(mesh.groups.values())))(0, {"vertex": end})
        for name, end in zip(("left", "right"), ends, strict=True)
    }
    mesh = Mesh(mesh.points, mesh.cells, groups)
    twin = twins(mesh, {"left": "right"})
    u = np.random.default_rng(0).normal(size=(1, 11, 2))[:, twin]
    boundary = replace(Boundary.none(11, 2), twin=twin)
    sample = Sample(mesh, boundary, np.zeros((11, 0)), np.zeros(1), u)
    path = tmp_path / "u.vtkhdf"
    rollout(Turn(bundle=3), sample, 8, dt=0.1, path=path)
    found = Sample.load(path)
    assert found.u.shape == (9, 11, 2)
    np.testing.assert_array_equal(found.u, found.u[:, twin])
    np.testing.assert_array_equal(found.boundary.twin, twin)


def frames(times: int = 2, **more) -> Frames:
    mesh = box("triangle", 3)
    rng = np.random.default_rng(1)
    u = rng.random((times, mesh.num_nodes))
    return Frames(
        mesh, {"u": u, "k": u[0]}, {"m": np.zeros(mesh.num_cells)}, 1.0 * np.arange(times), **more
    )


def test_a_growing_file_is_whole_after_every_addition(tmp_path) -> None:
    """Read by VTK while it is being written, by this package after an error."""
    path, start = tmp_path / "u.vtkhdf", frames(1)
    nodes = start.mesh.num_nodes
    more = np.random.default_rng(2).random((6, nodes))
    with pytest.raises(RuntimeError, match="stopped"), growing(path, start) as add:
        for begin, end in ((0, 1), (1, 3), (3, 6)):
            add(1.0 + np.arange(begin, end), {"u": more[begin:end]})
            reader = opened(path)
            assert reader.GetNumberOfSteps() == end + 1
            np.testing.assert_array_equal(shown(reader, end, "u"), more[end - 1])
            np.testing.assert_array_equal(shown(reader, end, "k"), start.point["k"])
        raise RuntimeError("stopped")
    found = read_vtkhdf(path)
    np.testing.assert_array_equal(found.point["u"], np.concatenate([start.point["u"], more]))
    np.testing.assert_array_equal(found.point["k"], start.point["k"])
    assert read(path).num_nodes == nodes


def test_a_growing_file_refuses_what_does_not_fit(tmp_path) -> None:
    path, start = tmp_path / "u.vtkhdf", frames()
    row = np.zeros((1, start.mesh.num_nodes))
    with growing(path, start) as add:
        with pytest.raises(ValueError, match=r"ascending ones after 1, got \[1.\]"):
            add(np.ones(1), {"u": row})
        with pytest.raises(ValueError, match=r"expected arrays \['u'\], got \['u', 'v'\]"):
            add(np.full(1, 2.0), {"u": row, "v": row})
        for wrong in (row[:, 1:], row * np.nan):
            with pytest.raises(ValueError, match=r"'u': expected finite numbers of shape \[1, "):
                add(np.full(1, 2.0), {"u": wrong})
    assert read_vtkhdf(path).times.tolist() == [0, 1]
    one = Frames(start.mesh, {"u": row[0]})
    heated = replace(start, cell={"m": np.zeros((2, start.mesh.num_cells))})
    moved = frames(points=np.stack([start.mesh.points] * 2))
    for bad, text in ((one, "no times"), (heated, r"\['m'\]"), (moved, "moving points")):
        with (
            pytest.raises(ValueError, match=f"cell arrays do not change, got {text}"),
            growing(path, bad),
        ):
            pass
