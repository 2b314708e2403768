"""`LearnedIC`: the graph network that corrects an incomplete Cholesky factor."""

import warnings
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.allocator import tune_process
from meshgnn.nn import InteractionBlock, Standardise, mlp
from meshgnn.preconditioner.factor import Factor, Matrix, incomplete_cholesky
from meshgnn.preconditioner.graph import EDGE_FEATURES, NODE_FEATURES, matrix_graph
from meshgnn.preconditioner.losses import data_loss, entries

# An absolute part beside the relative one lets entries grow that IC(0) leaves at nothing.
_ABSOLUTE = 0.02
_ASKED = ("x", "edge_attr", "edge_index", "matrix", "lower", "diagonal", "constant", "inexact")
_ASKED += ("right", "solution")
_FAR = 1e3  # between quotients; within it are trained weights and, for M-matrices, random ones


class LearnedIC(nn.Module):
    """P = L Lᵀ on the pattern of A, L = IC(0) of A corrected by a graph network on A's graph:

        l_jj = l⁰_jj exp(tanh(α_1 d_j) / 2),   ρ_ij = ρ⁰_ij + tanh(α_2 g_ij) (|ρ⁰_ij| + 0.02),
        l_ij = l_jj ρ_ij min(1, s_j / Σ_k |ρ_kj| v_k / v_j),

    with ρ = l_ij / l_jj, v the constant vector in scaled unknowns and s_j the larger of 1 and the
    same sum of IC(0). d, g come from the network; α = 0 at the start, which is IC(0). Where the
    pattern drops nothing, nothing is corrected: a factor that is exact stays so.

    P is symmetric and positive definite for every set of weights, since the diagonal stays
    positive. For an M-matrix the columns keep the dominance that its factor has, so that L⁻¹ does
    not grow along the numbering. For others, elasticity among them, poor weights can make it grow:
    where z·Az / r·z, z = P⁻¹ r, of a random r is 1,000 times or a thousandth of what it is with
    IC(0), `factor` gives IC(0) with a warning. Weights decide how fast conjugate gradients
    converge, never to what. The network runs in float32, the factor and its solves in float64.

    For any sparse symmetric positive definite A: see `incomplete_cholesky` for the ordering, its
    rule, and what happens to a pivot that fails. What it gains depends on the matrices it was
    trained on.

    Args:
        width: H of the network.
        blocks: message-passing steps.

    Raises:
        ValueError: width or blocks below 1.

    Source: Li, Chen, Du, Matusik, Learning Preconditioners for CG, ICML 2023 (the task and the
    data-weighted loss); Trifonov et al. 2024 (a correction of IC in place of a factor).
    """

    loss = staticmethod(data_loss)

    def __init__(self, width: int = 8, blocks: int = 2) -> None:
        super().__init__()
        self.hparams = {"width": width, "blocks": blocks}
        if min(width, blocks) < 1:
            raise ValueError(f"LearnedIC: expected sizes of at least 1, got {self.hparams}")
        self.scale_node, self.scale_edge = Standardise(NODE_FEATURES), Standardise(EDGE_FEATURES)
        self.encode_node = mlp([NODE_FEATURES, width, width])
        self.encode_edge = mlp([EDGE_FEATURES, width, width])
        self.blocks = nn.ModuleList(InteractionBlock(width, reduce="mean") for _ in range(blocks))
        self.on_diagonal = mlp([width, width, 1])
        self.off_diagonal = mlp([3 * width, width, 1])
        self.alpha = nn.Parameter(torch.zeros(2))

    def check_graph(self, graph: Data) -> None:
        """What `fit` asks of a graph. Raises: ValueError: not one of `training_graph`."""
        missing = [name for name in _ASKED if name not in graph]
        if missing:
            raise ValueError(
                f"LearnedIC: the graph has no {', '.join(missing)}; it learns from matrices: build "
                "graphs with meshgnn.preconditioner.training_graph"
            )

    def fit_statistics(self, graphs: list[Data]) -> None:
        """Set the buffers of the normalisation from the training graphs (float64)."""
        self.scale_node.fit(graph.x for graph in graphs)
        self.scale_edge.fit(graph.edge_attr for graph in graphs)

    def forward(self, graph: Data) -> tuple[Float[Tensor, " K"], Float[Tensor, " N"]]:
        """Entries of L below the diagonal, in the order of `graph.lower`, and on it."""
        row, column = entries(graph)
        on, off = (part.to(graph.lower.dtype) for part in self._network(graph))
        initial = graph.lower / graph.diagonal[column]
        ratio = initial + torch.tanh(off) * (initial.abs() + _ABSOLUTE)
        weight = graph.constant[row] / graph.constant[column]
        zero = torch.zeros_like(graph.diagonal)
        cap = zero.index_add(0, column, initial.abs() * weight).clamp(min=1)
        total = zero.index_add(0, column, ratio.abs() * weight)
        ratio = ratio * (cap / torch.maximum(total, cap))[column]
        diagonal = graph.diagonal * torch.exp(torch.tanh(on) / 2)
        return ratio * diagonal[column], diagonal

    def _network(self, graph: Data) -> tuple[Float[Tensor, " N"], Float[Tensor, " K"]]:
        """α_1 d and α_2 g, 0 where IC(0) is exact."""
        h = self.encode_node(self.scale_node(graph.x))
        e = self.encode_edge(self.scale_edge(graph.edge_attr))
        for block in self.blocks:
            h, m = block(h, e, graph.edge_index)
            e = e + m
        source, target = graph.edge_index
        below = source < target
        ends = torch.cat([h[target[below]], h[source[below]], e[below]], dim=1)
        on = self.alpha[0] * self.on_diagonal(h)[:, 0]
        off = self.alpha[1] * self.off_diagonal(ends)[:, 0]
        chosen = graph.inexact[target[below]] | graph.inexact[source[below]]
        return torch.where(graph.inexact, on, 0.0), torch.where(chosen, off, 0.0)

    @torch.no_grad()
    def corrected(self, factor: Factor) -> Factor:
        """The factor with the corrections of the network; with a warning as it is, if they fail."""
        tune_process()
        graph = matrix_graph(factor).to(self.alpha.device)
        lower, diagonal = (part.cpu().numpy() for part in self(graph))
        found = replace(factor, lower=lower, diagonal=diagonal)
        if not (np.isfinite(lower).all() and np.isfinite(diagonal).all()):
            reason = "numbers that are not finite"
        elif not 1 / _FAR < found.quotient() / factor.quotient() < _FAR:
            reason = "a factor that is far from this matrix"
        else:
            return found
        warnings.warn(f"LearnedIC: the network gave {reason}; IC(0) is used as it is", stacklevel=2)
        return factor

    def factor(self, matrix: Matrix) -> Factor:
        """IC(0) of a matrix, corrected. Raises: as `incomplete_cholesky`."""
        return self.corrected(incomplete_cholesky(matrix))

    def operator(self, matrix: Matrix) -> LinearOperator:
        """r -> P⁻¹ r, for the argument M of `scipy.sparse.linalg.cg`. Raises: as `factor`."""
        return self.factor(matrix).operator()
