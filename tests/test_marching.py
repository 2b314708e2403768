"""Rollouts: boundary values by tag and time, no truth, as long as wanted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import Tiny, box, decaying, dirichlet_everywhere, steady
from torch import nn

from meshgnn.marching import rollout
from meshgnn.sample import Boundary


class Factor(nn.Module):
    """û_{k+j} = factor^j u_k on free nodes: the exact solution of u' = −λ u."""

    def __init__(self, factor: float, history: int = 1, bundle: int = 1, channels: int = 2):
        super().__init__()
        self.hparams = {
            "dim": 2,
            "channels": channels,
            "history": history,
            "bundle": bundle,
            "inputs": 0,
        }
        self.factor = nn.Parameter(torch.tensor(factor))
        self.calls = []

    def forward(self, graph):
        self.calls.append(graph.dt.item())
        powers = self.factor ** torch.arange(1, self.hparams["bundle"] + 1)
        out = graph.u[:, -1:] * powers[None, :, None]
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet, out)


def test_rollout_applies_the_model_again_and_again() -> None:
    """Without boundary values u_k = 0.9^k u_0."""
    sample = replace(decaying(times=3), boundary=Boundary.none(30, 2))
    result = rollout(Factor(0.9), sample, steps=20)
    expected = 0.9 ** np.arange(21)[:, None, None] * sample.u[0]
    np.testing.assert_allclose(result.u, expected, rtol=1e-5)
    np.testing.assert_allclose(result.times, 0.1 * np.arange(21))


@pytest.mark.parametrize("bundle", [1, 2, 3])
def test_a_bundle_is_several_steps_at_once_and_the_last_is_cut(bundle: int) -> None:
    sample = decaying(times=9)
    model = Factor(0.9, bundle=bundle)
    result = rollout(model, sample, steps=8)
    assert result.u.shape == (9, 30, 2) and len(model.calls) == -(-8 // bundle)
    np.testing.assert_allclose(result.u, rollout(Factor(0.9), sample, steps=8).u, rtol=1e-5)


def test_boundary_values_are_those_of_their_time_to_the_last_digit() -> None:
    sample = decaying(times=6)
    result = rollout(Factor(0.9, bundle=2), sample, steps=12)
    mask = sample.boundary.dirichlet_mask
    for k, time in enumerate(result.times):
        assert (result.u[k][mask] == sample.dirichlet_at(float(time))[mask]).all()
    assert (result.u[12][mask] == sample.u[-1][mask]).all()  # constant beyond the data
    assert (
        result.dirichlet_at(0.3)[mask] == sample.dirichlet_at(float(result.times[3]))[mask]
    ).all()


@pytest.mark.parametrize("history", [1, 2])
def test_no_truth_enters_a_rollout(history: int) -> None:
    """All states after the first K replaced by noise: the same rollout."""
    sample = decaying(times=8)
    spoilt = sample.u.copy()
    spoilt[history:] = np.random.default_rng(0).normal(size=spoilt[history:].shape)
    torch.manual_seed(0)
    model = Tiny(channels=2, inputs=0, history=history)
    u = rollout(model, sample, steps=5).u
    assert u.shape[0] == history + 5
    np.testing.assert_array_equal(u, rollout(model, replace(sample, u=spoilt), steps=5).u)


class Line(Factor):
    def forward(self, graph):
        return 2 * graph.u[:, -1:] - graph.u[:, -2:-1]


def test_history_holds_the_last_states_in_order() -> None:
    mesh = box()
    g = np.stack([mesh.points[:, :1] * t for t in range(3)])
    sample = replace(
        decaying(times=3), times=np.arange(3.0), u=g, boundary=Boundary.none(30, 1), names={}
    )
    result = rollout(Line(1.0, history=2, channels=1), sample, steps=6)
    np.testing.assert_allclose(result.u[:, :, 0], np.outer(np.arange(8), mesh.points[:, 0]))


def test_an_unsolved_sample_starts_from_its_initial_input() -> None:
    base = steady()
    sample = replace(
        base,
        inputs=np.stack([np.zeros(30), base.mesh.points[:, 0]], axis=1),
        names={"u": ["temperature"], "inputs": ["source", "initial"]},
        times=0.5 * np.arange(4),
        u=None,
    )
    model = Factor(0.5, channels=1)
    model.hparams["inputs"] = 2
    result = rollout(model, sample, steps=2)
    mask = sample.boundary.dirichlet_mask
    expected = np.where(mask, sample.boundary.dirichlet_values, 0.25 * sample.inputs[:, 1:])
    np.testing.assert_allclose(result.u[2], expected, rtol=1e-6)
    assert (result.u[0][mask] == sample.boundary.dirichlet_values[mask]).all()


def test_the_transform_is_applied_once() -> None:
    class Counting(Factor):
        seen = 0

        def transform(self, graph):
            Counting.seen += 1
            return graph

    rollout(Counting(0.9), decaying(), steps=5)
    assert Counting.seen == 1


def test_the_mode_of_the_model_is_kept_and_dropout_is_off() -> None:
    torch.manual_seed(0)
    model = Tiny(channels=2, inputs=0, history=1, dropout=0.5).train()
    a, b = rollout(model, decaying(), steps=3), rollout(model, decaying(), steps=3)
    np.testing.assert_array_equal(a.u, b.u)
    assert model.training and a.label_error is None


def test_a_blow_up_names_its_step() -> None:
    free = replace(decaying(), boundary=Boundary.none(30, 2))
    with pytest.raises(ValueError, match=r"state of step 2 \(t = 0.2 s\) reaches .*blown up"):
        rollout(Factor(1e4), free, steps=9)
    with pytest.raises(ValueError, match=r"state of step 1 \(t = 0.1 s\) holds NaN or infinity"):
        rollout(Factor(float("nan")), free, steps=9)


def test_a_march_from_rest_has_the_scale_of_its_first_state() -> None:
    """u_0 = 0, g = 0 and a source: u' = f gives u_k = k dt f, no blow-up; growth still is one."""

    class Sourced(Factor):
        source = 3.0

        def forward(self, graph):
            return graph.u[:, -1:] * self.factor + self.source * graph.dt

    rest = replace(decaying(), boundary=Boundary.none(30, 2), u=np.zeros((6, 30, 2)))
    result = rollout(Sourced(1.0), rest, steps=50)
    np.testing.assert_allclose(result.u[:, 0, 0], 0.3 * np.arange(51), rtol=1e-5)
    assert not rollout(Factor(0.9), rest, steps=3).u.any()
    with pytest.raises(ValueError, match=r"state of step 3 \(t = 0.3 s\) reaches 3e\+07"):
        rollout(Sourced(1e4), rest, steps=9)
    for Sourced.source in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="state of step 1 .* holds NaN or infinity"):
            rollout(Sourced(1.0), rest, steps=2)
    with pytest.raises(ValueError, match="state of step 1 .* holds NaN or infinity"):
        rollout(Factor(float("inf")), decaying(), steps=1, limit=float("inf"))


