"""The solid of `GIOROM`: forces of an energy, what is kept, stable steps, a law that is found."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mesh_builders import box
from particle_builders import alive, jittered, started
from torch import Tensor

from meshgnn import losses
from meshgnn.graph import MeshDataset
from meshgnn.marching import rollout
from meshgnn.models.giorom import GIOROM
from meshgnn.models.giorom.hyperelastic import cofactors, stress_of
from meshgnn.models.giorom.particles import Particles
from meshgnn.models.giorom.solid import Law, Motion, march, steps
from meshgnn.models.giorom.strains import Strains
from meshgnn.problems import Elastodynamics
from meshgnn.sample import Sample
from meshgnn.train import fit

TIMES = np.linspace(0, 1, 101)


def body(dim: int, n: int = 0, **options) -> Sample:
    mesh = jittered("triangle", n or 6) if dim == 2 else jittered("tetra", n or 3)
    return Elastodynamics(TIMES, **options).sample(mesh)


def made(sample: Sample, points: float = 24, size: float = 0.2) -> GIOROM:
    """Random weights around a solid whose waves take some ten frames."""
    torch.manual_seed(0)
    model = GIOROM(dim=sample.mesh.dim, params=len(sample.params), points=points, width=8)
    model.scale_theta.std.fill_(torch.inf)
    alive(model, size)
    model.solid.modulus.fill_(5e-3)
    return model


def parts(sample: Sample, model: GIOROM) -> tuple[Particles, Strains, Law]:
    graph = started(model, sample)
    p = Particles.of(graph, near=False)
    strains = Strains.of(graph, p)
    return p, strains, model.solid._law(p, strains, model.scale_theta(p.theta).double())


def energy(strains: Strains, c: Tensor, u: Tensor) -> Tensor:
    """Σ_q V_q W(F_q) as documented."""
    f = strains.deformation(u)
    j, e = torch.linalg.det(f), (f.square().sum(dim=(1, 2)) - u.shape[1]) / 2
    terms = torch.stack([e - j.log(), j.log().square() / 2, (j - 1).square() / 2, e.square()])
    return (strains.volume * (c * terms.t()).sum(dim=1)).sum()


def strained(p: Particles, size: float = 0.1) -> Tensor:
    """Displacements with strains of `size`, and a turn of the whole."""
    dim = p.reference.shape[1]
    generator = torch.Generator().manual_seed(3)
    matrix = size * torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    matrix[0, 1] -= 0.5
    matrix[1, 0] += 0.5
    rough = torch.randn(p.reference.shape, generator=generator, dtype=torch.float64)
    return p.reference.double() @ matrix.t() + 0.02 * size * rough


@pytest.mark.parametrize("dim", [2, 3])
def test_gradients_of_affine_motions_are_exact(dim: int):
    """F = A where x = A X + b, in every patch; volumes sum up to that of the body."""
    sample = body(dim)
    p, strains, _ = parts(sample, made(sample))
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    x = p.reference.double()
    f = strains.deformation(x @ a.t() + 3 - x)
    torch.testing.assert_close(f, a.t().expand_as(f), rtol=0, atol=1e-5)
    volume = sample.mesh.volumes.sum()
    assert abs(float(strains.volume.sum()) - volume) < 1e-6 * volume


@pytest.mark.parametrize("dim", [2, 3])
def test_forces_are_those_of_the_energy(dim: int):
    """f = −∂E/∂u, with moduli that differ from patch to patch; cofactors are J F⁻ᵀ."""
    sample = body(dim)
    p, strains, law = parts(sample, made(sample))
    c = law.moduli.detach()
    assert (c > 0).all() and (c.std(dim=0) > 1e-3 * c.mean(dim=0)).all()
    u = strained(p).requires_grad_()
    (slope,) = torch.autograd.grad(energy(strains, c, u), u)
    f = strains.deformation(u)
    torch.testing.assert_close(strains.force(stress_of(f, c)), -slope, rtol=1e-8, atol=1e-12)
    cofactor, det = cofactors(f)
    inverse = torch.linalg.inv(f).transpose(1, 2)
    torch.testing.assert_close(cofactor, det[:, None, None] * inverse)


@pytest.mark.parametrize("dim", [2, 3])
def test_what_a_free_body_keeps(dim: int):
    """Momentum and angular momentum to rounding, energy within 5 %, over 200 frames."""
    sample = body(dim)
    p, strains, law = parts(sample, made(sample))
    law = Law(*(x.detach() for x in (law.moduli, law.friction, law.restitution)))
    turn = torch.zeros(dim, dim, dtype=torch.float64)
    turn[0, 1], turn[1, 0] = -0.02, 0.02
    x, mass = p.reference.double(), p.mass.double()[:, None]
    motion = Motion(strained(p), x @ turn.t() + 0.01)

    def totals(motion: Motion) -> tuple[Tensor, Tensor, float]:
        momentum = mass * motion.v
        spin = torch.einsum("na,nb->ab", x + motion.u, momentum)
        kinetic = (mass * motion.v.square()).sum() / 2
        return (
            momentum.sum(dim=0),
            spin - spin.t(),
            float(kinetic + energy(strains, law.moduli, motion.u)),
        )

    before, kinetic = totals(motion), []
    for _ in range(200):
        motion = march(p, strains, law, motion)
        after = totals(motion)
        torch.testing.assert_close(after[0], before[0], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(after[1], before[1], rtol=1e-9, atol=1e-12)
        assert abs(after[2] / before[2] - 1) < 0.05
        kinetic.append(float((mass * motion.v.square()).sum()))
    assert max(kinetic) > 1.05 * min(kinetic)  # it vibrates


def fastest(p: Particles, strains: Strains, c: Tensor, u: Tensor) -> float:
    """ω of the fastest vibration about a state, 1 / frame."""

    def acceleration(u: Tensor) -> Tensor:
        f = strains.deformation(u)
        return strains.force(stress_of(f, c)) / p.mass.double()[:, None]

    matrix = torch.autograd.functional.jacobian(acceleration, u).reshape(u.numel(), -1)
    return float((-torch.linalg.eigvals(matrix).real).max().sqrt())


@pytest.mark.parametrize("dim", [2, 3])
def test_steps_are_short_enough_and_not_too_short(dim: int):
    """ω h <= 1.6 for the fastest vibration of the body at rest, and more than half of that."""
    sample = body(dim)
    model = made(sample)
    model.solid.modulus.fill_(3.0)
    p, strains, law = parts(sample, model)
    rest = torch.zeros_like(p.reference, dtype=torch.float64)
    count = int(steps(p, strains, law, Motion(rest, rest)))
    assert 0.7 < fastest(p, strains, law.moduli, rest) / count < 1.6 and count > 3
    assert int(steps(p, strains, law, Motion(-0.4 * p.reference.double(), rest))) > 1.5 * count


@pytest.mark.parametrize(("moduli", "grown"), [([0.1, 10, 0, 0], -0.5), ([0.1, 0, 10, 0], 0.5)])
def test_steps_of_what_is_stiff_in_volume(moduli: list[float], grown: float):
    """ω h < 2 where the body is squeezed to half its size, or blown up by half."""
    sample = body(2)
    p, strains, law = parts(sample, made(sample, points=30))
    moduli = torch.tensor(moduli, dtype=torch.float64).expand(len(law.moduli), -1)
    law = replace(law, moduli=moduli)
    u = grown * p.reference.double()
    count = int(steps(p, strains, law, Motion(u, torch.zeros_like(u))))
    assert 0.3 < fastest(p, strains, law.moduli, u) / count < 2 and 5 < count < 200


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_of_what_has_blown_up(dim: int, dtype: torch.dtype):
    """Strains of which the squares are infinite, and NaN: the next state is not finite, and no
    eigenvalue is an error."""
    sample = body(dim)
    model = made(sample)
    graph = started(model, sample)
    graph.u = graph.u.to(dtype)
    for size in (torch.finfo(dtype).max ** 0.7, torch.nan):
        blown = graph.clone()
        blown.u = blown.u + size * blown.pos[:, None].to(dtype)
        assert not model(blown).isfinite().all()


def test_friction_in_space_is_against_the_motion():
    """A blow of a floor turns no motion along it; what is prescribed takes no part in it."""
    sample = body(3)
    p, strains, law = parts(sample, made(sample))
    friction = torch.full_like(law.friction, 0.2).requires_grad_()
    law = Law(1e-12 * law.moduli.detach(), friction, torch.zeros_like(law.restitution))
    p = replace(p, lo=p.reference.clone())  # every point stands on a floor of its own
    p.lo[:, :2] = -torch.inf
    rest, v = torch.zeros_like(p.u[:, 0]), torch.tensor([3e-3, 4e-3, -5e-3], dtype=torch.float64)

    def moved(p: Particles, *velocity: float) -> Tensor:
        v = torch.tensor(velocity, dtype=torch.float64)
        return march(p, strains, law, Motion(rest, v.expand_as(rest))).u

    def expected(*u: float) -> Tensor:
        return torch.tensor(u, dtype=torch.float64).expand_as(rest)

    close = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(moved(p, *v), expected(2.4e-3, 3.2e-3, 0), **close)
    fall = moved(p, 0.0, 0.0, -5e-3)
    torch.testing.assert_close(fall, expected(0, 0, 0), **close)
    fall.square().sum().backward()
    assert law.friction.grad.isfinite().all()
    held = p.held.clone()
    held[:, 0] = True
    driven = moved(replace(p, held=held, ahead=p.ahead + 3e-3), *v)
    torch.testing.assert_close(driven, expected(3e-3, 3e-3, 0), rtol=0, atol=1e-8)
    held[:, 2] = True
    through = moved(replace(p, held=held, ahead=p.ahead - 5e-3), *v)
    torch.testing.assert_close(through, expected(-5e-3, 4e-3, -5e-3), rtol=0, atol=1e-8)


def test_walls_give_back_what_restitution_says():
    """A blow turns the speed across the wall to ε times that; the friction is that of both."""
    sample = body(2)
    p, strains, law = parts(sample, made(sample))
    half, fifth = torch.full_like(law.friction, 0.5), torch.full_like(law.friction, 0.2)
    p = replace(p, lo=p.reference.clone())
    p.lo[:, 0] = -torch.inf
    rest, fall = torch.zeros_like(p.u[:, 0]), torch.tensor([6e-3, -4e-3], dtype=torch.float64)
    for restitution, left in ((half.requires_grad_(), [4.8e-3, 2e-3]), (0 * half, [5.2e-3, 0])):
        soft = Law(1e-12 * law.moduli.detach(), fifth, restitution)
        motion = march(p, strains, soft, Motion(rest, fall.expand_as(rest)))
        expected = torch.tensor(left, dtype=torch.float64).expand_as(rest)
        torch.testing.assert_close(motion.v, expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(motion.u, expected * torch.tensor([1.0, 0.0]), atol=1e-9, rtol=0)
    motion = march(p, strains, replace(soft, restitution=half), Motion(rest, fall.expand_as(rest)))
    motion.v.sum().backward()
    assert half.grad.isfinite().all() and half.grad.abs().min() > 0


def test_driven_points_are_where_they_are_prescribed():
    """To the last digit in single precision: else the velocity would be forgotten in training."""
    sample = body(2)
    model = made(sample)
    model.solid.modulus.fill_(3.0)
    graph = started(model, sample)
    generator = torch.Generator().manual_seed(0)
    graph.u = 0.01 * torch.randn(len(graph.pos), 3, 2, generator=generator)
    p = Particles.of(graph, near=False)
    ahead = p.u[:, -1] + 0.3 * torch.randn(p.u[:, -1].shape, generator=generator)
    p = replace(p, held=torch.ones_like(p.held), ahead=ahead)
    strains = Strains.of(graph, p)
    law = model.solid._law(p, strains, model.scale_theta(p.theta))
    assert torch.equal(march(p, strains, law, Motion(p.u[:, -1], 0 * ahead)).u, ahead)


def test_a_body_at_rest_stays_there_wherever_it_is():
    """Turned and moved, with random weights: nothing moves by more than rounding."""
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sample = body(2, displacement=lambda x: x @ turn.T - x + 5.0)
    u = rollout(made(sample), sample, 20).u
    chosen = started(made(sample), sample).source_index
    assert np.abs(u[-1, chosen] - u[0, chosen]).max() < 1e-6


def test_a_march_goes_on_with_the_velocity_that_it_had():
    """Two frames at once are a frame and another one; a state that the model did not leave is met
    with the velocity that the known states tell."""
    sample = body(2, velocity=lambda x: 0.5 * x, displacement=lambda x: 0.1 * x)
    model = made(sample)
    model.solid.modulus.fill_(2e-3)
    graph = started(model, sample)
    chosen = graph.source_index
    p, strains, law = parts(sample, model)
    one = march(
        p, strains, law, Motion(p.u[:, -1], torch.as_tensor(0.005 * sample.mesh.points)[chosen])
    )
    two = march(p, strains, law, one)
    found = rollout(model, sample, 2).u
    torch.testing.assert_close(torch.from_numpy(found[2])[chosen], two.u, rtol=0, atol=1e-7)
    again = model(graph)
    other = graph.clone()
    other.u = torch.cat([graph.u[:, 1:], again.detach()], dim=1)
    kept = model(other)
    del other.march_state
    forgotten = model(other)
    assert not torch.equal(kept, forgotten)
    moved, apart = (kept - again).detach(), (kept - forgotten).detach()
    assert apart.abs().max() < 0.05 * moved.abs().max()
    anew = model.transform(graph)
    assert "march_state" in graph and "march_state" not in anew and "march_velocity" not in anew
    torch.testing.assert_close(model(anew), again, rtol=0, atol=0)


def test_a_start_at_rest_is_at_rest():
    """Pulled and let go: after a frame the body has moved by a Δt² / 2, not twice that."""
    sample = body(2, displacement=lambda x: 0.1 * x)
    model = made(sample)
    model.solid.modulus.fill_(2e-3)  # waves take many frames
    p, strains, law = parts(sample, model)
    a = strains.force(stress_of(strains.deformation(p.u[:, -1]), law.moduli))
    a = (a / p.mass.double()[:, None]).detach().numpy()
    chosen = started(model, sample).source_index
    moved = rollout(model, sample, 1).u
    change = (moved[1] - moved[0])[chosen]
    assert np.abs(change - a / 2).max() < 0.1 * np.abs(a).max()


def pulled(seed: int) -> Sample:
    """Stretched at random and released, of a stiffness drawn at random, of a law of another kind
    than the terms are."""
    rng = np.random.default_rng(seed)
    matrix, young = 0.15 * rng.normal(size=(2, 2)), float(np.exp(rng.uniform(9, 10)))
    problem = Elastodynamics(
        np.linspace(0, 0.3, 19),
        young=young,
        law="fixed-corotated",
        displacement=lambda x: (x - 0.5) @ matrix.T,
    )
    return problem.solve(box("triangle", 10))


def test_a_law_is_found_from_motions():
    """Five motions of unknown stiffness: on others the march has a thirtieth of the square of the
    error of a frozen body, at all nodes, with sets of points that it was not trained on."""
    samples = [pulled(seed) for seed in range(5)]
    torch.manual_seed(0)
    model = GIOROM(params=len(samples[0].params), points=40)
    options = {"batch_size": 4, "progress": False}
    fit(model, MeshDataset(samples, history=3, stride=3), epochs=2, lr=5e-2, **options)
    several = MeshDataset(samples, history=3, bundle=8, stride=8)
    loss = losses.unrolled(8, model.loss)
    fit(model, several, epochs=6, lr=3e-2, loss=loss, keep_statistics=True, **options)
    for seed, points, sampling in ((10, 40, "farthest"), (11, 60, "random"), (12, 30, "farthest")):
        truth = pulled(seed)
        model.hparams.update(points=points, sampling=sampling)
        u = rollout(model, replace(truth, u=None), 18).u
        error, frozen = (np.square(v - truth.u).mean() for v in (u, truth.u[:1]))
        assert error < frozen / 30, (points, error / frozen)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_blow_takes_what_lies_on_the_surface(dim: int):
    """1 − ε² is the share of a point's mass that is of surface nodes, times 1 − e²; all masses of
    the surface are given to some point."""
    sample = body(dim)
    model = made(sample)
    p, strains, law = parts(sample, model)
    surface = sample.mesh.lumped_mass[sample.mesh.boundary_nodes].sum()
    assert abs(float(strains.skin @ p.mass.double()) - surface) < 1e-5 * surface
    raw = model.solid.bias[-1].detach().double()
    lost = strains.skin * (1 - torch.sigmoid(raw) ** 2)
    torch.testing.assert_close(law.restitution.detach() ** 2, 1 - lost, rtol=1e-5, atol=1e-6)
    assert strains.skin.max() > strains.skin.min() >= 0


@pytest.mark.parametrize("sampling", ["farthest", "random"])
def test_corners_are_always_marched(sampling: str):
    """They meet walls first."""
    sample = Elastodynamics(TIMES).sample(box("triangle", 8))
    model = GIOROM(params=len(sample.params), points=16, sampling=sampling)
    x = sample.mesh.points[started(model, sample).source_index.numpy()]
    ends = x.min(axis=0), x.max(axis=0)
    corners = [(a, b) for a in (0, 1) for b in (0, 1)]
    assert np.allclose(ends, [sample.mesh.points.min(axis=0), sample.mesh.points.max(axis=0)])
    for a, b in corners:
        corner = np.array([ends[a][0], ends[b][1]])
        assert np.linalg.norm(x - corner, axis=1).min() < 1e-12


@pytest.mark.parametrize("kind", ["throw", "drop", "pull"])
def test_the_first_guess_of_the_stiffness_is_near(kind: str):
    """Within a third of the shear modulus, also where half of the frames are in contact."""
    mesh = jittered("triangle", 8)
    samples = [
        Elastodynamics.draw(mesh, np.random.default_rng(seed), kind=kind).solve(mesh)
        for seed in range(4)
    ]
    model = GIOROM(params=len(samples[0].params), points=30)
    data = MeshDataset(samples, history=3, stride=4).transformed(model.transform)
    model.fit_statistics([data[k] for k in range(len(data))])
    young, poisson, density = (
        np.mean([s.params[s.names["params"].index(name)] for s in samples])
        for name in ("young", "poisson", "density")
    )
    frame = samples[0].times[1] - samples[0].times[0]
    shear = young / (2 * (1 + poisson)) / density * frame**2
    assert 2 / 3 < float(model.solid.modulus) / shear < 4 / 3
