"""Losses count free entries by their volume and equal the reported error."""

import pytest
import torch
from learning_builders import Tiny, decaying, steady
from torch_geometric.data import Batch

from meshgnn import metrics
from meshgnn.graph import MeshDataset
from meshgnn.losses import one_step, pushforward, relative_l2_loss


def off_by(amount, everywhere: bool = False):
    """A "model" whose output is y + amount on the free entries (or everywhere)."""

    def model(graph):
        free = ~graph.dirichlet_mask[:, None]
        return graph.y + amount * (torch.ones_like(graph.y) if everywhere else free)

    return model


def test_one_step_is_the_mean_square_over_the_free_volume() -> None:
    """û − y = 0.5 wherever it is free: L = 0.25 on any mesh, whatever happens on the boundary."""
    graph = MeshDataset([steady()])[0]
    assert one_step(off_by(0.5), graph).item() == pytest.approx(0.25, rel=1e-5)
    assert one_step(off_by(0.5, everywhere=True), graph).item() == pytest.approx(0.25, rel=1e-5)


def test_one_step_weighs_nodes_by_their_mass() -> None:
    graph = MeshDataset([steady()])[0]
    free = torch.nonzero(~graph.dirichlet_mask[:, 0])[:, 0]
    error = torch.zeros_like(graph.y)
    error[free[0]] = 1.0
    expected = graph.mass[free[0]] / graph.mass[free].sum()
    assert one_step(off_by(error), graph).item() == pytest.approx(expected.item(), rel=1e-5)


def test_one_step_is_in_units_of_the_output_scale() -> None:
    """Components of spread 1 and 100, each wrong by a tenth of it, count alike."""
    graph = MeshDataset([decaying()], history=1)[0]
    scale = torch.tensor([1.0, 100.0])

    class Scaled:
        scale_out = type("", (), {"std": scale})()
        __call__ = staticmethod(off_by(0.1 * scale))

    assert one_step(Scaled(), graph).item() == pytest.approx(0.01, rel=1e-4)


def test_relative_loss_is_the_mean_of_the_reported_errors() -> None:
    """Equal to metrics.relative_l2 of each sample, averaged over graphs of different sizes."""
    samples = [steady(0), steady(1, n=6), steady(2, cells="quad")]
    batch = Batch.from_data_list(list(MeshDataset(samples)))
    loss = relative_l2_loss(off_by(0.3), batch)
    errors = []
    for sample in samples:
        u = sample.u + 0.3 * ~sample.boundary.dirichlet_mask
        errors.append(metrics.relative_l2(u, sample.u, sample.mesh.lumped_mass))
    assert loss.item() == pytest.approx(sum(errors) / 3, rel=1e-5)
    alone = relative_l2_loss(off_by(0.3), MeshDataset(samples)[1])
    assert alone.item() == pytest.approx(errors[1], rel=1e-5)


def test_relative_loss_has_a_gradient_at_the_solution() -> None:
    graph = MeshDataset([steady()])[0]
    shift = torch.zeros((), requires_grad=True)
    relative_l2_loss(off_by(shift), graph).backward()
    assert torch.isfinite(shift.grad)


def test_one_step_is_zero_where_there_is_nothing_to_predict() -> None:
    """All entries prescribed: no free volume, L = 0 with a finite gradient."""
    graph = MeshDataset([steady()])[0]
    graph.dirichlet_mask[:] = True
    shift = torch.ones((), requires_grad=True)
    loss = one_step(off_by(shift), graph)
    loss.backward()
    assert loss.item() == 0 and shift.grad == 0


