"""Points that have moved, found again from where they were."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshgnn.operators.differential import hat_gradients
from meshgnn.operators.interpolation import Location, barycentric, closest, locate

_STEPS, _ROUNDS = 200, 50  # far more than walks and descents take


def neighbour_steps(simplices: Int[Tensor, "S n"], nodes: int) -> Int[Tensor, "S n"]:
    """t − s for the simplex t on the other side of the facet of s opposite to its corner k.

    0 on the boundary. Differences instead of numbers, so that they are the same in a disjoint union
    of meshes: concatenated they are those of the union.

    Args:
        simplices: [S, n] of a mesh in which no facet has more than two.
        nodes: N.
    """
    count, n = simplices.shape
    facets = torch.stack([simplices[:, [j for j in range(n) if j != k]] for k in range(n)], dim=1)
    corners = facets.flatten(0, 1).sort(dim=1).values
    key = corners[:, 0]
    for column in corners.t()[1:]:  # numbers of the pairs first: products of three may overflow
        key = torch.unique(key * nodes + column, return_inverse=True)[1]
    order = torch.sort(key, stable=True).indices
    first = order[:-1][key[order[1:]] == key[order[:-1]]]
    second = order[1:][key[order[1:]] == key[order[:-1]]]
    owner = torch.arange(count, device=key.device).repeat_interleave(n)
    steps = torch.zeros_like(key)
    steps[first] = owner[second] - owner[first]
    steps[second] = owner[first] - owner[second]
    return steps.view(count, n)


def track(
    points: Float[Tensor, "Q d"],
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "S n"],
    steps: Int[Tensor, "S n"] | None = None,
    batch: Int[Tensor, " N"] | None = None,
    start: Int[Tensor, " Q"] | None = None,
) -> Location:
    """The simplex of pos that holds x_i, found on a walk from node i: `locate` for moved nodes.

    The walk goes through the facet of the most negative λ, so it takes as many steps as there are
    cells between pos_i and x_i, all points at once, on the device of the points. It ends where
    λ ≥ −√ε, ε the rounding of the numbers. Points outside, as next to a curved boundary whose nodes
    have moved, get the nearest point of the mesh: a descent over simplices with common corners. One
    that ends farther off than half an edge (walks do not turn around holes) is located by `locate`.

    Works on a disjoint union of meshes; each point stays in the mesh of its node. λ are
    differentiable in `points` and `pos`.

    Args:
        points: x [Q, d], one for each node, or any with a start.
        pos: [N, d] node positions of the mesh that is searched.
        simplices: [S, d + 1].
        steps: its `neighbour_steps`, where they are known.
        batch: [N] mesh of each node; one mesh where it is not given.
        start: [Q] the simplex where each walk begins; one at node i where it is not given.

    Raises:
        ValueError: surfaces and curves in space, or no simplex.
    """
    if simplices.shape[1] != pos.shape[1] + 1 or not len(simplices):
        raise ValueError(
            f"track: expected simplices with d + 1 = {pos.shape[1] + 1} corners, got shape "
            f"{list(simplices.shape)}; surfaces and curves in space are not covered, see locate"
        )
    x, nodes = points.detach(), pos.detach()
    steps = neighbour_steps(simplices, len(pos)) if steps is None else steps
    cell = _first(simplices, len(pos)) if start is None else start.clone()
    cell = _walk(x, nodes, simplices, steps, cell)
    inside = _held(barycentric(x, nodes, simplices[cell]))
    left = torch.nonzero(~inside)[:, 0]
    if len(left):
        cell[left] = _descend(x[left], nodes, simplices, cell[left])
        weights = closest(x[left], nodes, simplices[cell[left]])
        feet = torch.einsum("qn,qnd->qd", weights, nodes[simplices[cell[left]]])
        far = left[(x[left] - feet).norm(dim=1) > 0.5 * _size(nodes, simplices[cell[left]])]
        if len(far):
            batch = torch.zeros_like(simplices.new_zeros(len(pos))) if batch is None else batch
            cell[far] = _searched(x, nodes, simplices, far, batch, cell[far])
        inside[left] = _held(barycentric(x[left], nodes, simplices[cell[left]]))
        left = left[~inside[left]]
    weights = barycentric(points, pos, simplices[cell])
    if len(left):
        weights = weights.index_copy(0, left, closest(points[left], pos, simplices[cell[left]]))
    return Location(cell, weights, inside)


def _held(weights: Float[Tensor, "Q n"]) -> Bool[Tensor, " Q"]:
    return weights.amin(dim=1) >= -(torch.finfo(weights.dtype).eps ** 0.5)


def _size(pos: Float[Tensor, "N d"], simplices: Int[Tensor, "Q n"]) -> Float[Tensor, " Q"]:
    """Mean distance of the corners to the first, an edge length."""
    corners = pos[simplices]
    return (corners[:, 1:] - corners[:, :1]).norm(dim=2).mean(dim=1)


def _first(simplices: Int[Tensor, "S n"], nodes: int) -> Int[Tensor, " N"]:
    """The first simplex of each node; the first of all for a node of none."""
    numbers = torch.arange(len(simplices), device=simplices.device)[:, None].expand_as(simplices)
    cell = simplices.new_full((nodes,), len(simplices))
    cell = cell.scatter_reduce(0, simplices.reshape(-1), numbers.reshape(-1), "amin")
    return torch.where(cell < len(simplices), cell, 0)


def _walk(
    x: Tensor, pos: Tensor, simplices: Tensor, steps: Tensor, cell: Tensor
) -> Int[Tensor, " Q"]:
    """The simplex where the walk of each point from its cell ends, inside or not."""
    active = torch.arange(len(x), device=x.device)
    hats, origins = hat_gradients(pos, simplices)[0], pos[simplices[:, 0]]
    for _ in range(_STEPS):
        here = cell[active]
        weights = torch.einsum("qnd,qd->qn", hats[here], x[active] - origins[here])
        weights[:, 0] += 1  # barycentric, with the gradients computed once
        step = steps[here]
        worst = weights.where(step != 0, torch.inf).argmin(dim=1, keepdim=True)
        on = ~_held(weights) & ~_held(weights.gather(1, worst)) & (step != 0).any(dim=1)
        active, here = active[on], here[on]
        if not len(active):
            break
        cell[active] = here + step[on].gather(1, worst[on])[:, 0]
    return cell


def _descend(x: Tensor, pos: Tensor, simplices: Tensor, cell: Tensor) -> Int[Tensor, " Q"]:
    """From simplex to the nearest of those with a common corner, until none is nearer."""
    n, cell = simplices.shape[1], cell.clone()
    order = torch.argsort(simplices.reshape(-1), stable=True)
    count = torch.bincount(simplices.reshape(-1), minlength=len(pos))
    first = count.cumsum(0) - count
    least = torch.full_like(x[:, 0], torch.inf)
    active = torch.arange(len(x), device=x.device)
    for _ in range(_ROUNDS):
        corners = simplices[cell[active]].reshape(-1)
        query = active.repeat_interleave(n).repeat_interleave(count[corners])
        ends = count[corners].cumsum(0)
        place = torch.arange(len(query), device=x.device)
        place = place - (ends - count[corners]).repeat_interleave(count[corners])
        near = order[first[corners].repeat_interleave(count[corners]) + place] // n
        weights = closest(x[query], pos, simplices[near])
        foot = torch.einsum("qn,qnd->qd", weights, pos[simplices[near]])
        distance = (x[query] - foot).norm(dim=1)
        nearest = torch.full_like(least, torch.inf).scatter_reduce(0, query, distance, "amin")
        hit = torch.nonzero(distance <= nearest[query])[:, 0]
        chosen = torch.full_like(cell, len(simplices))
        chosen = chosen.scatter_reduce(0, query[hit], near[hit], "amin")
        better = nearest < least - 1e-6 * _size(pos, simplices[cell])
        cell, least = torch.where(better, chosen, cell), torch.where(better, nearest, least)
        active = torch.nonzero(better)[:, 0]
        if not len(active):
            break
    return cell


def _searched(
    x: Tensor, pos: Tensor, simplices: Tensor, far: Tensor, batch: Tensor, cell: Tensor
) -> Int[Tensor, " Q"]:
    """Their simplices by an exhaustive search, mesh by mesh."""
    found = torch.zeros_like(far)
    owner = batch[simplices[cell, 0]]
    for graph in owner.unique():
        asked = owner == graph
        nodes = torch.nonzero(batch == graph)[:, 0]
        cells = torch.nonzero(batch[simplices[:, 0]] == graph)[:, 0]
        own = torch.searchsorted(nodes, simplices[cells])
        found[asked] = cells[locate(x[far[asked]], pos[nodes], own).simplex]
    return found
