"""Random smooth functions of space and of arc length, independent of the mesh they are drawn on."""

from dataclasses import dataclass
from math import ceil, exp, pi, sqrt

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh import Mesh

# lattice spacing and margin in correlation lengths: the covariance is then exact to 2e-5
_SPACING, _MARGIN = 0.65, 2.6
_CHUNK = 4096  # points at a time: what is computed for them stays in the cache


@dataclass(frozen=True, eq=False)
class GaussianField:
    """v(x) = Σ_j w_j exp(-|x - x_j|² / l²) over a lattice x_j, w_j independent normal.

    A process convolution: the covariance is σ² exp(-r² / 2l²), r the distance, to 2e-5 for a
    lattice of spacing 0.65 l, which makes it a sample of the squared-exponential Gaussian process.

    Args:
        axes: d arrays, lattice coordinates in each direction.
        weights: [G_1, ..., G_d] w_j.
        length: l.

    Source: Higdon, Space and space-time modeling using process convolutions, 2002, section 2.
    """

    axes: tuple[Float[np.ndarray, " _"], ...]
    weights: Float[np.ndarray, "..."]
    length: float

    @classmethod
    def draw(
        cls, mesh: Mesh, length: float, std: float, rng: np.random.Generator
    ) -> "GaussianField":
        """A field over the bounding box of the mesh, with this l and standard deviation σ."""
        low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
        step, margin = _SPACING * length, _MARGIN * length
        axes = tuple(
            a - margin + step * np.arange(ceil((b - a + 2 * margin) / step - 1e-9) + 1)
            for a, b in zip(low, high, strict=True)
        )
        # Σ_j exp(-2 (x - x_j)² / l²) = l sqrt(π/2) / spacing, in each direction
        scale = std / (sqrt(pi / 2) / _SPACING) ** (len(axes) / 2)
        return cls(axes, scale * rng.standard_normal([len(a) for a in axes]), length)

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """v at points x[..., d]."""
        flat = x.reshape(-1, x.shape[-1])
        parts = [self._values(flat[i : i + _CHUNK]) for i in range(0, max(len(flat), 1), _CHUNK)]
        return np.concatenate(parts).reshape(x.shape[:-1])

    def _values(self, x: Float[np.ndarray, "R d"]) -> Float[np.ndarray, " R"]:
        starts = np.array([axis[0] for axis in self.axes])
        first, *others = (
            _bumps(t, len(axis))
            for t, axis in zip((x - starts).T / self.length, self.axes, strict=True)
        )
        result = self.weights.reshape(len(first), -1).T @ first
        for bumps in others:
            rest = len(result) // len(bumps)
            result = np.einsum("gr,gkr->kr", bumps, result.reshape(len(bumps), rest, -1))
        return result[0]

    def largest(self) -> float:
        """max |v| over the lattice points inside the box: a scale that no mesh enters."""
        inner = [axis[4:-4] for axis in self.axes]
        lattice = np.stack(np.meshgrid(*inner, indexing="ij"), axis=-1)
        return float(np.abs(self(lattice)).max())


def _bumps(t: Float[np.ndarray, " R"], count: int) -> Float[np.ndarray, "G R"]:
    """exp(-(t - s k)²) for k = 0 ... count - 1, s the spacing, from two exponentials in sixteen.

    About the middle c of sixteen, with g = t - s c: e^{-g²} · (e^{2sg})^{k-c} · e^{-s²(k-c)²}, the
    powers by repeated products. Beyond |g| = 15 all of them are below 1e-50: g stops there.
    """
    result = np.empty((count, len(t)))
    for start in range(0, count, 16):
        gap = np.clip(t - _SPACING * (start + 7.5), -15, 15)
        ratio, power = np.exp(2 * _SPACING * gap), np.exp(-gap * (gap + 15 * _SPACING))
        for k in range(start, min(start + 16, count)):
            np.multiply(power, exp(-((_SPACING * (k - start - 7.5)) ** 2)), out=result[k])
            power *= ratio
    return result


