"""The data of `evolution.py`: sets of trajectories by name, number i of a set drawn from (seed, i).

A set is a folder of samples in `data/evolution/` (the combined equation: one file of arrays), made
once, in two processes. Seed 0 is for training, 1 for validation, 2 for tests.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from sets import files

import meshgnn as mg
from meshgnn.geometry.channel import channel
from meshgnn.geometry.periodic import periodic_square
from meshgnn.mesh import Mesh
from meshgnn.problems import Burgers, NavierStokes
from meshgnn.problems.combined_trajectories import trajectories
from meshgnn.sample import Sample
from meshgnn.volumes import cell_interval

FOLDER = Path(__file__).resolve().parent / "data" / "evolution"
CELLS = (100, 50, 40)
HOLE = (0.5, 0.5, 0.15)


def samples(name: str, seed: int, count: int) -> list[Sample]:
    """The first `count` trajectories of a set, without inputs: a model gets states alone."""
    if name.startswith("E"):
        return combined(name, seed, count)
    folder = FOLDER / f"{name}_{seed}"
    paths = files(folder, count, lambda i, path: _write(name, seed, i, path))
    return [_without_inputs(Sample.load(path)) for path in paths]


def thinned(which: tuple[str, int], seed: int, every: int, blind: bool = False) -> list[mg.Sample]:
    """Trajectories with every so many frames; `blind` leaves the parameters out."""
    found = samples(which[0], seed, which[1])
    if blind:
        found = [replace(s, params=np.zeros(0), names=s.names | {"params": []}) for s in found]
    if every == 1:
        return found
    return [replace(s, **_thin(s, every)) for s in found]


def _thin(sample: mg.Sample, every: int) -> dict[str, Any]:
    held = sample.boundary
    if held.dirichlet_values.ndim == 3:
        held = replace(held, dirichlet_values=held.dirichlet_values[::every])
    assert sample.u is not None
    return {"times": sample.times[::every], "u": sample.u[::every], "boundary": held}


def problem(name: str, seed: int, i: int, coarse: float = 1.0) -> tuple[Mesh, Any, dict[str, Any]]:
    """Mesh (edges so many times longer), problem and options of `solve` of one trajectory."""
    rng = np.random.default_rng([seed, i])
    kind, _, option = name.partition("-")
    mesh = MESHES[kind](option, rng, i, coarse)
    made, options = PROBLEMS[kind](mesh, rng)
    return mesh, made, options


def combined(name: str, seed: int, count: int) -> list[Sample]:
    """ "E1-100": family and number of cells; averages of the solution on 800 cells."""
    family, cells = name.split("-")
    arrays = _combined(family, seed, count)
    mesh, twin = cell_interval(int(cells), 16.0), np.append(np.arange(int(cells)), 0)
    made = trajectories(1, family, (int(cells),), frames=2)  # names and conditions, nothing else
    first = _without_inputs(next(made.samples(int(cells))))
    times = arrays["times"]
    return [
        replace(
            first,
            mesh=mesh,
            times=times,
            u=u[:, twin, None].astype(np.float64),
            params=constants if family != "E1" else np.zeros(0),
            names=first.names | {"params": first.names["params"] if family != "E1" else []},
        )
        for u, constants in zip(arrays[cells][:count], arrays["constants"], strict=False)
    ]


def classical(name: str, seed: int, count: int) -> np.ndarray:
    """[n, T, cells] what WENO5 finite volumes give on the coarse grid itself."""
    family, cells = name.split("-")
    return _combined(family, seed, count, baseline=True)[f"weno_{cells}"][:count]


def _combined(family: str, seed: int, count: int, baseline: bool = False) -> dict[str, np.ndarray]:
    path = FOLDER / f"{family}_{seed}{'_classical' if baseline else ''}_{count}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"drawing {count} trajectories of {family}, seed {seed}", flush=True)
        begin = process_time()
        made = trajectories(count, family, CELLS, seed=seed, baseline=baseline, dtype=np.float32)
        extra = {f"weno_{c}": made.baseline[c] for c in CELLS} if baseline else {}
        truth = {str(c): u for c, u in made.truth.items()}
        cost = np.array(process_time() - begin)
        arrays = {"times": made.times, "constants": made.constants, "seconds": cost}
        np.savez(path, **arrays, **truth, **extra)
    return dict(np.load(path))


def _without_inputs(sample: Sample) -> Sample:
    empty = np.zeros((sample.mesh.num_nodes, 0))
    return replace(sample, inputs=empty, names=sample.names | {"inputs": []})


def _write(name: str, seed: int, i: int, path: Path) -> None:
    mesh, made, options = problem(name, seed, i)
    begin, wall = process_time(), perf_counter()
    solved = made.solve(mesh, **options)
    solved.meta.update(cpu_seconds=process_time() - begin, seconds=perf_counter() - wall)
    solved.save(path)


def _square(option: str, rng: np.random.Generator, i: int, coarse: float) -> Mesh:
    return periodic_square(0.048 * coarse, holes=[HOLE] if option == "hole" else [])


def _wake(option: str, rng: np.random.Generator, i: int, coarse: float) -> Mesh:
    """Cylinders of random size and place; "shapes" and "ellipses": others, turned, further down."""
    kinds = {"shapes": ("square", "ellipse", "triangle"), "ellipses": ("ellipse",)}
    kind = kinds[option][i % len(kinds[option])] if option else "circle"
    size, along = rng.uniform(0.08, 0.12), (0.35, 0.5) if option == "shapes" else (0.2, 0.35)
    centre = (rng.uniform(*along), rng.uniform(0.16, 0.25))
    angle = float(rng.uniform(0, np.pi)) if option else 0.0
    edges = {"h": 0.04 * coarse, "h_obstacle": 0.012 * coarse, "h_wake": 0.021 * coarse}
    return channel(kind, centre, size, angle=angle, **edges)


def _burgers(mesh: Mesh, rng: np.random.Generator) -> tuple[Burgers, dict[str, Any]]:
    return Burgers.draw(mesh, rng, frames=1600, dt=1e-3, refine=1), {"order": 2}


def _flow(mesh: Mesh, rng: np.random.Generator) -> tuple[NavierStokes, dict[str, Any]]:
    span = {"steps": 400, "duration": 4.0, "spin_up": 3.0}
    return NavierStokes.draw(mesh, rng, reynolds=(80, 160), speed=(0.9, 1.1), **span), {}


MESHES: dict[str, Callable[[str, np.random.Generator, int, float], Mesh]] = {
    "burgers": _square,
    "wake": _wake,
}
PROBLEMS: dict[str, Callable[[Mesh, np.random.Generator], tuple[Any, dict[str, Any]]]] = {
    "burgers": _burgers,
    "wake": _flow,
}
