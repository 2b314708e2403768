"""The hot path alone: blocks of MeshGraphNet, forward and backward."""

from statistics import median

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshgnn.benchmark.measure import (
    Row,
    apart,
    cpu_ms,
    operations,
    peak_mb,
    product_rate,
    set_up,
    unsolved,
)
from meshgnn.graph import to_graph
from meshgnn.models.mesh_graph_net import MeshGraphNet


def core(
    nodes: tuple[int, ...] = (2000, 20000),
    width: int = 128,
    blocks: int = 15,
    repeats: int = 5,
    threads: int = 1,
    rounds: int = 2,
) -> list[Row]:
    """Time and memory of MeshGraphNet: textbook blocks beside split ones that walk their edges.

    Both have the same weights, and their outputs are compared. Each form runs in a process of its
    own, the two in turn, so that peak memory is its own and noise hits both. The textbook form runs
    with the allocator as it comes, ours as `fit` and `predict` set it up; "plain+memory" tells the
    two causes apart; "recompute" keeps less for the gradient. Times are CPU time of the process.

    Args:
        nodes: mesh sizes.
        width: H.
        blocks: number of blocks.
        repeats: measured steps of each form, after one to warm up.
        threads: torch threads.
        rounds: processes of each form.

    Returns:
        One row per size and form: `forward_ms`, `train_ms` (forward and backward), `peak_mb`,
        `floor_forward_ms` and `floor_train_ms` (operations / measured rate of matrix products),
        `train_ratio` to the plain form, `difference` (largest, relative to the output's).
    """
    forms = {
        "plain": (False, False, False),
        "plain+memory": (False, True, False),
        "split": (True, True, False),
        "recompute": (True, True, True),
    }
    rows: list[Row] = []
    for n in nodes:
        results: dict[str, list[dict]] = {form: [] for form in forms}
        for _ in range(rounds):
            for form, flags in forms.items():
                run = apart(_measure, n, width, blocks, repeats, threads, *flags)
                results[form].append(run)
        plain = results["plain"]
        for form, runs in results.items():
            row: Row = {"nodes": n, "form": form, "threads": threads}
            for key in ("forward_ms", "train_ms", "floor_forward_ms", "floor_train_ms", "peak_mb"):
                row[key] = median(run[key] for run in runs)
            row["nodes_per_second"] = 1e3 * n / median(run["forward_ms"] for run in runs)
            row["train_ratio"] = row["train_ms"] / median(run["train_ms"] for run in plain)
            gap = np.abs(runs[0]["output"] - plain[0]["output"]).max()
            row["difference"] = float(gap / np.abs(plain[0]["output"]).max())
            rows.append(row)
    return rows


def _measure(
    nodes: int,
    width: int,
    blocks: int,
    repeats: int,
    threads: int,
    split: bool,
    keep: bool,
    recompute: bool,
) -> dict:
    """One form in this process: times, peak memory, floor."""
    set_up(threads, keep)
    graph = to_graph(unsolved(nodes))
    torch.manual_seed(0)
    model = MeshGraphNet(
        width=width, blocks=blocks, activation="relu", split=split, recompute=recompute
    )

    def forward() -> Float[Tensor, "N S C"]:
        with torch.no_grad():
            return model(graph)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(graph).square().mean().backward()

    output = forward().numpy()
    times = {"forward_ms": cpu_ms(forward, repeats), "train_ms": cpu_ms(train, repeats)}
    peak, edges = peak_mb(), graph.edge_index.shape[1]
    work = operations(len(graph.pos), edges, width, blocks)
    floor = work / product_rate(min(edges, 2048), width) * 1e3
    floors = {"floor_forward_ms": floor, "floor_train_ms": 3 * floor}
    return {**times, **floors, "peak_mb": peak, "output": output, "edges": edges}
