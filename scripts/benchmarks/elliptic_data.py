"""The data of `elliptic.py`: sets of samples by name, number i of a set drawn from (seed, i).

A set is a folder of samples in `data/elliptic/`, made once, in two processes. Labels are P1 on the
mesh of the sample (finite volumes on a lattice). Where P2 is asked for, `<set>_p2` holds the P2
solution at the same nodes, and `label_error` its distance to the label. meta["direct_seconds"] is
the time of the classical solver, assembly and factorisation included.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sets import files

from meshgnn.datasets import loetzsch
from meshgnn.datasets.beno import CornerCut
from meshgnn.geometry.domains import FAMILIES
from meshgnn.geometry.polygon import Loop, circle, mesh_polygon
from meshgnn.mesh import Mesh
from meshgnn.metrics import relative_l2
from meshgnn.problems import LinearElasticity, Poisson
from meshgnn.sample import Sample

FOLDER = Path(__file__).resolve().parent / "data" / "elliptic"
SHAPES = ["cut_square", "l_shape", "polygon", "disc_with_holes", "annulus", "plate_with_holes"]
SHAPES += ["channel_with_obstacle"]


def samples(name: str, seed: int, count: int, p2: bool = False) -> list[Sample]:
    """The first `count` samples of a set; with p2, of the same ones solved by P2."""
    folder = FOLDER / f"{name}_{seed}{'_p2' if p2 else ''}"
    paths = files(folder, count, lambda i, path: _write(name, seed, i, path, p2))
    return [Sample.load(path) for path in paths]


def problem(name: str, seed: int, i: int) -> tuple[Mesh, Any]:
    """Mesh and problem of one sample of a set that is solved by finite elements."""
    rng = np.random.default_rng([seed, i])
    kind, _, option = name.partition("-")
    if kind == "corner":
        made = cut(seed, i, option)
        return made.mesh(made.size / 2 if option == "half" else None), made.problem()
    if kind == "loetzsch":
        return _electric(option, seed, i)
    mesh = MESHES[kind](rng, i)
    return mesh, PROBLEMS[kind](mesh, rng, i)


def cut(seed: int, i: int, option: str) -> CornerCut:
    """ "<corners>", "mixed", "half", "balanced"; after "_" which of f and g is 0."""
    rng, (kind, *none) = np.random.default_rng([seed, i]), option.split("_")
    made = CornerCut.draw(rng, int(kind) if kind.isdigit() else 4, kind == "mixed")
    if kind == "balanced":  # both parts of u of the same size
        mesh = made.mesh(0.06)
        u = [replace(made, **part).problem().solve(mesh).u for part in ({"f": 0.0}, {"g": 0.0})]
        ratio, f = float(np.linalg.norm(u[0]) / np.linalg.norm(u[1])), made.f
        made = replace(made, f=lambda x: ratio * f(x))
    return replace(made, **dict.fromkeys(none, 0.0))


def _electric(option: str, seed: int, i: int) -> tuple[Mesh, Poisson]:
    """ "<split>-<fixed or random>": mesh and charges of sample i; the shapes come in turn."""
    split, mode = option.split("-")
    part, number = loetzsch.SPLITS[split], list(loetzsch.SPLITS).index(split)
    drawn = loetzsch.draw(
        part.shapes[i % len(part.shapes)],
        seed,
        i,
        split=number,
        fixed=mode == "fixed",
        sources=part.sources,
        order=1,
    )
    return drawn.mesh, Poisson(drawn.inputs[:, 0], dirichlet={"*": 0.0})


def _hole(rng: np.random.Generator, i: int) -> Mesh:
    """The unit square with one circular hole, h in [0.03, 0.06]."""
    radius, h = rng.uniform(0.08, 0.15), rng.uniform(0.03, 0.06)
    centre = tuple(rng.uniform(radius + 0.1, 0.9 - radius, 2).tolist())
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    return mesh_polygon([Loop(square, "outer"), circle(centre, radius, "hole", h)], h)


def _many(rng: np.random.Generator, i: int) -> Mesh:
    """Seven families in turn, with 300 to 5,000 nodes (uniform in the logarithm)."""
    family = FAMILIES[SHAPES[i % len(SHAPES)]]
    state = rng.bit_generator.state
    coarse = family(rng)
    h = np.sqrt(float(coarse.lumped_mass.sum()) / coarse.num_nodes)  # of about its nodes
    rng.bit_generator.state = state
    wanted = np.exp(np.random.default_rng([11, i]).uniform(np.log(300), np.log(5000)))
    return family(rng, size=float(h * np.sqrt(coarse.num_nodes / wanted) * 1.07))


def mixed_poisson(mesh: Mesh, rng: np.random.Generator, i: int) -> Poisson:
    """A third constant, a third smooth to 100, a third of 2 to 4 materials to 1,000; mixed."""
    choice = np.random.default_rng([12, i])
    k: dict[str, Any] = [{}, {"contrast": 100.0}, {"contrast": 1000.0}][i % 3]
    if i % 3 == 2:
        k |= {"phases": int(choice.integers(2, 5)), "contrast": float(10 ** choice.uniform(0.5, 3))}
    size = float(choice.choice([0.034, 0.3]))
    return Poisson.draw(mesh, rng, neumann=0.25, robin=0.15, source_std=size, **k)


MESHES: dict[str, Callable[[np.random.Generator, int], Mesh]] = {
    "hole": _hole,
    "box": lambda rng, i: FAMILIES["box_with_hole"](rng, size=0.042),
    "elastic": lambda rng, i: FAMILIES["plate_with_holes"](rng),
    "materials": lambda rng, i: FAMILIES[["cut_square", "polygon", "annulus"][i % 3]](rng),
    "many": _many,
    "aerofoil": lambda rng, i: FAMILIES["naca_aerofoil"](rng),
    "u": lambda rng, i: FAMILIES["u_shape"](rng),
}
PROBLEMS: dict[str, Callable[[Mesh, np.random.Generator, int], Any]] = {
    "hole": lambda mesh, rng, i: Poisson.draw(mesh, rng),
    "box": lambda mesh, rng, i: Poisson.draw(mesh, rng),
    "elastic": lambda mesh, rng, i: LinearElasticity.draw(mesh, rng, traction=0.6),
    "materials": lambda mesh, rng, i: Poisson.draw(mesh, rng, contrast=1000.0, phases=2 + i % 3),
    "many": mixed_poisson,
    "aerofoil": mixed_poisson,
    "u": mixed_poisson,
}


def _write(name: str, seed: int, i: int, path: Path, p2: bool) -> None:
    kind, _, option = name.partition("-")
    if kind == "lattice":
        made = cut(seed, i, option)
        begin = perf_counter()
        sample = made.lattice_sample(blurred=option == "blurred")
        seconds, finer = perf_counter() - begin, None
    else:
        mesh, solvable = problem(name, seed, i)
        begin = perf_counter()
        sample = solvable.solve(mesh)
        seconds = perf_counter() - begin
        finer = solvable.solve(mesh, order=2) if p2 or seed else None
    error = None
    if finer is not None:
        error = relative_l2(sample.u, finer.u, sample.mesh.lumped_mass)
    meta = sample.meta | {"direct_seconds": seconds}
    sample = replace(sample, meta=meta, label_error=error)
    if p2:
        sample = replace(sample, u=finer.u)
    sample.save(path)
