"""The data of `movers_solver.py`: fronts of Burgers' equation, and the wakes of `evolution.py`.

Trajectory i of a set is drawn from (seed, i). Seed 0 is for training, 1 for validation, 2 for
tests. Fronts are kept in `data/movers_solver/`.
"""

from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from evolution_data import samples
from sets import files

import meshgnn as mg
from meshgnn.geometry.polygon import Loop, mesh_polygon
from meshgnn.mesh import Mesh
from meshgnn.problems import Burgers

FOLDER = Path(__file__).resolve().parent / "data" / "movers_solver"
FRAMES, DT, VISCOSITY = 31, 0.02, 2e-3
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
EVERY = 4  # frames of 0.01 s from one state of a wake to the next, 1/8 of a period


def trajectories(kind: str, seed: int, count: int) -> list[mg.Sample]:
    """ "burgers" or "wake": without inputs and parameters, so that a model sees states alone."""
    if kind == "wake":
        return [_thin(s) for s in samples("wake", seed, count)]
    folder = FOLDER / f"fronts_{seed}"
    paths = files(folder, count, lambda i, path: _write(seed, i, path))
    return [_bare(mg.Sample.load(path)) for path in paths]


def fronts(seed: int, i: int) -> tuple[Mesh, Burgers]:
    """One to three moving bumps on a square that momentum may leave; they steepen to fronts.

    u = Σ a_k exp(−|x − c_k|² / 2 w_k²), |a_k| of 0.6 to 1.2, w_k of 0.06 to 0.12, on 550 to 730
    nodes. A front of jump U is 8.8 ν / U thin from a tenth to nine tenths of the jump: 0.5 to 0.75
    edges of the mesh. The solution is P1 on the mesh refined twice, taken at the nodes.
    """
    rng = np.random.default_rng([seed, i])
    size = float(rng.uniform(0.042, 0.05))
    mesh = mesh_polygon([Loop(_CORNERS, ["side"] * 4)], size)
    count = int(rng.integers(1, 4))
    centres, widths = rng.uniform(0.25, 0.75, (count, 2)), rng.uniform(0.06, 0.12, count)
    speeds, angles = rng.uniform(0.6, 1.2, count), rng.uniform(0, 2 * np.pi, count)
    speeds = speeds[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def initial(x: np.ndarray) -> np.ndarray:
        squares = ((x[..., None, :] - centres) ** 2).sum(axis=-1)
        return np.exp(-squares / (2 * widths**2)) @ speeds

    times = DT * np.arange(FRAMES)
    return mesh, Burgers(times, initial, VISCOSITY, neumann={"*": 0.0}, refine=2)


def _write(seed: int, i: int, path: Path) -> None:
    mesh, problem = fronts(seed, i)
    begin = process_time()
    solved = problem.solve(mesh)
    solved.meta.update(cpu_seconds=process_time() - begin)
    solved.save(path)


def _bare(sample: mg.Sample) -> mg.Sample:
    empty = {"inputs": np.zeros((sample.mesh.num_nodes, 0)), "params": np.zeros(0)}
    return replace(sample, **empty, names=sample.names | {"inputs": [], "params": []})


def _thin(sample: mg.Sample) -> mg.Sample:
    held, every = sample.boundary, EVERY
    if held.dirichlet_values.ndim == 3:
        held = replace(held, dirichlet_values=held.dirichlet_values[::every])
    assert sample.u is not None
    changes: dict[str, Any] = {"times": sample.times[::every], "u": sample.u[::every]}
    return _bare(replace(sample, **changes, boundary=held))
