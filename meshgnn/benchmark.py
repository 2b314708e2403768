"""`meshgnn bench core`: what the hot path costs, beside the plain form and the arithmetic floor."""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshgnn.allocator import keep_freed_memory
from meshgnn.graph import to_graph
from meshgnn.mesh import Mesh
from meshgnn.models.mesh_graph_net import MeshGraphNet
from meshgnn.sample import Boundary, Sample


def jittered_square(nodes: int, seed: int = 0) -> Mesh:
    """About `nodes` points of a structured triangulation, moved by 20 % of the spacing inside.

    Diagonals are drawn at random; about 5.9 directed edges a node, as in meshes from gmsh.
    """
    rng = np.random.default_rng(seed)
    n = max(3, round(nodes**0.5))
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, n)], indexing="ij"), axis=-1)
    grid[1:-1, 1:-1] += rng.uniform(-0.2, 0.2, (n - 2, n - 2, 2)) / n
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (x.ravel() for x in (i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]))
    flip = rng.random(len(a)) < 0.5
    first = np.where(flip, [a, b, c], [a, b, d])
    second = np.where(flip, [a, c, d], [b, c, d])
    return Mesh(grid.reshape(-1, 2), {"triangle": np.concatenate([first.T, second.T])})


def core(
    nodes: tuple[int, ...] = (2000, 20000),
    width: int = 128,
    blocks: int = 15,
    repeats: int = 5,
    threads: int = 1,
    rounds: int = 2,
) -> list[dict[str, float | int | str]]:
    """Time and memory of MeshGraphNet: textbook blocks beside split, sorted ones.

    Both have the same weights, and their outputs are compared. Each form runs in a process of its
    own, the two in turn, so that peak memory is its own and noise hits both. The textbook form runs
    with the allocator as it comes, ours as `fit` and `predict` set it up; "plain+memory" tells the
    two causes apart. Times are CPU time of the process.

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
    forms = {"plain": (False, False), "plain+memory": (False, True), "split": (True, True)}
    rows: list[dict[str, float | int | str]] = []
    for n in nodes:
        results: dict[str, list[dict]] = {form: [] for form in forms}
        for _ in range(rounds):
            for form, (split, keep) in forms.items():
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    job = pool.submit(_measure, n, width, blocks, repeats, threads, split, keep)
                    results[form].append(job.result())
        plain = results["plain"]
        for form, runs in results.items():
            row: dict[str, float | int | str] = {"nodes": n, "form": form, "threads": threads}
            for key in ("forward_ms", "train_ms", "floor_forward_ms", "floor_train_ms", "peak_mb"):
                row[key] = median(run[key] for run in runs)
            row["train_ratio"] = row["train_ms"] / median(run["train_ms"] for run in plain)
            gap = np.abs(runs[0]["output"] - plain[0]["output"]).max()
            row["difference"] = float(gap / np.abs(plain[0]["output"]).max())
            rows.append(row)
    return rows


def _measure(
    nodes: int, width: int, blocks: int, repeats: int, threads: int, split: bool, keep: bool
) -> dict:
    """One form in this process: medians, peak memory, floor."""
    torch.set_num_threads(threads)
    if keep:
        keep_freed_memory()
    mesh = jittered_square(nodes)
    inputs = np.random.default_rng(0).normal(size=(mesh.num_nodes, 2))
    graph = to_graph(Sample(mesh, Boundary.none(mesh.num_nodes, 1), inputs))
    torch.manual_seed(0)
    model = MeshGraphNet(width=width, blocks=blocks, activation="relu", split=split)

    def forward() -> Float[Tensor, "N S C"]:
        with torch.no_grad():
            return model(graph)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(graph).square().mean().backward()

    output = forward().numpy()
    times = {"forward_ms": _cpu_ms(forward, repeats), "train_ms": _cpu_ms(train, repeats)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    edges = graph.edge_index.shape[1]
    operations = 2 * blocks * width**2 * (3 * edges + 6 * mesh.num_nodes)
    rate = _product_rate(edges, width)
    floor = operations / rate * 1e3
    floors = {"floor_forward_ms": floor, "floor_train_ms": 3 * floor}
    return {**times, **floors, "peak_mb": peak, "output": output, "edges": edges}


def _cpu_ms(function: Callable[[], object], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append((time.process_time() - start) * 1e3)
    return median(times)


def _product_rate(rows: int, width: int) -> float:
    """Operations per second of an [E, H] × [H, H] product in this process."""
    a, b = torch.randn(rows, width), torch.randn(width, width)
    out = torch.empty(rows, width)
    return 2 * rows * width**2 / (_cpu_ms(lambda: torch.mm(a, b, out=out), 9) / 1e3)
