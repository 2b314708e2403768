"""`SolidNet`: an elastic solid of which the law is learned, marched on few of its points."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch_geometric.data import Data

from meshgnn.models.giorom.hyperelastic import stiffness_of, stress_of
from meshgnn.models.giorom.particles import Particles
from meshgnn.models.giorom.strains import Strains

_TERMS = 4
# moduli in their scale and friction, as softplus takes them, and the logit of e
_BEGIN = [1.2, 0.9, 0.3, 0.0, 0.1, -2.0]
_SHARP = 10.0  # of softplus, which is linear in θ beyond 0.3: moduli are proportional to E
_COURANT = 0.8  # share of the stable step
_MOST_STEPS = 200  # in a frame
_PARTS = [0, 1, 1, 0]  # of s that a term has: of shape, of volume
_SHOTS = 3


class Motion(NamedTuple):
    """Displacement, m, and velocity, m a frame, of the sparse set [n, d]."""

    u: Tensor
    v: Tensor


@dataclass(frozen=True, eq=False)
class Law:
    """c_k s of every patch [Q, 4], (m / frame)²; μ and ε of every point [n]."""

    moduli: Tensor
    friction: Tensor
    restitution: Tensor


class SolidNet(nn.Module):
    """m_j ü_j = −Σ_q V_q P(F_q) g_qj + m_j g,  P = ∂W/∂F,  W = Σ_k c_k(θ) s_q W_k(F),  c, s > 0:

        W_1 = e − ln J    W_2 = (ln J)² / 2    W_3 = (J − 1)² / 2    W_4 = e²,  e = (tr FᵀF − d) / 2

    a hyperelastic solid on patches (`patches.with_patches`) of which the material is learned from
    motions: moduli c_k over density as functions of θ. How much stiffer than its material a patch
    is for its shape (W_1, W_4) and its volume (W_2, W_3), s_q, is geometry and not learned: the
    body vibrates as its mesh does (`modes.stiffening`). All forces come from one strain energy that
    no turn changes: momentum and angular momentum are kept to rounding, energy within bounds, and a
    body at rest in its shape stays there, whatever is learned. From frame to frame it is marched by
    central differences in as many equal steps as are stable; the velocity goes along.

    Walls turn the speed of points that would pass them to ε times that and take at most μ(θ) times
    what they turn along the wall, against the motion (Coulomb). What meets a wall is the surface: a
    point of which a share b of its mass lies there has ε² = 1 − b (1 − e(θ)²), 0 <= e < 1, so that
    a blow takes as much energy of few points as of all nodes, whose restitution is e.

    Args:
        params: P.

    Source: neo-Hookean terms as Bonet & Wood 2008, sec. 6.4.3; laws from motions alone as Flaschel,
    Kumar & De Lorenzis, Unsupervised discovery of interpretable hyperelastic constitutive laws,
    2021; strains that are constant in patches as Chen et al., A stabilized conforming nodal
    integration for Galerkin mesh-free methods, 2001.
    """

    modulus: Tensor

    def __init__(self, params: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(_TERMS + 2, params))
        self.bias = nn.Parameter(torch.tensor(_BEGIN))
        self.register_buffer("modulus", torch.ones(()))

    @torch.no_grad()
    def fit(self, found: list[tuple[Particles, Strains, Tensor]]) -> None:
        """The scale of moduli from accelerations a beyond gravity, in least squares over graphs.

        By virtual work, −Σ m a · y = Σ V P : ∇y, where no wall is touched: y = x − x̄ (the virial),
        or u where a part of the body is held, which does no work there.
        """
        untouched = [one for one in found if not _touches(one[0], one[2])]
        work, virial = [], []
        for p, strains, a in untouched or found:
            f = strains.deformation(p.u[:, -1])
            stress = stress_of(f, strains.stiffer[:, _PARTS] * f.new_tensor([1.0, 1.0, 0.0, 0.0]))
            y, slope = p.position - p.mass @ p.position / p.mass.sum(), f
            if p.held.any():
                y = torch.where(p.held, 0.0, p.u[:, -1]).to(y.dtype)
                slope = f - torch.eye(f.shape[1], dtype=f.dtype, device=f.device)
            virial.append((strains.volume[:, None, None] * stress * slope).sum().double())
            work.append(-(p.mass[:, None] * a * y).sum().double())
        v, w = torch.stack(virial), torch.stack(work)
        size = (v @ w) / v.square().sum().clamp(min=torch.finfo(v.dtype).tiny)
        square = torch.cat([p.radius for p, _, _ in found]).mean().double() ** 2
        self.modulus.fill_(float(size.clamp(1e-3 * square, 10 * square)))

    def forward(self, p: Particles, theta: Float[Tensor, "B P"], graph: Data) -> Motion:
        """Displacement and velocity a frame later; θ standardised.

        The velocity is `graph.march_velocity` where `graph.march_state` is the last known state, as
        this model left it; else what the known states say.
        """
        u, state = p.u[:, -1], graph.get("march_state")
        goes_on = state is not None and torch.equal(state, u)
        with torch.autocast(u.device.type, enabled=False):  # strains are small differences
            strains = Strains.of(graph, p)
            law = self._law(p, strains, theta.to(u.dtype))
            v = graph.march_velocity if goes_on else _velocity(p, strains, law)
            return march(p, strains, law, Motion(u, v))

    def _law(self, p: Particles, strains: Strains, theta: Tensor) -> Law:
        raw = theta @ self.weight.t().to(theta.dtype) + self.bias
        numbers, e = softplus(raw[:, :-1], _SHARP), torch.sigmoid(raw[:, -1])
        lost = strains.skin * (1 - e[p.graph] ** 2)
        moduli = self.modulus * numbers[strains.patch, :_TERMS] * strains.stiffer[:, _PARTS]
        return Law(moduli, numbers[p.graph, _TERMS], (1 - lost).clamp(min=1e-12).sqrt())


def _touches(p: Particles, a: Float[Tensor, "n d"]) -> bool:
    """Whether a free point is at a wall, in a known state or the one that follows."""
    before = p.reference[:, None] + p.u
    places = torch.cat([before, before[:, -1:] + (p.velocity[:, -1] + p.gravity + a)[:, None]], 1)
    near = 1e-3 * p.radius[:, None, None]
    at_wall = (places - p.lo[:, None] < near) | (p.hi[:, None] - places < near)
    return bool((at_wall & ~p.held[:, None]).any())


@torch.no_grad()
def _velocity(p: Particles, strains: Strains, law: Law) -> Float[Tensor, "n d"]:
    """The velocity at the last known state.

    Where gravity alone has moved the body so far, u_k − 2 u_{k−1} + u_{k−2} = g Δt², they tell it
    exactly. Otherwise it is sought, in three trials, such that a march back by a frame ends where
    the body was; walls that it touched in that frame are not seen.
    """
    u, gravity = p.u, p.gravity.to(p.u.dtype)
    v = u[:, -1] - u[:, -2] + gravity / 2
    if u.shape[1] > 2:
        v = (3 * u[:, -1] - 4 * u[:, -2] + u[:, -3]) / 2
        beyond = (u[:, -1] - 2 * u[:, -2] + u[:, -3] - gravity)[~p.held]
        if not (beyond.abs() > 1e-6 * (v.abs().amax() + gravity.abs().amax())).any():
            return torch.where(p.held, 0.0, v)
    wide = torch.full_like(p.lo, torch.inf)
    back = replace(p, lo=-wide, hi=wide, ahead=u[:, -2])
    for _ in range(_SHOTS):
        better = v + march(back, strains, law, Motion(u[:, -1], -v)).u - u[:, -2]
        v = torch.where(better.isfinite(), better, v)
    return v


@torch.no_grad()
def steps(p: Particles, strains: Strains, law: Law, motion: Motion) -> Int[Tensor, " B"]:
    """Steps that a frame needs in every graph: h <= 0.8 · 2 / ω, ω² ≈ λ max_q (modulus of q).

    The modulus is that of waves that press, 2 c_1 + c_2 + c_3 at rest; it grows as 1 / s² where a
    patch is squeezed to a share s of its width, now or where its motion leads in the frame. 200
    steps are the most.
    """
    ahead = motion.u + torch.where(p.held, p.ahead.to(motion.u.dtype) - motion.u, motion.v)
    moduli = [stiffness_of(strains.deformation(u), law.moduli) for u in (motion.u, ahead)]
    modulus = torch.maximum(*moduli)
    largest = modulus.new_zeros(len(p.theta)).scatter_reduce(0, strains.patch, modulus, "amax")
    count = torch.ceil((largest * strains.stiffest).sqrt() / (2 * _COURANT))
    return count.nan_to_num(1.0).clamp(1, _MOST_STEPS).long()


def march(p: Particles, strains: Strains, law: Law, start: Motion) -> Motion:
    """A frame by velocity Verlet, each graph of a batch in its own number of steps."""
    (u, v), dtype = start, start.u.dtype
    count = steps(p, strains, law, start)[p.graph, None]
    h, begin, path = 1 / count.to(dtype), u, p.ahead.to(dtype) - u
    lo, hi = (side.to(dtype) - p.reference.to(dtype) for side in (p.lo, p.hi))
    lo, hi = lo.masked_fill(p.held, -torch.inf), hi.masked_fill(p.held, torch.inf)
    walled = bool((torch.isfinite(lo) | torch.isfinite(hi)).any())
    mass, gravity, held = p.mass.to(dtype)[:, None], p.gravity.to(dtype), bool(p.held.any())

    def gained(u: Tensor) -> Tensor:
        stress = stress_of(strains.deformation(u), law.moduli)
        return h * (strains.force(stress) / mass + gravity)

    v = v + gained(u) / 2
    same = bool((count == count[0]).all())
    for step in range(int(count.max())):
        moved, left = _bounced(u, v, h, lo, hi, law, p.held) if walled else (v, v)
        after = u + h * moved
        if walled:
            after = torch.minimum(torch.maximum(after, lo), hi)
        if held:
            after = torch.where(p.held, begin + (step + 1) * h * path, after)
        last, going = count == step + 1, count > step
        faster = left + gained(after) * (1 - 0.5 * last.to(dtype))
        u = after if same else torch.where(going, after, u)
        v = faster if same else torch.where(going, faster, v)
    # to the last digit, as `SolidNet` compares it with the state that comes back
    return Motion(torch.where(p.held, p.ahead.to(dtype), u), torch.where(p.held, path, v))


def _bounced(
    u: Tensor, v: Tensor, h: Tensor, lo: Tensor, hi: Tensor, law: Law, held: Tensor
) -> Motion:
    """Velocities that end at a wall where they would pass it, and those with which they leave."""
    kept = torch.minimum(torch.maximum(v, (lo - u) / h), (hi - u) / h)
    hit = kept != v
    if not hit.any():
        return Motion(v, v)
    back = torch.where(hit, -law.restitution[:, None] * v, v)
    press, along = (back - v).abs(), ~hit & ~held
    speed = (kept * along).norm(dim=1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)
    left = torch.relu(1 - law.friction[:, None] * press.sum(dim=1, keepdim=True) / speed)
    slid = torch.where(along, kept * left, kept)
    return Motion(slid, torch.where(hit, back, slid))
