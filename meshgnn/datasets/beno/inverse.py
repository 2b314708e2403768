"""What u and f say about the boundary values: the discrete equation solved for them."""

import numpy as np
from jaxtyping import Bool, Float, Int

from meshgnn.datasets.beno.lattice import Lattice

TOLERANCE = 2e-5  # of max |g|: what six digits of u leave of it


def excess(
    lattice: Lattice, source: Float[np.ndarray, " n"], u: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """½ (Σ_b (u_c - u_b) - h² s_c) of every cell, which is Σ_D (g_D - u_c) over its D faces."""
    a, b = lattice.pairs.T
    step = u[a] - u[b]
    inner = np.bincount(a, step, len(u)) - np.bincount(b, step, len(u))
    return (inner - source / lattice.size**2) / 2


def mismatch(
    lattice: Lattice,
    source: Float[np.ndarray, " n"],
    u: Float[np.ndarray, " n"],
    g: Float[np.ndarray, " P"],
    insulated: Bool[np.ndarray, " P"],
) -> Float[np.ndarray, " n"]:
    """By how much g must grow for u to solve the discrete equation, summed over a cell's faces."""
    given = np.where(insulated, 0.0, g - u[lattice.owner])
    return excess(lattice, source, u) - np.bincount(lattice.owner, given, len(u))


def insulated(
    lattice: Lattice,
    source: Float[np.ndarray, " n"],
    u: Float[np.ndarray, " n"],
    g: Float[np.ndarray, " P"],
) -> Bool[np.ndarray, " P"]:
    """Faces of the one contiguous part, stored as g = 0, through which nothing flows.

    Such a face has the value u_c of its cell, not 0. Faces of cells with several of them say it
    only in sum: the part is the shortest one around the others that leaves no mismatch.
    """
    none, loop, owner = np.zeros(len(g), bool), lattice.loop, lattice.owner
    limit = TOLERANCE * np.abs(g).max()
    single = np.bincount(owner)[owner] == 1
    still = np.abs(excess(lattice, source, u)[owner]) <= limit
    sure = np.flatnonzero((single & still & (g == 0) & (np.abs(u[owner]) > 2 * limit))[loop])
    if not len(sure):
        return none
    # the shortest arc that holds all of them begins behind the widest gap
    gaps = np.diff(np.append(sure, sure[0] + len(loop)))
    widest = int(gaps.argmax())
    first = int(sure[(widest + 1) % len(sure)])
    length = len(loop) - int(gaps[widest]) + 1
    around = owner[loop[_arc(first - 4, length + 8, len(loop))]]
    best, found = np.inf, none
    for before, behind in sorted(np.ndindex(5, 5), key=sum):
        trial = none.copy()
        trial[loop[_arc(first - before, length + before + behind, len(loop))]] = True
        if not (g[trial] == 0).all():
            continue
        left = np.abs(mismatch(lattice, source, u, g, trial)[around]).max()
        if left < best:
            best, found = left, trial
        if left <= limit:
            break
    return found


def _arc(first: int, length: int, total: int) -> Int[np.ndarray, " _"]:
    return np.arange(first, first + length) % total
