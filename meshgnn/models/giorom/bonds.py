"""What a solid remembers of its shape: learned bonds of the reference configuration."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus

from meshgnn.models.giorom.conservation import spurious_rotation
from meshgnn.models.giorom.particles import Particles
from meshgnn.nn import Standardise, mlp

_PAIR, _NODE, _MIX = 5, 3, 4  # what describes a pair, a point; products with parameters
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Bonds:
    """Springs between L pairs of n points, as stiff as they are in one frame.

    U = Σ_i ½ [Σ_j G_ij (e_ij − r_ij δ_i)² + κ_i Q_i δ_i²],  e_ij = û_ij · (y_j − y_i) − r_ij,
    δ_i = Σ_j G_ij r_ij e_ij / Q_i the isotropic strain around i,  Q_i = Σ_j G_ij r_ij²:
    resistance G to changes of shape, κ to those of volume; a state-based peridynamic solid
    (Silling et al. 2007, sec. 15), convex for G and κ >= 0.

    Args:
        ends: i and j [2, L].
        unit: û [L, d], the directions at the start of the frame.
        rest: r = |X_j − X_i| [L].
        shear: G [L], mass a frame².
        bulk: κ [n].
        mass: [n].
    """

    ends: Int[Tensor, "2 L"]
    unit: Float[Tensor, "L d"]
    rest: Float[Tensor, " L"]
    shear: Float[Tensor, " L"]
    bulk: Float[Tensor, " n"]
    mass: Float[Tensor, " n"]

    def gathered(self, values: Float[Tensor, " L"]) -> Float[Tensor, " n"]:
        """Σ over the pairs of a point."""
        i, j = self.ends
        return torch.zeros_like(self.mass).index_add(0, i, values).index_add(0, j, values)

    def pulled(self, tension: Float[Tensor, " L"]) -> Float[Tensor, "n d"]:
        """Accelerations by tensions along the pairs: opposite forces on both ends."""
        (i, j), force = self.ends, self.unit * tension[:, None]
        total = force.new_zeros(len(self.mass), force.shape[1])
        return total.index_add(0, i, force).index_add(0, j, -force) / self.mass[:, None]

    def along(self, y: Float[Tensor, "n d"]) -> Float[Tensor, " L"]:
        """û_ij · (y_j − y_i)."""
        i, j = self.ends
        return ((y[j] - y[i]) * self.unit).sum(dim=1)

    def force(self, y: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """−∂U/∂y over the masses: linear in y, as the directions do not turn within a frame."""
        (i, j), e = self.ends, self.along(y) - self.rest
        arm = self.shear * self.rest
        spread = self.gathered(arm * self.rest).clamp(min=torch.finfo(e.dtype).tiny)
        strain = (self.bulk - 1) * self.gathered(arm * e) / spread
        return self.pulled(2 * self.shear * e + arm * (strain[i] + strain[j]))


class BondNet(nn.Module):
    """x_{k+1} + x_{k−1} = 2 S x_k,  S the motion of one frame from rest, in m leapfrog steps.

    For a linear body the line is exact whatever the length of the frame, cos(ω(t + Δ)) +
    cos(ω(t − Δ)) = 2 cos(ωΔ) cos(ωt): no speed need be known, and waves may pass many points in a
    frame. S is that of `Bonds` whose G, κ >= 0 are learned functions of a pair or point in the
    reference configuration, times affine functions of θ. Eigenvalues of S stay in [−1, 1], and
    velocities then pass a filter 1 − D, D the damping of pairs with eigenvalues in [0, 1]: nothing
    grows in a linear body, whatever was learned. Momentum is kept to rounding; angular momentum
    too, as what the m steps turn the body by is taken out.

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
        self.mix = nn.Linear(params, 3 * _MIX)
        nn.init.ones_(self.mix.bias)
        self.friction = nn.Linear(params, 1)
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
        bonds, damping = self._bonds(p, theta)
        x, last = p.position, p.velocity[:, -1]
        lo, hi = (p.lo + x - last) / 2, (p.hi + x - last) / 2  # of S x, where x_{k+1} is on a wall
        y, inner = self._march(p, bonds, None, None)
        touching = ((y < lo) | (y > hi)).detach()
        if touching.any():
            friction = softplus(self.friction(theta))[p.graph]
            y, inner = self._march(p, bonds, _Wall(touching, lo, hi, x - last / 2), friction)
        change = 2 * (y - x)
        damped = _damped(bonds, damping, last + change, x)
        return change + damped - spurious_rotation(p, inner + damped)

    def _march(
        self, p: Particles, bonds: Bonds, wall: "_Wall | None", friction: Tensor | None
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """S x, and the part of 2 (S x − x) that comes from forces between the points."""
        m, x = self.steps, p.position
        y = before = x
        given = (p.drift - p.velocity[:, -1]) / 2  # of held components, what S x − x must be
        inner = torch.zeros_like(x)
        for step in range(m):
            force = bonds.force(y) / m**2
            inner = inner + force * (m if step == 0 else 2 * (m - step))
            force = force + p.gravity / m**2
            y, before = (y + force / 2 if step == 0 else 2 * y - before + force), y
            share = ((step + 1) / m) ** 2
            if wall is not None and friction is not None:
                y = wall.held(x, y, friction, share)
            y = torch.where(p.held, x + share * given, y)
        return y, inner

    def _bonds(self, p: Particles, theta: Tensor) -> tuple[Bonds, Float[Tensor, " L"]]:
        """The springs of this frame, and the damping of each pair over its masses' share."""
        found, (i, j) = _described(p), _pairs(p)
        numbers = self.mix(theta).view(-1, 3, _MIX)
        raw = self.pair(self.scale_pair(found.pair)).view(-1, 2, _MIX) * numbers[p.graph[i], :2]
        stiff, lossy = raw.mean(dim=2).unbind(dim=1)
        kappa = (self.point(self.scale_point(found.point)) * numbers[p.graph, 2]).mean(dim=1)
        bulk = softplus(kappa - 2)
        share = p.mass[i] * p.mass[j] / torch.maximum(found.near[i], found.near[j])
        apart = p.position[j] - p.position[i]
        unit = apart / apart.norm(dim=1, keepdim=True).clamp(min=_TINY)
        rest = (p.reference[j] - p.reference[i]).norm(dim=1)
        bonds = Bonds(torch.stack([i, j]), unit, rest, softplus(stiff - 2) * share, bulk, p.mass)
        # largest eigenvalue: twice the largest sum of stiffness over mass around a point
        most = bulk.clamp(min=1)
        around = 2 * bonds.gathered(bonds.shear * (most[i] + most[j])) / p.mass
        largest = around.new_zeros(len(p.theta)).scatter_reduce(0, p.graph, around, "amax")
        limit = (4 * self.steps**2 / largest.clamp(min=_TINY)).clamp(max=1)[p.graph[i]]
        bonds = Bonds(bonds.ends, unit, rest, bonds.shear * limit, bulk, p.mass)
        return bonds, torch.sigmoid(lossy - 4) * share / 2


@dataclass(frozen=True, eq=False)
class _Wall:
    """Where S x may be of the components that meet a wall, and where motion along it has ended."""

    touching: Tensor
    lo: Tensor
    hi: Tensor
    stopped: Tensor

    def held(self, x: Tensor, y: Tensor, friction: Tensor, share: float) -> Tensor:
        """y on its side of a wall that is reached as t²; then slowed along it."""
        lo = self.lo - (1 - share) * torch.relu(self.lo - x)
        hi = self.hi + (1 - share) * torch.relu(x - self.hi)
        inside = torch.where(self.touching, torch.minimum(torch.maximum(y, lo), hi), y)
        press = (inside - y).abs()
        most = friction * (press.sum(dim=1, keepdim=True) - press)
        rest = x + share * (self.stopped - x) - inside
        return inside + torch.minimum(torch.maximum(rest, -most), most)


def _damped(bonds: Bonds, damping: Tensor, motion: Tensor, x: Tensor) -> Float[Tensor, "n d"]:
    """−D v along the pairs as they lie half way, so that a turn of the body is not damped."""
    i, j = bonds.ends
    half = x[j] - x[i] + (motion[j] - motion[i]) / 2
    unit = half / half.norm(dim=1, keepdim=True).clamp(min=_TINY)
    turned = Bonds(bonds.ends, unit, bonds.rest, bonds.shear, bonds.bulk, bonds.mass)
    return turned.pulled(damping * turned.along(motion))


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
