"""How fast data are made: 1,000 Poisson samples from new meshes, and a large mesh to its graph.

    python scripts/benchmarks/pipeline.py           # about two minutes on two cores

Writes results/pipeline.json. Run it on a quiet machine: times are wall time.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import meshgnn as mg
from meshgnn.benchmark import jittered_square
from meshgnn.graph import check_graph, to_graph
from meshgnn.sample import Boundary, Sample
from meshgnn.simulate import simulate

HERE = Path(__file__).resolve().parent
FAMILIES = ["cut_square", "polygon", "plate_with_holes", "disc_with_holes"]


def main() -> None:
    result = {"cores": os.cpu_count(), **thousand_samples(), **million_nodes()}
    print(json.dumps(result, indent=1))
    (HERE / "results" / "pipeline.json").write_text(json.dumps(result, indent=1) + "\n")


def thousand_samples() -> dict:
    """1,000 samples, meshed anew each, at about 1,800 nodes; residuals are checked inside."""
    folder = Path(tempfile.mkdtemp())
    begin = perf_counter()
    paths = simulate("Poisson", FAMILIES, 1000, folder, seed=1, jobs=2, size=0.0335)
    seconds = perf_counter() - begin
    nodes = [Sample.load(path).mesh.num_nodes for path in paths]
    shutil.rmtree(folder)
    return {"simulate_1000_s": round(seconds, 1), "simulate_mean_nodes": int(np.mean(nodes))}


def million_nodes() -> dict:
    """Arrays in memory → Mesh → graph, median of 3; writing and reading a .vtu apart."""
    source = jittered_square(1_000_000)
    points, cells = source.points.copy(), {"triangle": source.cells["triangle"].copy()}
    times = []
    for _ in range(3):
        begin = perf_counter()
        mesh = mg.Mesh(points, cells)
        inputs = np.zeros((mesh.num_nodes, 2))
        graph = to_graph(Sample(mesh, Boundary.none(mesh.num_nodes, 1), inputs))
        check_graph(graph)
        times.append(perf_counter() - begin)
    path = Path(tempfile.mkdtemp()) / "million.vtu"
    mg.write(path, source)
    begin = perf_counter()
    mg.read(path)
    reading = perf_counter() - begin
    shutil.rmtree(path.parent)
    return {
        "graph_nodes": source.num_nodes,
        "graph_s": round(median(times), 2),
        "read_vtu_s": round(reading, 2),
    }


if __name__ == "__main__":
    main()
