"""Decoders that are one sparse product with weights known beforehand, and the simplest two."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
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
            ValueError: values of another number of sources.
        """
        check_count(values, self.sources)
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
        rows = np.moveaxis(values.reshape(-1, number, channels), 1, 0).reshape(number, -1)
        found = (self.matrix @ rows).reshape(len(self.index), -1, channels)
        return np.moveaxis(found, 1, 0).reshape(*times, -1, channels).astype(values.dtype)


def weighted_sum(
    index: Int[Tensor, "M k"], weight: Float[Tensor, "M k"], values: Float[Tensor, "*T n C"]
) -> Float[Tensor, "*T M C"]:
    """Σ_k W_ik q_{j(i,k)}: differentiable in weights and values, with no tensor of M k rows.

    torch's embedding bag: with 24 weights for each of 100,000 points 3 to 4 ms on one thread in
    single precision, where sparse matrices take 20 (scipy, torch CSR). Arrays go through scipy.
    """
    *times, number, channels = values.shape
    rows = values.reshape(-1, number, channels).transpose(0, 1).reshape(number, -1)
    found = torch.nn.functional.embedding_bag(
        index, rows.contiguous(), per_sample_weights=weight, mode="sum"
    )
    return found.view(len(index), -1, channels).transpose(0, 1).reshape(*times, -1, channels)


def check_count(values: np.ndarray | Tensor, sources: int) -> None:
    """Values [..., n, C] of the n sources of a decoder.

    Raises:
        ValueError: they are of another number.
    """
    if values.ndim < 2 or values.shape[-2] != sources:
        raise ValueError(
            f"decoder: expected values [..., {sources}, C] of its {sources} sources, got "
            f"{list(values.shape)}; a decoder is for the sources that it was fitted with"
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
