"""What the data path of a trained BENO does with half of its data: ablations of `elliptic.py`.

Every error stands beside its floor, the error of an exact solver (P1) that is given the same
damaged data: the map is learned if both agree, and the network has seen more than it was given if
it falls below the floor.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from elliptic_data import cut, problem, samples
from torch import nn

import meshgnn as mg
from meshgnn.graph import to_graph
from meshgnn.metrics import relative_l2
from meshgnn.problems import Poisson
from meshgnn.sample import Sample

COUNT = 100
Damage = Callable[[Poisson, Sample], Poisson]


def ablations(linear: nn.Module, nonlinear: nn.Module, mixed: nn.Module) -> dict[str, Any]:
    """Errors and floors of damaged data, errors of the two parts of u, superposition defects."""
    return {
        "samples": COUNT,
        "four corners": {
            "all data": damaged(linear, "corner-4", lambda p, s: p),
            "no g": damaged(linear, "corner-4", lambda p, s: replace(p, dirichlet={"*": 0.0})),
            "no f": damaged(linear, "corner-4", lambda p, s: replace(p, source=0.0)),
            "wall y = 0 hidden": damaged(linear, "corner-4", _one_wall_hidden),
        },
        "mixed": {
            "all data": damaged(mixed, "corner-mixed", lambda p, s: p),
            "insulated wall flagged as u = 0": damaged(mixed, "corner-mixed", _wrong_flag),
        },
        "parts of u": {name: parts(linear, name) for name in ("corner-4", "corner-balanced")},
        "superposition defect": {
            "linear": superposition(linear),
            "nonlinear": superposition(nonlinear),
        },
    }


def damaged(model: nn.Module, kind: str, damage: Damage) -> dict[str, float]:
    """Mean error of the network and of P1 from the same data, against the undamaged solution."""
    learned, floor = [], []
    for i, truth in enumerate(samples(kind, 1, COUNT)):
        told = damage(problem(kind, 1, i)[1], truth)
        mass = truth.mesh.lumped_mass
        learned.append(relative_l2(mg.predict(model, told.sample(truth.mesh)).u, truth.u, mass))
        floor.append(relative_l2(told.solve(truth.mesh).u, truth.u, mass))
    return {"learned": _mean(learned), "exact solver": _mean(floor)}


def _one_wall_hidden(told: Poisson, truth: Sample) -> Poisson:
    values = truth.boundary.dirichlet_values[:, 0].copy()
    values[truth.mesh.nodes_of("bottom")] = 0.0
    return replace(told, dirichlet={"*": values})


def _wrong_flag(told: Poisson, truth: Sample) -> Poisson:
    return replace(told, dirichlet={**told.dirichlet, "insulated": 0.0}, neumann={})


def parts(model: nn.Module, kind: str) -> dict[str, float]:
    """Relative errors of u_f and of u_g, each against its own P1 solution, and the share of u_f."""
    source, boundary, share = [], [], []
    pairs = zip(samples(f"{kind}_g", 1, COUNT), samples(f"{kind}_f", 1, COUNT), strict=True)
    for i, (from_f, from_g) in enumerate(pairs):
        mesh = from_f.mesh
        graph = to_graph(problem(kind, 1, i)[1].sample(mesh))
        found = model.branches(graph).detach().double().numpy()
        mass = mesh.lumped_mass
        source.append(relative_l2(found[None, :, 0], from_f.u, mass))
        boundary.append(relative_l2(found[None, :, 1], from_g.u, mass))
        share.append(relative_l2(from_g.u, from_f.u + from_g.u, mass))
    return {"u_f": _mean(source), "u_g": _mean(boundary), "share of u_f": _mean(share)}


def superposition(model: nn.Module) -> float:
    """Mean of ‖N(a + b) − N(a) − N(b)‖ / ‖N(a + b)‖, b other data on the mesh of a."""
    defects = []
    for i, a in enumerate(samples("corner-4", 1, COUNT // 4)):
        other = cut(1, i + 1, "4")
        b = Poisson(other.f, dirichlet={"*": other.g}).sample(a.mesh)
        values = a.boundary.dirichlet_values + b.boundary.dirichlet_values
        coefficient = np.array([0.0, 1.0])  # k is no datum: it is the same in all three
        both = replace(
            a,
            u=None,
            boundary=replace(a.boundary, dirichlet_values=values),
            inputs=a.inputs + b.inputs - coefficient,
            cell_inputs=a.cell_inputs + b.cell_inputs - coefficient,
        )
        n = [mg.predict(model, sample).u for sample in (a, b, both)]
        defects.append(relative_l2(n[0] + n[1], n[2], a.mesh.lumped_mass))
    return _mean(defects)


def _mean(values: list[float]) -> float:
    return float(f"{np.mean(values):.4g}")
