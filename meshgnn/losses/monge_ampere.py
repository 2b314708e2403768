"""How far a moved mesh is from the Monge–Ampère equation: what mesh movers are trained with."""

from dataclasses import dataclass
from math import factorial, log
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.monitors import Monitor
from meshgnn.operators import hat_gradients, interpolate, track

_FOLDED = 0.05  # det J below which a cell counts as folding
_FLAT = 4.0  # distortion of a cell above which it counts: angles of some 8 degrees
_WORST = 8  # power of the mean over cells that stands for the flattest of them
_SMALL = 1e-12  # keeps that mean differentiable at 0
_UNIFORM = 1e-4  # variance of w / θ below which there is nothing to equidistribute
MONITORS = (
    *(Monitor("gradient", scale) for scale in (0.1, 0.2, 0.5, 1.0)),
    *(Monitor("interpolation", scale) for scale in (0.5, 1.0)),
)


@dataclass(frozen=True)
class MongeAmpere:
    """L = std(w) / std₀(w) + λ_f ⟨(1 − det J / 0.05)₊²⟩ + λ_s ⟨(log Q / 4)₊⁸⟩^(1/8) + λ_r ⟨log Q⟩.

    w_K = m(x_K) |K_x| / |K_ξ| with signed volumes is m(x) det(I + H φ) of a cell; it is the same
    everywhere where the mesh solves m(x) det(I + H φ) = θ. std weighs cells by |K_ξ|, std₀ is that
    of the mesh as given, so every field counts alike. det J = |K_x| / |K_ξ| ≤ 0 is a folded cell.
    Q = Σ |edges|² / |K_x|^(2/d), 1 for a regular cell, keeps angles; the power is for the flattest
    cell of a mesh, as one angle of 1° spoils a mesh of thousands of cells. m_K is taken at corners
    and centre, from m as P1 on the reference mesh. No labels: graphs need no target, so data sets
    are made with history=1, bundle=0.

    Args:
        fold: λ_f.
        shape: λ_s; 0 leaves angles to themselves.
        regular: λ_r; long cells raise interpolation errors even where they are not flat.
        monitors: in training mode every batch has one of them, so that one model serves them all;
            None keeps that of the model.
    """

    fold: float = 1.0
    shape: float = 1.0
    regular: float = 0.0
    monitors: tuple[Monitor, ...] | None = MONITORS

    def __call__(self, model: Any, graph: Data) -> Float[Tensor, ""]:
        """The loss of a model with `monitor` and `density` (see `DMM`) on a graph or batch."""
        monitor = model.monitor
        if model.training and self.monitors:
            monitor = self.monitors[int(torch.randint(len(self.monitors), ()))]
        if graph.get("density") is None:
            graph.density = model.density(graph, monitor)
        return self.of_points(model(graph)[:, 0], graph)

    def of_points(self, x: Float[Tensor, "N d"], graph: Data) -> Float[Tensor, ""]:
        """The loss of moved points, with m in `graph.density`, in their precision."""
        with torch.autocast(x.device.type, enabled=False):
            return self._of_points(x, graph)

    def _of_points(self, x: Float[Tensor, "N d"], graph: Data) -> Float[Tensor, ""]:
        simplices, batch = graph.simplex_index.t().contiguous(), graph.get("batch")
        batch = (
            torch.zeros_like(graph.simplex_index[0, :1]).expand(len(x)) if batch is None else batch
        )
        owner, volume = batch[simplices[:, 0]], hat_gradients(graph.pos, simplices)[1]
        weight = volume.new_zeros(len(graph.theta)).index_add(0, owner, volume)

        def mean(v: Tensor) -> Tensor:
            return weight.new_zeros(weight.shape).index_add(0, owner, v * volume) / weight

        def variance(w: Tensor) -> Tensor:
            return mean((w / mean(w)[owner] - 1) ** 2)

        def means(points: Tensor) -> Tensor:
            """m_K, exact for quadratic m: by the corners and the centre of each cell."""
            place = track(points, graph.pos, simplices, graph.get("cell_steps"), batch)
            corners = interpolate(m[:, None], simplices, place)[simplices, 0].mean(dim=1)
            centres = points[simplices].mean(dim=1)
            start = place.simplex[simplices[:, 0]]
            place = track(centres, graph.pos, simplices, graph.get("cell_steps"), batch, start)
            inner = interpolate(m[:, None], simplices, place)[:, 0]
            return (corners + simplices.shape[1] * inner) / (simplices.shape[1] + 1)

        m = graph.density
        det = hat_gradients(x, simplices)[1] / volume
        before = variance(means(graph.pos)).clamp(min=_UNIFORM)
        after = variance(means(x) * det)
        loss = torch.sqrt(after / before + 1e-8)
        loss = loss + self.fold * mean(torch.relu(1 - det / _FOLDED) ** 2)
        long = torch.log(distortion(x, simplices, volume * det.clamp(min=_FOLDED / 10)))
        loss = loss + self.regular * mean(long)
        worst = (mean(torch.relu(long - log(_FLAT)) ** _WORST) + _SMALL) ** (1 / _WORST)
        return (loss + self.shape * (worst - _SMALL ** (1 / _WORST))).mean()


def distortion(
    x: Float[Tensor, "N d"], simplices: Tensor, volume: Float[Tensor, " S"]
) -> Float[Tensor, " S"]:
    """Q = Σ |x_i − x_j|² / (c |K|^(2/d)) over the edges of each cell, c such that regular has 1."""
    d = x.shape[1]
    corners = x[simplices]
    squares = ((corners[:, :, None] - corners[:, None]) ** 2).sum(dim=(1, 2, 3)) / 2
    regular = (d + 1) ** 0.5 / (factorial(d) * 2 ** (d / 2))
    return squares / (d * (d + 1) / 2) * (regular / volume) ** (2 / d)
