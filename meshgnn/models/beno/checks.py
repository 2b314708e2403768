"""What a graph must hold for the problem on it to have one solution."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.models.beno.operator import rotations

UNBALANCED = 1e-3  # of the sum of all loads: above it is no matter of quadrature


def check_inputs(graph: Data, channels: int, elastic: bool) -> None:
    """Columns and signs of what the operator is assembled from.

    Raises:
        ValueError: other columns over the cells than the source's components, then k or λ and μ;
            fewer columns at the nodes than the source has components; k <= 0, μ <= 0 or
            λ + 2 μ / d <= 0 somewhere; α < 0.
    """
    expected = [*["source"] * channels, *(["λ", "μ"] if elastic else ["k"])]
    if graph.cell_a.shape[1] != len(expected):
        raise ValueError(
            f"BENO: expected the inputs {', '.join(expected)} over the cells, got "
            f"{graph.cell_a.shape[1]} columns; make samples with the problems of this version, or "
            "give Sample.cell_inputs"
        )
    if graph.a.shape[1] < channels:
        raise ValueError(
            f"BENO: expected the source's {channels} components first among the inputs at the "
            f"nodes, got {graph.a.shape[1]} columns; give Sample.inputs"
        )
    moduli, alpha = graph.cell_a[:, channels:].double(), graph.robin_load
    rules = [("k > 0", moduli[:, 0], moduli[:, 0] > 0), ("α >= 0", alpha, alpha >= 0)]
    if elastic:
        bulk = moduli[:, 0] + 2 / channels * moduli[:, 1]
        rules[:1] = [("μ > 0", moduli[:, 1], moduli[:, 1] > 0), ("λ + 2 μ / d > 0", bulk, bulk > 0)]
    for rule, values, kept in rules:
        if not kept.all():
            raise ValueError(
                f"BENO: expected {rule} everywhere, got {int((~kept).sum())} values that are not, "
                f"the first {float(values[~kept][0]):g}; repair the coefficient"
            )


def check_held(graph: Data, elastic: bool) -> None:
    """Whether the conditions leave one solution; `graph` has its loads.

    Raises:
        ValueError: supports that leave a rigid motion free; a scalar problem that no condition
            holds and whose loads do not balance.
    """
    if elastic:
        motions = rigid_motions(graph.pos.double() / graph.extent.double())
        held = motions[graph.dirichlet_mask.reshape(-1)]
        rank = int(torch.linalg.matrix_rank(held)) if len(held) else 0
        if rank < motions.shape[1]:
            raise ValueError(
                f"BENO: the supports leave {motions.shape[1] - rank} of {motions.shape[1]} rigid "
                "motions free; prescribe u on a part, or single components on several"
            )
    elif bool(graph.floating):
        load = (graph.source_load + graph.edge_load).double()
        if abs(float(load.sum())) > UNBALANCED * float(load.abs().sum()):
            raise ValueError(
                "BENO: a pure Neumann problem needs ∫ f dx + ∫ g ds = 0 (no part has a Dirichlet "
                f"or Robin condition), but it is {float(load.sum()):.6g}; balance the source, or "
                "prescribe u somewhere"
            )


def rigid_motions(pos: Float[Tensor, "N d"]) -> Float[Tensor, "Nd q"]:
    """Translations and infinitesimal rotations, one row per node and component."""
    eye = torch.eye(pos.shape[1], dtype=pos.dtype, device=pos.device)
    return torch.cat([eye.expand(len(pos), -1, -1), rotations(pos)], dim=2).flatten(0, 1)
