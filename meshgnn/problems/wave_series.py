"""The wave equation on an interval, mode by mode: exact in time, to rounding in space."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import pi

import numpy as np
from jaxtyping import Bool, Float

from meshgnn.fem.values import CellValue, Value, at_points, is_array, positive
from meshgnn.mesh import Group, Mesh

_MODES = (128, 256, 512, 1024)
_POINTS, _WAVES = 16, 2  # Gauss points a panel, and waves of the highest mode on it
_ROUNDING, _RESOLVED = 1e-14, 1e-8


@dataclass(frozen=True, eq=False)
class WaveSeries:
    """u(x, t) = Σ_k φ_k(x) (a_k cos ω_k t + b_k sin(ω_k t) / ω_k), ω_k = c κ_k.

    φ_k(x) = sin κ_k(x - x₀) where u = 0 at the left end x₀, cos κ_k(x - x₀) where u_x = 0 there;
    κ_k L is a multiple of π where both ends are alike, an odd multiple of π/2 where they are not.
    Solves u_tt = c² u_xx for every t at once: no time step, no dispersion. The energy
    ½ ∫ u_t² + c² u_x² dx is that of the kept modes for ever.

    Args:
        low: x₀.
        waves: [K] κ_k, 1/m.
        speed: c, m/s.
        sines: whether u = 0 at x₀.
        displacement: [K] a_k.
        velocity: [K] b_k.
    """

    low: float
    waves: Float[np.ndarray, " K"]
    speed: float
    sines: bool
    displacement: Float[np.ndarray, " K"]
    velocity: Float[np.ndarray, " K"]

    @classmethod
    def expand(
        cls,
        ends: tuple[float, float],
        neumann: tuple[bool, bool],
        speed: float,
        displacement: Value,
        velocity: Value,
    ) -> "WaveSeries":
        """The series of the initial data, with as many modes (128 to 1024) as they take.

        The coefficients come from Gauss–Legendre quadrature with eight points a wave of the
        highest mode, which is exact to rounding for data as smooth as that mode.

        Args:
            ends: of the interval.
            neumann: at the left and the right end, u_x = 0 (else u = 0).
            speed: c.
            displacement: u at t = 0; a number or a function of x[..., 1].
            velocity: u_t at t = 0, likewise.

        Warns: coefficients that have not decayed below 1e-8 of the largest, as those of data with
            kinks or jumps, or which do not meet the end conditions: the series then oscillates.
        """
        given = ends, neumann, speed, displacement, velocity
        series, tail = cls._truncated(_MODES[0], *given)
        for count in _MODES[1:]:
            if tail < _ROUNDING:
                break
            series, tail = cls._truncated(count, *given)
        if tail > _RESOLVED:
            warnings.warn(
                f"wave series: the last of {len(series.waves)} modes still have {tail:.1e} of the "
                "largest coefficient: the initial data have kinks or jumps, or do not meet the "
                "conditions at the ends",
                stacklevel=2,
            )
        return series

    @classmethod
    def _truncated(
        cls,
        count: int,
        ends: tuple[float, float],
        neumann: tuple[bool, bool],
        speed: float,
        displacement: Value,
        velocity: Value,
    ) -> tuple["WaveSeries", float]:
        """So many modes, and the largest of the last quarter of them in parts of the largest."""
        first = 0.5 if neumann[0] != neumann[1] else 0.0 if neumann[0] else 1.0
        waves = pi / (ends[1] - ends[0]) * (np.arange(count) + first)
        bare = cls(ends[0], waves, speed, not neumann[0], np.zeros(count), np.zeros(count))
        a, b = (bare._coefficients(value, ends) for value in (displacement, velocity))
        sizes = np.abs(a) + np.abs(b) / (speed * np.maximum(waves, waves[1] - waves[0]))
        tail = float(sizes[-count // 4 :].max() / (sizes.max() or 1.0))
        return replace(bare, displacement=a, velocity=b), tail

    def _coefficients(self, value: Value, ends: tuple[float, float]) -> np.ndarray:
        panels = len(self.waves) // (2 * _WAVES) + 1
        nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
        width = (ends[1] - ends[0]) / panels
        x = ends[0] + width * (np.arange(panels)[:, None] + (nodes + 1) / 2).ravel()
        data = at_points(value, x[:, None], "initial value")
        weighted = data * np.tile(width / 2 * weights, panels)
        norms = np.where(self.waves > 0, (ends[1] - ends[0]) / 2, ends[1] - ends[0])
        return (weighted @ self._shapes(x)) / norms

    def _shapes(self, x: Float[np.ndarray, " N"]) -> Float[np.ndarray, "N K"]:
        phase = np.outer(x - self.low, self.waves)
        return np.sin(phase) if self.sines else np.cos(phase)

    def __call__(
        self, x: Float[np.ndarray, " N"], t: Float[np.ndarray, " T"]
    ) -> Float[np.ndarray, "T N 2"]:
        """u and u_t at all points and times."""
        angle = np.outer(t, self.speed * self.waves)
        # sin(ωt)/ω is t for the mode that is constant in x
        lag = t[:, None] * np.sinc(angle / pi)
        a, b, shapes = self.displacement, self.velocity, self._shapes(x).T
        u = (a * np.cos(angle) + b * lag) @ shapes
        rate = (b * np.cos(angle) - a * self.speed * self.waves * np.sin(angle)) @ shapes
        return np.stack([u, rate], axis=-1)

    def energy(self) -> float:
        """½ ∫ u_t² + c² u_x² dx, the same at all times."""
        waves = self.waves
        # ∫ φ² = L/2, and L for the mode κ = 0; κ L = π (k + first)
        length = pi / (waves[1] - waves[0])
        norms = np.where(waves > 0, length / 2, length)
        elastic = (self.speed * waves * self.displacement) ** 2
        return float(0.5 * (norms * (self.velocity**2 + elastic)).sum())


def series_on(
    mesh: Mesh,
    held: Bool[np.ndarray, " N"],
    speed: CellValue,
    initial: tuple[Value, Value],
    drives: Sequence[Value],
    lossy: bool,
) -> WaveSeries:
    """The series on a mesh of one interval, u = 0 or u_x = 0 at each end.

    Args:
        mesh: the mesh.
        held: where u is prescribed.
        speed: c, a number.
        initial: u and u_t, numbers or functions of x.
        drives: source and boundary values, all 0.
        lossy: whether there are absorbing or periodic parts.

    Raises:
        ValueError: anything else, with all that is missing.
    """
    x = mesh.points[:, 0]
    ends = np.array([x.argmin(), x.argmax()])
    faults = {
        "a mesh of one interval": mesh.points.shape[1] != 1 or len(mesh.boundary_nodes) != 2,
        "a constant speed": not isinstance(speed, int | float),
        "no source and boundary values 0": any(callable(v) or np.any(v) for v in drives),
        "conditions at the ends only": held.sum() > held[ends].sum(),
        "ends that reflect": lossy,
        "initial values as numbers or functions of x": any(is_array(v, None) for v in initial),
    }
    missing = [what for what, fault in faults.items() if fault]
    if missing or not isinstance(speed, int | float):
        raise ValueError(
            f"Wave: the spectral solution needs {', '.join(missing)}; use method='newmark'"
        )
    number = float(positive(np.array(speed, np.float64), "speed"))
    free = (not bool(held[ends[0]]), not bool(held[ends[1]]))
    return WaveSeries.expand((float(x.min()), float(x.max())), free, number, *initial)


@dataclass(frozen=True, eq=False)
class Pulse:
    """u = exp(-((x - s)/w)²), u_t = -2 c (x - s)/w² u: one pulse that runs to the left at speed c.

    u(x, t) = exp(-((x - s + c t)/w)²) solves u_tt = c² u_xx and has these initial data.

    Args:
        centre: s.
        width: w.
        speed: c; a negative one makes the pulse run to the right.
    """

    centre: float
    width: float
    speed: float

    def displacement(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """u at t = 0, at points x[..., 1]."""
        return np.exp(-(((x[..., 0] - self.centre) / self.width) ** 2))

    def velocity(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """u_t at t = 0, at points x[..., 1]."""
        slope = -2 * (x[..., 0] - self.centre) / self.width**2
        return self.speed * slope * self.displacement(x)


def interval_mesh(
    nodes: int = 100,
    low: float = -8.0,
    high: float = 8.0,
    place: Callable[[Float[np.ndarray, " N"]], np.ndarray] | None = None,
) -> Mesh:
    """An interval, with the groups left, right and domain; by default at Chebyshev extrema.

    Args:
        nodes: N, at least 2.
        low: left end.
        high: right end.
        place: increasing map of [0, 1] to itself, from equal steps to the nodes; None is
            (1 - cos πξ)/2, the extrema of the Chebyshev polynomial of degree N - 1, and
            `lambda xi: xi` an even mesh.

    Raises:
        ValueError: fewer than two nodes; ends or a map that do not increase.
    """
    xi = np.linspace(0.0, 1.0, nodes) if nodes > 1 else np.zeros(1)
    inner = (1 - np.cos(pi * xi)) / 2 if place is None else np.asarray(place(xi), np.float64)
    x = low + (high - low) * inner
    if nodes < 2 or x.shape != xi.shape or not (np.diff(x) > 0).all():
        raise ValueError(
            f"interval_mesh: expected two or more increasing nodes, got {nodes} from {low} to "
            f"{high}: {x}"
        )
    cells = np.stack([np.arange(nodes - 1), np.arange(1, nodes)], axis=1)
    groups = {
        "left": Group(0, {"vertex": np.array([[0]])}),
        "right": Group(0, {"vertex": np.array([[nodes - 1]])}),
        "domain": Group(1, {"line": cells}),
    }
    return Mesh(x[:, None], {"line": cells}, groups)
