"""Thrown cubes of four materials by the material point method, made once and kept."""

from pathlib import Path

import numpy as np

from meshgnn.mesh import Mesh
from meshgnn.mesher import current_mesh, generate, session
from meshgnn.problems import MaterialPoints
from meshgnn.sample import Sample

KEPT = Path(__file__).resolve().parent / "data" / "lagrangian"
MATERIALS = ("elastic", "plasticine", "sand", "water")
TRAINED, FRAMES, SEED, SIZE = 3, 61, 7, 0.041


def trajectories(material: str) -> list[Sample]:
    """Three trajectories to train with and one to be judged on, of other initial velocities.

    Half a metre of material in a box of 0.8 m, thrown at up to 3 m/s and 3 /s, half a second.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    mesh, found = None, []
    for k in range(TRAINED + 1):
        path = KEPT / f"{material}_{k}.vtkhdf"
        if not path.exists():
            mesh = mesh or cube()
            rng = np.random.default_rng([SEED, k])
            MaterialPoints.draw(mesh, rng, material=material, frames=FRAMES).solve(mesh).save(path)
        found.append(Sample.load(path))
    return found


def cube() -> Mesh:
    """Half a metre, some 2,300 nodes."""
    with session() as gmsh:
        gmsh.model.occ.addBox(0, 0, 0, 0.5, 0.5, 0.5)
        gmsh.model.occ.synchronize()
        for bound in ("Min", "Max"):
            gmsh.option.setNumber(f"Mesh.MeshSize{bound}", SIZE)
        generate(3)
        return current_mesh()
