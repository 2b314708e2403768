"""What a solid remembers of its shape: learned bonds of the reference configuration."""

import warnings
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus

from meshgnn.models.giorom.conservation import spurious_rotation
from meshgnn.models.giorom.particles import Particles
from meshgnn.nn import Standardise, mlp

_PAIR, _NODE, _MIX = 5, 3, 4  # what describes a pair, a point; products with parameters
_TINY = 1e-12
_DAMPING = 0.2  # least of a pair, of at most 1/2: what grows at large strains is rough


@dataclass(frozen=True, eq=False)
class Bonds:
    """Springs between L pairs of n points, as stiff as they are in one frame.

    U = Σ_i ½ [Σ_j G_ij (e_ij − r_ij δ_i)² + κ_i Q_i δ_i²],  e_ij = |y_j − y_i| − r_ij,
    δ_i = Σ_j G_ij r_ij e_ij / Q_i the isotropic strain around i,  Q_i = Σ_j G_ij r_ij²:
    resistance G to changes of shape, κ to those of volume; a state-based peridynamic solid
    (Silling et al. 2007, sec. 15), convex in e for G and κ >= 0. Points are known by y = x + z, z
    being small beside x: the sums of a march over z lose no digits far from 0.

    Args:
        ends: i and j [2, L].
        apart: x_j − x_i at the start of the frame [L, d].
        rest: r = |X_j − X_i| [L].
        shear: G [L], mass a frame².
        bulk: κ [n].
        mass: [n].
    """

    ends: Int[Tensor, "2 L"]
    apart: Float[Tensor, "L d"]
    rest: Float[Tensor, " L"]
    shear: Float[Tensor, " L"]
    bulk: Float[Tensor, " n"]
    mass: Float[Tensor, " n"]

    def gathered(self, values: Float[Tensor, " L"]) -> Float[Tensor, " n"]:
        """Σ over the pairs of a point."""
        i, j = self.ends
        return torch.zeros_like(self.mass).index_add(0, i, values).index_add(0, j, values)

    def line(self, z: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "L d"], Float[Tensor, " L"]]:
        """Directions from i to j at x + z, and distances."""
        i, j = self.ends
        apart = self.apart + (z[j] - z[i])
        length = apart.norm(dim=1)
        return apart / length.clamp(min=_TINY)[:, None], length

    def pulled(
        self, tension: Float[Tensor, " L"], unit: Float[Tensor, "L d"]
    ) -> Float[Tensor, "n d"]:
        """Accelerations by tensions along directions: opposite forces on both ends."""
        (i, j), force = self.ends, unit * tension[:, None]
        total = force.new_zeros(len(self.mass), force.shape[1])
        return total.index_add(0, i, force).index_add(0, j, -force) / self.mass[:, None]

    def force(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """−∂U/∂y over the masses, at x + z."""
        i, j = self.ends
        unit, length = self.line(z)
        e, arm = length - self.rest, self.shear * self.rest
        spread = self.gathered(arm * self.rest).clamp(min=torch.finfo(e.dtype).tiny)
        strain = (self.bulk - 1) * self.gathered(arm * e) / spread
        return self.pulled(2 * self.shear * e + arm * (strain[i] + strain[j]), unit)


class BondNet(nn.Module):
    """x_{k+1} + x_{k−1} = 2 c(Δ),  c̈ = ½ [F(c + s) + F(c − s)],  c(0) = x_k, ċ(0) = 0,  s = t w.

    c is the even part of the motion around t_k, in m leapfrog steps, and s its odd part, w the
    velocity there as the known states have it. In a linear body s drops out and the line is exact
    however long the frame is, cos(ω(t + Δ)) + cos(ω(t − Δ)) = 2 cos(ωΔ) cos(ωt): waves may pass
    many points in a frame. F is that of `Bonds` whose G, κ >= 0 are learned functions of a pair or
    point in the reference shape, times affine functions of θ, limited to what m steps march stably.
    Momentum is kept to rounding, and angular momentum, as the little is taken out by which forces
    on the way turn the body about where it is at t_k.

    Velocities then pass a filter 1 − D² − D_q: D the learned damping of pairs, with eigenvalues in
    [0, 1], takes what differs from point to point and can not be foretold, and leaves what is
    smooth; D_q, in proportion to the rate of strain, bounds shocks (von Neumann & Richtmyer 1950).
    Small vibrations never grow, whatever is learned.

    What would pass a wall ends on it, and is held on the way there in a second run of the m steps,
    so that neighbours feel the landing in the same frame, as they feel held points; a wall takes at
    most μ times what it presses from the motion along it (Coulomb), μ a learned function of θ.

    Args:
        dim: d.
        params: P.
        width: of the hidden layers.
        steps: m.
    """

    def __init__(self, dim: int, params: int, width: int, steps: int) -> None:
        super().__init__()
        self.dim, self.steps = dim, steps
        self.pair = mlp([_PAIR, width, width, 2 * _MIX], zero=True)
        self.point = mlp([_NODE, width, width, _MIX], zero=True)
        with warnings.catch_warnings():  # θ may be empty
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
            self.mix, self.friction = nn.Linear(params, 3 * _MIX), nn.Linear(params, 1)
        nn.init.ones_(self.mix.bias)
        self.shock = nn.Parameter(torch.tensor(1.6))  # log of D_q's share a unit of strain
        nn.init.zeros_(self.friction.weight)
        nn.init.constant_(self.friction.bias, -2.0)
        self.scale_pair = Standardise(_PAIR)
        self.scale_point = Standardise(_NODE)

    @torch.no_grad()
    def fit(self, particles: list[Particles]) -> None:
        """Scales of what describes pairs and points."""
        found = [_described(p) for p in particles]
        self.scale_pair.fit(d.pair for d in found)
        self.scale_point.fit(d.point for d in found)

    def forward(self, p: Particles, theta: Float[Tensor, "B P"]) -> Float[Tensor, "n d"]:
        """x_{k+1} − 2 x_k + x_{k−1}, gravity included; θ standardised."""
        bonds, damping, share = self._bonds(p, theta)
        x, last = p.position, p.velocity[:, -1]
        lo, hi = (p.lo - x - last) / 2, (p.hi - x - last) / 2  # of z, where x_{k+1} is on a wall
        z, inner = self._march(p, bonds, None, None)
        touching = ((z < lo) | (z > hi)).detach()
        if touching.any():
            friction = softplus(self.friction(theta))[p.graph]
            z, inner = self._march(p, bonds, _Wall(touching, lo, hi, -last / 2), friction)
        change = 2 * z - spurious_rotation(p, inner)
        return change - self._damped(bonds, last + change, damping, share)

    def _damped(
        self, bonds: Bonds, motion: Tensor, damping: Tensor, share: Tensor
    ) -> Float[Tensor, "n d"]:
        """What the filter takes from the motion of a frame."""
        (i, j), unit = bonds.ends, bonds.line(torch.zeros_like(motion))[0]
        rate = ((motion[j] - motion[i]) * unit).sum(dim=1)
        shock = (self.shock.exp() * rate.abs() / bonds.rest).clamp(max=0.5) * share
        rough = bonds.pulled(damping * rate, unit)
        again = ((rough[j] - rough[i]) * unit).sum(dim=1)
        return bonds.pulled(damping * again - shock * rate, unit)

    def _march(
        self, p: Particles, bonds: Bonds, wall: "_Wall | None", friction: Tensor | None
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """z = c(Δ) − x, and the part of 2 z that comes from forces between the points."""
        m, v = self.steps, p.velocity
        z = before = inner = torch.zeros_like(p.position)
        given = (p.drift - v[:, -1]) / 2  # of held components, what z must be
        odd = v[:, -1] + (v[:, -1] - v[:, -2]) / 2 if v.shape[1] > 1 else v[:, -1]
        odd = torch.where(p.held, (p.drift + v[:, -1]) / 2, odd)
        for step in range(m):
            s = odd * (step / m)
            force = (bonds.force(z + s) + bonds.force(z - s)) / (2 * m**2)
            inner = inner + force * (m if step == 0 else 2 * (m - step))
            force = force + p.gravity / m**2
            z, before = (force / 2 if step == 0 else 2 * z - before + force), z
            share = ((step + 1) / m) ** 2
            if wall is not None and friction is not None:
                z = wall.held(z, friction, share)
            z = torch.where(p.held, share * given, z)
        return z, inner

    def _bonds(self, p: Particles, theta: Tensor) -> tuple[Bonds, Tensor, Tensor]:
        """The springs of a frame, the damping of each pair, and the share that its masses have."""
        found, (i, j) = _described(p), _pairs(p)
        numbers = self.mix(theta).view(-1, 3, _MIX)
        raw = self.pair(self.scale_pair(found.pair)).view(-1, 2, _MIX) * numbers[p.graph[i], :2]
        stiff, lossy = raw.mean(dim=2).unbind(dim=1)
        kappa = (self.point(self.scale_point(found.point)) * numbers[p.graph, 2]).mean(dim=1)
        bulk = softplus(kappa - 2)
        share = p.mass[i] * (p.mass[j] / torch.maximum(found.near[i], found.near[j]))
        before, u = p.reference[j] - p.reference[i], p.u[:, -1]
        apart, rest = before + (u[j] - u[i]).to(before.dtype), before.norm(dim=1)
        bonds = Bonds(torch.stack([i, j]), apart, rest, softplus(stiff - 2) * share, bulk, p.mass)
        # largest eigenvalue: twice the largest sum of stiffness over mass around a point
        most = bulk.clamp(min=1)
        around = 2 * bonds.gathered(bonds.shear * (most[i] + most[j])) / p.mass
        largest = around.new_zeros(len(p.theta)).scatter_reduce(0, p.graph, around, "amax")
        limit = (4 * self.steps**2 / largest.clamp(min=_TINY)).clamp(max=1)[p.graph[i]]
        bonds = replace(bonds, shear=bonds.shear * limit)
        return bonds, (_DAMPING + (0.5 - _DAMPING) * torch.sigmoid(lossy - 2)) * share, share


@dataclass(frozen=True, eq=False)
class _Wall:
    """Where z may be of the components that meet a wall, and where motion along it has ended."""

    touching: Tensor
    lo: Tensor
    hi: Tensor
    stopped: Tensor

    def held(self, z: Tensor, friction: Tensor, share: float) -> Tensor:
        """z on its side of a wall that is reached as t²; then slowed along it."""
        lo = self.lo - (1 - share) * torch.relu(self.lo)
        hi = self.hi + (1 - share) * torch.relu(-self.hi)
        inside = torch.where(self.touching, torch.minimum(torch.maximum(z, lo), hi), z)
        press = (inside - z).abs()
        most = friction * (press.sum(dim=1, keepdim=True) - press)
        rest = share * self.stopped - inside
        return inside + torch.minimum(torch.maximum(rest, -most), most)


@dataclass(frozen=True, eq=False)
class _Described:
    """Numbers without unit that are the same from both ends of a pair; masses within reach."""

    near: Float[Tensor, " n"]
    pair: Float[Tensor, "L 5"]
    point: Float[Tensor, "n 3"]


def _pairs(p: Particles) -> Int[Tensor, "2 L"]:
    """Every pair of the reference configuration once."""
    source, target = p.bond_index
    return torch.stack([target, source])[:, source > target]


def _described(p: Particles) -> _Described:
    i, j = _pairs(p)
    apart = (p.reference[j] - p.reference[i]) / p.radius[i, None]
    one = torch.ones_like(apart[:, :1])
    sums = apart.new_zeros(len(p.mass), apart.shape[1] + 1)
    sums = sums.index_add(0, i, torch.cat([apart, one], dim=1) * p.mass[j, None])
    sums = sums.index_add(0, j, torch.cat([-apart, one], dim=1) * p.mass[i, None])
    near, volume = p.mass + sums[:, -1], p.radius ** apart.shape[1]
    side = sums[:, :-1].norm(dim=1) / near  # 0 inside, about 1/2 at a surface
    point = torch.stack([side, near / volume, p.mass / volume], dim=1)
    both = point[i] + point[j]
    length, uneven = apart.norm(dim=1, keepdim=True), (side[i] - side[j]).abs()[:, None]
    return _Described(near, torch.cat([length, uneven, both], dim=1), point)
