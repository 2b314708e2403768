"""Multilayer perceptrons and the normalisation that travels inside a checkpoint."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def activate(name: str) -> nn.Module:
    """The activation of that name; in place where its backward needs only its output.

    Raises:
        ValueError: an unknown activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose one of {sorted(ACTIVATIONS)}")
    return nn.ReLU(inplace=True) if name == "relu" else ACTIVATIONS[name]()


def mlp(
    sizes: list[int], activation: str = "silu", norm: bool = False, zero: bool = False
) -> nn.Sequential:
    """Linear layers of the given sizes with an activation between each two.

    Args:
        sizes: [in, hidden…, out]; at least two.
        activation: one of `ACTIVATIONS`.
        norm: ends in a LayerNorm over the last size.
        zero: starts with a zero last layer, so that the map starts at 0.

    Raises:
        ValueError: an unknown activation.
    """
    linear = [nn.Linear(n, m) for n, m in zip(sizes[:-1], sizes[1:], strict=True)]
    if zero:
        nn.init.zeros_(linear[-1].weight)
        nn.init.zeros_(linear[-1].bias)
    layers: list[nn.Module] = [linear[0]]
    for layer in linear[1:]:
        layers += [activate(activation), layer]
    return nn.Sequential(*layers, *([nn.LayerNorm(sizes[-1])] if norm else []))


def by_rows(
    layer: Callable[..., Float[Tensor, "R C"]], *inputs: Float[Tensor, "R _"], rows: int = 4096
) -> Float[Tensor, "R C"]:
    """layer(*inputs) of a layer that treats every row alike, some rows at a time.

    Without gradients only: then what is between its sublayers stays in cache, and is never there
    for all rows at once. Otherwise, off the CPU and in a traced program it is one call.
    """
    traced = torch.compiler.is_compiling() or inputs[0].device.type != "cpu"
    if torch.is_grad_enabled() or traced or len(inputs[0]) <= rows:
        return layer(*inputs)
    count = len(inputs[0])
    first = layer(*(x[:rows] for x in inputs))
    out = first.new_empty(count, first.shape[1])
    out[:rows] = first
    for start in range(rows, count, rows):
        out[start : start + rows] = layer(*(x[start : start + rows] for x in inputs))
    return out


class Standardise(nn.Module):
    """z = (x − mean) / std per feature, with both as buffers, so that a checkpoint is whole.

    Statistics are gathered in float64 by `fit`. A feature that does not vary beyond rounding keeps
    std = 1, so that a constant column becomes 0 and never NaN.

    Args:
        features: number F of features (last axis).
        centre: subtract the mean; False keeps linear maps linear.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, centre: bool = True) -> None:
        super().__init__()
        self.centre = centre
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    @torch.no_grad()
    def fit(self, values: Iterable[Float[Tensor, "_ F"]]) -> None:
        """Set mean and std from blocks of rows (one block a graph)."""
        count = 0
        total = torch.zeros(self.mean.shape, dtype=torch.float64)
        blocks = [v.detach().to("cpu", torch.float64) for v in values]
        for block in blocks:
            count += len(block)
            total += block.sum(0)
        if count == 0 or not len(total):
            return
        mean = total / count if self.centre else torch.zeros_like(total)
        # Two passes: E[x²] − E[x]² loses all digits where the mean is large.
        spread = sum(((block - mean) ** 2).sum(0) for block in blocks) / count
        std = torch.as_tensor(spread).sqrt()
        floor = 1e-6 * (total / count).abs() + 1e-30
        std = torch.where(std > floor, std, torch.ones_like(std))
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, x: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows F"]:
        """Physical to standardised."""
        return (x - self.mean) / self.std

    def inverse(self, z: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows F"]:
        """Standardised to physical."""
        return z * self.std + self.mean
