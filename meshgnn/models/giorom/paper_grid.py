"""Where the latent grid of the published stepper lies, and which of its nodes a particle sees."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.models.giorom.particles import Particles

DOMAINS = ("walls", "body")
_MARGIN = 0.1  # of half the window, beyond the farthest point


def unit_positions(particles: Particles, domain: str | tuple[float, float]) -> Float[Tensor, "n d"]:
    """ξ = (x − low) / (high − low), axis by axis: the box of the graph onto the unit box.

    "walls": an axis with walls on both sides runs from one to the other, or to the farthest point
    beyond. On the others, and with "body" on all, the box is a window that follows the body:
    x̄ ± 1.1 max_i max(|X_i − X̄|, |x_i − x̄|_∞, R), means by mass. It keeps its size while the body
    moves, turns and does not stretch. All points are inside, and ξ does not change when the scene
    is shifted or scaled. A pair of numbers is a fixed box in the coordinates of `particles`.
    """
    x = particles.position
    if not isinstance(domain, str):
        low, high = domain
        return (x - low) / (high - low)
    rows, graph = particles.rows, particles.graph
    gap = x - rows.mean(x, particles.mass)[graph]
    lag = particles.reference - rows.mean(particles.reference, particles.mass)[graph]
    reach = torch.stack([lag.norm(dim=1), gap.abs().amax(dim=1), particles.radius]).amax(dim=0)
    half = (1 + _MARGIN) * _most(reach[:, None], graph, rows.graphs)
    low, size = -half, (2 * half).expand_as(x)
    if domain == "walls":
        closed = particles.lo.isfinite() & particles.hi.isfinite()
        # from x̄ as well, so that both kinds of axes have the same zero
        left = torch.where(closed, particles.lo - x + gap, low)
        right = torch.where(closed, particles.hi - x + gap, low + size)
        left = torch.minimum(left, -_most(-gap, graph, rows.graphs))
        right = torch.maximum(right, _most(gap, graph, rows.graphs))
        low, size = left, torch.maximum(right - left, particles.radius[:, None])
    return (gap - low) / size


def _most(
    values: Float[Tensor, "n C"], graph: Int[Tensor, " n"], graphs: int
) -> Float[Tensor, "n C"]:
    """The largest value in the graph of every point."""
    index = graph[:, None].expand_as(values)
    most = values.new_full((graphs, values.shape[1]), -torch.inf)
    return most.scatter_reduce(0, index, values, "amax")[graph]


@dataclass(frozen=True, eq=False)
class GridPairs:
    """Particles i and grid nodes g with |ξ_i − g| ≤ r; M nodes have a particle in reach.

    Args:
        particle, node: one pair an entry, sorted by particle; nodes count the M occupied ones.
        by_node: the order that sorts the pairs by node.
        place: the M nodes in the unit box, those of the first graph first.
        owner: their graphs.
    """

    particle: Int[Tensor, " P"]
    node: Int[Tensor, " P"]
    by_node: Int[Tensor, " P"]
    place: Float[Tensor, "M d"]
    owner: Int[Tensor, " M"]


@torch.no_grad()
def grid_pairs(
    xi: Float[Tensor, "n d"], graph: Int[Tensor, " n"], size: int, reach: float
) -> GridPairs:
    """All pairs within r on the grid of every graph, by the indices of the nodes in reach.

    The nodes are (k_1, …, k_d) / (size − 1), k = 0 … size − 1. Points that are NaN or infinite
    have no pairs (a march that blows up says so itself).

    Args:
        xi: ξ, points in the unit box.
        graph: of every point.
        size: nodes along an axis.
        reach: r, in the unit box.

    Raises:
        ValueError: points that see no node.
    """
    count, dim = xi.shape
    spacing = 1 / (size - 1)
    span = torch.arange(int(2 * reach / spacing) + 1, device=xi.device)
    steps = torch.cartesian_prod(*[span] * dim).reshape(-1, dim)
    index = ((xi - reach) / spacing).ceil().long()[:, None] + steps
    distance = (index * spacing - xi[:, None]).square().sum(dim=2)
    inside = ((index >= 0) & (index < size)).all(dim=2)
    particle, step = ((distance <= reach**2) & inside).nonzero(as_tuple=True)
    _check_blind(xi, torch.bincount(particle, minlength=count), spacing, reach)
    number = graph[particle]
    for axis in range(dim):
        number = number * size + index[particle, step, axis]
    number, node = number.unique(return_inverse=True)
    owner = number // size**dim
    place = grid_nodes(size, dim, xi)[number % size**dim]
    return GridPairs(particle, node, node.argsort(stable=True), place, owner)


def grid_nodes(size: int, dim: int, like: Tensor) -> Float[Tensor, "T d"]:
    """All nodes of the grid in the unit box, the last axis fastest."""
    axis = torch.linspace(0, 1, size, device=like.device, dtype=like.dtype)
    return torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)


def _check_blind(
    xi: Float[Tensor, "n d"], seen: Int[Tensor, " n"], spacing: float, reach: float
) -> None:
    blind = ((seen == 0) & xi.isfinite().all(dim=1)).nonzero()[:, 0]
    if len(blind):
        enough = spacing * xi.shape[1] ** 0.5 / 2
        raise ValueError(
            f"PaperStepper: {len(blind)} of {len(xi)} particles see no node of the latent grid, "
            f"the first is {int(blind[0])}; give a reach of at least {enough:.3g} (half the "
            f"diagonal of a cell; it is {reach:g}) and a domain that holds all particles, as "
            "'walls' and 'body' do"
        )
