"""The training of the packaged mesh mover, without labels: `movers.py train`."""

from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from movers_data import TRAINED, Case, case

import meshgnn as mg
from meshgnn.adaptivity import mesh_measures
from meshgnn.graph import MeshDataset
from meshgnn.losses.monge_ampere import MONITORS, MongeAmpere
from meshgnn.models.dmm import DMM
from meshgnn.monitors import Monitor
from meshgnn.sample import Boundary, Sample

HERE = Path(__file__).resolve().parent
KEPT = HERE / "data" / "movers"
PACKAGED = HERE.parent.parent / "meshgnn" / "weights" / "mover.pt"
COUNT = 240
# epochs, learning rate, weight of the mean distortion
PHASES = ((16, 4e-3, 0.0), (7, 2e-3, 1.5))
# length of the edges: some 200 to 700 nodes
SIZES = {
    "cut_square": (0.045, 0.075),
    "plate_with_holes": (0.065, 0.095),
    "l_shape": (0.042, 0.065),
}
VALIDATED = (Monitor("gradient", 1.0), Monitor("gradient", 0.1), Monitor("interpolation", 1.0))


def train() -> dict[str, Any]:
    """Weights from the training cases (seed 0), their measures on the validation cases (seed 1).

    Phases begin where the one before ended; what is packaged is the mean of their weights.
    """
    model = DMM()
    data = MeshDataset([sample(drawn(i)) for i in range(COUNT)], history=1, bundle=0)
    KEPT.mkdir(parents=True, exist_ok=True)
    begin, losses, states = process_time(), [], []
    for epochs, lr, regular in PHASES:
        history = mg.fit(
            model,
            data,
            epochs=epochs,
            batch_size=4,
            lr=lr,
            weight_decay=0.0,
            loss=MongeAmpere(regular=regular),
            checkpoint=KEPT / f"mover_{regular:g}.pt",
            save_every=1,
        )
        losses.append(list(history.train))
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    # half way between even cells and regular ones
    model.load_state_dict({k: sum(s[k] for s in states) / len(states) for k in states[0]})
    found = {"cases": COUNT, "phases": PHASES, "seconds": process_time() - begin}
    found |= {"monitors": [[m.kind, m.scale] for m in MONITORS], "loss": losses}
    mg.save(model, PACKAGED)
    return found | {"validation": validation(model)}


def drawn(i: int) -> Case:
    """Training case i: the families in turn, edges of a length between those of `SIZES`."""
    family = TRAINED[i % len(TRAINED)]
    low, high = SIZES[family]
    return case(family, 0, i, low + (high - low) * float(np.random.default_rng([9, i]).random()))


def sample(drawn: Case) -> Sample:
    """A graph of one known state and no target."""
    nodes = drawn.mesh.num_nodes
    boundary = Boundary.none(nodes, 1)
    return Sample(drawn.mesh, boundary, np.zeros((nodes, 0)), u=drawn.field[None, :, None])


def validation(model: Any, count: int = 18) -> dict[str, Any]:
    """Mean and worst measures on cases of the trained families that training did not see."""
    cases = [case(TRAINED[i % len(TRAINED)], 1, i) for i in range(count)]
    table = {}
    for monitor in VALIDATED:
        rows = []
        for held in cases:
            moved = mg.adapt(held.mesh, held.field, model, monitor)
            rows.append(mesh_measures(held.mesh, moved, held.field, monitor, held.function))
        std, angles = [r.std_ratio for r in rows], [r.smallest_angle for r in rows]
        table[f"{monitor.kind}, {monitor.scale:g}"] = {
            "std_ratio": [float(np.mean(std)), max(std)],
            "smallest_angle": [float(np.mean(angles)), min(angles)],
            "interpolation_ratio": float(np.mean([r.interpolation_ratio for r in rows])),
            "bad": sum(r.folded + r.outside for r in rows),
        }
    return table
