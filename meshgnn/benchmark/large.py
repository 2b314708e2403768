"""Whole jobs on meshes of any size: mesh to graph, mesh to field, steps of training."""

import time
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch_geometric.data import Data

from meshgnn.benchmark.measure import (
    Row,
    apart,
    cpu_ms,
    operations,
    peak_mb,
    product_rate,
    set_up,
    square_arrays,
    unsolved,
)
from meshgnn.checkpoint import predict as predict_field
from meshgnn.graph import to_graph
from meshgnn.losses import one_step
from meshgnn.mesh import Mesh
from meshgnn.models.mesh_graph_net import MeshGraphNet
from meshgnn.partition import InParts
from meshgnn.sample import Boundary, Sample
from meshgnn.train import fit

# Above this many nodes the plain way takes minutes.
_PLAIN = 2_000_000


def graph(nodes: tuple[int, ...] = (100_000, 1_000_000), repeats: int = 1) -> list[Row]:
    """Points and cells to a graph: `Mesh`, its checks, edges, masses, normals, `to_graph`.

    The nodes are numbered at random, as the worst case: nothing is sorted or near in memory. The
    plain way makes the same directed edges, and only them, with `np.unique` over rows and
    `lexsort`; the floor is one sort of as many integers.

    Args:
        nodes: mesh sizes.
        repeats: of each, the least counts.

    Returns:
        One row per size: `ms`, `peak_mb`, `mb_before` (arrays and libraries), `nodes_per_second`,
        `plain_ms`, `ratio` to it (up to 2,000,000 nodes), `floor_ms`.
    """
    return [apart(_graph, n, repeats) for n in nodes]


def _graph(nodes: int, repeats: int) -> Row:
    points, cells = square_arrays(nodes)
    order = np.random.default_rng(1).permutation(len(points))
    points[order], cells = points.copy(), {k: order[block] for k, block in cells.items()}
    inputs = np.zeros((len(points), 2))
    before, edges = peak_mb(), np.zeros((2, 0), dtype=np.int64)

    def build() -> None:
        nonlocal edges
        sample = Sample(Mesh(points, cells), Boundary.none(len(points), 1), inputs)
        edges = to_graph(sample).edge_index.numpy()

    ms = cpu_ms(build, repeats, warm=False)
    row: Row = {
        "nodes": len(points),
        "ms": ms,
        "edges": edges.shape[1],
        "peak_mb": peak_mb(),
        "mb_before": before,
    }
    row["nodes_per_second"] = 1e3 * len(points) / ms
    keys = np.random.default_rng(0).permutation(edges.shape[1])
    row["floor_ms"] = cpu_ms(lambda: np.sort(keys), 1, warm=False)
    if len(points) <= _PLAIN:
        start = time.process_time()
        plain = _plain_edges(cells["triangle"])
        plain_ms = 1e3 * (time.process_time() - start)
        row |= {"plain_ms": plain_ms, "ratio": ms / plain_ms}
        row["difference"] = float((plain != edges).sum())
    return row


def _plain_edges(triangles: Int[np.ndarray, "M 3"]) -> Int[np.ndarray, "2 E"]:
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].T[::-1]


