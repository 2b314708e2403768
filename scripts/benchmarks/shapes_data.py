"""The families of `shapes.py`: shapes of one topology, drawn from (seed, i), solved by elements.

Seed 0 is for training, 1 for choosing settings, 2 for tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from meshgnn.geometry.domains import FAMILIES
from meshgnn.geometry.polygon import Loop, ellipse, mesh_polygon
from meshgnn.mesh import Mesh
from meshgnn.mesher import current_mesh, generate, session
from meshgnn.problems import LinearElasticity, Poisson
from meshgnn.sample import Sample

DATA = Path(__file__).resolve().parent / "data" / "shapes"
_SIDES = ["bottom", "right", "top", "left"]


def plate_mesh(rng: np.random.Generator, size: float = 0.048, largest: float = 0.2) -> Mesh:
    """A plate 2 long with two elliptic holes, that tapers: 7 numbers, uniform.

    Half heights 0.5 at the left and 0.4 to 0.6 at the right; at x = −0.5 and 0.5 a hole each, its
    centre within 0.12 of the middle, its half axes in [0.1, `largest`]. The least width left beside
    a hole is 0.1 at 0.2, and 0.05 at 0.25.
    """
    taper = rng.uniform(0.4, 0.6)
    corners = np.array([[-1, -0.5], [1, -taper], [1, taper], [-1, 0.5]])
    loops = [Loop(corners, _SIDES)]
    for name, x in (("hole_left", -0.5), ("hole_right", 0.5)):
        centre, axes = (x, rng.uniform(-0.12, 0.12)), tuple(rng.uniform(0.1, largest, 2))
        loops.append(ellipse(centre, axes, 0.0, name, 0.6 * size))
    return mesh_polygon(loops, size)


def plate(rng: np.random.Generator, size: float = 0.048, largest: float = 0.2) -> Sample:
    """The plate under tension: clamped at the left, pulled by 0.005 to 0.015 E at the right.

    Plane stress, E = 1, Poisson's ratio 0.2 to 0.4.
    """
    mesh = plate_mesh(rng, size, largest)
    pull, ratio = rng.uniform(0.005, 0.015), rng.uniform(0.2, 0.4)
    free = dict.fromkeys(("bottom", "top", "hole_left", "hole_right"), 0.0)
    return LinearElasticity(
        poisson=ratio,
        mode="plane stress",
        dirichlet={"left": (0.0, 0.0)},
        traction={"right": (pull, 0.0)} | free,
    ).solve(mesh)


def plate_wide(rng: np.random.Generator) -> Sample:
    """The plate with holes up to 0.25: thin ligaments."""
    return plate(rng, largest=0.25)


def aerofoil(rng: np.random.Generator, size: float = 0.2) -> Sample:
    """What a section disturbs in a uniform flow along x: Δu = 0, u = φ − x, without circulation.

    ∂u/∂n = −n_x on the section, u = 0 far away. The sections are those of the family
    `naca_aerofoil`: thickness, camber, crest and angle vary.
    """
    mesh = FAMILIES["naca_aerofoil"](rng, size)
    far = dict.fromkeys(("inlet", "outlet", "wall"), lambda x: x[..., 0])
    flow = Poisson(dirichlet=far, neumann={"aerofoil": 0.0}).solve(mesh)
    still = Poisson(dirichlet=dict.fromkeys(far, 0.0), neumann={"aerofoil": 0.0}).sample(mesh)
    flux = -mesh.facet_normals[mesh.facets_of("aerofoil"), :1]
    boundary = replace(still.boundary, flux=flux)
    return replace(still, boundary=boundary, u=flow.u - mesh.points[:, :1])


def heatsink_mesh(p: Sequence[float], fins: int = 4, size: float = 0.045) -> Mesh:
    """A plate 1 × 0.6 with tapered fins on it, by tetrahedra.

    Args:
        p: thickness of the plate, height, thickness at the foot and distance of the fins, their
            thickness at the tip as a share of that at the foot, and what is free before them.
        fins: how many.
        size: of elements.

    Parts: base (underside), sides and top (of the plate), fins.
    """
    plate, height, foot, gap, taper, free = p
    with session() as gmsh:
        occ = gmsh.model.occ
        bodies = []
        for k in range(fins):
            x = 0.5 + (k - (fins - 1) / 2) * gap
            corners = [(x - foot / 2, plate), (x + foot / 2, plate)]
            corners += [(x + s * taper * foot / 2, plate + height) for s in (1, -1)]
            points = [occ.addPoint(a, free, b) for a, b in corners]
            lines = [occ.addLine(points[i], points[(i + 1) % 4]) for i in range(4)]
            face = occ.addPlaneSurface([occ.addCurveLoop(lines)])
            bodies += occ.extrude([(2, face)], 0, 0.6 - 2 * free, 0)
        solids = [pair for pair in bodies if pair[0] == 3]
        occ.fuse([(3, occ.addBox(0, 0, 0, 1, 0.6, plate))], solids)
        occ.synchronize()
        parts: dict[str, list[int]] = {}
        for _, face in gmsh.model.getEntities(2):
            low, high = np.array(gmsh.model.getBoundingBox(2, face)).reshape(2, 3)[:, 2]
            flat = "base" if high < 1e-4 else "top" if low > plate - 1e-4 else "sides"
            parts.setdefault("fins" if high > plate + 1e-4 else flat, []).append(face)
        for name, faces in parts.items():
            gmsh.model.addPhysicalGroup(2, faces, name=name)
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        gmsh.option.setNumber("Mesh.MeshSizeMin", size)
        generate(3)
        return current_mesh(3)


def heatsink(rng: np.random.Generator) -> Sample:
    """Steady heat: flux 0.5 to 2 through the base, sides insulated, the rest in air, α 0.1 to 0.5.

    Conductivity 1, u is the temperature above that of the air. Uniform: thickness 0.08 to 0.16,
    height 0.25 to 0.5, foot 0.08 to 0.13, distance 0.2 to 0.26, taper 0.5 to 1, free 0.04 to 0.12.
    """
    low = np.array([0.08, 0.25, 0.08, 0.20, 0.5, 0.04])
    mesh = heatsink_mesh(rng.uniform(low, [0.16, 0.5, 0.13, 0.26, 1.0, 0.12]))
    flux, cooling = rng.uniform(0.5, 2.0), rng.uniform(0.1, 0.5)
    return Poisson(
        neumann={"base": flux, "sides": 0.0},
        robin=dict.fromkeys(("top", "fins"), (cooling, 0.0)),
    ).solve(mesh)


FAMILY: dict[str, Callable[[np.random.Generator], Sample]] = {
    "plate": plate,
    "plate_wide": plate_wide,
    "aerofoil": aerofoil,
    "heatsink": heatsink,
}


def write(name: str, seed: int) -> Callable[[int, Path], None]:
    """What writes sample i of a set."""

    def one(i: int, path: Path) -> None:
        FAMILY[name](np.random.default_rng([seed, i])).save(path)

    return one
