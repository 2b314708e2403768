"""Equidistribution of one field on one mesh, or of a batch of them, as equations for positions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.models.dmm.solve import Layout
from meshgnn.models.dmm.walls import Slides
from meshgnn.operators import (
    hat_gradients,
    interpolate,
    recovered_gradient,
    track,
)

_SQUEEZE = 0.15  # of its volume is left to a cell by one stage
_HALVINGS = 8


@dataclass(frozen=True, eq=False)
class State:
    """Moved positions and what they do to the cells.

    Args:
        residual: r = log(m |K_x| / (θ |K_ξ|)) [S], less its mean.
        rate: b = ∂r / ∂x = ∇φ_i + ∂(log m_K) / ∂x_i [S, n, d].
        hats: ∇φ_i on the moved cells [S, n, d].
        volume: |K_x| [S].
        ratio: |K_x| / |K_ξ| [S].
        jacobian: J = ∂x / ∂ξ [S, d, d].
        distortion: Q = |J|² / (d det J^(2/d)) ≥ 1 [S].
        features: of the cells, none of which a motion or a scaling of the mesh changes [S, F].
    """

    residual: Float[Tensor, " S"]
    rate: Float[Tensor, "S n d"]
    hats: Float[Tensor, "S n d"]
    volume: Float[Tensor, " S"]
    ratio: Float[Tensor, " S"]
    jacobian: Float[Tensor, "S d d"]
    distortion: Float[Tensor, " S"]
    features: Float[Tensor, "S F"]


FEATURES = 7


class Problem:
    """m on the reference mesh, the reference cells, and where x may go; lengths of order 1.

    Args:
        graph: transformed, may be a batch.
        m: monitor at the nodes.
    """

    def __init__(self, graph: Data, m: Float[Tensor, " N"]) -> None:
        self.simplices, self.steps = graph.simplex_index.t().contiguous(), graph.cell_steps
        self.layout = Layout(self.simplices, graph)
        batch = self.layout.batch
        self.unit = self._largest(graph.pos.abs().amax(dim=1))[batch][:, None]
        self.pos, self.m = graph.pos / self.unit, m
        self.slides = Slides(graph, self.pos)
        self.owner = batch[self.simplices[:, 0]]
        self.hats, self.volume = hat_gradients(self.pos, self.simplices)
        self.total = self._sums(self.volume)
        self.slope = recovered_gradient(m[:, None], self.pos, self.simplices)[:, 0]
        self.uniform = (self._largest(m) == -self._largest(-m))[batch]
        ones = torch.ones_like(self.volume)
        self.count = self._scatter(ones[:, None, None].expand(-1, self.simplices.shape[1], 1))
        corners = self.pos[self.simplices]
        squares = ((corners[:, :, None] - corners[:, None]) ** 2).sum(dim=(1, 2, 3))
        numbers = torch.arange(len(self.simplices), device=m.device)
        owners = numbers.repeat_interleave(self.simplices.shape[1])
        first = torch.full_like(batch, len(numbers))
        first = first.scatter_reduce(0, self.simplices.reshape(-1), owners, "amin")
        self.cells = torch.cat([first, numbers])  # where corners and centres are to be looked for
        self.quality = torch.log(squares / self.volume.abs() ** (2 / self.pos.shape[1])) - 2

    def _largest(self, v: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
        layout = self.layout
        start = v.new_full((layout.graphs,), -torch.inf)
        return start.scatter_reduce(0, layout.batch, v, "amax")

    def _sums(self, v: Float[Tensor, " S"]) -> Float[Tensor, " B"]:
        return v.new_zeros(self.layout.graphs).index_add(0, self.owner, v)

    def _scatter(self, v: Float[Tensor, "S n H"]) -> Float[Tensor, "N H"]:
        nodes = v.new_zeros(len(self.m), v.shape[2])
        return nodes.index_add(0, self.simplices.reshape(-1), v.flatten(0, 1))

    def mean(self, v: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
        """The mean over its graph, by reference volume, at each simplex."""
        return (self._sums(v * self.volume) / self.total)[self.owner]

    def around(self, h: Float[Tensor, "S H"]) -> Float[Tensor, "S H"]:
        """Mean over the simplices with a common corner."""
        nodes = self._scatter(h[:, None].expand(-1, self.simplices.shape[1], -1))
        return (nodes / self.count)[self.simplices].mean(dim=1)

    def state(self, x: Float[Tensor, "N d"]) -> State:
        """The cells at x, m_K from m on the reference mesh at the moved corners and centres."""
        points = torch.cat([x, x[self.simplices].mean(dim=1)])
        place = track(points, self.pos, self.simplices, self.steps, self.layout.batch, self.cells)
        self.cells = place.simplex
        nodal = torch.cat([self.m[:, None], self.slope], dim=1)
        values = interpolate(nodal, self.simplices, place)
        # exact for quadratic m: the corners together count 1 / (d + 2), the middle the rest
        hats, volume = hat_gradients(x, self.simplices)
        n, d = hats.shape[1:]
        corners, middle = values[: len(x)][self.simplices], values[len(x) :]
        cell = (corners[..., 0].mean(dim=1) + n * middle[:, 0]) / (n + 1)
        slope = (corners[..., 1:] + n * middle[:, None, 1:]) / (n * (n + 1))
        ratio = (volume / self.volume).clamp(min=1e-4)
        r = torch.log(cell * ratio)
        r = r - self.mean(r)
        jacobian = torch.einsum("snd,sne->sde", x[self.simplices], self.hats)
        distortion = (jacobian**2).sum(dim=(1, 2)) / (d * ratio ** (2 / d))
        level, spread = torch.log(cell / self.mean(cell)), self.mean(r**2)
        features = [r, r.abs(), ratio.log(), distortion.log(), level, spread, self.quality]
        rate = hats + slope / cell[:, None, None]
        stacked = torch.stack(features, dim=1)
        return State(r, rate, hats, volume, ratio, jacobian, distortion, stacked)

    def newton(
        self, state: State, gain: Tensor, weight: Tensor, stiffness: Tensor, shape: Tensor
    ) -> tuple[Float[Tensor, "S n n d d"], Float[Tensor, "N d"]]:
        """H and F = ∂E/∂x of E = Σ_K |K_ξ| (c g r² / 2 + μ Q), H by Gauss and Newton:

            H = Σ_K |K_ξ| (c b_i b_jᵀ + (α + 2 μ Q / d) ∇φ_i · ∇φ_j I).

        Args:
            state: at x.
            gain: g [S].
            weight: c [S].
            stiffness: α [S], what makes H regular.
            shape: μ [S].
        """
        hats, d = state.hats, state.hats.shape[2]
        residual = state.residual * gain
        residual = residual - self.mean(residual * weight) / self.mean(weight)
        alpha = self.volume * (stiffness + 2 * shape * state.distortion / d)
        inner = torch.einsum("s,sid,sjd->sij", alpha, hats, hats)
        local = inner[..., None, None] * torch.eye(d, dtype=hats.dtype, device=hats.device)
        scaled = state.rate * (self.volume * weight)[:, None, None]
        local = local + scaled[:, :, None, :, None] * state.rate[:, None, :, None, :]
        bend = torch.einsum("sde,sne->snd", state.jacobian, self.hats)
        bend = bend / (state.ratio ** (2 / d))[:, None, None]
        bend = (bend - state.distortion[:, None, None] * hats) * (2 / d * shape * self.volume)[
            :, None, None
        ]
        return local, self._scatter(scaled * residual[:, None, None] + bend)

    def advance(
        self, x: Float[Tensor, "N d"], v: Float[Tensor, "N d"], volume: Float[Tensor, " S"]
    ) -> Float[Tensor, "N d"]:
        """x + t v on the walls; t is halved for a mesh until each cell keeps 0.15 of its volume."""
        t, batch = x.new_ones(self.layout.graphs), self.layout.batch
        with torch.no_grad():
            for halving in range(_HALVINGS):
                moved = self.slides.onto(x + t[batch][:, None] * v)
                found = hat_gradients(moved, self.simplices)[1]
                bad = self.owner[~(found >= _SQUEEZE * volume)].unique()
                if not len(bad):
                    break
                t[bad] *= 0.5 if halving + 1 < _HALVINGS else 0.0
        moved = self.slides.onto(x + t[batch][:, None] * v, keep=True)
        return torch.where((t[batch] > 0)[:, None] & ~self.uniform[:, None], moved, x)
