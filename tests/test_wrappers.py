"""Integrators, refinement and conservation around a model: orders, exactness, checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import Tiny, decaying
from torch import nn
from torch_geometric.data import Batch

from meshgnn import checkpoint
from meshgnn.graph import MeshDataset, check_graph, to_graph
from meshgnn.losses import derivative, one_step, pushforward
from meshgnn.marching import rollout
from meshgnn.models import MODELS
from meshgnn.models.wrappers import Integrated, MeanConserving, Refined
from meshgnn.models.wrappers.inner import rebuilt
from meshgnn.sample import Boundary, Sample
from meshgnn.train import fit

SMALL = {"width": 8, "blocks": 1, "hidden": 1}


class Field(nn.Module):
    """û = u + dt A u: the rate of change A u of a linear system of two components, read exactly."""

    matrix = ((-0.3, -2.0), (2.0, -0.1))

    def __init__(self) -> None:
        super().__init__()
        self.hparams = {"channels": 2, "history": 1, "bundle": 1}
        self.register_buffer("a", torch.tensor(self.matrix, dtype=torch.float64))
        self.seen: list[dict] = []

    def forward(self, graph):
        self.seen.append({name: graph[name].clone() for name in ("dt", "time", "u", "dirichlet")})
        step = graph.dt.double()
        step = step if graph.get("batch") is None else step[graph.batch][:, None, None]
        out = graph.u[:, -1:] + step * (graph.u[:, -1:].double() @ self.a.T)
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet.double(), out)


def exact_flow(u: torch.Tensor, time: float) -> torch.Tensor:
    a = torch.tensor(Field.matrix, dtype=torch.float64)
    return u @ torch.linalg.matrix_exp(time * a).T


def doubled(sample: Sample, dt: float):
    """A graph in float64, with a time step."""
    graph = to_graph(sample, history=1)
    for name, value in graph.items():
        if torch.is_tensor(value) and value.is_floating_point():
            graph[name] = value.double()
    graph.dt = torch.tensor([dt], dtype=torch.float64)
    return graph


def open_sample(states: int = 4, n: int = 4) -> Sample:
    sample = decaying(times=states, n=n)
    return replace(sample, boundary=Boundary.none(sample.mesh.num_nodes, 2))


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("rk2", 2), ("heun", 2), ("rk4", 4)])
def test_schemes_have_their_order(scheme: str, order: int) -> None:
    """u̇ = A u to t = 1 by 4, 8, 16 and 32 steps, chosen at run time; τ stays what it is."""
    sample = open_sample()
    model = Integrated(Field(), scheme).double()
    model.unit.fill_(0.37)
    errors = []
    for steps in (8, 16, 32):
        graph = doubled(sample, 1 / steps)
        truth = exact_flow(graph.u[:, 0], 1.0)
        for _ in range(steps):
            graph.u = model(graph)
        errors.append((graph.u[:, 0] - truth).abs().max().item())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(rates[-1], order, atol=0.15)
    assert {seen["dt"].item() for seen in model.inner.seen} == {model.unit.item()}


def test_substeps_are_steps_and_times_are_those_of_the_stages() -> None:
    sample, field = open_sample(), Field()
    graph = doubled(sample, 0.5)
    graph.time = torch.tensor([2.0])
    twice = Integrated(field, "rk4", substeps=2).double()(graph)
    times = [seen["time"].item() for seen in field.seen]
    np.testing.assert_allclose(times, [2, 2.125, 2.125, 2.25, 2.25, 2.375, 2.375, 2.5])
    once, half = Integrated(Field(), "rk4").double(), doubled(sample, 0.25)
    half.u = once(half)
    torch.testing.assert_close(twice, once(half), rtol=1e-12, atol=1e-12)


def test_boundary_values_move_with_the_stages() -> None:
    """g from g_0 to g_1: stages hold g_0, the mean, g_1; f = (g_1 − g_0) / dt; û = g_1 exactly; the
    inner model is asked for g + τ ġ."""
    sample, field = decaying(times=3), Field()
    graph = doubled(sample, 0.1)
    model = Integrated(field, "rk4").double()
    model.unit.fill_(0.25)
    mask = graph.dirichlet_mask
    first, last = graph.u[:, 0][mask], graph.dirichlet[:, 0][mask]
    out = model(graph)
    assert (out[:, 0][mask] == last).all() and not (out[:, 0] == 0).all()
    slope = (last - first) / 0.1
    for seen, part in zip(field.seen, (0, 0.5, 0.5, 1), strict=True):
        torch.testing.assert_close(seen["u"][:, 0][mask], first + part * 0.1 * slope)
        expected = first + (part * 0.1 + 0.25) * slope
        torch.testing.assert_close(seen["dirichlet"][:, 0][mask], expected)
    rate = model.derivative(graph)
    torch.testing.assert_close(rate[mask], slope)
    torch.testing.assert_close(rate[~mask], (graph.u[:, 0] @ field.a.T)[~mask])


def test_euler_at_the_step_of_the_training_is_the_inner_model() -> None:
    data = MeshDataset([decaying(0), decaying(1)], history=1)
    torch.manual_seed(0)
    inner = MODELS["MeshGraphNet"](channels=2, inputs=0, history=1, **SMALL)
    model = Integrated(inner, "euler")
    model.fit_statistics(list(data))
    assert model.unit.item() == pytest.approx(0.1)
    batch = Batch.from_data_list(list(data[:3]))
    torch.testing.assert_close(model(batch), inner(batch), rtol=1e-4, atol=1e-5)
    assert one_step(model, batch).item() == pytest.approx(one_step(inner, batch).item(), rel=1e-3)


def test_steps_of_training_may_differ() -> None:
    """Graphs of dt = 0.1 and 0.2: the inner model is fitted to changes over their mean."""
    graphs = [to_graph(decaying(0), 1)]
    graphs.append(to_graph(replace(decaying(0), times=0.2 * np.arange(6)), 1))
    inner = MODELS["MeshGraphNet"](channels=2, inputs=0, history=1, **SMALL)
    model = Integrated(inner)
    seen: list = []
    inner.fit_statistics = seen.extend
    model.fit_statistics(graphs)
    assert [g.dt.item() for g in seen] == [pytest.approx(0.15)] * 2
    for graph, part in zip(graphs, seen, strict=True):
        change = (graph.y - graph.u) * 0.15 / graph.dt
        torch.testing.assert_close(part.y - part.u, change, rtol=1e-3, atol=1e-6)
        check_graph(part, inner)


def test_an_integrated_rollout_takes_any_step() -> None:
    """Marched to t = 2 by 20 and by 40 steps: both exact to 1e-4; boundary values exact."""
    sample, model = open_sample(), Integrated(Field())
    model.meta = {"dt": 0.37}
    truth = exact_flow(torch.tensor(sample.u[0]), 2.0)
    for steps in (20, 40):
        found = rollout(model, sample, steps, dt=2.0 / steps)
        np.testing.assert_allclose(found.u[-1], truth, atol=1e-4)
    held = rollout(model, decaying(times=3), 6, dt=0.05)
    mask = held.boundary.dirichlet_mask
    for u, t in zip(held.u, held.times, strict=True):
        assert (u[mask] == decaying(times=3).dirichlet_at(float(t))[mask]).all()


def small(**changes) -> nn.Module:
    return MODELS["MeshGraphNet"](
        **{"channels": 2, "inputs": 0, "history": 1, "params": 0, **SMALL, **changes}
    )


WRAPPED = {
    "Integrated": lambda: Integrated(small(), "heun", substeps=2),
    "Refined": lambda: Refined(small(inputs=2, params=1), steps=2, seed=3),
    "MeanConserving": lambda: MeanConserving(small(), components=[1]),
    "nested": lambda: MeanConserving(Integrated(small())),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_train_march_and_are_loaded_again(kind: str, tmp_path) -> None:
    """fit lowers the loss; one file gives the same rollout, whatever is inside of what."""
    torch.manual_seed(0)
    data, model = MeshDataset([decaying(0), decaying(1)], history=1), WRAPPED[kind]()
    history = fit(model, data, epochs=6, batch_size=4, lr=3e-3, seed=0, progress=False)
    assert history.train[-1] < history.train[0]
    checkpoint.save(model, tmp_path / "model.pt")
    again = checkpoint.load(tmp_path / "model.pt")
    assert type(again) is type(model) and again.hparams == model.hparams
    found = rollout(model, decaying(2), 4)
    np.testing.assert_array_equal(found.u, rollout(again, decaying(2), 4).u)
    assert np.abs(found.u[-1] - found.u[0]).max() > 0
    loss = pushforward(2, model.loss)(model, MeshDataset([decaying(0)], history=1, bundle=2)[0])
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_derivative_targets_train_an_integrated_model() -> None:
    data = MeshDataset([decaying(0), decaying(1)], history=1, bundle=2)
    torch.manual_seed(0)
    model = Integrated(small())
    history = fit(
        model, data, epochs=6, batch_size=4, lr=3e-3, loss=derivative(2), seed=0, progress=False
    )
    assert history.train[-1] < 0.9 * history.train[0]


class Perfect(nn.Module):
    """The best z: the change where nothing is known (k = 0, made wrong by a bias), the noise that
    is in the estimate where it is noised."""

    def __init__(self, steps: int, min_noise: float, bias: float) -> None:
        super().__init__()
        self.hparams = {"channels": 2, "history": 1, "bundle": 1, "inputs": 2, "params": 1}
        self.steps, self.min_noise, self.bias = steps, min_noise, bias
        self.truth: torch.Tensor = torch.zeros(0)
        self.scale = None

    def forward(self, graph):
        batch = graph.get("batch")
        stage = graph.theta[:, 0].expand(len(graph.pos)) if batch is None else graph.theta[batch, 0]
        sigma = self.min_noise ** stage[:, None]
        z = torch.where(stage[:, None] == 0, self.truth + self.bias, (graph.a - self.truth) / sigma)
        return graph.u + self.scale.inverse(z)[:, None]


def test_refinement_removes_the_error_of_the_first_prediction() -> None:
    """With the noise told apart exactly, r_K = r: a bias of 0.5 is gone after one refinement."""
    graph = to_graph(open_sample(), history=1)
    inner = Perfect(3, 1e-2, bias=0.5)
    model = Refined(inner, steps=3, min_noise=1e-2)
    model.scale_out.fit([(graph.y - graph.u).flatten(0, 1)])
    inner.scale = model.scale_out
    inner.truth = model.scale_out(graph.y - graph.u)[:, 0]
    torch.testing.assert_close(model(graph), graph.y, rtol=1e-4, atol=1e-5)
    inner.bias = 0.0
    model.train()
    for seed in range(8):
        torch.manual_seed(seed)
        assert model.loss(model, graph).item() < 1e-6
    assert model.eval().loss(model, graph).item() < 1e-6


def test_refinement_repeats_itself_and_its_noise_differs_between_steps() -> None:
    torch.manual_seed(0)
    model = Refined(small(inputs=2, params=1), min_noise=0.1)
    data = MeshDataset([decaying(0)], history=1)
    model.fit_statistics(list(data))
    graph = data[0]
    one, again = model(graph), model(graph)
    assert torch.equal(one, again)
    torch.manual_seed(99)
    assert torch.equal(one, model(graph))
    later = graph.clone()
    later.time = graph.time + graph.dt
    assert not torch.equal(one, model(later))
    other = Refined(model.inner, min_noise=0.1, seed=1)
    other.load_state_dict(model.state_dict())
    assert not torch.equal(one, other(graph))
    mask = graph.dirichlet_mask
    assert torch.equal(one[:, 0][mask], graph.dirichlet[:, 0][mask])


def test_statistics_of_refinement_see_every_stage_in_unit_size() -> None:
    """What the inner model is to give has the spread of the change, at k = 0 and of the noise."""
    model = Refined(small(inputs=2, params=1), steps=3)
    seen: list = []
    model.inner.fit_statistics = seen.extend
    graphs = list(MeshDataset([decaying(0, n=8), decaying(1, n=8)], history=1))
    model.fit_statistics(graphs)
    stages = sorted({round(g.theta.item() * 3) for g in seen})
    assert stages == [0, 1, 2, 3] and len(seen) == 2 * len(graphs)
    for k in stages:
        parts = [g for g in seen if round(g.theta.item() * 3) == k]
        free = torch.cat([(g.y - g.u)[~g.dirichlet_mask.any(1)].flatten(0, 1) for g in parts])
        spread = free.square().mean(0).sqrt() / model.scale_out.std
        torch.testing.assert_close(spread, torch.ones(2), rtol=0.1, atol=0.0)
        for part in parts:
            check_graph(part, model.inner)
            assert (part.a == 0).all() == (k == 0)


@pytest.mark.parametrize("bundle", [1, 3])
def test_the_mean_is_kept_to_rounding(bundle: int) -> None:
    """300 steps of a model with random weights in float32: the mean of every component is that of
    the first state, to 1e-6 of the largest value, on a graded mesh."""
    torch.manual_seed(0)
    sample = open_sample(n=8)
    points = sample.mesh.points
    sample = replace(sample, mesh=sample.mesh.moved(points**1.5))
    inner = Tiny(channels=2, inputs=0, history=1, bundle=bundle)
    inner.scale.fill_(0.05)
    mass = sample.mesh.lumped_mass / sample.mesh.lumped_mass.sum()
    drifts = []
    for model in (inner, MeanConserving(inner)):
        u = rollout(model, sample, 300, limit=1e9).u
        means = np.einsum("tnc,n->tc", u, mass)
        drifts.append(np.abs(means - means[0]).max() / np.abs(u).max())
    assert drifts[0] > 1e-3 and drifts[1] < 1e-6, drifts


def test_only_components_that_nothing_changes_are_corrected() -> None:
    """Of a batch: a closed graph, one with a flux on component 0, one with Dirichlet values."""
    torch.manual_seed(0)
    closed, fixed = to_graph(open_sample(), 1), to_graph(decaying(times=4), 1)
    flux = closed.clone()
    flux.flux_load[3, 0] = 1.0
    batch = Batch.from_data_list([closed, flux, fixed])
    inner = Tiny(channels=2, inputs=0, history=1)
    plain, out = inner(batch), MeanConserving(inner)(batch)
    chosen = MeanConserving(inner, components=[0])(batch)
    assert MeanConserving(inner).loss is one_step
    for i, kept in enumerate(([True, True], [False, True], [False, False])):
        rows = batch.batch == i
        mass = batch.mass[rows] / batch.mass[rows].sum()
        for c, corrected in enumerate(kept):
            gap = (mass @ (out - batch.u)[rows, 0, c]).abs().item()
            assert gap < 1e-6 if corrected else torch.equal(out[rows, 0, c], plain[rows, 0, c])
            shift = (out - plain)[rows, 0, c]
            torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-6)
            if c == 1 or not corrected:
                assert torch.equal(chosen[rows, 0, c], plain[rows, 0, c])
            else:
                assert torch.equal(chosen[rows, 0, c], out[rows, 0, c])


def test_wrappers_pass_on_what_the_inner_model_is() -> None:
    class Alone(Tiny):
        takes_dt = starts_alone = True

        def transform(self, graph):
            return graph

    inner = Alone(channels=2, inputs=2, params=1, history=3)
    for wrapper in (Refined(inner), MeanConserving(inner)):
        assert wrapper.takes_dt and wrapper.starts_alone and wrapper.hparams["history"] == 3
        assert wrapper.transform.__func__ is Alone.transform
    assert Integrated(Field()).takes_dt and Integrated(Field()).transform is None
    assert (Refined(inner).hparams["inputs"], Refined(inner).hparams["params"]) == (0, 0)
    assert not MeanConserving(Field()).takes_dt


def test_wrappers_refuse_what_they_cannot_do() -> None:
    for kind in (Integrated, Refined, MeanConserving):
        with pytest.raises(
            ValueError, match=f"{kind.__name__}: expected a model of states in time"
        ):
            kind(nn.Linear(1, 1))
        with pytest.raises(ValueError, match="make it with history=1"):
            kind(Tiny())
    for changes in ({"history": 2}, {"bundle": 2}):
        with pytest.raises(ValueError, match="history=1 and bundle=1, since a rate"):
            Integrated(small(**changes))
    for options in ({"scheme": "ab2"}, {"substeps": 0}):
        with pytest.raises(ValueError, match="a scheme of euler, rk2, heun, rk4 and substeps"):
            Integrated(small(), **options)
    with pytest.raises(ValueError, match=r"with 2 inputs .* and 1 parameter more .* inputs=1"):
        Refined(small(inputs=1, params=1))
    with pytest.raises(ValueError, match="params=0"):
        Refined(small(inputs=2))
    for options in ({"steps": 0}, {"min_noise": 0.0}, {"min_noise": 1.0}):
        with pytest.raises(ValueError, match="steps of at least 1 and min_noise between 0 and 1"):
            Refined(small(inputs=2, params=1), **options)
    with pytest.raises(ValueError, match=r"components from 0 to 1, got \[2\]"):
        MeanConserving(small(), components=[0, 2])
    with pytest.raises(ValueError, match="the model inside is a 'MLP', which this version"):
        rebuilt({"model": "MLP", "hparams": {}})
