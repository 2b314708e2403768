"""The parts of the published stepper: its grid, means over balls, transformer, interactions."""

import dataclasses

import pytest
import torch
from particle_builders import joined, made_particles
from torch import Tensor, nn

from meshgnn.models.giorom.paper_grid import grid_nodes, grid_pairs, unit_positions
from meshgnn.models.giorom.paper_layers import BallMean, InteractionOperator
from meshgnn.models.giorom.paper_operator import OperatorTransformer
from meshgnn.nn import GraphRows


@pytest.mark.parametrize(("dim", "size", "reach"), [(1, 9, 0.1), (2, 12, 0.08), (3, 16, 0.125)])
def test_pairs_are_those_of_all_distances(dim: int, size: int, reach: float):
    """{(i, g): |ξ_i − g| ≤ r} in every graph, against the full table of distances."""
    xi = torch.rand(80, dim, generator=torch.Generator().manual_seed(dim)).double()
    graph = torch.arange(80) // 50
    near = grid_pairs(xi, graph, size, reach)
    nodes = grid_nodes(size, dim, xi)
    expected = (torch.cdist(xi, nodes) <= reach).nonzero()
    found = torch.cat([near.particle[:, None].double(), near.place[near.node]], dim=1)
    both = torch.cat([expected[:, :1].double(), nodes[expected[:, 1]]], dim=1)
    assert torch.equal(found.unique(dim=0), both.unique(dim=0)) and len(found) == len(both)
    assert torch.equal(near.owner[near.node], graph[near.particle])
    assert (near.particle.diff() >= 0).all() and (near.node[near.by_node].diff() >= 0).all()
    assert (near.owner.diff() >= 0).all() and len(near.owner) == len(near.node.unique())


def test_published_neighbours_in_3d():
    """16³ nodes, r = 0.125: 4/3 π (15 / 8)³ = 27.6 nodes a particle away from the sides."""
    xi = 0.2 + 0.6 * torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    near = grid_pairs(xi, torch.zeros(4000, dtype=torch.int64), 16, 0.125)
    assert abs(len(near.node) / 4000 - 27.6) < 0.2


def test_box_between_walls():
    """ξ = (x − lo) / (hi − lo) with two walls, to the farthest point where one is beyond."""
    particles = made_particles()
    xi = unit_positions(particles, "walls")
    assert torch.allclose(xi, (particles.position + 0.6) / 1.2, atol=1e-6)
    tight = dataclasses.replace(particles, hi=torch.full_like(particles.hi, 0.1))
    xi = unit_positions(tight, "walls")
    assert torch.allclose(xi.amax(dim=0), torch.ones(3), atol=1e-6) and xi.min() > 0
    fixed = unit_positions(particles, (-1.0, 1.0))
    assert torch.allclose(fixed, (particles.position + 1) / 2, atol=1e-6)


def test_window_of_a_body():
    """It follows the body, turns nothing, and keeps its size while the body is rigid."""
    particles = made_particles(dim=2)
    particles = dataclasses.replace(
        particles,
        lo=torch.full_like(particles.lo, -torch.inf),
        u=torch.zeros_like(particles.u),
    )
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    u = particles.reference @ turn.T + 3 - particles.reference
    moved = dataclasses.replace(particles, u=u[:, None].expand(-1, 6, -1))
    sides = [torch.pdist(unit_positions(p, "walls")) for p in (particles, moved)]
    assert torch.allclose(*sides, atol=1e-5)
    xi = unit_positions(moved, "walls")
    assert torch.allclose(xi.mean(dim=0), torch.full((2,), 0.5), atol=1e-5)
    assert xi.min() > 0.04 and xi.max() < 0.96
    assert float(sides[0].max()) > 0.6  # the body fills the window
    far = dataclasses.replace(particles, u=5 * moved.u)
    assert unit_positions(joined(particles, far), "body")[:60].equal(
        unit_positions(particles, "body")
    )


def ball(query_point: bool, takes_f: bool) -> tuple[BallMean, Tensor, Tensor]:
    torch.manual_seed(0)
    mean = BallMean(2, 5, 5, 0.4, takes_f, query_point).double()
    return mean, torch.randn(7, 5).double(), torch.rand(7, 2).double()


