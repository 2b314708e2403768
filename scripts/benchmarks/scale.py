"""Large meshes: time and memory of graphs, fields and training, into `results/scale.json`.

    python scripts/benchmarks/scale.py                   # what is missing in the file
    python scripts/benchmarks/scale.py graph_1000000     # these, again
    python scripts/benchmarks/scale.py --list

One thread, CPU time; each case in processes of its own. Cases above a million nodes want a machine
with 24 GB and little else to do.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import scale_ways

from meshgnn import benchmark
from meshgnn.benchmark.measure import Row

RESULTS = Path(__file__).resolve().parent / "results" / "scale.json"


def _predict(nodes: int, max_nodes: int, *forms: str) -> Callable[[], list[Row]]:
    return lambda: benchmark.predict(nodes, max_nodes, forms=forms)


CASES: dict[str, Callable[[], list[Row]]] = {
    "graph_100000": lambda: benchmark.graph((100_000,), repeats=3),
    "graph_1000000": lambda: benchmark.graph((1_000_000,), repeats=2),
    "core_2000": lambda: benchmark.core((2_000,)),
    "core_20000": lambda: benchmark.core((20_000,), repeats=2, rounds=1),
    "predict_20000": _predict(20_000, 8_000, "plain", "whole", "in parts"),
    "predict_100000": _predict(100_000, 40_000, "whole", "in parts"),
    "train_2000": lambda: benchmark.train(2_000),
    "train_10000": lambda: benchmark.train(
        10_000, 5_000, steps=1, forms=("plain", "whole", "recompute", "in parts")
    ),
    "predict_1000000": _predict(1_000_000, 150_000, "in parts"),
    "predict_1000000_whole": _predict(1_000_000, 1_000_000, "whole"),
    "graph_10000000": lambda: benchmark.graph((10_000_000,)),
    # 0.6 s a sample: some minutes, beside which starting two processes does not count
    "simulate": lambda: benchmark.simulate(n=300, size=0.01),
    "compiled_2000": lambda: scale_ways.compiled(),
    "order_20000": lambda: scale_ways.order(20_000, 4),
    "gather_100000": lambda: scale_ways.gathers(100_000),
    "order_100000": lambda: scale_ways.order(100_000, 2),
}


def main(names: list[str]) -> None:
    """Measure the named cases, or those that the file does not have."""
    if "--list" in names:
        print("\n".join(CASES))
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or [name for name in CASES if name not in found]:
        rows = CASES[name]()
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(found | {name: rows}, indent=1) + "\n")
        print(name, *rows, sep="\n  ", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
