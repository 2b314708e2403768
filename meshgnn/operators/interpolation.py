"""P1 interpolation: which simplex holds a point, and with which barycentric weights."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from meshgnn.operators.differential import hat_gradients


@dataclass(frozen=True, eq=False)
class Location:
    """Points located in simplices.

    Args:
        simplex: [Q] the simplex that holds the point, or is nearest to it.
        weights: λ [Q, n] barycentric, λ ≥ 0 up to rounding, Σ λ = 1; of the nearest point of the
            mesh where the point itself is outside.
        inside: [Q] False where the point is outside the mesh and its nearest point was taken.
    """

    simplex: Int[Tensor, " Q"]
    weights: Float[Tensor, "Q n"]
    inside: Bool[Tensor, " Q"]


def barycentric(
    points: Float[Tensor, "Q d"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "Q n"]
) -> Float[Tensor, "Q n"]:
    """λ_i(x) = φ_i(x) of one given simplex for each point, negative when it is outside.

    In a space of more dimensions those of the orthogonal projection of x. Σ λ = 1.
    """
    if simplices.shape[1] == 1:
        return torch.ones_like(points[:, :1])
    hats, _ = hat_gradients(pos, simplices)
    weights = torch.einsum("qnd,qd->qn", hats, points - pos[simplices[:, 0]])
    return torch.cat([1 + weights[:, :1], weights[:, 1:]], dim=1)


def closest(
    points: Float[Tensor, "Q d"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "Q n"]
) -> Float[Tensor, "Q n"]:
    """λ of the point of a simplex that is nearest to x: argmin |x - Σ λ_i x_i|, λ ≥ 0, Σ λ = 1.

    The nearest projection onto the faces of every dimension that falls into its face.
    """
    best = points.new_zeros(len(points), simplices.shape[1])
    least = torch.full_like(points[:, 0], torch.inf)
    for size in range(simplices.shape[1], 0, -1):
        for face in combinations(range(simplices.shape[1]), size):
            part = barycentric(points, pos, simplices[:, face])
            foot = torch.einsum("qn,qnd->qd", part, pos[simplices[:, face]])
            distance = ((points - foot) ** 2).sum(dim=1)
            better = (part.detach() >= 0).all(dim=1) & (distance < least)
            weights = best.new_zeros(best.shape)
            weights[:, face] = part
            best = torch.where(better[:, None], weights, best)
            least = torch.where(better, distance.detach(), least)
    return best


def locate(
    points: Float[Tensor, "Q _"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]
) -> Location:
    """The simplex of each point and λ with x = Σ_i λ_i x_i; the nearest one for points outside.

    Exact, whatever the grading: a point of a simplex is at most its radius away from its centre,
    and the nearest simplex of an outer point is not farther than the nearest node; candidates are
    found by k-d trees of the centres, one tree per octave of radius. The search runs on the CPU,
    λ are differentiable in `points` and `pos`. For one mesh: in a disjoint union of overlapping
    meshes a point has no single simplex.

    Args:
        points: x [Q, d] to locate.
        pos: [N, d] node positions.
        simplices: [S, n].

    Raises:
        ValueError: no simplex to locate points in, or points of another dimension.
    """
    if points.shape[1] != pos.shape[1] or not len(simplices):
        raise ValueError(
            f"locate: expected points of dimension {pos.shape[1]} and at least one simplex, got "
            f"points of shape {tuple(points.shape)} and {len(simplices)} simplices"
        )
    x, nodes, cells = points.detach().cpu().double(), pos.detach().cpu().double(), simplices.cpu()
    trees = _octaves(nodes.numpy(), cells.numpy())
    eps = max(torch.finfo(t.dtype).eps for t in (points, pos))
    tolerance = 100 * eps * float(np.ptp(nodes.numpy(), axis=0).max())
    found, distance = _nearest(x, nodes, cells, trees, np.full(len(x), tolerance), barycentric)
    left = torch.nonzero(distance > tolerance)[:, 0]
    if len(left):
        reach = KDTree(nodes.numpy()).query(x[left].numpy())[0] + tolerance
        found[left], distance[left] = _nearest(x[left], nodes, cells, trees, reach, closest)
    chosen, inside = found.to(simplices.device), (distance <= tolerance).to(points.device)
    weights = barycentric(points, pos, simplices[chosen])
    if len(left):
        outer = closest(points, pos, simplices[chosen])
        weights = torch.where(inside[:, None], weights, outer)
    return Location(chosen, weights, inside)


def interpolate(
    u: Float[Tensor, "N C"], simplices: Int[Tensor, "S n"], location: Location
) -> Float[Tensor, "Q C"]:
    """u(x) = Σ_i λ_i u_i; exact for linear u. Constant along the normal outside the mesh."""
    return torch.einsum("qn,qnc->qc", location.weights, u[simplices[location.simplex]])


def _octaves(
    nodes: Float[np.ndarray, "N d"], cells: Int[np.ndarray, "S n"]
) -> list[tuple[KDTree, Int[np.ndarray, " _"], float]]:
    """Simplices of similar size together: (tree of centres, their numbers, largest radius)."""
    centres = nodes[cells].mean(axis=1)
    radius = np.linalg.norm(nodes[cells] - centres[:, None], axis=2).max(axis=1)
    octave = np.floor(np.log2(np.maximum(radius, np.finfo(float).tiny)))
    groups = [np.flatnonzero(octave == level) for level in np.unique(octave)]
    return [(KDTree(centres[group]), group, float(radius[group].max())) for group in groups]


def _nearest(
    x: Float[Tensor, "Q d"],
    nodes: Float[Tensor, "N d"],
    cells: Int[Tensor, "S n"],
    trees: list[tuple[KDTree, Int[np.ndarray, " _"], float]],
    reach: Float[np.ndarray, " Q"],
    weigh: Callable[..., Float[Tensor, "P n"]],
    chunk: int = 20_000,
) -> tuple[Int[Tensor, " Q"], Float[Tensor, " Q"]]:
    """The nearest simplex of those within `reach` of x and its distance; -1, inf without one."""
    best, least = torch.full((len(x),), -1), torch.full((len(x),), torch.inf, dtype=x.dtype)
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        queries, hits = [], []
        for tree, group, radius in trees:
            lists = tree.query_ball_point(part.numpy(), radius + reach[start : start + chunk])
            queries.append(np.repeat(np.arange(len(part)), [len(found) for found in lists]))
            hits.append(group[np.concatenate([*lists, []]).astype(np.int64)])
        query = torch.from_numpy(np.concatenate(queries))
        cell = torch.from_numpy(np.concatenate(hits))
        # barycentric weights of a point beyond a face are clamped: such a simplex only has to lose
        weights = weigh(part[query], nodes, cells[cell]).clamp(min=0)
        weights = weights / weights.sum(dim=1, keepdim=True)
        foot = torch.einsum("pn,pnd->pd", weights, nodes[cells[cell]])
        distance = (part[query] - foot).norm(dim=1)
        order = np.lexsort((cell.numpy(), distance.numpy(), query.numpy()))
        owner, first = np.unique(query.numpy()[order], return_index=True)
        best[start + owner] = cell[order[first]]
        least[start + owner] = distance[order[first]]
    return best, least
