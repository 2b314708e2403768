"""The bonds of `GIOROM`: forces from an energy, small vibrations that never grow, damping."""

from dataclasses import replace

import pytest
import torch
from particle_builders import alive, made_particles
from torch import Tensor

from meshgnn.models.giorom.bonds import BondNet, Bonds
from meshgnn.models.giorom.conservation import spurious_rotation
from meshgnn.models.giorom.particles import Particles, near_edges


def solid(dim: int, count: int = 20, seed: int = 0) -> Particles:
    """A body at rest in double precision without walls, with bonds to some ten points each."""
    p = made_particles(count, dim, history=3, seed=seed)
    radius = 2 * p.radius
    edges = near_edges(p.reference, radius, p.graph)
    wide = torch.full_like(p.hi, torch.inf).double()
    names = ("reference", "mass", "ahead", "gravity", "theta")
    return replace(
        p,
        **{name: getattr(p, name).double() for name in names},
        radius=radius.double(),
        u=torch.zeros_like(p.u).double(),
        lo=-wide,
        hi=wide,
        edge_index=edges,
        bond_index=edges,
    )


def net(dim: int, steps: int = 4, seed: int = 0, size: float = 0.5) -> BondNet:
    torch.manual_seed(seed)
    return alive(BondNet(dim, 0, 8, steps), size, seed).double()


def energy(bonds: Bonds, e: Tensor) -> Tensor:
    """U as documented, of the extensions e."""
    arm = bonds.shear * bonds.rest
    spread = bonds.gathered(arm * bonds.rest)
    strain = bonds.gathered(arm * e) / spread
    ends = [bonds.shear * (e - bonds.rest * strain[k]).square() for k in bonds.ends]
    return (sum(end.sum() for end in ends) + (bonds.bulk * spread * strain.square()).sum()) / 2


@pytest.mark.parametrize("dim", [2, 3])
def test_forces_are_those_of_the_energy(dim: int):
    """m a = −∂U/∂z at strains of 3 %, and U(e) is convex: no eigenvalue of its Hessian is < 0."""
    p = solid(dim)
    bonds = net(dim)._bonds(p, p.theta)[0]
    assert (bonds.shear > 0).all() and bonds.shear.std() > 0.01 * bonds.shear.mean()
    z = (
        0.03
        * bonds.rest.min()
        * torch.randn(p.reference.shape, generator=torch.Generator().manual_seed(1)).double()
    )
    z.requires_grad_()
    e = bonds.line(z)[1] - bonds.rest
    (slope,) = torch.autograd.grad(energy(bonds, e), z)
    torch.testing.assert_close(p.mass[:, None] * bonds.force(z), -slope, rtol=1e-9, atol=1e-15)
    hessian = torch.autograd.functional.hessian(lambda e: energy(bonds, e), e.detach())
    values = torch.linalg.eigvalsh(hessian)
    assert values.min() > -1e-9 * values.max()


def step(model: BondNet, p: Particles, now: Tensor, last: Tensor) -> Tensor:
    """The next displacement of small ones."""
    u = torch.stack([2 * last - now, last, now], dim=1)
    return 2 * now - last + model(replace(p, u=u), p.theta)


@pytest.mark.parametrize(("dim", "stiff"), [(2, 0.0), (2, 200.0), (3, 200.0)])
def test_small_vibrations_never_grow(dim: int, stiff: float):
    """(u_k, u_{k−1}) → (u_{k+1}, u_k) of small u has no eigenvalue beyond 1: not in 2,000 steps.

    Weights are random; with stiff ones the limit of m steps is reached. u_{k+1} = A u_k +
    C u_{k−1} with C = D² − 1: eigenvalues of D² are in [0, 1], and those of
    S = (1 + (1 − D²)⁻¹ (A − 1)) / 2 in [−1, 1].
    """
    p, model = solid(dim, 14), net(dim)
    with torch.no_grad():
        model.pair[-1].bias[:4] += stiff
    rest = torch.zeros_like(p.reference)
    now, last = (
        torch.autograd.functional.jacobian(f, rest).reshape(rest.numel(), -1)
        for f in (lambda u: step(model, p, u, rest), lambda u: step(model, p, rest, u))
    )
    one = torch.eye(len(now), dtype=torch.float64)
    march = torch.cat([torch.cat([now, last], 1), torch.cat([one, 0 * one], 1)])
    assert torch.linalg.eigvals(march).abs().max() < 1 + 1e-6
    power = torch.linalg.matrix_power(march, 2000)  # free flight is linear in time, no more
    assert power.abs().max() < 2 * 2000
    filtered = torch.linalg.eigvals(-last)  # 1 − D²
    assert filtered.imag.abs().max() < 1e-9
    assert filtered.real.min() > -1e-9 and filtered.real.max() < 1 + 1e-9
    assert filtered.real.min() < 0.99  # it does something
    s = torch.linalg.eigvals((one + torch.linalg.solve(-last, now - one)) / 2)
    assert s.real.abs().max() < 1 + 1e-6 and s.imag.abs().max() < 1e-6
    assert s.real.min() < 0.99


def test_a_turn_of_the_body_is_no_strain():
    """Bonds of a body that has turned and moved, at rest, pull by nothing."""
    p, angle = solid(2), torch.tensor(0.7, dtype=torch.float64)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    u = (p.reference @ turn.T - p.reference + 3)[:, None].expand(-1, 3, -1)
    assert net(2)(replace(p, u=u), p.theta).abs().max() < 1e-12


@pytest.mark.parametrize("dim", [2, 3])
def test_rotation_taken_out(dim: int):
    """Σ m r × (a − ω × r) = 0 and Σ m ω × r = 0; on a line in space as well."""
    p = solid(dim)
    a = torch.randn(p.reference.shape, generator=torch.Generator().manual_seed(2)).double()
    left = a - spurious_rotation(p, a)
    r = p.reference - p.reference.mean(dim=0)
    moment = torch.einsum("n,na,nb->ab", p.mass, r, left)
    assert (moment - moment.T).abs().max() < 1e-5 * moment.abs().max()
    assert (p.mass @ (left - a)).abs().max() < 1e-12
    line = replace(p, reference=p.reference * torch.eye(dim, dtype=torch.float64)[0])
    assert spurious_rotation(line, a).isfinite().all()


def test_bonds_of_empty_parameters_make_no_noise(recwarn: pytest.WarningsRecorder):
    """Without parameters the mix of θ is its bias."""
    model = BondNet(2, 0, 8, 2)
    assert not [w for w in recwarn if "zero-element" in str(w.message)]
    assert torch.equal(model.mix(torch.zeros(1, 0)), torch.ones(1, 12))
