"""The published stepper of GIOROM: its sizes, its symmetries, its grid, what each part adds."""

import dataclasses

import pytest
import torch
from particle_builders import joined, made_particles, mapped, reordered
from torch import nn

from meshgnn.models.giorom.paper import PaperStepper
from meshgnn.models.giorom.particles import Particles
from meshgnn.nn import GraphRows

SMALL = {"width": 32, "grid": 8, "reach": 0.2, "operator_width": 32}


def made(seed: int = 0, **options: object) -> PaperStepper:
    torch.manual_seed(seed)
    stepper = PaperStepper(**{**SMALL, **options}).eval()
    stepper.fit([made_particles(dim=stepper.dim).velocity])
    return stepper


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(((one - other).norm() / other.norm()).detach())


def numbers(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def test_parameters_of_the_published_stepper():
    """2,387,669 in 3D, with the split of the release."""
    net = PaperStepper(query_point=False)
    assert numbers(net.operator) == 1_583_490
    assert numbers(net.before, net.after) == 660_992
    assert numbers(net.encode_node) == 38_144 and numbers(net.encode_edge) == 33_920
    assert numbers(net.head) == 33_411 and numbers(net.project) == 16_512
    assert numbers(net.from_grid) == 10_560 and numbers(net.to_grid) == 10_496
    assert numbers(net.embed) == 144
    assert numbers(net) == 2_387_669


def test_parameters_of_the_default():
    """Either kernel sees the query point as well, d more inputs of 32 units; in 2D less of all."""
    net = PaperStepper()
    assert numbers(net.from_grid) == 10_560 + 3 * 32 and numbers(net.to_grid) == 10_496 + 3 * 32
    assert numbers(net) == 2_387_669 + 2 * 3 * 32 == 2_387_861
    assert numbers(PaperStepper(dim=2, query_point=False)) == 2_386_196
    assert numbers(PaperStepper(dim=2)) == 2_386_324


@pytest.mark.parametrize("options", [{}, {"query_point": False}, {"domain": "body"}, {"dim": 2}])
def test_the_order_of_the_particles_does_not_matter(options: dict):
    """S2: f(P x) = P f(x)."""
    net = made(**options)
    particles = made_particles(dim=net.dim)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert distance(net(reordered(particles, order)), net(particles)[order]) < 1e-5


@pytest.mark.parametrize("options", [{}, {"query_point": False}, {"domain": "body"}, {"dim": 2}])
def test_graphs_of_a_batch_do_not_see_each_other(options: dict):
    """S3: f([A, B, C])_A = f(A), bodies at the same place, with other walls and numbers."""
    net = made(**options)
    parts = [made_particles(n, net.dim, seed=n) for n in (60, 25, 40)]
    parts[1] = dataclasses.replace(parts[1], lo=parts[1].lo - 1)
    together = net(joined(*parts)).split([60, 25, 40])
    for part, result in zip(parts, together, strict=True):
        assert distance(result, net(part)) < 1e-6


def test_shift_and_scale_of_the_scene():
    """S8: x → s x + t moves nothing, with statistics of the velocities in the new unit."""
    particles = made_particles()
    for open_walls in (False, True):
        if open_walls:
            wide = torch.full_like(particles.hi, torch.inf)
            wide[:, 1] = particles.hi[:, 1]
            particles = dataclasses.replace(particles, hi=wide)
        for domain in ("walls", "body"):
            net = made(domain=domain)
            before = net(particles)
            assert distance(net(mapped(particles, 1.0, 0.7)), before) < 1e-5
            net.scale_velocity.std *= 3
            assert distance(net(mapped(particles, 3.0, -0.4)), before) < 1e-5


def test_every_branch_is_alive():
    """S7: without the operator path, the types, the edges, the inert term the output is another."""
    particles = made_particles(100)
    torch.manual_seed(0)
    net = PaperStepper().eval()
    net.fit([particles.velocity])
    before = net(particles)

    def without(*tensors: torch.Tensor) -> float:
        kept = [t.clone() for t in tensors]
        with torch.no_grad():
            for t in tensors:
                t.zero_()
            after = net(particles)
            for t, old in zip(tensors, kept, strict=True):
                t.copy_(old)
        return distance(after, before)

    assert without(net.project.weight, net.project.bias) > 1e-3
    assert without(net.project.weight) > 1e-3  # not by its bias alone
    assert without(net.to_grid.rest[1][-1].weight) > 1e-4  # what is on the grid: little at first
    assert without(net.embed.weight) > 1e-3
    assert without(net.encode_edge[0].weight) > 1e-3
    assert without(net.before[0].inert.weight) > 1e-3
    assert distance(net(particles), before) == 0


@pytest.mark.parametrize("options", [{}, {"query_point": False}, {"raw": True}])
def test_gradients_are_finite_and_reach_everything(options: dict):
    """∂ Σ a² of all parameters and of the states: finite; loops have length 0, a kink of |x|."""
    net, particles = made(**options).train(), made_particles()
    u = particles.u.clone().requires_grad_()
    net(dataclasses.replace(particles, u=u)).square().sum().backward()
    for name, value in [("u", u), *net.named_parameters()]:
        assert value.grad is not None and value.grad.isfinite().all(), name
        assert value.grad.abs().max() > 0, name


@pytest.mark.parametrize("query_point", [True, False])
def test_a_compact_body_and_a_lone_point(query_point: bool):
    """S4: most of the grid is empty, there are no NaN."""
    net = made(query_point=query_point)
    for particles in (made_particles(60, side=0.02), made_particles(1)):
        assert net(particles).isfinite().all()
        wide = torch.full_like(particles.hi, torch.inf)
        assert net(dataclasses.replace(particles, hi=wide)).isfinite().all()


def test_points_without_a_place_do_not_hide_the_others():
    """A march that blows up: NaN stay in their graph."""
    net, good, bad = made(), made_particles(30, seed=1), made_particles(20, seed=2)
    bad.u[3] = torch.nan
    bad = dataclasses.replace(bad, edge_index=torch.zeros(2, 0, dtype=torch.int64))
    result = net(joined(good, bad))
    assert distance(result[:30], net(good)) < 1e-6 and result[33].isnan().all()


def test_velocities_enter_by_their_spread():
    """a(s v; s σ) = a(v; σ), far-off the published raw differences; rest stays rest."""
    net, particles = made(), made_particles()
    assert torch.allclose(
        net.scale_velocity.std, particles.velocity.square().mean(dim=(0, 1)).sqrt()
    )
    assert not net.scale_velocity.mean.any()
    raw = made(raw=True)
    still = dataclasses.replace(particles, u=particles.u[:, -1:].expand(-1, 6, -1))
    assert distance(raw(still), raw(particles)) < 0.05 < distance(net(still), net(particles))
    assert distance(raw(still), net(still)) < 1e-6


def test_dropout_while_training_only():
    net, particles = made(), made_particles()
    assert torch.equal(net(particles), net(particles))
    assert not torch.equal(net.train()(particles), net(particles))
    fixed = made(dropout=0.0).train()
    assert torch.equal(fixed(particles), fixed(particles))


def test_half_precision():
    """bfloat16 changes the result by its rounding."""
    net, particles = made(), made_particles()
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(particles)
    assert rough.dtype == torch.float32 and distance(rough, net(particles)) < 0.05


def without_walls(particles: Particles) -> Particles:
    wide = torch.full_like(particles.hi, torch.inf)
    return dataclasses.replace(particles, lo=-wide, hi=wide)


def test_open_walls_are_far_walls():
    """clip((hi − x) / R, ±1) = 1 where there is none, as for one farther than R."""
    net, particles = made(domain="body"), made_particles()
    assert torch.equal(net(without_walls(particles)), net(particles))
    near = dataclasses.replace(particles, hi=particles.position + particles.radius[:, None] / 2)
    assert distance(net(near), net(particles)) > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history": 1}, "PaperStepper: expected history of at least 2, got 1"),
        ({"types": 3}, "PaperStepper: expected types of at least 4, got 3"),
        ({"grid": 1}, "PaperStepper: expected grid of at least 2, got 1"),
        ({"reach": 0.0}, r"PaperStepper: expected a positive reach, got 0\.0"),
        ({"domain": "room"}, "unknown domain 'room'; choose walls, body or the two ends"),
        ({"domain": (1.0, 0.0)}, r"expected a domain of increasing ends, got \(1\.0, 0\.0\)"),
        ({"experts": 0}, "PaperStepper: expected experts of at least 1, got 0"),
        ({"heads": 3}, "width 32 must be a multiple of heads 3"),
    ],
)
def test_refused_sizes(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        made(**options)


def test_refused_states():
    with pytest.raises(ValueError, match=r"expected 6 known states in 3D, got 4 in 3D; build"):
        made()(made_particles(history=4))
    with pytest.raises(ValueError, match=r"expected 6 known states in 2D, got 6 in 3D; build"):
        made(dim=2)(made_particles())


def test_blind_particles_are_counted():
    """S4: the published 2D grid, 32² on [−1, 1]² with r = 0.024 (0.012 of the box): half see none.

    Uniform points see a node with probability π r² / h², h = 2 / 31.
    """
    net = made(dim=2, grid=32, reach=0.012, domain=(-1.0, 1.0))
    particles = made_particles(400, dim=2)
    with pytest.raises(ValueError, match=r"particles see no node of the latent grid") as raised:
        net(particles)
    share = int(str(raised.value).split()[1]) / 400
    assert abs(1 - share - torch.pi * (0.024 * 31 / 2) ** 2) < 0.06
    assert "give a reach of at least 0.0228 (half the diagonal" in str(raised.value)
    made(dim=2, grid=32, reach=0.0229, domain=(-1.0, 1.0))(particles)
    with pytest.raises(ValueError, match=r"4 of 4 particles see no node .* the first is 0; give"):
        outside = dataclasses.replace(made_particles(4), reference=torch.full((4, 3), 5.0))
        made(domain=(0.0, 1.0))(outside)


def test_rows_of_a_batch_of_one():
    """A batch that holds one graph gives what the graph gives."""
    net, particles = made(), made_particles()
    rows = GraphRows(particles.graph, 60, 1)
    assert torch.equal(net(dataclasses.replace(particles, rows=rows)), net(particles))
