"""What the training of `LearnedIC` minimises: functions (model, graph) -> scalar."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data


def data_loss(model: Any, graph: Data) -> Float[Tensor, ""]:
    """L = mean (L Lᵀ x - b)²,  b random, x = Â⁻¹ b.

    Its expectation is ‖L Lᵀ Â⁻¹ - I‖² / N: the small eigenvalues of (L Lᵀ)⁻¹ Â, on which conjugate
    gradients spend most of their iterations, count most.

    Source: Li, Chen, Du, Matusik, Learning Preconditioners for CG, ICML 2023, with random b.
    """
    index = entries(graph)
    lower, diagonal = model(graph)
    image = apply_factor(lower, diagonal, index, graph.solution)
    return (image - graph.right).square().mean()


def frobenius_loss(model: Any, graph: Data) -> Float[Tensor, ""]:
    """L = mean ((L Lᵀ - Â) z)², z standard normal and new in each call: ‖L Lᵀ - Â‖² / N.

    For comparison: by itself it improves nothing (8 to 16 % more iterations than IC(0) were found),
    since it counts the large eigenvalues, and convergence hangs on the small ones.
    """
    index = entries(graph)
    (row, column), a = index, graph.matrix[:, None]
    lower, diagonal = model(graph)
    z = torch.randn_like(graph.right)
    image = z.index_add(0, row, a * z[column]).index_add(0, column, a * z[row])
    return (apply_factor(lower, diagonal, index, z) - image).square().mean()


def entries(graph: Data) -> Int[Tensor, "2 K"]:
    """Rows and columns of the entries of L below the diagonal, in the order of `graph.lower`."""
    source, target = graph.edge_index
    below = source < target
    return torch.stack([target[below], source[below]])


def apply_factor(
    lower: Float[Tensor, " K"],
    diagonal: Float[Tensor, " N"],
    index: Int[Tensor, "2 K"],
    x: Float[Tensor, "N V"],
) -> Float[Tensor, "N V"]:
    """L Lᵀ x."""
    row, column = index
    y = (diagonal[:, None] * x).index_add(0, column, lower[:, None] * x[row])
    return (diagonal[:, None] * y).index_add(0, row, lower[:, None] * y[column])
