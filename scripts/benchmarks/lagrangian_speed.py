"""Marching few points against marching all of them: time and memory of the same model, one run."""

import json
import multiprocessing
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from lagrangian_baselines import OTHERS
from lagrangian_bodies import KEPT, body, problem
from lagrangian_rollouts import RESULTS, SCENES, trained

from meshgnn.geometry import domains
from meshgnn.marching.calling import ready
from meshgnn.marching.start import all_known, first_graph, known_states, step_of
from meshgnn.models import GIOROM
from meshgnn.problems import Elastodynamics

BODY, SIZE, FRAMES, RATIOS = "l_shape", 0.005, 8, (1, 32, 64)


def speed() -> None:
    """`results/lagrangian_speed.json`: a pulled body of some 40,000 nodes, all of them and few.

    Weights and patches are found in one process, kept, and marched with in another: CPU seconds a
    frame after the first, and the most memory beyond that after a march of some 130 nodes, which
    loads the libraries.
    """
    trained("pull", SCENES["pull"])
    prepared(0)
    found: dict[str, Any] = {}
    for ratio in RATIOS:
        row: dict[str, float] = {}
        for part in (prepared, marched):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row |= pool.apply(part, (ratio,))
        found[f"1/{ratio}"] = row
        print(ratio, row, flush=True)
    whole = found["1/1"]
    for row in found.values():
        row["times_faster"] = whole["cpu_s_a_frame"] / row["cpu_s_a_frame"]
        row["times_less_memory"] = whole["memory_mb"] / row["memory_mb"]
    (RESULTS / "lagrangian_speed.json").write_text(json.dumps(found, indent=1) + "\n")


def prepared(ratio: int) -> dict[str, float]:
    """The graph of the first call, in double precision of the states."""
    model, _ = trained("pull", SCENES["pull"])
    mesh = body(BODY, SIZE if ratio else OTHERS[BODY][0])
    sample = problem("pull", mesh, 0, 0).sample(mesh)
    model.hparams["points"] = mesh.num_nodes // max(ratio, 1)
    known, dt = known_states(model, sample, None), step_of(model, sample, 1, None)
    begin = process_time()
    graph = ready(model, first_graph(model, sample, known, dt))
    seconds = process_time() - begin
    graph.u = all_known(model, sample, known, dt, torch.float64)
    torch.save(graph, KEPT / f"speed_{ratio}.pt")
    return {"nodes": mesh.num_nodes, "points": len(graph.source_index), "setup_cpu_s": seconds}


def marched(ratio: int) -> dict[str, float]:
    """In a fresh process."""
    model, _ = trained("pull", SCENES["pull"])
    with torch.no_grad():
        model(torch.load(KEPT / "speed_0.pt", weights_only=False))
    before = _memory("VmRSS")
    graph = torch.load(KEPT / f"speed_{ratio}.pt", weights_only=False)
    begin = 0.0
    with torch.no_grad():
        for frame in range(FRAMES + 1):
            graph.u = torch.cat([graph.u[:, 1:], model(graph)], dim=1)
            begin = begin if frame else process_time()
    seconds = (process_time() - begin) / FRAMES
    assert graph.u.isfinite().all()
    return {"cpu_s_a_frame": seconds, "memory_mb": _memory("VmHWM") - before}


def published_step(points: int) -> dict[str, float]:
    """ms of the processor of a step of the published size (2.39 million parameters) in 3D."""
    torch.manual_seed(0)
    mesh = domains.draw("bracket", 0, 0.06)
    problem = Elastodynamics.draw(mesh, np.random.default_rng(0), kind="throw")
    sample = problem.sample(mesh)
    model = GIOROM(preset="paper", dim=3, params=len(sample.params), points=points).eval()
    known, dt = known_states(model, sample, None), step_of(model, sample, 1, None)
    graph = ready(model, first_graph(model, sample, known, dt))
    graph.u = all_known(model, sample, known, dt, torch.float64)
    seconds = []
    with torch.no_grad():
        for _ in range(6):
            begin = process_time()
            model(graph)
            seconds.append(1e3 * (process_time() - begin))
    assert len(graph.source_index) == points
    return {"median_ms": float(np.median(seconds[1:])), "least_ms": min(seconds[1:])}


def _memory(name: str) -> float:
    """VmRSS (now) or VmHWM (the most so far) of this process, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
