"""Weights that reproduce affine motions, and what a small network adds where motion is not."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.decoders.least_squares import affine_fit
from meshgnn.decoders.linear import LinearDecoder, Values, check_values, weighted_sum
from meshgnn.decoders.neighbours import Neighbourhood, Sources, neighbourhood, positions
from meshgnn.decoders.radial import check_numbers, rbf_weights

_PAIR, _STATE = 5, 4  # features of a pair of source and query point, and of a source


class LearnedResidual(nn.Module):
    """u(x) = Σ_j W_j q_j + Σ_j [B⁰_j + Σ_m B^m_j g_m(j)] e_j,  W of a continuous `local_rbf`.

    e_j = q_j − (what the other sources say of q_j) is 0 for every affine motion, so that these are
    reproduced to rounding whatever the network has learned, and with its last layers zero at the
    start the field is that of W. B⁰ … B^M are learned functions of the reference configuration
    (distances, weights), found once; the gates g are learned functions of scalars at the sources
    (|e|, strain). So the network runs at n sources only, and a decode is one sparse product with
    (1 + M + 1) k weights a point. What it adds turns with the body: rotation of the motion rotates
    the field. The correction ends where W does, so the field is continuous in x.

    Args:
        neighbours: k.
        gates: M; 0 for a decoder that is linear in q.
        width: of the two hidden layers.
        power, nugget, fade: of W, see `local_rbf`.

    Raises:
        ValueError: a negative number of gates.
    """

    def __init__(
        self,
        neighbours: int = 24,
        gates: int = 2,
        width: int = 32,
        power: float = 3.0,
        nugget: float = 0.0,
        fade: float = 0.05,
    ) -> None:
        super().__init__()
        if gates < 0:
            raise ValueError(f"LearnedResidual: expected gates >= 0, got {gates}")
        self.neighbours, self.gates = neighbours, gates
        self.power, self.nugget, self.fade = power, nugget, fade
        self.spread = _perceptron(_PAIR, width, 1 + gates)
        self.gate = _perceptron(_STATE, width, max(gates, 1))
        last = self.spread[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def at(self, queries: Float[np.ndarray, "M d"], sources: Sources) -> "ResidualField":
        """The decoder of these points from these sources.

        Args:
            queries: reference positions x [M, d].
            sources: indices [n] among them, or positions [n, d]; at least d + 2.

        Raises:
            ValueError: k < d + 1, numbers that `local_rbf` refuses; see `positions`.
        """
        dim = queries.shape[1]
        check_numbers("LearnedResidual", dim, self.neighbours, self.power, self.nugget, self.fade)
        found = positions("LearnedResidual", queries, sources, dim + 2)
        near = neighbourhood(queries, found, self.neighbours)
        among = neighbourhood(found, found, self.neighbours, others=True)
        weight = rbf_weights(near, self.power, self.nugget, self.fade)
        other = rbf_weights(among, self.power, self.nugget, self.fade)
        slope = affine_fit(among)[1]
        return ResidualField(
            self,
            LinearDecoder(near.index, weight, len(found)),
            torch.tensor(_pair_features(near, weight), dtype=torch.float32),
            torch.tensor(near.index),
            torch.tensor(among.index),
            torch.tensor(other, dtype=torch.float32),
            torch.tensor(slope, dtype=torch.float32),
            torch.tensor(np.linalg.norm(among.offset[:, 0], axis=1) * among.radius).float(),
        )


@dataclass(eq=False)
class ResidualField:
    """A `LearnedResidual` with its weights in one reference configuration: a `Decoder`.

    Args:
        model: the networks.
        base: W.
        pair: features of query points and their sources [M, k, 5]; the last is what the correction
            is multiplied by: 0 at the sources and where one leaves the neighbourhood.
        index: sources of the query points [M, k].
        among: sources nearest to every source [n, k].
        other: weights of these for the value there [n, k].
        slope: weights of these for the gradient there [n, k, d].
        spacing: distance of the nearest [n].
    """

    model: LearnedResidual
    base: LinearDecoder
    pair: Float[Tensor, "M k _"]
    index: Int[Tensor, "M k"]
    among: Int[Tensor, "n l"]
    other: Float[Tensor, "n l"]
    slope: Float[Tensor, "n l d"]
    spacing: Float[Tensor, " n"]
    _cached: tuple[Tensor, Tensor] | None = None

    def __call__(self, values: Values) -> Values:
        """The field [..., M, C] from values [..., n, C], computed in single precision.

        Weights of a model in training mode are computed anew in every call, in evaluation mode
        once and then constant; call `at` again after further training.

        Raises:
            ValueError: values of another number of sources, or integers.
        """
        check_values(values, self.base.sources)
        if isinstance(values, np.ndarray):
            with torch.no_grad():
                device = next(self.model.parameters()).device
                found = self(torch.tensor(values, dtype=torch.float32, device=device))
            return found.cpu().numpy().astype(values.dtype)
        index, weight = self._weights(values.device)
        return weighted_sum(index, weight, self._sources(values.float())).to(values.dtype)

    def deviation(self, values: Float[Tensor, "*T n C"]) -> Float[Tensor, "*T n C"]:
        """e_j = q_j − Σ_{l ≠ j} w_jl q_l, 0 for affine motions."""
        other = self.other.to(values.device, values.dtype)
        # differences first: a far translation must not cost the digits of what is left
        near = values[..., self.among.to(values.device), :] - values[..., :, None, :]
        return -torch.einsum("nl,...nlc->...nc", other, near)

    def _weights(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Columns j, n + j, 2n + j … of the stacked values, and W, B⁰, B¹ … there."""
        kept = None if self.model.training else self._cached
        if kept is not None and kept[0].device == device:
            return kept
        pair = self.pair.to(device)
        base = torch.tensor(self.base.weight, dtype=torch.float32, device=device)
        index = self.index.to(device)
        learned = self.model.spread(pair) * pair[..., -1:]
        number = len(self.among)
        stacked = torch.arange(2 + self.model.gates, device=device) * number
        index = (index[..., None] + stacked).flatten(1)
        weight = torch.cat([base[..., None], learned], dim=2).flatten(1)
        if self.model.training:
            return index, weight
        self._cached = (index, weight.detach())
        return self._cached

    def _sources(self, values: Tensor) -> Tensor:
        """q, e, g_1 e, g_2 e … one below the other: [..., (2 + M) n, C]."""
        deviation = self.deviation(values)
        parts = [values, deviation]
        if self.model.gates:
            gate = torch.tanh(self.model.gate(self._state(values, deviation)))
            parts += [gate[..., m : m + 1] * deviation for m in range(self.model.gates)]
        return torch.cat(parts, dim=-2)

    def _state(self, values: Tensor, deviation: Tensor) -> Tensor:
        """Scalars at the sources that neither turning nor shifting the motion changes."""
        slope = self.slope.to(values.device, values.dtype)
        among, spacing = self.among.to(values.device), self.spacing.to(values.device)
        near = values[..., among, :] - values[..., :, None, :]
        gradient = torch.einsum("nld,...nlc->...ncd", slope, near)
        if values.shape[-1] == slope.shape[-1]:  # a displacement: of the deformed body
            gradient = gradient + torch.eye(slope.shape[-1], device=values.device)
        gram = gradient.transpose(-1, -2) @ gradient
        size = deviation.norm(dim=-1)
        around = size[..., among].mean(dim=-1)
        trace = gram.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
        tiny = torch.finfo(values.dtype).tiny ** 0.5  # for derivatives where nothing changes
        shear = (gram.square().mean(dim=(-1, -2)) * slope.shape[-1] + tiny).sqrt()
        features = [
            size / (size + around + tiny),
            size / (size + spacing),
            (trace - 1) / (trace + 1),
            (shear - 1) / (shear + 1),
        ]
        return torch.stack(features, dim=-1)


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    layers = [nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, outputs)]
    return nn.Sequential(layers[0], nn.SiLU(), layers[1], nn.SiLU(), layers[2])


def _pair_features(
    near: Neighbourhood, weight: Float[np.ndarray, "M k"]
) -> Float[np.ndarray, "M k 5"]:
    """|X_j − x| / r and W_j; min |X − x| / r and Σ W² of the query point; the window."""
    gap = np.linalg.norm(near.offset, axis=2)
    least = gap.min(axis=1, keepdims=True)
    even = (weight**2).sum(axis=1, keepdims=True)
    # 0 at a source, 1 half way to the next
    nearest = np.partition(gap, min(1, gap.shape[1] - 1), axis=1)[:, :2]
    between = nearest[:, :1] / np.maximum(nearest[:, 1:], 1e-300)
    window = (1 - near.share**2) ** 2 * between
    columns = [gap, weight, np.broadcast_to(least, gap.shape), np.broadcast_to(even, gap.shape)]
    return np.stack([*columns, window], axis=2)
