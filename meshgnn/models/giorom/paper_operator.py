"""The operator transformer on the latent grid of the published stepper."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshgnn.nn import GraphRows, mlp


class OperatorTransformer(nn.Module):
    """Tokens z_g of the grid nodes → latent values, by attention that is linear in their number.

        X = trunk(z),   Y = branch(g);   in every block
        X ← X + A(LN X, LN Y),   X ← X + LN Σ_e p_e f_e(X),
        X ← X + A(LN X, LN X),   X ← X + LN Σ_e p_e f'_e(X),   p = softmax(gate(z)),
        and at the end out(X).

    All nodes without a particle in reach have z = 0, hence the same X throughout. They are carried
    as one token, counted as often as there are such nodes: the result is that of all T tokens
    (under dropout they share their mask), at the cost of the occupied ones. Published gates see
    coordinates in the original GNOT; here, as in the published code, they see z.

    Args:
        dim: d, of the grid nodes.
        channels: of z.
        out: of the latent values.
        width: of X and Y.
        heads: divides width.
        blocks: number of blocks.
        experts: number of f_e.
        dropout: in the self-attention and on the result of both attentions.

    Source: Hao et al., GNOT, ICML 2023; Viswanath et al., arXiv 2407.03925, code.
    """

    def __init__(
        self,
        dim: int,
        channels: int,
        out: int,
        width: int,
        heads: int,
        blocks: int,
        experts: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.trunk = ResidualMLP(channels, width, width)
        self.branch = ResidualMLP(dim, width, width)
        self.blocks = nn.ModuleList(
            _Block(channels, width, heads, experts, dropout) for _ in range(blocks)
        )
        self.out = ResidualMLP(width, width, out)

    def forward(
        self, z: Float[Tensor, "M C"], nodes: Float[Tensor, "T d"], rows: GraphRows
    ) -> Float[Tensor, "M K"]:
        """Latent values at the occupied nodes; `nodes` is the whole grid of one graph."""
        tokens = rows.pad(z)
        present = rows.pad(z.new_ones(len(z), 1))
        empty = len(nodes) - present.sum(dim=1, keepdim=True)
        tokens = torch.cat([tokens, tokens.new_zeros(len(tokens), 1, z.shape[1])], dim=1)
        count = torch.cat([present, empty], dim=1)
        x, y = self.trunk(tokens), self.branch(nodes)[None]
        for block in self.blocks:
            x = block(x, y, tokens, count)
        return rows.flatten(self.out(x[:, :-1]))


class ResidualMLP(nn.Module):
    """x ← S(W x), x ← x + S(W' x), W'' x with S = GELU and biases.

    Args:
        inputs, width, outputs: sizes.
    """

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.Linear(width, width)
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Float[Tensor, "*rows C"]) -> Float[Tensor, "*rows K"]:
        """The last axis is mapped."""
        x = nn.functional.gelu(self.first(x))
        return self.last(x + nn.functional.gelu(self.hidden(x)))


class LinearAttention(nn.Module):
    """out_i = W (q_i + q_i Σ_j c_j k_jᵀ v_j / q_i · Σ_j c_j k_j),   q, k = softmax over channels.

    One head of the sum; the term q_i beside the mean is published. Sources of one graph may serve
    all others (first size 1).

    Args:
        width: H.
        heads: divides it.
        dropout: before W.

    Raises:
        ValueError: heads that do not divide the width.

    Source: Hao et al., GNOT, ICML 2023, sec. 4.2; its code.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "B n H"],
        source: Float[Tensor, "A m H"],
        count: Float[Tensor, "A m 1"],
    ) -> Float[Tensor, "B n H"]:
        """One exchange; `count` says how often each source counts."""
        q = torch.softmax(self._split(self.query(x), count), dim=-1)
        k = torch.softmax(self._split(self.key(source), count), dim=-1) * count[:, None]
        v = self._split(self.value(source), count)
        # such sums are not for half precision
        with torch.autocast(x.device.type, enabled=False):
            context, total = k.transpose(2, 3) @ v, k.sum(dim=2)[..., None]
            mixed = q + (q @ context) / (q @ total)
        return self.out(self.drop(mixed).transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "B n H"], like: Tensor) -> Float[Tensor, "B h n c"]:
        return x.to(like.dtype).unflatten(2, (self.heads, -1)).transpose(1, 2)


class _Block(nn.Module):
    """Cross-attention, experts, self-attention, experts."""

    def __init__(self, channels: int, width: int, heads: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(5))
        self.cross = LinearAttention(width, heads)
        self.own = LinearAttention(width, heads, dropout)
        self.first, self.second = (
            nn.ModuleList(mlp([width] * 3, "gelu") for _ in range(experts)) for _ in range(2)
        )
        self.gate = mlp([channels, width, width, experts], "gelu")
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "B n H"],
        y: Float[Tensor, "1 T H"],
        z: Float[Tensor, "B n C"],
        count: Float[Tensor, "B n 1"],
    ) -> Float[Tensor, "B n H"]:
        """X after the block; y: branch tokens, z: what the gate sees."""
        share = torch.softmax(self.gate(z), dim=-1)[..., None, :]
        seen = self.cross(self.norm[0](x), self.norm[1](y), torch.ones_like(y[..., :1]))
        x = x + self.drop(seen)
        x = x + self.norm[2](_mixed(self.first, x, share))
        own = self.norm[3](x)
        x = x + self.drop(self.own(own, own, count))
        return x + self.norm[4](_mixed(self.second, x, share))


def _mixed(
    experts: nn.ModuleList, x: Float[Tensor, "B n H"], share: Float[Tensor, "B n 1 e"]
) -> Float[Tensor, "B n H"]:
    """Σ_e p_e f_e(x)."""
    results = torch.stack([expert(x) for expert in experts], dim=-1)
    return (share * results).sum(dim=-1)