@pytest.mark.parametrize("zeros", [1, 2])
def test_a_solution_of_zero_has_a_finite_relative_loss(zeros: int) -> None:
    """u = 0 in one graph: ‖û‖ over √mean ‖y‖² of the batch; in all: ‖û‖ itself."""
    batch = Batch.from_data_list([MeshDataset([steady(i)])[0] for i in range(2)])
    first = (batch.batch == 0)[:, None, None]
    batch.y = batch.y * (0.0 if zeros == 2 else ~first)
    shift = torch.full((), 0.3, requires_grad=True)
    loss = relative_l2_loss(off_by(shift), batch)
    loss.backward()
    assert torch.isfinite(shift.grad) and shift.grad > 0
    free = (~batch.dirichlet_mask[:, 0]) * batch.mass
    errors = [0.3 * free[batch.batch == i].sum().sqrt().item() for i in range(2)]
    size = (batch.mass * batch.y[:, 0, 0] ** 2).sum().sqrt().item() or 1.0
    expected = (errors[0] / (size / 2**0.5 if zeros == 1 else 1.0) + errors[1] / size) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_small_solutions_count_like_large_ones() -> None:
    """Scaled by 1e-4 in one graph, with its error: no floor gets in the way."""
    graphs = [MeshDataset([steady(i)])[0] for i in range(2)]
    graphs[0].y *= 1e-4
    errors = [0.3e-4, 0.3]
    alone = [relative_l2_loss(off_by(e), g).item() for e, g in zip(errors, graphs, strict=True)]
    batch = Batch.from_data_list(graphs)
    both = relative_l2_loss(off_by(torch.tensor(errors)[batch.batch][:, None, None]), batch)
    assert both.item() == pytest.approx(sum(alone) / 2, rel=1e-5)


@pytest.mark.parametrize("length", [1e-9, 1e-6, 1e4])
@pytest.mark.parametrize("size", [1e-25, 1.0, 1e25])
def test_the_relative_loss_has_no_unit(length: float, size: float) -> None:
    """‖û − y‖ / ‖y‖ and its gradient over the unit of y are free of the units of x and u."""
    batch = Batch.from_data_list([MeshDataset([steady(i)])[0] for i in range(2)])
    results = []
    for mass, unit in ((1.0, 1.0), (length**3, size)):
        part = batch.clone()
        part.mass, part.y = batch.mass * mass, batch.y * unit
        shift = torch.full((), 0.3, requires_grad=True)
        loss = relative_l2_loss(off_by(shift * unit), part)
        loss.backward()
        results.append((loss.item(), shift.grad.item()))
    assert results[1] == pytest.approx(results[0], rel=1e-5)


def test_pushforward_marches_and_differentiates_the_last_call_only() -> None:
    """û = θ u: after depth − 1 constant calls L = (θu_0 − y_1)² + (θ sg(θ^{d−1} u_0) − y_d)²."""
    sample = decaying(times=4)
    graph = MeshDataset([sample], history=1, bundle=3)[0]
    graph.dirichlet_mask[:] = False
    theta = torch.tensor(0.8, requires_grad=True)
    loss = pushforward(3)(lambda g: theta * g.u[:, -1:], graph)
    loss.backward()
    u, y, m = graph.u[:, 0], graph.y, graph.mass[:, None] / (2 * graph.mass.sum())
    first, last = 0.8 * u - y[:, 0], 0.8**3 * u - y[:, 2]
    assert loss.item() == pytest.approx((m * (first**2 + last**2)).sum().item(), rel=1e-5)
    slope = 2 * (m * (first * u + last * 0.8**2 * u)).sum()
    assert theta.grad.item() == pytest.approx(slope.item(), rel=1e-4)


def test_pushforward_gives_each_call_its_boundary_values() -> None:
    graph = MeshDataset([decaying(times=5)], history=1, bundle=4)[0]
    seen = []

    def model(part):
        seen.append(part.dirichlet)
        return part.y

    pushforward(2)(model, graph)
    first, second = graph.dirichlet[:, :2], graph.dirichlet[:, 2:]
    assert len(seen) == 3 and not torch.equal(first, second)
    assert torch.equal(seen[0], first) and torch.equal(seen[-1], second)


def test_pushforward_works_with_a_model_and_a_batch() -> None:
    dataset = MeshDataset([decaying(0), decaying(1)], history=2, bundle=2)
    model = Tiny(channels=2, inputs=0, history=2)
    loss = pushforward(2, relative_l2_loss)(model, Batch.from_data_list([dataset[0], dataset[4]]))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_pushforward_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="expected depth of at least 2, got 1; use one_step"):
        pushforward(1)
    graph = MeshDataset([decaying()], history=1, bundle=3)[0]
    with pytest.raises(ValueError, match="expected graphs with 2 times the model's states in y"):
        pushforward(2)(off_by(0.0), graph)