@dataclass(frozen=True, eq=False)
class LoopField:
    """v(s) = Σ_k a_k cos(2πks/L) + b_k sin(2πks/L), s the arc length along each boundary loop.

    The coefficients have the variances of a Gaussian process on the circle of length L with
    correlation Σ_m exp(-(s + mL)² / 2l²). A point belongs to the nearest segment, so the function
    may be asked on any mesh of the same polygon.

    Args:
        starts: [S, d] first ends of the boundary segments.
        ends: [S, d] second ends.
        arcs: [S] arc length of the first ends.
        loops: [S] loop of each segment.
        lengths: loop lengths L.
        cosines: one array a [K + 1] per loop.
        sines: one array b [K + 1] per loop.
    """

    starts: Float[np.ndarray, "S d"]
    ends: Float[np.ndarray, "S d"]
    arcs: Float[np.ndarray, " S"]
    loops: Int[np.ndarray, " S"]
    lengths: Float[np.ndarray, " P"]
    cosines: tuple[Float[np.ndarray, " _"], ...]
    sines: tuple[Float[np.ndarray, " _"], ...]

    @classmethod
    def draw(
        cls, mesh: Mesh, length: float, largest: float, rng: np.random.Generator
    ) -> "LoopField":
        """A field on the boundary of a mesh of triangles or quads, with max |v| = `largest`.

        Loops begin at their smallest point (by x, then y, ...), run with the domain on the left
        and are ordered by these points; nothing depends on the numbering of the mesh.
        """
        paths = boundary_loops(mesh)
        starts = np.concatenate([mesh.points[path] for path in paths])
        ends = np.concatenate([mesh.points[np.roll(path, -1)] for path in paths])
        sides = np.linalg.norm(ends - starts, axis=1)
        loops = np.repeat(np.arange(len(paths)), [len(path) for path in paths])
        lengths = np.bincount(loops, sides)
        arcs = (
            np.cumsum(sides) - sides - np.repeat(np.cumsum(lengths) - lengths, np.bincount(loops))
        )
        cosines, sines, peak = [], [], 0.0
        for around in lengths:
            modes = np.arange(ceil(1.25 * around / length) + 1)
            variance = np.exp(-2 * (pi * modes * length / around) ** 2) * np.where(modes, 2, 1)
            a, b = rng.standard_normal((2, len(modes))) * np.sqrt(variance / variance.sum())
            cosines.append(a)
            sines.append(b)
            # the series at 32 points for its shortest wave: a maximum that no mesh enters
            waves = np.fft.irfft((a - 1j * b) * np.where(modes, 0.5, 1), 32 * len(modes))
            peak = max(peak, float(np.abs(waves).max()) * len(waves))
        scale = largest / peak
        scaled = ([scale * a for a in cosines], [scale * b for b in sines])
        return cls(starts, ends, arcs, loops, lengths, *map(tuple, scaled))

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """v at the points of the boundary nearest to x[..., d]."""
        flat = x.reshape(-1, x.shape[-1])
        step = max(1, _CHUNK * 1024 // len(self.arcs))
        parts = [self._values(flat[i : i + step]) for i in range(0, max(len(flat), 1), step)]
        return np.concatenate(parts).reshape(x.shape[:-1])

    def _values(self, x: Float[np.ndarray, "R d"]) -> Float[np.ndarray, " R"]:
        along = self.ends - self.starts
        length2 = (along**2).sum(axis=1)
        # |x - a - t v|² expanded, about the centre so that no digits are lost far from the origin
        centre = self.starts.mean(axis=0)
        x, starts = x - centre, self.starts - centre
        ahead = x @ along.T - (starts * along).sum(axis=1)
        place = np.clip(ahead / length2, 0.0, 1.0)
        gap = (starts**2).sum(axis=1) - 2 * x @ starts.T + place * (place * length2 - 2 * ahead)
        nearest, row = gap.argmin(axis=1), np.arange(len(x))
        arc = self.arcs[nearest] + place[row, nearest] * np.sqrt(length2[nearest])
        result = np.zeros(len(x))
        for loop, (a, b) in enumerate(zip(self.cosines, self.sines, strict=True)):
            mine = self.loops[nearest] == loop
            result[mine] = _series(a, b, arc[mine] / self.lengths[loop])
        return result


def _series(
    a: Float[np.ndarray, " K"], b: Float[np.ndarray, " K"], turn: Float[np.ndarray, " R"]
) -> Float[np.ndarray, " R"]:
    phase = 2 * pi * np.outer(turn, np.arange(len(a)))
    return np.cos(phase) @ a + np.sin(phase) @ b


def boundary_loops(mesh: Mesh) -> list[Int[np.ndarray, " _"]]:
    """Nodes of every closed boundary curve of a 2D mesh, in order, the domain on the left.

    Raises:
        ValueError: cells of inconsistent orientation, whose boundary is no closed curve.
    """
    after: dict[int, list[int]] = {}
    for a, b in mesh.boundary_facets["line"].tolist():
        after.setdefault(a, []).append(b)
    nodes = mesh.boundary_nodes
    loops = []
    for first in nodes[np.lexsort(mesh.points[nodes].T[::-1])].tolist():
        while after.get(first):
            path, node = [first], after[first].pop()
            while node != first:
                path.append(node)
                if not after.get(node):
                    raise ValueError(
                        f"the boundary ends at node {node}: the cells are not oriented alike; "
                        "use Mesh.oriented()"
                    )
                node = after[node].pop()
            loops.append(np.array(path))
    return loops


def boundary_field(
    mesh: Mesh, length: float, largest: float, rng: np.random.Generator
) -> LoopField | GaussianField:
    """A smooth function on the boundary: of arc length where that is a curve, else of space."""
    if mesh.dim == 2:
        return LoopField.draw(mesh, length, largest, rng)
    field = GaussianField.draw(mesh, length, 1.0, rng)
    return GaussianField(field.axes, field.weights * (largest / field.largest()), length)
