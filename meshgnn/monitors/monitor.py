"""`Monitor`: from a field on a mesh to the density that its moved mesh should have."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.monitors.smoothing import smoothed
from meshgnn.operators import hat_gradients, lumped_mass, quadratic_fit, recovered_gradient

# the rounding errors of a difference quotient, in units of eps · max |u| / h^order
_ROUNDING = 16.0
Shape = Callable[[Tensor, int], Tensor]  # of r and the dimension of the cells


@dataclass(frozen=True)
class Kind:
    """How a kind of monitor is made: the order of its derivative, m(r), and which ⟨g⟩ is r's unit.

    Args:
        order: 1 for ∇u, 2 for H u.
        shape: m of r.
        power: ⟨g⟩ = (mean g^power)^(1/power) as a function of the dimension; None: the maximum.
        local: g is h^((d+4)/2) |H u| with the size of the cells there, its mean over the nodes.
    """

    order: int
    shape: Shape
    power: Callable[[int], float] | None
    local: bool = False


def _best(d: int) -> float:
    """The power of |H u| that P1 interpolation errors in L2 ask for in d dimensions."""
    return 2 * d / (d + 4)


KINDS: dict[str, Kind] = {
    "gradient": Kind(1, lambda r, d: 1 + r, lambda d: 1.0),
    "arc length": Kind(1, lambda r, d: torch.hypot(torch.ones_like(r), r), lambda d: 1.0),
    "log gradient": Kind(1, lambda r, d: 1 + torch.log1p(r), lambda d: 1.0),
    "hessian": Kind(2, lambda r, d: 1 + r, None),
    "interpolation": Kind(2, lambda r, d: (1 + r) ** _best(d), _best, local=True),
}


@dataclass(frozen=True)
class Monitor:
    """m of r = g / (scale · ⟨g⟩), where g = |∇u|, |H u| or the interpolation error of a cell.

    | kind          | m            | g                        | ⟨g⟩                    |
    |---------------|--------------|--------------------------|------------------------|
    | gradient      | 1 + r        | \\|∇u\\|                   | mean over the domain   |
    | arc length    | √(1 + r²)    | \\|∇u\\|                   | mean over the domain   |
    | log gradient  | 1 + log(1+r) | \\|∇u\\|                   | mean over the domain   |
    | hessian       | 1 + r        | \\|H u\\| (Frobenius norm) | maximum                |
    | interpolation | (1 + r)^q    | h^((d+4)/2) \\|H u\\|      | (mean of g^q)^(1/q)    |

    q = 2 d / (d + 4), the last mean is over the nodes. Cells of size h have the L2 error
    h^((d+4)/2) |H u| of P1 interpolation, and the sum of its squares is least, if cells may change
    their size alone, with sizes that go like |H u|^-q: relative to the mesh given, that is m. So a
    mesh that suits the field already stays.

    ∇u and H u are in physical coordinates: those of `pos`. Hence m has no unit, does not change
    with u → a u + b, x → L x or a rotation, and m = 1 for a constant field (with H u for a
    linear one). Several components: g² = Σ_c g_c² of the fields divided by their standard deviation
    over the domain. Differences that are no larger than the rounding errors of u count as zero. The
    smoothing (see `smoothed`) keeps ∫ m, so the mean of m is 1 + 1 / scale for "gradient".

    The gradient is the recovered one (`recovered_gradient`), also on curves and surfaces in space;
    the Hessian that of `quadratic_fit`, on full-dimensional meshes only.

    "interpolation" lowered the interpolation error of every field measured (docs/movers.md); with
    the others, which follow slopes, errors may rise. They are there for comparison with published
    meshes.

    Args:
        kind: of the table.
        scale: the smaller, the more nodes go to where g is large: for "gradient" a share
            1 / (1 + scale) of them follows g and the others stay uniform. About 1 lowers
            errors most; 0.2 with "hessian" is 1 + 5 |H| / max |H|. Unitless.
        smoothing: length of the filter of m in local edge lengths, 0 for none.

    Raises:
        ValueError: an unknown kind, a scale that is not positive, a negative smoothing.

    Source: Huang & Russell, Adaptive Moving Mesh Methods (2011), section 2.4 (arc length) and
    chapter 5 (interpolation); Budd, Huang & Russell, Acta Numerica 18 (2009), 111-241, section 3
    (scaled by the mean).
    """

    kind: str = "interpolation"
    scale: float = 1.0
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Monitor: expected kind {', '.join(KINDS)}, got {self.kind!r}")
        if not 0 < self.scale < inf:
            raise ValueError(f"Monitor: expected a scale above 0, got {self.scale}; take about 1")
        if not 0 <= self.smoothing < inf:
            raise ValueError(
                f"Monitor: expected a smoothing of 0 edge lengths or more, got {self.smoothing}"
            )

    def __call__(
        self,
        pos: Float[Tensor, "N d"],
        simplices: Int[Tensor, "S n"],
        u: Float[Tensor, "N C"],
        batch: Int[Tensor, " N"] | None = None,
    ) -> Float[Tensor, " N"]:
        """m at the nodes, in the type of `pos`.

        Args:
            pos: x [N, d] node positions.
            simplices: [S, n].
            u: [N, C] nodal values, any units.
            batch: the mesh of every node of a disjoint union; the means are taken over each alone.

        Raises:
            ValueError: values of u that are NaN or infinite; a monitor that is, where the scale is
                so small that it overflows or cells are degenerate.
        """
        u = u.to(pos.dtype)
        bad = torch.nonzero(~torch.isfinite(u).all(dim=1))[:, 0]
        if len(bad):
            raise ValueError(
                f"Monitor: expected a finite field, got {len(bad)} of {len(u)} nodes with NaN or "
                f"infinite values (in {u.dtype}), the first is node {int(bad[0])}; repair the field"
            )
        if batch is None:
            batch = torch.zeros(len(pos), dtype=torch.int64, device=pos.device)
        # lengths of order 1 keep the powers of h that follow within the range of float32
        x = _unit_sized(pos, batch)
        mass = lumped_mass(x, simplices)
        kind, d = KINDS[self.kind], simplices.shape[1] - 1
        g = self._roughness(x, simplices, u, mass, batch)
        if kind.local:
            cells = torch.bincount(simplices.reshape(-1), minlength=len(x)).clamp(min=1)
            g = g * ((d + 1) * mass / cells) ** ((d + 4) / (2 * d))
            mass = (mass > 0).to(mass)
        if kind.power is None:
            level = _largest(g, batch)
        else:
            level = _mean(g ** kind.power(d), mass, batch) ** (1 / kind.power(d))
        ratio = g / torch.where(level == 0, 1.0, level) / self.scale
        m = smoothed(kind.shape(ratio, d), x, simplices, self.smoothing)
        bad = torch.nonzero(~torch.isfinite(m))[:, 0]
        if len(bad):
            raise ValueError(
                f"Monitor: m is NaN or infinite at {len(bad)} of {len(m)} nodes, the first is node "
                f"{int(bad[0])} at {pos[bad[0]].tolist()}; either it overflows {m.dtype} with "
                f"scale = {self.scale:g}, or cells there are degenerate, see Mesh.check()"
            )
        return m

    def _roughness(
        self,
        x: Float[Tensor, "N d"],
        simplices: Int[Tensor, "S n"],
        u: Float[Tensor, "N C"],
        mass: Float[Tensor, " N"],
        batch: Int[Tensor, " N"],
    ) -> Float[Tensor, " N"]:
        """|∇u| or |H| of the standardised components, less what rounding alone would give."""
        largest = _largest(u.abs(), batch)
        u = u / torch.where(largest > 0, largest, 1.0)
        u = u - _mean(u, mass, batch)
        deviation = _mean(u**2, mass, batch).sqrt()
        deviation = torch.where(deviation > 0, deviation, 1.0)
        order = KINDS[self.kind].order
        recovered = quadratic_fit if order == 2 else recovered_gradient
        slope = recovered(u / deviation, x, simplices)
        slope = (slope[1] if isinstance(slope, tuple) else slope).flatten(1)
        hats, volume = hat_gradients(x, simplices)
        # Σ |s| |∇φ| / Σ |s|, as in the recovered gradient: slivers count by their volume
        steep = (volume.abs()[:, None] * hats.norm(dim=2)).reshape(-1)
        steep = torch.zeros_like(mass).index_add(0, simplices.reshape(-1), steep)
        steep = steep / (simplices.shape[1] * torch.where(mass > 0, mass, 1.0))
        noise = _ROUNDING * torch.finfo(x.dtype).eps * (1 / deviation).norm(dim=1)
        return torch.relu(torch.linalg.vector_norm(slope, dim=1) - noise * steep**order)


def _unit_sized(pos: Float[Tensor, "N d"], batch: Int[Tensor, " N"]) -> Float[Tensor, "N d"]:
    """Every mesh about its own centre, in units of its largest coordinate."""
    x = pos - _mean(pos, torch.ones_like(pos[:, 0]), batch)
    size = _largest(x.abs(), batch).amax(dim=1, keepdim=True)
    return x / torch.where(size > 0, size, 1.0)


def _largest(v: Float[Tensor, " N *C"], batch: Int[Tensor, " N"]) -> Float[Tensor, " N *C"]:
    """max v over the mesh of each node, for v ≥ 0."""
    index = batch if v.ndim == 1 else batch[:, None].expand(v.shape)
    most = v.new_zeros(int(batch.max()) + 1, *v.shape[1:])
    return most.scatter_reduce(0, index, v, "amax")[batch]


def _mean(
    v: Float[Tensor, " N *C"], weight: Float[Tensor, " N"], batch: Int[Tensor, " N"]
) -> Float[Tensor, " N *C"]:
    """Σ w v / Σ w over the mesh of each node."""
    graphs = int(batch.max()) + 1
    total = weight.new_zeros(graphs).index_add(0, batch, weight)
    scaled = v * weight.view(-1, *[1] * (v.ndim - 1))
    sums = v.new_zeros(graphs, *v.shape[1:]).index_add(0, batch, scaled)
    return (sums / total.view(-1, *[1] * (v.ndim - 1)))[batch]
