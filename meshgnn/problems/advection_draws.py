"""Random data of `AdvectionDiffusion`: flow through a mesh, or a stirred box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from meshgnn.mesh import Mesh
from meshgnn.operators import recovered_gradient
from meshgnn.problems import flows
from meshgnn.problems.fields import GaussianField
from meshgnn.problems.periodic_field import PeriodicField
from meshgnn.problems.poisson import Poisson


@dataclass(frozen=True, eq=False)
class Inlet:
    """c(t) = (1 - exp(-(8t/T)²)) (1 + tanh w(t)) / 2, w = Σ_m a_m cos(mπt/T) + b_m sin(mπt/T).

    Args:
        cosines: a.
        sines: b.
        duration: T, s.
    """

    cosines: Float[np.ndarray, " K"]
    sines: Float[np.ndarray, " K"]
    duration: float

    def __call__(self, x: Float[np.ndarray, "*R d"], t: float) -> Float[np.ndarray, "*R"]:
        """c at points x[..., d], the same at all of them."""
        phase = np.pi * np.arange(len(self.cosines)) * t / self.duration
        wave = np.cos(phase) @ self.cosines + np.sin(phase) @ self.sines
        ramp = -np.expm1(-((8 * t / self.duration) ** 2))
        return np.full(x.shape[:-1], ramp * (1 + np.tanh(wave)) / 2)

    @classmethod
    def draw(cls, duration: float, rng: np.random.Generator, modes: int = 8) -> "Inlet":
        """Independent normal a, b, the sum of standard deviation 1.5."""
        a, b = 1.5 * rng.standard_normal((2, modes)) / np.sqrt(modes)
        return cls(a, b, duration)


@dataclass(frozen=True, eq=False)
class Fraction:
    """(1 + tanh((v(x) - v_0) / s)) / 2, between 0 and 1.

    Args:
        field: v.
        middle: v_0.
        spread: s.
    """

    field: Callable[[Float[np.ndarray, "*R d"]], Float[np.ndarray, "*R"]]
    middle: float
    spread: float

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """The fraction at points x[..., d]."""
        return (1 + np.tanh((self.field(x) - self.middle) / self.spread)) / 2


def through(
    mesh: Mesh, rng: np.random.Generator, ends: tuple[str, str], speed: float, duration: float
) -> dict[str, Any]:
    """Potential flow from one group to another that carries in what varies in time.

    Args:
        mesh: the mesh.
        rng: random numbers.
        ends: inlet and outlet.
        speed: of the inflow, m/s.
        duration: T, s.
    """
    inlet, outlet = ends
    velocity = speed * seepage(mesh, inlet, outlet)
    return {
        "velocity": velocity if mesh.points.shape[1] > 1 else velocity[:, 0],
        "dirichlet": {inlet: Inlet.draw(duration, rng)},
        "neumann": {"*": 0.0},
    }


def box(
    mesh: Mesh, rng: np.random.Generator, length: float, speed: float, periodic: bool
) -> dict[str, Any]:
    """A smooth velocity free of divergence in insulated walls, or periodic.

    Args:
        mesh: the mesh.
        rng: random numbers.
        length: correlation length, in units of the longest side of the bounding box.
        speed: max |b|, m/s.
        periodic: whether sides that are translates of each other are one.
    """
    pairs = flows.opposite(mesh) if periodic else {}
    velocity, walls = flows.stirred(mesh, rng, length, speed, pairs)
    family = PeriodicField if pairs else GaussianField
    field = family.draw(mesh, length * float(np.ptp(mesh.points, axis=0).max()), 1.0, rng)
    nodal = field(mesh.points)
    return {
        "velocity": velocity,
        # about half of the nodes above 1/2, whatever the mean of this draw
        "initial": Fraction(field, float(np.median(nodal)), float(nodal.std())),
        "neumann": {"*": 0.0} if walls else {},
        "periodic": pairs,
    }


def seepage(mesh: Mesh, inlet: str, outlet: str) -> Float[np.ndarray, "N d"]:
    """b = ∇φ at the nodes, |b| about 1 at the inlet, tangential at walls.

    Δφ = 0 with ∂φ/∂n = -1 at the inlet, φ = 0 at the outlet and ∂φ/∂n = 0 elsewhere.
    """
    neumann = {inlet: -1.0}
    if len(flows.walls_of(mesh, {inlet: outlet})):
        neumann["*"] = 0.0
    potential = Poisson(dirichlet={outlet: 0.0}, neumann=neumann).solve(mesh).u
    assert potential is not None
    parts = (potential[0], mesh.points, mesh.simplices)
    return recovered_gradient(*(torch.from_numpy(np.array(p)) for p in parts)).numpy()[:, 0]
