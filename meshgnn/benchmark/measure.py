"""The work that is measured, and how: processes of their own, CPU time, the least of several."""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meshgnn.allocator import keep_freed_memory
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample

Row = dict[str, float | int | str]


def jittered_square(nodes: int, seed: int = 0) -> Mesh:
    """About `nodes` points of a structured triangulation, moved by 20 % of the spacing inside.

    Diagonals are drawn at random; about 5.9 directed edges a node, as in meshes from gmsh.
    """
    return Mesh(*square_arrays(nodes, seed))


def square_arrays(nodes: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Points and cells of `jittered_square`."""
    rng = np.random.default_rng(seed)
    n = max(3, round(nodes**0.5))
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, n)], indexing="ij"), axis=-1)
    grid[1:-1, 1:-1] += rng.uniform(-0.2, 0.2, (n - 2, n - 2, 2)) / n
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (x.ravel() for x in (i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]))
    flip = rng.random(len(a)) < 0.5
    cells = np.empty((2 * len(a), 3), dtype=np.int64)
    cells[: len(a)] = np.stack([a, b, np.where(flip, c, d)], axis=1)
    cells[len(a) :] = np.stack([np.where(flip, a, b), c, d], axis=1)
    return grid.reshape(-1, 2), {"triangle": cells}


def unsolved(nodes: int) -> Sample:
    """A sample on that mesh with two random inputs and no conditions."""
    mesh = jittered_square(nodes)
    inputs = np.random.default_rng(0).normal(size=(mesh.num_nodes, 2))
    return Sample(mesh, Boundary.none(mesh.num_nodes, 1), inputs, names={"u": ["u"]})


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a process of its own: its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def set_up(threads: int, keep: bool = True) -> None:
    """Threads and allocator of a measuring process."""
    torch.set_num_threads(threads)
    if keep:
        keep_freed_memory()


def peak_mb() -> float:
    """The largest memory this process has held, MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss starts at what the parent held
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_ms(function: Callable[[], object], repeats: int, warm: bool = True) -> float:
    """The least CPU time of several calls, ms: other programs only ever add to it."""
    if warm:
        function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append((time.process_time() - start) * 1e3)
    return min(times)


def product_rate(rows: int, width: int) -> float:
    """Operations per second of an [E, H] × [H, H] product in this process."""
    a, b = torch.randn(rows, width), torch.randn(width, width)
    out = torch.empty(rows, width)
    return 2 * rows * width**2 / (cpu_ms(lambda: torch.mm(a, b, out=out), 9) / 1e3)


def operations(nodes: int, edges: int, width: int, blocks: int, hidden: int = 2) -> int:
    """Multiplications and additions of the split blocks, forward: the floor of the work."""
    return 2 * blocks * width**2 * ((hidden + 1) * edges + (hidden + 4) * nodes)
