"""The global path: what a local network lacks on every steady problem."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshgnn.nn.reductions import GraphRows


class SliceAttention(nn.Module):
    """Nodes → M learned slices → attention between slices → nodes; linear in the node count.

        s_im = softmax_m(W_s h_i),   z_m = Σ_i w_i s_im h_i / Σ_i w_i s_im,
        z' = softmax(q(z) k(z)ᵀ / √H) v(z),   h_i ← h_i + W_o Σ_m s_im z'_m.

    The gather is a mass-weighted mean, so it does not depend on how finely a region is meshed. Each
    graph of a batch attends to its own slices only.

    Args:
        width: H.
        slices: M per head.
        heads: number of heads; divides H.

    Raises:
        ValueError: width is not a multiple of heads.

    Source: Wu et al. 2024 (Transolver), eq. 2 to 4, with quadrature weights.
    """

    def __init__(self, width: int, slices: int = 32, heads: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        self.heads, self.slices = heads, slices
        self.norm = nn.LayerNorm(width)
        self.assign = nn.Linear(width, heads * slices)
        self.value = nn.Linear(width, width)
        self.qkv = nn.Linear(width // heads, 3 * (width // heads), bias=False)
        self.out = nn.Linear(width, width)

    def forward(
        self, h: Float[Tensor, "N H"], mass: Float[Tensor, " N"], rows: GraphRows
    ) -> Float[Tensor, "N H"]:
        """Node states after one global exchange; `rows` holds the graphs of the batch."""
        nodes, width = h.shape
        x = self.norm(h)
        shape = (rows.graphs, rows.rows, self.heads, -1)
        logits, value = self.assign(x).to(mass.dtype), self.value(x).to(mass.dtype)
        # Softmax over slices times masses is where half precision would lose nodes.
        with torch.autocast(h.device.type, enabled=False):
            s = torch.softmax(logits.view(nodes, self.heads, self.slices), dim=-1)
            slots = rows.pad(s.view(nodes, -1)).view(shape)
            block = slots * rows.pad(mass[:, None])[..., None]
            gathered = torch.einsum("bnhm,bnhc->bhmc", block, rows.pad(value).view(shape))
            total = block.sum(dim=1)[..., None]
            z = gathered / total.clamp(min=torch.finfo(total.dtype).tiny)
        q, k, v = self.qkv(z.to(h.dtype)).chunk(3, dim=-1)
        z = nn.functional.scaled_dot_product_attention(q, k, v).to(mass.dtype)
        with torch.autocast(h.device.type, enabled=False):
            back = torch.einsum("bnhm,bhmc->bnhc", slots, z)
        return h + self.out(rows.flatten(back.reshape(rows.graphs, rows.rows, width)).to(h.dtype))
