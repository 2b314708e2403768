"""The time of a learned mesh of 10,000 nodes beside that of the classical one as even as it."""

import json
from pathlib import Path
from time import process_time
from typing import Any

import torch
from movers_data import Case, case
from movers_training import sample

import meshgnn as mg
from meshgnn.adaptivity import mesh_measures, monge_ampere
from meshgnn.graph import to_graph
from meshgnn.mesh import Mesh
from meshgnn.monitors import Monitor

TRAINED = Path(__file__).resolve().parent / "results" / "movers_train.json"
CASES = {"cut_square": 0.009, "channel_with_obstacle": 0.0121}
MONITORS = (Monitor("gradient", 1.0), Monitor("gradient", 0.1), Monitor("interpolation", 1.0))
MOST = 60  # iterations of the classical mesh at full power
EARLIER = (1, 2, 3, 5, 8, 12, 20, 35)


def speed() -> dict[str, Any]:
    """CPU seconds of one thread: of the mover, its parts, and of `monge_ampere`."""
    torch.set_num_threads(1)
    model, rows = mg.load("mover"), {}
    for number, (family, size) in enumerate(CASES.items()):
        drawn = case(family, 4, number, size)
        mg.adapt(drawn.mesh, drawn.field, model)  # imports and the cached arrays of the mesh
        for monitor in MONITORS:
            rows[f"{family}, {monitor.kind}, {monitor.scale:g}"] = _compared(drawn, model, monitor)
    spent = json.loads(TRAINED.read_text())["seconds"] if TRAINED.exists() else float("nan")
    gains = [row["classical"]["seconds"] - row["learned"]["seconds"] for row in rows.values()]
    saved = sum(gains) / len(gains)
    return {"cases": rows, "training": spent, "saved": saved, "break_even": spent / saved}


def _compared(drawn: Case, model: Any, monitor: Monitor) -> dict[str, Any]:
    """The learned mesh, the classical one stopped where it is as even, and at its end."""
    begin = process_time()
    moved = mg.adapt(drawn.mesh, drawn.field, model, monitor)
    learned = _row(drawn, moved, monitor, process_time() - begin) | _parts(drawn, model, monitor)
    found = {"nodes": drawn.mesh.num_nodes, "learned": learned}
    found["as_even"] = found["classical"] = _classical(drawn, monitor, MOST)
    if found["classical"]["std_ratio"] <= learned["std_ratio"]:
        for limit in EARLIER:
            try:
                row = _classical(drawn, monitor, limit)
            except RuntimeError:  # stopped where it is not even yet
                continue
            if row["std_ratio"] <= learned["std_ratio"]:
                found["as_even"] = row
                break
    else:
        del found["as_even"]
    print(json.dumps(found), flush=True)
    return found


def _classical(drawn: Case, monitor: Monitor, limit: int) -> dict[str, Any]:
    begin = process_time()
    arrays = (drawn.mesh.points, drawn.mesh.simplices, drawn.field[:, None])
    m = monitor(*(torch.tensor(array) for array in arrays)).numpy()
    result = monge_ampere(drawn.mesh, m, max_iterations=limit)
    row = _row(drawn, result.mesh, monitor, process_time() - begin)
    return row | {"iterations": result.iterations}


def _row(drawn: Case, moved: Mesh, monitor: Monitor, seconds: float) -> dict[str, Any]:
    found = mesh_measures(drawn.mesh, moved, drawn.field, monitor, drawn.function)
    keys = ("std_ratio", "smallest_angle", "interpolation_ratio")
    return {"seconds": seconds} | {key: getattr(found, key) for key in keys}


def _parts(drawn: Case, model: Any, monitor: Monitor) -> dict[str, float]:
    """Seconds of what is done once for a mesh, of the monitor, of the call of the network."""
    clock = [process_time()]
    graph = model.transform(to_graph(sample(drawn), history=1, bundle=0))
    clock.append(process_time())
    with torch.no_grad():
        graph.density = model.density(graph, monitor)
        clock.append(process_time())
        model(graph)
    clock.append(process_time())
    spans = zip(("mesh", "monitor", "forward"), clock, clock[1:], strict=False)
    return {name: after - before for name, before, after in spans}
