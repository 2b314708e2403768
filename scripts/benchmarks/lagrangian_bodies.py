"""Elastic bodies in motion by finite elements, made once and kept."""

from pathlib import Path

import numpy as np

from meshgnn.geometry import domains
from meshgnn.mesh import Mesh
from meshgnn.problems import Elastodynamics
from meshgnn.sample import Sample

KEPT = Path(__file__).resolve().parent / "data" / "lagrangian"
TRAIN, VALIDATION, TEST = 0, 1, 2  # seeds
BODIES = {  # family, seed, size of edges in the unit of the family
    "l_shape": ("l_shape", 1, 0.03),
    "u_shape": ("u_shape", 4, 0.03),
    "bracket": ("bracket", 1, 0.07),
    "box_with_hole": ("box_with_hole", 1, 0.07),
}


def body(name: str, size: float | None = None) -> Mesh:
    """A body whose largest extent is 1 m."""
    family, seed, edge = BODIES[name]
    mesh = domains.draw(family, seed, size or edge)
    return mesh.moved(mesh.points / np.ptp(mesh.points, axis=0).max())


def problem(kind: str, mesh: Mesh, seed: int, k: int, **options: float) -> Elastodynamics:
    """Motion k of a seed, on the mesh that `motions` has."""
    return Elastodynamics.draw(mesh, np.random.default_rng([seed, k, 11]), kind=kind, **options)


def motions(kind: str, name: str, seed: int, count: int, **options: float) -> list[Sample]:
    """Random motions of a body, 121 frames over 4 √(L / g), see `elastic_draws.random_motion`."""
    KEPT.mkdir(parents=True, exist_ok=True)
    words = "".join(f"_{key}{value}" for key, value in options.items())
    mesh, found = None, []
    for k in range(count):
        path = KEPT / f"{kind}_{name}_{seed}_{k}{words}.vtkhdf"
        if not path.exists():
            mesh = mesh or body(name)
            problem(kind, mesh, seed, k, **options).solve(mesh).save(path)
        found.append(Sample.load(path))
    return found
