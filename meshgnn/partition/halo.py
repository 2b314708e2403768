"""Parts of a graph with all that acts on their nodes within some hops."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.graph import SCHEMA
from meshgnn.partition.cut import cut

# Beyond this many halo nodes for each owned one, most of the work is done for nothing.
_MOST = 31


@dataclass(frozen=True, eq=False)
class Part:
    """Some nodes of a graph and those around them.

    Args:
        nodes: the nodes in the whole graph, owned and halo, ascending.
        own: places of the owned ones in `nodes`, ascending.
    """

    nodes: Int[Tensor, " P"]
    own: Int[Tensor, " O"]


class Neighbours:
    """Who sends to whom, by target (CSR)."""

    def __init__(self, edge_index: Int[np.ndarray, "2 E"], num_nodes: int) -> None:
        self.source = edge_index[0]
        count = np.bincount(edge_index[1], minlength=num_nodes)
        self.start = np.concatenate([[0], np.cumsum(count)])

    def edges(self, nodes: Int[np.ndarray, " K"]) -> Int[np.ndarray, " D"]:
        """Positions of all edges into these nodes, node by node."""
        first, count = self.start[nodes], self.start[nodes + 1] - self.start[nodes]
        skip = np.repeat(first - (np.cumsum(count) - count), count)
        return skip + np.arange(len(skip))

    def around(self, nodes: Int[np.ndarray, " K"], hops: int) -> Int[np.ndarray, " P"]:
        """These nodes and all from which some path of at most so many edges leads to them."""
        inside = np.zeros(len(self.start) - 1, dtype=bool)
        inside[nodes] = True
        front = nodes
        for _ in range(hops):
            reached = np.zeros_like(inside)
            reached[self.source[self.edges(front)]] = True
            front = np.flatnonzero(reached & ~inside)
            if not len(front):
                break
            inside[front] = True
        return np.flatnonzero(inside)


def parts_of(graph: Data, hops: int, max_nodes: int, method: str | None = None) -> list[Part]:
    """Parts that own every node once and have at most max_nodes nodes, their halo included.

    A function of the graph whose value at a node depends on what is at most `hops` edges away gives
    the same at the owned nodes of a part as on the whole graph. The halo is done twice: with parts
    of n nodes in d dimensions some 2 d hops n^(−1/d) of the work.

    Args:
        graph: one graph, or a batch of them.
        hops: width of the halo.
        max_nodes: the largest part.
        method: see `cut`.

    Raises:
        ValueError: max_nodes so small that parts would be nearly all halo: how many it takes.
    """
    nodes, near = len(graph.pos), Neighbours(graph.edge_index.numpy(force=True), len(graph.pos))
    if nodes <= max_nodes:
        every = torch.arange(nodes)
        return [Part(every, every)]
    count = _first_guess(nodes, graph.pos.shape[1], hops, max_nodes)
    while nodes >= count:
        label = cut(graph, count, method)
        order = np.argsort(label, kind="stable")
        owned = np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1])
        parts, largest = [], 0
        for own in owned:
            around = near.around(own, hops) if len(own) else own
            largest = max(largest, len(around))
            if largest > max_nodes:
                break
            place = np.searchsorted(around, own)
            parts.append(Part(torch.from_numpy(around), torch.from_numpy(place)))
        if largest <= max_nodes:
            return [part for part in parts if len(part.own)]
        if count * max_nodes > (_MOST + 1) * nodes:
            break
        count = max(count + 1, int(1.2 * count * (largest / max_nodes) ** 0.5))
    need = max(len(near.around(np.array([i]), hops)) for i in (0, nodes // 3, nodes // 2))
    raise ValueError(
        f"parts_of: a halo of {hops} hops does not fit into max_nodes={max_nodes}: with "
        f"{min(count, nodes)} parts of {nodes} nodes there are still more in one; around a single "
        f"node there are about {need}. Take max_nodes of at least {4 * need}"
    )


def _first_guess(nodes: int, dim: int, hops: int, max_nodes: int) -> int:
    """Number of parts if they were cubes of a uniform mesh, with the halo around them."""
    side = max_nodes ** (1 / dim) - 2 * hops
    own = max(side, 0.0) ** dim
    return min(nodes, max(2, int(np.ceil(nodes / max(own, max_nodes / _MOST)))))


def subgraph(graph: Data, nodes: Int[Tensor, " P"]) -> Data:
    """The graph of these nodes, ascending, with the edges and simplices between them.

    Attributes of all nodes, edges, simplices and facets are cut, those of the whole graph kept.

    Raises:
        ValueError: an attribute that is not in `SCHEMA`: nobody knows how to cut it.
    """
    total, device = len(graph.pos), graph.pos.device
    place = torch.full((total,), -1, device=device)
    nodes = nodes.to(device)
    place[nodes] = torch.arange(len(nodes), device=device)
    inner, out = {"N": nodes}, {}
    for name, value in graph.to_dict().items():
        if name not in SCHEMA and name not in ("batch", "ptr"):
            raise ValueError(
                f"subgraph: graph.{name} is not in the schema of graphs, so it cannot be cut to a "
                "part; take the whole graph, or a model without such a transform"
            )
        if name.endswith("_index"):  # edges, simplices, facets: those with all corners inside
            local = place[value]
            rows = torch.nonzero((local >= 0).all(0))[:, 0]
            inner[SCHEMA[name].shape.split()[-1]] = rows
            out[name] = local[:, rows]
    for name, value in graph.to_dict().items():
        if name not in out and name != "ptr":  # that of a batch: only its `batch` is looked at
            first = inner.get("N" if name == "batch" else SCHEMA[name].shape.split()[0])
            out[name] = value if first is None else value[first]
    return Data(**out)
