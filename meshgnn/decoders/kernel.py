"""The published learned decoder, with the query point in its kernel."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor, nn

from meshgnn.decoders.linear import Values, check_values
from meshgnn.decoders.neighbours import Sources, positions


class KernelDecoder(nn.Module):
    """u(x) = σ mean_{j : |X_j − x| ≤ r} κ((X_j − x) / r, |X_j − x| / r, q_j / σ),  κ a perceptron.

    As published, but for x in the kernel: without it the field is the same wherever the sources in
    the ball are. It reproduces nothing by construction, neither translations nor the values at the
    sources, jumps where a source crosses the ball, and a call evaluates κ for every pair. It is
    here to be compared with.

    Args:
        dim: d.
        channels: C.
        radius: r, in the unit of the points.
        hidden: widths of κ, as published.

    Raises:
        ValueError: a radius that is not positive.

    Source: Viswanath et al. 2024 (GIOROM, first version), the decoder of the full-order field.
    """

    scale: Tensor

    def __init__(
        self, dim: int, channels: int, radius: float, hidden: tuple[int, ...] = (128, 256)
    ) -> None:
        super().__init__()
        if not 0 < radius < np.inf:
            raise ValueError(f"KernelDecoder: expected a positive radius, got {radius}")
        self.radius = radius
        sizes = [dim + 1 + channels, *hidden]
        layers: list[nn.Module] = []
        for low, high in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(low, high), nn.Tanh()]
        self.kernel = nn.Sequential(*layers, nn.Linear(sizes[-1], channels))
        self.register_buffer("scale", torch.ones(()))

    def fit_statistics(self, values: Float[Tensor, "*T n C"]) -> None:
        """Set σ to the root mean square of the values of a training set."""
        self.scale.copy_(values.double().square().mean().sqrt().clamp(min=1e-30))

    def at(self, queries: Float[np.ndarray, "M d"], sources: Sources) -> "KernelField":
        """The decoder of these points from these sources.

        Args:
            queries: reference positions x [M, d].
            sources: indices [n] among them, or positions [n, d].

        Raises:
            ValueError: a query without a source in its ball; see `positions`.
        """
        found = positions("KernelDecoder", queries, sources)
        tree = KDTree(found)
        near = tree.query_ball_point(queries, self.radius, return_sorted=True)
        counts = np.array([len(one) for one in near])
        alone = np.flatnonzero(counts == 0)
        if len(alone):
            need = 1.01 * float(tree.query(queries[alone])[0].max())  # three digits may be less
            raise ValueError(
                f"KernelDecoder: {len(alone)} of {len(queries)} points have no source within "
                f"{self.radius:.3g}, the first is {alone[0]}; a radius of {need:.3g} reaches all"
            )
        source = np.concatenate(near).astype(np.int64)
        target = np.repeat(np.arange(len(queries)), counts)
        offset = (found[source] - queries[target]) / self.radius
        length = np.linalg.norm(offset, axis=1, keepdims=True)
        place = torch.tensor(np.concatenate([offset, length], axis=1), dtype=torch.float32)
        pair = torch.tensor(np.stack([source, target]))
        return KernelField(self, pair, place, torch.tensor(counts), len(found))


@dataclass(eq=False)
class KernelField:
    """A `KernelDecoder` with its pairs of sources and query points: a `Decoder`."""

    model: KernelDecoder
    pair: Int[Tensor, "2 P"]
    place: Float[Tensor, "P e"]
    count: Int[Tensor, " M"]
    sources: int

    def __call__(self, values: Values) -> Values:
        """The field [..., M, C] from values [..., n, C], frame by frame.

        Raises:
            ValueError: values of another number of sources, or integers.
        """
        check_values(values, self.sources)
        weight = next(self.model.parameters())
        if isinstance(values, np.ndarray):
            with torch.no_grad():
                found = self(torch.tensor(values, dtype=weight.dtype, device=weight.device))
            return found.cpu().numpy().astype(values.dtype)
        frames = values.to(weight.dtype).reshape(-1, *values.shape[-2:])
        found = torch.stack([self._frame(frame) for frame in frames]).to(values.dtype)
        return found.view(*values.shape[:-2], len(self.count), values.shape[-1])

    def _frame(self, values: Tensor) -> Tensor:
        source, target = self.pair.to(values.device)
        known = (values / self.model.scale)[source]
        place = self.place.to(values.device, values.dtype)
        kappa = self.model.kernel(torch.cat([place, known], dim=1))
        total = kappa.new_zeros(len(self.count), kappa.shape[1]).index_add(0, target, kappa)
        return self.model.scale * total / self.count.to(values.device)[:, None]
