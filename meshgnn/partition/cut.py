"""Which part every node belongs to."""

import numpy as np
from jaxtyping import Float, Int
from torch_geometric.data import Data

try:  # An optional library of METIS; bisection by coordinates needs none.
    import pymetis  # pyright: ignore[reportMissingImports]
except ImportError:
    pymetis = None

METHODS = ("metis", "bisection")
_NO_METIS = "pymetis is not installed: pip install 'meshgnn[large]', or take method='bisection'"


def known_method(caller: str, method: str | None) -> str:
    """How to cut: the method asked for, or by default METIS where it is installed.

    Raises:
        ValueError: an unknown method.
        ImportError: METIS asked for, and pymetis is not installed.
    """
    method = ("bisection" if pymetis is None else "metis") if method is None else method
    if method not in METHODS:
        raise ValueError(f"{caller}: unknown method {method!r}; choose one of {', '.join(METHODS)}")
    if method == "metis" and pymetis is None:
        raise ImportError(_NO_METIS)
    return method


def cut(graph: Data, count: int, method: str | None = None) -> Int[np.ndarray, " N"]:
    """The part 0 ... count − 1 of every node, all of about the same size.

    Args:
        graph: positions and edges (both directions, sorted by target).
        count: number of parts, at most N.
        method: "metis" (few edges between parts, any shape of domain), "bisection" (by coordinates,
            always there); by default METIS where pymetis is installed.

    Raises:
        ValueError: an unknown method, or a count that is not between 1 and N.
        ImportError: METIS asked for, and pymetis is not installed.
    """
    method, nodes = known_method("cut", method), len(graph.pos)
    if not 1 <= count <= nodes:
        raise ValueError(f"cut: expected 1 to {nodes} parts (the nodes of the graph), got {count}")
    if method == "bisection":
        return bisection(graph.pos.numpy(force=True), count)
    return metis(graph.edge_index.numpy(force=True), nodes, count)


def bisection(pos: Float[np.ndarray, "N d"], count: int) -> Int[np.ndarray, " N"]:
    """Halves across the longest extent, again and again: no part is longer than it must be.

    Source: Berger & Bokhari 1987 (recursive coordinate bisection).
    """
    part = np.zeros(len(pos), dtype=np.int64)
    todo = [(np.arange(len(pos)), 0, count)]
    while todo:
        nodes, first, number = todo.pop()
        if number == 1:
            part[nodes] = first
            continue
        here = pos[nodes]
        axis = int(np.argmax(np.ptp(here, axis=0)))
        half = number // 2
        middle = len(nodes) * half // number
        order = np.argpartition(here[:, axis], middle)
        todo += [
            (nodes[order[:middle]], first, half),
            (nodes[order[middle:]], first + half, number - half),
        ]
    return part


def metis(edge_index: Int[np.ndarray, "2 E"], num_nodes: int, count: int) -> Int[np.ndarray, " N"]:
    """Parts of equal size with few edges between them; the same ones for the same graph.

    Raises:
        ImportError: pymetis is not installed.

    Source: Karypis & Kumar 1998 (METIS).
    """
    if pymetis is None:
        raise ImportError(_NO_METIS)
    if count == 1:
        return np.zeros(num_nodes, dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(np.bincount(edge_index[1], minlength=num_nodes))])
    edges = pymetis.CSRAdjacency(start, np.ascontiguousarray(edge_index[0]))
    return np.array(pymetis.part_graph(count, adjacency=edges)[1], dtype=np.int64)