def predict(
    nodes: int = 20_000,
    max_nodes: int | None = None,
    width: int = 128,
    blocks: int = 15,
    forms: tuple[str, ...] = ("plain", "whole", "in parts"),
    repeats: int = 1,
) -> list[Row]:
    """A mesh to a field through `predict`: graph, network, checks.

    Forms: "plain" (textbook blocks, allocator as it comes), "whole" (ours), "in parts" (`InParts`).

    Args:
        nodes: size of the mesh.
        max_nodes: of the parts; by default about a third of the mesh, at least 16 hops across.
        width: H.
        blocks: number of blocks.
        forms: which of them.
        repeats: of each form, the least counts.

    Returns:
        One row per form: `ms`, `peak_mb`, `nodes_per_second`, `floor_ms` (operations of the whole
        graph / measured rate of matrix products), `ratio` to the first form, `difference` to it.
    """
    largest = max(nodes // 3, (4 * blocks) ** 2) if max_nodes is None else max_nodes
    runs = [apart(_predict, form, nodes, largest, width, blocks, repeats) for form in forms]
    return _compared(runs, forms)


def _predict(
    form: str, nodes: int, max_nodes: int, width: int, blocks: int, repeats: int
) -> tuple[Row, np.ndarray]:
    set_up(1, keep=form != "plain")
    sample, model = unsolved(nodes), _net(form, width, blocks)
    used = InParts(model, max_nodes) if form == "in parts" else model
    fields: list[np.ndarray] = []

    def run() -> None:
        fields[:] = [np.asarray(predict_field(used, sample).u)]

    row: Row = {"nodes": sample.mesh.num_nodes, "form": form}
    row |= {"ms": cpu_ms(run, repeats, warm=False), "peak_mb": peak_mb()}
    row["floor_ms"] = _floor_ms(sample, width, blocks)
    if form == "in parts":
        row["max_nodes"] = max_nodes
    return row, fields[0]


def train(
    nodes: int = 2_000,
    max_nodes: int | None = None,
    width: int = 128,
    blocks: int = 15,
    steps: int = 4,
    forms: tuple[str, ...] = ("plain", "whole", "recompute"),
) -> list[Row]:
    """Steps of `fit` on one graph: forward, backward, AdamW, and what `fit` does around them.

    Forms as in `predict`, and "recompute" (`MeshGraphNet(recompute=True)`).

    Args:
        nodes: size of the mesh.
        max_nodes: of the parts in the form "in parts".
        width: H.
        blocks: number of blocks.
        steps: measured together.
        forms: which of them.

    Returns:
        One row per form: `ms` of a step, `peak_mb`, `mb_per_node` above the loaded libraries,
        `nodes_per_second`, `floor_ms`, `ratio` to the first form; `difference` to it, of the
        gradients of the first step, relative to the largest one. (Fields after some steps tell
        less: Adam divides by the size of a gradient, so that of a small one the rounding counts.)
    """
    largest = nodes if max_nodes is None else max_nodes
    runs = [apart(_train, form, nodes, largest, width, blocks, steps) for form in forms]
    return _compared(runs, forms)


def _train(
    form: str, nodes: int, max_nodes: int, width: int, blocks: int, steps: int
) -> tuple[Row, np.ndarray]:
    set_up(1, keep=form != "plain")
    sample = unsolved(nodes)
    data = to_graph(sample)
    data.y = torch.from_numpy(np.sin(5 * sample.mesh.points[:, :1])).float()[:, None]
    model = _net(form, width, blocks)
    used = InParts(model, max_nodes) if form == "in parts" else model
    before = peak_mb()

    def step(count: int) -> None:
        fit(used, [data], epochs=count, batch_size=1, progress=False, accelerator="cpu")

    row: Row = {"nodes": len(data.pos), "form": form, "ms": cpu_ms(lambda: step(steps), 1) / steps}
    row |= {"peak_mb": peak_mb(), "mb_per_node": (peak_mb() - before) / len(data.pos)}
    row["floor_ms"] = 3 * _floor_ms(sample, width, blocks)
    model = _net(form, width, blocks)  # a new one: memory and time above are those of `fit` alone
    return row, _gradients(InParts(model, max_nodes) if form == "in parts" else model, data)


def _gradients(model: nn.Module, data: Data) -> Float[np.ndarray, " W"]:
    """Of the loss of the first step, for all weights that it reaches."""
    model.fit_statistics([data])  # type: ignore[operator]
    one_step(model, data).backward()
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(found).numpy()


def _net(form: str, width: int, blocks: int) -> nn.Module:
    torch.manual_seed(0)
    kinds: dict[str, Any] = {"split": form != "plain", "recompute": form == "recompute"}
    model = MeshGraphNet(width=width, blocks=blocks, activation="relu", **kinds)
    return model.eval()


def _floor_ms(sample: Sample, width: int, blocks: int) -> float:
    nodes, edges = sample.mesh.num_nodes, 2 * len(sample.mesh.edges)
    return 1e3 * operations(nodes, edges, width, blocks) / product_rate(2048, width)


def _compared(runs: list[tuple[Row, np.ndarray]], forms: tuple[str, ...]) -> list[Row]:
    first, reference = runs[0]
    for row, found in runs:
        row["nodes_per_second"] = 1e3 * float(row["nodes"]) / float(row["ms"])
        row["ratio"] = float(row["ms"]) / float(first["ms"])
        row["compared_with"] = forms[0]
        row["difference"] = float(np.abs(found - reference).max() / np.abs(reference).max())
    return [row for row, _ in runs]
