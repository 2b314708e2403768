"""Many simulations: how much of a second process arrives."""

import resource
import tempfile
import time
from pathlib import Path

from meshgnn.benchmark.measure import Row, peak_mb
from meshgnn.sample import Sample
from meshgnn.simulate import simulate as simulate_samples


def simulate(
    problem: str = "Poisson",
    family: str = "cut_square",
    n: int = 64,
    jobs: tuple[int, ...] = (1, 2),
    size: float | None = None,
) -> list[Row]:
    """Samples of a problem written by `simulate` with one process and with several.

    Wall time, because processes share the work: on a machine with other work it says little. The
    plain way is the first entry of `jobs`, the floor its time divided among the processes.

    Args:
        problem: name in `PROBLEMS`.
        family: name in `geometry.domains.FAMILIES`.
        n: number of samples.
        jobs: numbers of processes.
        size: target edge length.

    Returns:
        One row per number of processes: `ms` (wall), `samples_per_second`, `nodes_per_second`,
        `peak_mb` of the largest process, `speed_up` over the first row, `floor_ms`.
    """
    rows: list[Row] = []
    for count in jobs:
        with tempfile.TemporaryDirectory() as folder:
            # what is done once on a machine, such as compiling kernels, is no part of the work;
            # starting processes is, in every call: take samples enough for it not to count
            out = Path(folder)
            simulate_samples(
                problem, family, count, out / "warm", jobs=count, size=size, progress=False
            )
            start = time.perf_counter()
            paths = simulate_samples(
                problem, family, n, out / "run", jobs=count, size=size, progress=False
            )
            seconds = time.perf_counter() - start
            nodes = sum(Sample.load(path).mesh.num_nodes for path in paths)
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        row: Row = {"problem": problem, "jobs": count, "ms": 1e3 * seconds}
        row |= {"samples_per_second": n / seconds, "nodes_per_second": nodes / seconds}
        row["peak_mb"] = max(peak_mb(), children)
        rows.append(row)
    for row in rows:
        row["speed_up"] = float(rows[0]["ms"]) / float(row["ms"])
        row["floor_ms"] = float(rows[0]["ms"]) * float(rows[0]["jobs"]) / float(row["jobs"])
    return rows
