"""Online training beside a data set of equal steps: Poisson on intervals, MeshGraphNet.

    python scripts/benchmarks/online.py       # some five minutes of a core

Data sets are seen until the steps are done, online samples at most 4 times; one worker of this
machine. What is measured goes to `results/online.json` and from there to the table in
`docs/many.md`: delete the file to measure again.
"""

import json
import re
from pathlib import Path
from time import process_time

import numpy as np
import torch

from meshgnn.graph import MeshDataset
from meshgnn.losses import relative_l2_loss
from meshgnn.models import MeshGraphNet
from meshgnn.online.simulations import Rules, Simulations, Source
from meshgnn.simulate import draw_sample
from meshgnn.train import fit

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results" / "online.json"
SIZE, STEPS, BATCH, HELD_OUT = 0.25, 2400, 8, 64
SETS = (30, 120)  # samples of the data sets


def main() -> None:
    torch.set_num_threads(1)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in (*(f"data set of {n}" for n in SETS), "online"):
        if name not in rows:
            rows[name] = measured(name)
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    page = ROOT / "docs" / "many.md"
    between = r"(<!-- online -->\n).*?(<!-- end -->)"
    page.write_text(re.sub(between, rf"\g<1>{table(rows)}\g<2>", page.read_text(), flags=re.S))


def measured(name: str) -> dict[str, float]:
    """Train from the same weights; held-out error, samples, CPU seconds of this process."""
    torch.manual_seed(0)
    model = MeshGraphNet(dim=1, channels=1, inputs=2, width=32, blocks=3)
    options = {"batch_size": BATCH, "lr": 4e-3, "loss": relative_l2_loss, "accelerator": "cpu"}
    begin = process_time()
    if name == "online":
        rules = Rules(BATCH, STEPS // 10, 32 * BATCH, 8 * BATCH, 4)
        with Simulations(Source("Poisson", ["interval"], size=SIZE), rules, jobs=1) as stream:
            history = fit(model, stream, epochs=10, **options)
            samples = stream.taken
    else:
        samples = int(name.split()[-1])
        data = MeshDataset([draw_sample("Poisson", "interval", 0, i, SIZE) for i in range(samples)])
        history = fit(model, data, epochs=STEPS * BATCH // samples, **options)
    seconds = process_time() - begin
    test = MeshDataset([draw_sample("Poisson", "interval", 1, i, SIZE) for i in range(HELD_OUT)])
    with torch.no_grad():
        error = float(np.mean([float(relative_l2_loss(model, graph)) for graph in test]))
    return {
        "samples": samples,
        "trained": round(history.train[-1], 4),
        "held_out": round(error, 4),
        "cpu_s": round(seconds, 1),
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    keys = ("samples", "trained", "held_out", "cpu_s")
    lines = [f"| | {' | '.join(keys)} |", f"|---|{'---|' * len(keys)}"]
    lines += [
        f"| {name} | {' | '.join(f'{row[k]:,}' for k in keys)} |" for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