def test_boundary_values_that_rise_from_nearly_nothing_set_the_scale() -> None:
    """From rest and a first boundary value of 1e-9 to 1: bounded by the data, so no blow-up."""
    ramp = np.maximum(np.linspace(0, 1, 6), 1e-9)[:, None, None] * np.ones((6, 30, 2))
    for start in (0.0, 1e-9):
        u = np.full((6, 30, 2), start)
        sample = replace(decaying(), boundary=dirichlet_everywhere(box(), ramp), u=u)
        assert rollout(Factor(1.0), sample, steps=5).u.max() == 1
    with pytest.raises(ValueError, match="blown up"):
        rollout(Factor(1.0), sample, steps=5, limit=0.5)


def test_the_time_step_is_that_of_the_training() -> None:
    class Stepped(Factor):
        takes_dt = True

    sample = decaying(times=3)
    model, stepped = Factor(0.9), Stepped(0.9)
    model.meta = stepped.meta = {"dt": float(np.float32(0.1))}
    assert len(rollout(model, sample, steps=2).u) == 3
    with pytest.raises(ValueError, match=r"Factor was trained with time steps of 0.1 s and .* 5 s"):
        rollout(model, sample, steps=2, dt=5.0)
    other = replace(sample, times=5 * sample.times)
    with pytest.raises(ValueError, match=r"got dt = 0.5 s; pass dt=0.1"):
        rollout(model, other, steps=2)
    assert rollout(model, other, steps=1, dt=0.1).times.tolist() == [0.0, 0.1]
    assert rollout(stepped, sample, steps=1, dt=5.0).times.tolist() == [0.0, 5.0]
    with pytest.raises(ValueError, match=r"known states dt = 0.1 s apart, got times \[0.0, 0.5\]"):
        rollout(Factor(0.9, history=2), other, steps=1, dt=0.1)


