"""`check`: whether the boundary values of a lattice sample are those that u was computed with."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from meshgnn.datasets.beno import inverse, volumes
from meshgnn.datasets.beno.lattice import Lattice
from meshgnn.sample import Sample

_NORMALS = {"-x": (-1, 0), "+x": (1, 0), "-y": (0, -1), "+y": (0, 1)}
_FELT = 0.02  # a part ||u_f|| / ||u|| below this is lost in any learned error


@dataclass(frozen=True)
class Wall:
    """The faces with one outward normal.

    Args:
        faces: how many.
        tested: of them, how many are the only unknown of their cell's equation.
        wrong: of them, how many have a g other than the one u was computed with.
        largest: largest |g_true - g| / max |g|.
        copy_of: the wall that its values are copied from.
    """

    faces: int
    tested: int
    wrong: int
    largest: float
    copy_of: str | None


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Args:
        walls: by outward normal: "-x", "+x", "-y", "+y".
        scale: max |g|.
        source_share: ||u_f|| / ||u||, u_f the solution with g = 0.
        insulated: number of faces with zero flux.
    """

    walls: dict[str, Wall]
    scale: float
    source_share: float
    insulated: int

    @property
    def findings(self) -> list[str]:
        """What is wrong, in words; empty for a sound sample."""
        result = []
        for name, wall in self.walls.items():
            if wall.wrong:
                copied = f", copied from the wall {wall.copy_of}" if wall.copy_of else ""
                result.append(
                    f"wall {name}: {wall.wrong} of {wall.tested} values are not those of u, by up "
                    f"to {wall.largest:.2g} max |g|{copied}"
                )
        if self.source_share < _FELT:
            result.append(f"f hardly matters: ||u_f|| / ||u|| = {self.source_share:.1e}")
        return result

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def __str__(self) -> str:
        head = (
            f"max |g| = {self.scale:.3g}, ||u_f|| / ||u|| = {self.source_share:.2g}, "
            f"{self.insulated} insulated faces"
        )
        return "; ".join([head, *(self.findings or ["no findings"])])


def check(sample: Sample) -> Report:
    """g from u and f, wall by wall, beside the g that is stored.

    The equation of a cell with one boundary face gives its g = u_c + ½ (Σ_b (u_c - u_b) - h² s_c);
    with several faces it gives their sum, which is held against a wall found wrong elsewhere, else
    against all of them. Values count as wrong beyond 2e-5 max |g|. Through an insulated face
    nothing may flow. A wrong wall is a copy where an eighth of its values, in a row and not zero,
    are those of another.

    Args:
        sample: a solved lattice sample, from `read` or `CornerCut.lattice_sample`.

    Raises:
        ValueError: any other sample.
    """
    lattice, source, g, insulated, u = volumes.parts(sample)
    scale = float(np.abs(g).max())
    error = np.abs(inverse.mismatch(lattice, source, u, g, insulated))[lattice.owner]
    single = np.bincount(lattice.owner)[lattice.owner] == 1
    normal = {name: (lattice.normals == n).all(axis=1) for name, n in _NORMALS.items()}
    limit = max(inverse.TOLERANCE * scale, 1e-14)
    bad = {name: bool((error[on & single] > limit).any()) for name, on in normal.items()}
    tested = single | ~_blamed(lattice, normal, bad)
    walls = {}
    for name, on in normal.items():
        own = on & (tested | bad[name])
        wrong = own & (error > np.where(single, limit, 2 * limit))
        walls[name] = Wall(
            int(on.sum()),
            int(own.sum()),
            int(wrong.sum()),
            float(error[own].max(initial=0.0)) / (scale or 1.0),
            _original(lattice, g, normal, name) if wrong.any() else None,
        )
    still = volumes.system(lattice, source, np.zeros_like(g), insulated).solve()
    share = float(np.linalg.norm(still) / (np.linalg.norm(u) or 1.0))
    return Report(walls, scale, share, int(insulated.sum()))


def _blamed(
    lattice: Lattice, normal: dict[str, Bool[np.ndarray, " P"]], bad: dict[str, bool]
) -> Bool[np.ndarray, " P"]:
    """Faces of cells that touch a wall found wrong."""
    wrong = np.sum([on * bad[name] for name, on in normal.items()], axis=0)
    return np.bincount(lattice.owner, wrong, len(lattice.centres))[lattice.owner] > 0


def _original(
    lattice: Lattice,
    g: Float[np.ndarray, " P"],
    normal: dict[str, Bool[np.ndarray, " P"]],
    name: str,
) -> str | None:
    """The wall with the longest run of values in common, if that is N / 8 or more."""

    def along(wall: str) -> Float[np.ndarray, " _"]:
        on = normal[wall]
        return g[on][np.argsort(lattice.faces[on] @ np.abs(_NORMALS[wall])[::-1])]

    runs = {
        other: max(_run(along(name), along(other)), _run(along(name), along(other)[::-1]))
        for other in _NORMALS
        if other != name
    }
    longest = max(runs, key=lambda other: runs[other])
    return longest if runs[longest] >= lattice.size / 8 else None


def _run(one: Float[np.ndarray, " _"], other: Float[np.ndarray, " _"]) -> int:
    """Length of the longest row of equal values, not zero, in two rows of values."""
    equal = (one[:, None] == other) & (one[:, None] != 0)
    runs = np.zeros(len(other) + 1, int)
    longest = 0
    for row in equal:
        runs[1:] = np.where(row, runs[:-1] + 1, 0)
        longest = max(longest, int(runs.max()))
    return longest
