"""Sums over incoming edges, and the rows of a batch of graphs as one padded block."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

try:  # An optional accelerator; native torch gives the same sums.
    from torch_scatter import segment_csr
except ImportError:
    segment_csr = None


def segment_sum(
    messages: Float[Tensor, "E C"], target: Int[Tensor, " E"], num_nodes: int
) -> Float[Tensor, "N C"]:
    """out_i = Σ_{e: target(e) = i} m_e for edges sorted by target.

    Sorted targets make the reduction run over contiguous segments: torch-scatter's segment kernel
    does so explicitly where it is installed, `index_add` profits through the cache.

    Args:
        messages: m [E, C].
        target: node index of each edge [E], ascending.
        num_nodes: N.
    """
    if segment_csr is not None:
        counts = torch.bincount(target, minlength=num_nodes)
        return segment_csr(
            messages, torch.nn.functional.pad(counts.cumsum(0), (1, 0)), reduce="sum"
        )
    return messages.new_zeros(num_nodes, messages.shape[1]).index_add(0, target, messages)


class GraphRows:
    """The node rows of B graphs as a block [B, n_max, C] padded with zeros, and back.

    For one graph both directions are views and cost nothing.
    """

    def __init__(self, batch: Int[Tensor, " N"] | None, num_nodes: int) -> None:
        self.graphs, self.rows = 1, num_nodes
        self.slot: Tensor | None = None
        if batch is None:
            return
        counts = torch.bincount(batch)
        self.graphs, self.rows = len(counts), int(counts.max())
        if self.graphs > 1:
            start = counts.cumsum(0) - counts
            node = torch.arange(num_nodes, device=batch.device)
            self.slot = batch * self.rows + node - start[batch]

    def pad(self, x: Float[Tensor, "N C"]) -> Float[Tensor, "B n C"]:
        """[N, C] to [B, n_max, C]; empty places hold 0."""
        if self.slot is None:
            return x[None]
        block = x.new_zeros(self.graphs * self.rows, x.shape[1])
        return block.index_copy(0, self.slot, x).view(self.graphs, self.rows, -1)

    def flatten(self, x: Float[Tensor, "B n C"]) -> Float[Tensor, "N C"]:
        """[B, n_max, C] back to [N, C]."""
        flat = x.reshape(self.graphs * self.rows, -1)
        return flat if self.slot is None else flat[self.slot]