def test_bad_starts_are_refused() -> None:
    sample = decaying()
    with pytest.raises(ValueError, match=r"Tiny has no known states as input \(history=0\)"):
        rollout(Tiny(channels=2, inputs=0), sample, steps=1)
    with pytest.raises(ValueError, match="starts from 7 known states, the sample has 6"):
        rollout(Factor(0.9, history=7), sample, steps=1)
    with pytest.raises(ValueError, match="starts from 1 known states, the sample has 0"):
        rollout(Factor(0.9), replace(sample, u=None), steps=1)
    one = replace(
        sample,
        u=sample.u[:1],
        times=sample.times[:1],
        boundary=dirichlet_everywhere(sample.mesh, sample.u[0]),
    )
    with pytest.raises(ValueError, match="one time only; pass the time step dt"):
        rollout(Factor(0.9), one, steps=1)
    assert rollout(Factor(0.9), one, steps=2, dt=0.5).times.tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="expected steps to be an integer of at least 1, got 0"):
        rollout(Factor(0.9), sample, steps=0)
    with pytest.raises(ValueError, match="components of the solution: 1"):
        rollout(Factor(0.9, channels=1), sample, steps=1)
    model = Factor(0.9)
    model.meta = {"names": {"u": ["vx", "vy"]}}
    with pytest.raises(ValueError, match=r"was trained with u \['vx', 'vy'\], the sample has"):
        rollout(model, sample, steps=1)


def test_steps_and_time_step_make_sense() -> None:
    sample = decaying()
    for dt in (0.0, -0.1, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"a positive, finite time step dt, got {dt:g} s"):
            rollout(Factor(0.9), sample, steps=2, dt=dt)
    unchecked = rollout.__wrapped__  # as users call it, without the types checked
    for steps in (2.5, 2.0, "2"):
        with pytest.raises(ValueError, match=f"an integer of at least 1, got {steps!r}"):
            unchecked(Factor(0.9), sample, steps)
    assert len(unchecked(Factor(0.9), sample, np.int64(2)).times) == 3


class Falling(Line):
    """u_{k+1} = 2 u_k − u_{k−1} + g Δt², in double precision."""

    starts_alone, state_dtype = True, torch.float64

    def forward(self, graph):
        self.seen = graph.u.dtype, graph.known.item()
        out = super().forward(graph) + graph.gravity[0] * graph.dt**2
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet.double(), out)


def test_a_march_from_displacement_and_velocity() -> None:
    """u_0 + v t + g t² / 2 on from the inputs of an unsolved sample; held parts stay."""
    mesh, v, g = box(), np.array([1.0, 0.5]), np.array([0.0, -2.0])
    mask = np.zeros((mesh.num_nodes, 2), bool)
    mask[0] = True
    held = replace(Boundary.none(mesh.num_nodes, 2), dirichlet_mask=mask)
    start = np.hstack([0.1 * mesh.points, np.tile(v, (mesh.num_nodes, 1))])
    kinds = [f"initial_{kind}{axis}" for kind in "uv" for axis in "xy"]
    sample = replace(
        decaying(),
        inputs=start,
        params=g,
        boundary=held,
        times=0.1 * np.arange(21),
        u=None,
        names={"u": ["ux", "uy"], "inputs": kinds, "params": ["gravity_x", "gravity_y"]},
    )
    model = Falling(1.0, history=4)
    model.hparams["inputs"] = 4
    found = rollout(model, sample, 20)
    t = found.times[:, None, None]
    exact = np.where(mask, 0.0, start[:, :2] + v * t + g * t**2 / 2)
    np.testing.assert_allclose(found.u, exact, atol=1e-6)
    assert model.seen == (torch.float64, 4.0)
    solved = replace(sample, u=found.u[:3], times=found.times[:3])
    again = rollout(model, solved, 18, known=1)
    np.testing.assert_allclose(again.u[-1], exact[18], atol=1e-6)
    quiet = replace(sample, inputs=start[:, :2], names=sample.names | {"inputs": kinds[:2]})
    model.hparams["inputs"] = 2
    rest = rollout(model, replace(quiet, params=0 * g), 3)
    np.testing.assert_allclose(rest.u[-1], np.where(mask, 0.0, start[:, :2]), atol=1e-7)