def at(mean: BallMean, f: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The mean at points x, pairs from all distances."""
    target, source = (torch.cdist(x, y) <= mean.reach).nonzero(as_tuple=True)
    return mean(f, y, x, source, target)


@pytest.mark.parametrize("takes_f", [True, False])
def test_published_mean_over_a_ball(takes_f: bool):
    """(1 / n) Σ κ(y, f) or κ(y) f over the ball: of the set of neighbours alone, 0 if it is empty.

    A step of 1e-4 changes nothing while the set is the same.
    """
    mean, f, y = ball(False, takes_f)
    x = torch.tensor([[0.5, 0.5], [0.5001, 0.5], [9.0, 9.0]]).double()
    near = (torch.cdist(x[:1], y) <= 0.4)[0]
    whole = nn.Sequential(mean.first, mean.rest)
    kappa = whole(torch.cat([y, f], dim=1)) if takes_f else whole(y) * f
    result = at(mean, f, y, x)
    assert 1 < near.sum() < 7 and torch.allclose(result[0], kappa[near].mean(dim=0))
    assert torch.equal(result[0], result[1]) and not result[2].any()


@pytest.mark.parametrize("takes_f", [True, False])
def test_mean_is_continuous_and_sees_the_query_point(takes_f: bool):
    """Along a line that sources enter and leave the mean has a slope; the published one jumps."""
    largest = {}
    for query_point in (True, False):
        mean, f, y = ball(query_point, takes_f)
        for count in (10_001, 20_001):
            line = torch.linspace(-0.5, 1.5, count).double()[:, None].expand(-1, 2)
            values = at(mean, f, y, line).detach()
            step = values.diff(dim=0).abs().amax() / values.abs().amax()
            largest[query_point, count] = float(step)
            assert not values[0].any() and not values[-1].any()
    assert largest[True, 20_001] < 0.02
    assert largest[True, 20_001] < 0.6 * largest[True, 10_001]  # half the step, half the change
    assert min(largest[False, 10_001], largest[False, 20_001]) > 0.1


def test_mean_with_the_query_point_is_the_formula():
    """Σ w κ(x, (y − x) / r, f) / (0.1 + Σ w), w = 1 − |y − x|² / r²."""
    mean, f, y = ball(True, True)
    x = torch.tensor([[0.5, 0.5]]).double()
    near = (torch.cdist(x, y) <= 0.4)[0]
    gap = (y[near] - x) / 0.4
    kappa = nn.Sequential(mean.first, mean.rest)(torch.cat([x.expand_as(gap), gap, f[near]], dim=1))
    w = 1 - gap.square().sum(dim=1, keepdim=True)
    expected = (w * kappa).sum(dim=0) / (0.1 + w.sum())
    assert torch.allclose(at(mean, f, y, x)[0], expected)


def test_one_empty_token_stands_for_all():
    """The transformer on the occupied nodes gives what it gives on the whole grid with zeros."""
    torch.manual_seed(0)
    net = OperatorTransformer(2, 6, 5, 16, 4, 2, 3, 0.3).eval().double()
    nodes = grid_nodes(5, 2, torch.zeros(1).double())
    whole = torch.zeros(25, 6).double()
    taken = torch.tensor([3, 4, 11, 20])
    whole[taken] = torch.randn(4, 6).double()
    full = net(whole, nodes, GraphRows(None, 25))
    few = net(whole[taken], nodes, GraphRows(None, 4))
    assert torch.allclose(few, full[taken], atol=1e-12)
    other = torch.randn(7, 6).double()
    owner = torch.tensor([0] * 4 + [1] * 7)
    both = net(torch.cat([whole[taken], other]), nodes, GraphRows(owner, 11, 3))
    assert torch.allclose(both[:4], few, atol=1e-12)
    assert torch.allclose(both[4:], net(other, nodes, GraphRows(None, 7)), atol=1e-12)


def test_far_tokens_reach_each_other():
    """A change at one node changes all others: the operator is global."""
    torch.manual_seed(0)
    net = OperatorTransformer(2, 6, 5, 16, 4, 1, 2, 0.0).double()
    nodes, z = grid_nodes(5, 2, torch.zeros(1).double()), torch.randn(4, 6).double()
    before = net(z, nodes, GraphRows(None, 4))
    z[0] += 1
    after = net(z, nodes, GraphRows(None, 4))
    assert ((after - before).abs().amax(dim=1) > 1e-8).all()


def test_the_spectral_term_is_a_linear_map():
    """h ← h + ψ(h, a) + W (0.7 h) + b: with ψ = 0 nothing of the neighbours is left."""
    layer = InteractionOperator(32)
    h, e, edges = torch.randn(5, 32), torch.randn(3, 32), torch.tensor([[0, 1, 2], [1, 2, 4]])
    nn.init.zeros_(layer.block.node[-1].weight)
    after, _ = layer(h, e, edges, torch.ones(3))
    expected = h + 0.7 * h @ layer.inert.weight.T + layer.inert.bias
    assert torch.allclose(after, expected, atol=1e-6)


def test_messages_are_damped_means():
    """a_i = mean_j m_ij / (1 + |x_i − x_j| / R) and e ← e + m, against the textbook form."""
    layer = InteractionOperator(32)
    h, e, edges = torch.randn(5, 32), torch.randn(3, 32), torch.tensor([[0, 1, 2], [4, 4, 4]])
    length = torch.tensor([[0.2], [1.0], [0.5]])
    wide = torch.cat([h[edges[1]], h[edges[0]], e], dim=1)
    m = layer.block.rest(layer.block.first(wide).relu())
    mean = torch.zeros_like(h)
    mean[4] = (m / (1 + length)).mean(dim=0)
    expected = h + layer.block.node(torch.cat([h, mean], dim=1)) + layer.inert(0.7 * h)
    after, edge = layer(h, e, edges, 1 / (1 + length[:, 0]))
    assert torch.allclose(after, expected, atol=1e-5)
    assert torch.allclose(edge, e + m, atol=1e-5)
