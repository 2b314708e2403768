"""Neighbourhoods of several hops, as edges."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def hop_edges(
    edge_index: Int[Tensor, "2 E"],
    num_nodes: int,
    hops: int,
    edge_shift: Float[Tensor, "E d"] | None = None,
) -> tuple[Int[Tensor, "2 D"], Float[Tensor, "D d"] | None]:
    """All pairs (j → i) with a path of 1 to n edges between them, and the periods on that path.

    The shift of a pair is the sum of those of the edges on its shortest path, so that
    Δx = x_j − x_i + shift · period is the way the path goes. On a uniform interval n hops are the
    2 n nearest nodes. The number of edges grows like nᵈ.

    Each pair is there once, also where a periodic mesh has fewer than 2 n + 1 nodes across: then a
    pair is joined the shorter way around, of two equally short ones by the one found first, and no
    node is its own neighbour.

    Args:
        edge_index: both directions of every edge, sorted by target, then source.
        num_nodes: N.
        hops: n.
        edge_shift: periods added to each edge; None where nothing is periodic.

    Returns:
        The edges, sorted by target, then source, and their shifts.

    Raises:
        ValueError: hops below 1.
    """
    if hops < 1:
        raise ValueError(f"hop_edges: expected hops of at least 1, got {hops}")
    source, target = edge_index
    step = target.new_zeros(len(target), 1) if edge_shift is None else edge_shift
    degree = torch.bincount(target, minlength=num_nodes)
    first = degree.cumsum(0) - degree
    key, shift = target * num_nodes + source, step
    newest, newest_shift = key, shift
    for _ in range(hops - 1):
        end, middle = newest // num_nodes, newest % num_nodes
        count = degree[middle]
        path = torch.arange(len(newest), device=key.device).repeat_interleave(count)
        place = torch.arange(len(path), device=key.device) - (count.cumsum(0) - count)[path]
        edge = first[middle[path]] + place
        there = end[path] * num_nodes + source[edge]
        inside = end[path] != source[edge]
        candidates = torch.cat([key, there[inside]])
        shifts = torch.cat([shift, (newest_shift[path] + step[edge])[inside]])
        order = torch.sort(candidates, stable=True).indices  # the known ones come first
        ordered = candidates[order]
        fresh = torch.ones_like(ordered, dtype=torch.bool)
        fresh[1:] = ordered[1:] != ordered[:-1]
        chosen = order[fresh]
        newest = candidates[chosen[chosen >= len(key)]]
        newest_shift = shifts[chosen[chosen >= len(key)]]
        key, shift = candidates[chosen], shifts[chosen]
    pairs = torch.stack([key % num_nodes, key // num_nodes])
    return pairs, None if edge_shift is None else shift
