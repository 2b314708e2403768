"""Families of shapes from one mesh: seconds, validity, bytes, finite elements on what comes out.

    python scripts/benchmarks/variations.py          # all of it, some six minutes of one core
    python scripts/benchmarks/variations.py tables   # docs/variations.md from the results

`results/variations.json` has a key for every case; a case that is there is skipped, delete it to
run it again. CPU seconds of one thread.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

import meshgnn as mg
from meshgnn.geometry import (
    Fillet,
    FreeForm,
    Modal,
    Morph,
    Motion,
    Noise,
    Offset,
    RadialBasis,
    remeshed,
)
from meshgnn.geometry.domains import draw
from meshgnn.mesh import Mesh
from meshgnn.operators import field_at
from meshgnn.problems import LinearElasticity, Poisson

RESULTS = Path(__file__).resolve().parent / "results" / "variations.json"
MEMBERS = 1000
PLATE, BOX = ("plate_with_holes", 1, 0.0183), ("box_with_hole", 1, 0.0445)
SIDE: dict[str, Any] = {"fixed": ("left",)}
Shape = tuple[str, int, float]
FAMILIES: dict[str, tuple[Shape, Sequence[Any], dict[str, Any]]] = {
    "plate, all kinds at once": (
        PLATE,
        [FreeForm(amplitude=0.04), RadialBasis(amplitude=0.01), Modal(amplitude=0.005),
         Noise(amplitude=0.003), Offset(["hole"]), Fillet(["hole"]), Motion("hole", turn=0.1)],
        SIDE,
    ),
    "plate, free form": (PLATE, [FreeForm()], SIDE),
    "plate, radial": (PLATE, [RadialBasis()], SIDE),

    "plate, noise": (PLATE, [Noise()], SIDE),
    "plate, offset": (PLATE, [Offset(["hole"])], SIDE),
    "plate, motion": (PLATE, [Motion("hole", turn=0.3, scale=0.2)], SIDE),
    "plate, free form, hole slides": (PLATE, [FreeForm()], SIDE | {"slide": ("hole",)}),
    "plate, free form of 0.5": (PLATE, [FreeForm(amplitude=0.5)], SIDE),
    "box, free form": (BOX, [FreeForm(3)], SIDE),
    "box, free form, noise, motion": (
        BOX,
        [FreeForm(3, amplitude=0.05), Noise(amplitude=0.004), Motion("hole")],
        SIDE,
    ),
}  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:] == ["tables"]:
        from variations_tables import write

        write()
        return
    for name, case in FAMILIES.items():
        _kept(name, lambda case=case: family(*case))
    _kept("same bytes", lambda: {"equal": [_bytes() for _ in range(2)]})
    for name in ("plate", "bracket"):
        for equation in ("Poisson", "LinearElasticity"):
            _kept(
                f"fem, {name}, {equation}",
                lambda name=name, equation=equation: finite_elements(name, equation),
            )
    _kept("remeshing", remeshing)


def _kept(name: str, run: Callable[[], Any]) -> None:
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if name not in found:
        found[name] = run()
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(name, found[name], flush=True)


def family(shape: Shape, kinds: Sequence[Any], options: dict[str, Any]) -> dict[str, Any]:
    """1,000 members: seconds to set up and to draw; every mesh checked again afterwards."""
    mesh = draw(*shape)
    began = process_time()
    morph = Morph(mesh, kinds, **options)
    count = len(morph.names)
    setup = process_time() - began
    seconds, halvings, worst, valid = 0.0, [], [], 0
    distance = []
    sha = hashlib.sha256()
    for index in range(MEMBERS):
        began = process_time()
        member = morph.draw(0, index)
        seconds += process_time() - began
        halvings.append(member.halvings)
        worst.append(float(member.mesh.quality.min()))
        distance.append(np.abs(member.mesh.points - mesh.points).max() / morph.body.diagonal)
        sha.update(member.mesh.points.tobytes())
        valid += _valid(member.mesh, morph.floor)
    return {
        "nodes": mesh.num_nodes,
        "cells": mesh.num_cells,
        "parameters": count,
        "setup": setup,
        "seconds": seconds,
        "valid": valid,
        "halved": float(np.mean(np.array(halvings) > 0)),
        "most_halvings": max(halvings),
        "least_quality": min(worst),
        "mean_largest_move": float(np.mean(distance)),
        "sha256": sha.hexdigest(),
    }


def _valid(mesh: Mesh, floor: float) -> bool:
    """What `Mesh.check` and the signed volumes say, without the code that made the mesh."""
    try:
        mesh.check()
    except ValueError:
        return False
    return bool(mesh.simplex_volumes.min() > 0 and mesh.quality.min() >= floor)


def _bytes() -> str:
    """The first case again, in a process of its own."""
    import subprocess

    code = (
        "from variations import FAMILIES, family; "
        "print(family(*FAMILIES['plate, all kinds at once'])['sha256'])"
    )
    command = [sys.executable, "-c", code]
    where = Path(__file__).resolve().parent
    out = subprocess.run(command, check=True, cwd=where, capture_output=True, text=True)
    return out.stdout.strip()


def finite_elements(name: str, equation: str, members: int = 5) -> dict[str, Any]:
    """P1 on morphed meshes and on remeshed copies of the same shapes, relative L2.

    The discretisation error of each is 4/3 of what a refinement of its own mesh changes.
    """
    mesh = mg.read(RESULTS.parents[3] / "meshes" / f"{name}.msh")
    held, part = ("notch", "holes") if name == "plate" else ("base", "pin")
    kinds = [FreeForm(3), Motion(part, shift=0.02, turn=0.1)]
    morph = Morph(mesh, kinds, fixed=(held,))
    pull = {"*": tuple(np.eye(mesh.dim)[0] * 0.01)}
    problem = (
        Poisson(source=1.0, dirichlet={held: 0.0}, neumann={"*": 0.0})
        if equation == "Poisson"
        else LinearElasticity(dirichlet={held: 0.0}, traction=pull)
    )
    rows = np.array([_compared(problem, morph.draw(0, i).mesh) for i in range(members)])
    keys = ("difference", "error_morphed", "error_remeshed")
    return dict(zip(keys, rows.mean(axis=0).tolist(), strict=True)) | {
        "worst_share": float((rows[:, 0] / rows[:, 1:].sum(axis=1)).max()),
        "members": members,
    }


def _compared(problem: Any, mesh: Mesh) -> list[float]:
    probe = mesh.refined()
    values, errors = [], []

    def norm(v: np.ndarray) -> float:
        return float(np.sqrt(probe.lumped_mass @ (v**2).sum(axis=1)))

    for one in (mesh, remeshed(mesh)):
        finer = one.refined()
        fields = [field_at(m, problem.solve(m).u[0], probe.points) for m in (one, finer)]
        values.append(fields[0])
        errors.append(4 / 3 * norm(fields[0] - fields[1]))
    size = norm(values[0])
    return [norm(values[0] - values[1]) / size, *(error / size for error in errors)]


def remeshing() -> dict[str, Any]:
    """100 hard members of one family, with and without gmsh where the cells do not follow."""
    found = {}
    mesh = mg.read(RESULTS.parents[3] / "meshes" / "plate.msh")
    for remesh in (False, True):
        kinds = [Motion("holes", shift=0.1, turn=0.3)]
        morph = Morph(mesh, kinds, fixed=("outer", "notch"), floor=0.3, remesh=remesh)
        began = process_time()
        members = [morph.draw(0, index) for index in range(100)]
        found["remesh" if remesh else "retreat"] = {
            "seconds": process_time() - began,
            "remeshed": sum(member.remeshed for member in members),
            "halved": sum(member.halvings > 0 for member in members),
            "least_quality": min(float(member.mesh.quality.min()) for member in members),
        }
    return found


if __name__ == "__main__":
    main()
