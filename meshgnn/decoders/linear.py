"""Decoders that are one sparse product with weights known beforehand, and the simplest two."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from meshgnn.decoders.neighbours import Sources, neighbourhood, positions

Values = TypeVar("Values", np.ndarray, Tensor)


class Decoder(Protocol):
    """u(x_i) from the values q_j of n sources: [..., n, C] to [..., M, C].

    What does not change in time (weights, neighbours) is found once, in the reference
    configuration; a call is cheap. Values are displacements or any other field of the material,
    as an array or a tensor; what comes back is of the same kind and precision.
    """

    def __call__(self, values: Values) -> Values:
        """The field at the query points."""
        ...


Fit = Callable[[Float[np.ndarray, "M d"], Sources], Decoder]


@dataclass(frozen=True, eq=False)
class LinearDecoder:
    """u(x_i) = Σ_j W_ij q_j with k weights for every query point.

    A NaN of a source reaches the points that it is a neighbour of, and no others.

    Args:
        index: j [M, k].
        weight: W_ij [M, k].
        sources: n.
    """

    index: Int[np.ndarray, "M k"]
    weight: Float[np.ndarray, "M k"]
    sources: int
    _ready: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = field(
        default_factory=dict, repr=False
    )

    def __call__(self, values: Values) -> Values:
        """The field [..., M, C] from values [..., n, C], differentiable in these.

        Raises:
            ValueError: values of another number of sources, or integers.
        """
        check_values(values, self.sources)
        if isinstance(values, np.ndarray):
            return self._product(values)
        key = (values.device, values.dtype)
        if key not in self._ready:
            self._ready[key] = (
                torch.tensor(self.index, device=values.device),
                torch.tensor(self.weight, device=values.device, dtype=values.dtype),
            )
        return weighted_sum(*self._ready[key], values)

    @cached_property
    def matrix(self) -> csr_array:
        """W as a sparse matrix [M, n]."""
        starts = np.arange(0, self.index.size + 1, self.index.shape[1])
        entries = (self.weight.ravel(), self.index.ravel(), starts)
        return csr_array(entries, shape=(len(self.index), self.sources))

    def _product(self, values: np.ndarray) -> np.ndarray:
        *times, number, channels = values.shape
        frames = prod(times)
        rows = np.moveaxis(values.reshape(frames, number, channels), 1, 0)
        found = self.matrix @ rows.reshape(number, frames * channels)
        found = np.moveaxis(found.reshape(len(self.index), frames, channels), 1, 0)
        return found.reshape(*times, len(self.index), channels).astype(values.dtype)


def weighted_sum(
    index: Int[Tensor, "M k"], weight: Float[Tensor, "M k"], values: Float[Tensor, "*T n C"]
) -> Float[Tensor, "*T M C"]:
    """Σ_k W_ik q_{j(i,k)}: differentiable in weights and values, with no tensor of M k rows.

    torch's embedding bag: with 24 weights for each of 100,000 points 3 to 4 ms on one thread in
    single precision, where sparse matrices take 20 (scipy, torch CSR). Arrays go through scipy.
    """
    *times, number, channels = values.shape
    frames = prod(times)
    rows = values.reshape(frames, number, channels).transpose(0, 1)
    rows = rows.reshape(number, frames * channels)
    if rows.numel() == 0:  # which torch does not sum
        return values.new_zeros(*times, len(index), channels)
    found = torch.nn.functional.embedding_bag(
        index, rows.contiguous(), per_sample_weights=weight, mode="sum"
    )
    found = found.view(len(index), frames, channels).transpose(0, 1)
    return found.reshape(*times, len(index), channels)


def check_values(values: np.ndarray | Tensor, sources: int) -> None:
    """Values [..., n, C] of the n sources of a decoder.

    Raises:
        ValueError: they are of another number, or integers, which would round the field.
    """
    if values.ndim < 2 or values.shape[-2] != sources:
        raise ValueError(
            f"decoder: expected values [..., {sources}, C] of its {sources} sources, got "
            f"{list(values.shape)}; a decoder is for the sources that it was fitted with"
        )
    floating = (
        values.is_floating_point() if isinstance(values, Tensor) else values.dtype.kind == "f"
    )
    if not floating:
        raise ValueError(
            f"decoder: expected values in floating point, got {values.dtype}; convert them, what "
            "is between integers would be cut off"
        )


def nearest_source(queries: Float[np.ndarray, "M d"], sources: Sources) -> LinearDecoder:
    """u(x) = q_j of the nearest source: exact for translations, jumps between sources.

    Args:
        queries: reference positions x [M, d].
        sources: indices [n] among them, or positions [n, d].

    Raises:
        ValueError: see `positions`.
    """
    found = positions("nearest_source", queries, sources)
    near = neighbourhood(queries, found, 1)
    return LinearDecoder(near.index, np.ones(near.index.shape), len(found))


def inverse_distance(
    queries: Float[np.ndarray, "M d"], sources: Sources, neighbours: int = 8, power: float = 2.0
) -> LinearDecoder:
    """u(x) = Σ_j q_j |x − X_j|^−p / Σ_j |x − X_j|^−p over the k nearest sources.

    Exact for translations and at the sources; flat there. Jumps where a neighbour is exchanged.

    Args:
        queries: reference positions x [M, d].
        sources: indices [n] among them, or positions [n, d].
        neighbours: k.
        power: p.

    Raises:
        ValueError: k < 1; see `positions`.

    Source: Shepard 1968.
    """
    if neighbours < 1:
        raise ValueError(f"inverse_distance: expected at least 1 neighbour, got {neighbours}")
    found = positions("inverse_distance", queries, sources)
    near = neighbourhood(queries, found, neighbours)
    gap = np.linalg.norm(near.offset, axis=2)
    # relative to the nearest, so that no power overflows; a query on a source has that one alone
    least = np.maximum(gap[:, :1], 1e-12)
    weight = (np.maximum(gap, 1e-12) / least) ** -power
    return LinearDecoder(near.index, weight / weight.sum(axis=1, keepdims=True), len(found))
