"""The boundary encoder of the published network: one Transformer for every layer, run at once."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class BoundaryTransformers(nn.Module):
    """β_l = max_p T_l(q_1, …, q_P) for L Transformers T_l of the same shape with their own weights.

        x = W q + code;   3 times:  x = norm(x + attention(x)),  x = norm(x + perceptron(x));
        β = max over the points of norm(x).

    The weights of all L lie in one tensor a layer, so that one batched product does the work of L.

    Args:
        count: L; a multiple of the number I of inputs, each of which L / I Transformers take.
        features: length of the rows q.
        width: H, even and a multiple of `heads`.
        heads: attention heads.
        layers: encoder layers.
        feed_forward: hidden size of the perceptron in each layer.
        ordered: adds the sinusoidal code of the position in the list, so that order matters.

    Raises:
        ValueError: a width that is odd or not a multiple of heads.

    Source: Wang et al. 2024 (BENO); Vaswani et al. 2017 for the code and the attention.
    """

    def __init__(
        self,
        count: int,
        features: int,
        width: int = 128,
        heads: int = 2,
        layers: int = 3,
        feed_forward: int = 16,
        ordered: bool = True,
    ) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise ValueError(
                f"BoundaryTransformers: expected an even width, a multiple of heads {heads}, got "
                f"{width}"
            )
        self.count, self.heads, self.ordered = count, heads, ordered
        self.embed = _Linear(count, features, width, bias=False)
        # three taps of a convolution over 3 columns: Kaiming's normal for a leaky rectifier of 0.01
        nn.init.normal_(self.embed.weight, std=math.sqrt(2 / (1 + 0.01**2) / features))
        self.layers = nn.ModuleList(
            _Layer(count, width, heads, feed_forward) for _ in range(layers)
        )
        self.norm = _Norm(count, width)

    def forward(
        self, points: Float[Tensor, "I B P Q"], present: Bool[Tensor, "B P"]
    ) -> Float[Tensor, "L B H"]:
        """β of every Transformer and graph; the points of B graphs are padded to P."""
        inputs, graphs, size, _ = points.shape
        x = points.flatten(1, 2).repeat_interleave(self.count // inputs, dim=0)
        x = self.embed(x).unflatten(1, (graphs, size))
        if self.ordered:
            x = x + position_code(size, x.shape[-1]).to(x)
        whole = bool(present.all())
        mask = None if whole else present.repeat(self.count, 1)[:, None, None]
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x)
        if not whole:
            x = x.masked_fill(~present[None, :, :, None], -torch.inf)
        return x.amax(dim=2)


def position_code(size: int, width: int) -> Float[Tensor, "P H"]:
    """sin and cos of p / 10000^(2k / H) in turn, for positions p = 0 … P − 1."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(size)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class _Layer(nn.Module):
    """One encoder layer of all Transformers: attention, norm, perceptron, norm."""

    def __init__(self, count: int, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = _Linear(count, width, 3 * width), _Linear(count, width, width)
        self.up = _Linear(count, width, feed_forward)
        self.down = _Linear(count, feed_forward, width)
        self.norms = nn.ModuleList(_Norm(count, width) for _ in range(2))

    def forward(self, x: Float[Tensor, "L B P H"], mask: Tensor | None) -> Float[Tensor, "L B P H"]:
        parts = self.qkv(x).flatten(0, 1).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)
        seen = nn.functional.scaled_dot_product_attention(*parts.chunk(3, dim=1), attn_mask=mask)
        x = self.norms[0](x + self.out(seen.transpose(1, 2).reshape(x.shape)))
        return self.norms[1](x + self.down(nn.functional.gelu(self.up(x))))


class _Linear(nn.Module):
    """y_l = W_l x_l + b_l, drawn like `nn.Linear`."""

    def __init__(self, count: int, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(count, inputs, outputs).uniform_(-bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(count, 1, outputs).uniform_(-bound, bound)) if bias else None
        )

    def forward(self, x: Float[Tensor, "L *rows I"]) -> Float[Tensor, "L *rows O"]:
        rows = x.flatten(1, -2)
        y = rows @ self.weight if self.bias is None else torch.baddbmm(self.bias, rows, self.weight)
        return y.unflatten(1, x.shape[1:-1])


class _Norm(nn.Module):
    """Layer norm with a scale and a shift for each of L."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(count, 1, 1, width))
        self.bias = nn.Parameter(torch.zeros(count, 1, 1, width))

    def forward(self, x: Float[Tensor, "L B P H"]) -> Float[Tensor, "L B P H"]:
        return nn.functional.layer_norm(x, x.shape[-1:]) * self.weight + self.bias
