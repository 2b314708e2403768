"""Losses over several calls: what has a gradient, what is kept for it, what each call sees."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from interval_graphs import wave
from learning_builders import Recorder, Tiny, decaying
from mesh_builders import lattice
from torch_geometric.data import Batch, Data

from meshgnn import losses
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import RandomPushforward, one_step, pushforward, relative_mass_loss, unrolled
from meshgnn.mesh import Group, Mesh, twins
from meshgnn.models import MODELS
from meshgnn.models.mp_pde.paper import PaperNet
from meshgnn.sample import Boundary, Sample


def paper(graph: Data) -> tuple[PaperNet, Data]:
    torch.manual_seed(0)
    net = PaperNet(20, width=48, layers=2, length=4.0, duration=10.0)
    return net, net.transform(graph)


def gradients(net: torch.nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    net.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


def kept(loss: losses.Loss, net: torch.nn.Module, graph: Data) -> tuple[int, int]:
    """Number and bytes of the tensors that the backward pass needs."""
    sizes = []

    def pack(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.numel() * x.element_size())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss(net, graph)
    return len(sizes), sum(sizes)


def test_the_gradient_is_that_of_the_last_call_alone() -> None:
    """∂L/∂w of pushforward with N = 1 equals, bit for bit, that of one step from detached û_1."""
    net, graph = paper(wave(20, 40))
    loss = RandomPushforward(2, warm_up=0)
    first, second = graph.clone(), graph.clone()
    first.y, first.dirichlet = graph.y[:, :20], graph.dirichlet[:, :20]
    second.y, second.dirichlet = graph.y[:, 20:], graph.dirichlet[:, 20:]
    second.u, second.time = net(first).detach(), graph.time + 20 * graph.dt
    expected = [gradients(net, one_step(net, part)) for part in (first, second)]
    draws = set()
    for seed in range(8):
        torch.manual_seed(seed)
        calls = int(torch.randint(2, ()))
        torch.manual_seed(seed)
        found = gradients(net, loss(net, graph))
        assert all(torch.equal(a, b) for a, b in zip(found, expected[calls], strict=True))
        draws.add(calls)
    assert draws == {0, 1} and not torch.equal(expected[0][0], expected[1][0])


def test_memory_does_not_depend_on_the_number_of_calls() -> None:
    """Tensors kept for the backward pass: as many, as large, for 1, 2 and 6 calls; not unrolled."""
    net, graph = paper(wave(20, 120))
    loss, found = RandomPushforward(6, warm_up=0), {}
    for seed in range(30):
        torch.manual_seed(seed)
        calls = int(torch.randint(6, ()))
        torch.manual_seed(seed)
        found[calls] = kept(loss, net, graph)
    assert set(found) == set(range(6)) and len(set(found.values())) == 1
    short, long = graph.clone(), graph
    short.y, short.dirichlet = graph.y[:, :40], graph.dirichlet[:, :40]
    assert kept(pushforward(2), net, short) == kept(pushforward(6), net, long)
    count = kept(unrolled(2), net, short)[0]
    assert kept(unrolled(6), net, long)[0] > 2.5 * count > 2.5 * found[0][0]


@pytest.mark.parametrize(("history", "bundle"), [(1, 1), (2, 2), (3, 2), (1, 3), (4, 1)])
@pytest.mark.parametrize("make", [pushforward, unrolled, RandomPushforward])
def test_each_call_sees_its_own_window(make, history: int, bundle: int) -> None:
    """A model that answers with the truth is given the true states, times and boundary values."""
    depth = 3
    sample = decaying(times=history + depth * bundle)
    graph = to_graph(sample, history, depth * bundle)
    graph.known = torch.ones(1)
    model = Recorder()
    with torch.no_grad():
        assert make(depth)(model, graph) == 0
    for call, seen in enumerate(model.seen[-depth:]):
        start = call * bundle
        there = to_graph(sample, history, bundle, start)
        for name in ("u", "y", "dirichlet", "time"):
            torch.testing.assert_close(seen[name], there[name])
        assert float(seen.known) == min(history, 1 + start)
    assert torch.equal(graph.u, to_graph(sample, history, 1).u) and graph.known == 1


def test_states_that_only_repeat_the_start_stay_behind_the_true_ones() -> None:
    """K = 3 from one state a: (a, a, a) → (a, a, y_1) → (a, y_1, y_2), known 1, 2, 3."""
    graph = to_graph(decaying(), 1, 3)
    graph.u, graph.known, model = graph.u.repeat(1, 3, 1), torch.ones(1), Recorder()
    unrolled(3)(model, graph)
    states = torch.cat([graph.u, graph.y], dim=1)
    for call, seen in enumerate(model.seen):
        assert torch.equal(seen.u, states[:, call : call + 3]) and seen.known == call + 1


def test_unrolled_differentiates_every_call() -> None:
    """û = θ u: L = Σ_d (θ^d u − y_d)² / D and dL/dθ = Σ_d 2 (θ^d u − y_d) d θ^(d−1) u / D."""
    graph = MeshDataset([decaying(times=4)], history=1, bundle=3)[0]
    graph.dirichlet_mask[:] = False
    theta, calls = torch.tensor(0.8, requires_grad=True), []

    def model(g: Data) -> torch.Tensor:
        calls.append(g)
        return theta * g.u[:, -1:]

    loss = unrolled(3)(model, graph)
    loss.backward()
    u, m = graph.u[:, 0], graph.mass[:, None] / (2 * graph.mass.sum())
    errors = [0.8**d * u - graph.y[:, d - 1] for d in (1, 2, 3)]
    slopes = [2 * e * d * 0.8 ** (d - 1) * u for d, e in enumerate(errors, 1)]
    assert loss.item() == pytest.approx(sum((m * e**2).sum().item() for e in errors) / 3, rel=1e-5)
    expected = sum((m * s).sum().item() for s in slopes) / 3
    assert theta.grad is not None and theta.grad.item() == pytest.approx(expected, rel=1e-4)
    assert len(calls) == 3


def test_unrolled_loss_is_in_units_of_the_output_scale() -> None:
    """The loss of a call finds what else the model has, though the model is called once a step."""
    graph = MeshDataset([decaying()], history=1, bundle=2)[0]

    class Scaled:
        scale_out = type("", (), {"std": torch.tensor([1.0, 100.0])})()

        def __call__(self, g: Data) -> torch.Tensor:
            return g.y + 0.1 * self.scale_out.std

    assert unrolled(2)(Scaled(), graph).item() == pytest.approx(0.01, rel=1e-4)


def test_a_batch_of_graphs_of_other_time_steps() -> None:
    """Times advance by S Δt of each graph; gradients are finite through every loss."""
    graphs = [wave(20, 40), wave(20, 40, cells=17, dt=0.05)]
    net, _ = paper(graphs[0])
    batch, model = Batch.from_data_list([net.transform(g) for g in graphs]), Recorder()
    pushforward(2)(model, batch)
    torch.testing.assert_close(model.seen[-1].time, torch.tensor([1.9 + 2.0, 0.95 + 1.0]))
    for loss in (pushforward(2), RandomPushforward(2, warm_up=0), unrolled(2)):
        assert all(g.isfinite().all() for g in gradients(net, loss(net, batch)))


def test_the_relative_loss_of_a_periodic_mesh_is_that_of_the_whole_mesh() -> None:
    """Simplices across the boundary have their own size: equal to the mesh that is not wrapped."""
    n = 5
    points, quads = lattice(n, n)
    cells = {"triangle": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])}
    lines = Mesh(points, cells).boundary_facets["line"]
    x = points[lines].mean(axis=1)[:, 0]
    sides = {"left": lines[x < 1e-9], "right": lines[x > 1 - 1e-9]}
    mesh = Mesh(points, cells, {name: Group(1, {"line": v}) for name, v in sides.items()})
    u = np.sin(2 * np.pi * mesh.points[:, 0]) + mesh.points[:, 1]
    plain = Boundary.none(mesh.num_nodes, 1)
    wrapped = replace(plain, twin=twins(mesh, {"left": "right"}))
    found = []
    for boundary in (plain, wrapped):
        sample = Sample(mesh, boundary, np.zeros((len(u), 0)), u=u[None, :, None])
        batch = Batch.from_data_list([to_graph(sample)] * 2)
        model = lambda g: g.y + 0.3 * torch.cos(6.283185307 * g.pos[:, :1, None])  # noqa: E731
        found.append(relative_mass_loss(model, batch).item())
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_what_makes_no_sense_is_refused() -> None:
    for make in (pushforward, RandomPushforward, unrolled):
        name = make.__name__
        with pytest.raises(ValueError, match=f"{name}: expected depth of at least 2, got 1"):
            make(1)
        steady = to_graph(decaying(times=1))
        with pytest.raises(ValueError, match=f"{name}: expected graphs with known states"):
            make(2)(Recorder(), steady)
        graph = to_graph(decaying(), 1, 3)
        with pytest.raises(ValueError, match=f"{name}: expected graphs with 2 times the model's"):
            make(2)(Recorder(), graph)
    with pytest.raises(ValueError, match="expected warm_up >= 0 epochs, got -1"):
        RandomPushforward(2, warm_up=-1)
    with pytest.raises(ValueError, match=r"warm_up needs the epoch; call begin_epoch\(epoch\)"):
        RandomPushforward(2)(Recorder(), to_graph(decaying(), 1, 4))


def test_pushforward_trains_models_whose_window_differs_from_their_bundle() -> None:
    """K = 3, S = 2 and K = 1, S = 3 by the small model of the other tests."""
    for history, bundle in ((3, 2), (1, 3)):
        data = MeshDataset([decaying(times=10)], history=history, bundle=2 * bundle)
        model = Tiny(channels=2, inputs=0, history=history, bundle=bundle)
        for loss in (pushforward(2), RandomPushforward(2, warm_up=0), unrolled(2)):
            found = gradients(model, loss(model, Batch.from_data_list([data[0], data[1]])))
            assert len(found) == 4 and all(g.isfinite().all() and g.any() for g in found)


def test_a_refined_model_is_not_unrolled_on_its_own_loss() -> None:
    """Its loss asks for a random stage, which a call that was made before cannot give."""
    inner = MODELS["MPPDE"](dim=1, inputs=1, params=1, width=8, layers=1, library=False)
    model = MODELS["Refined"](inner, steps=1).train()
    graph = model.transform(wave(1, 2))
    with pytest.raises(ValueError, match="trained on noise at a random stage"):
        unrolled(2, model.loss)(model, graph)
