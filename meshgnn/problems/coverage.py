"""Which boundary facets no condition covers, in words."""

import numpy as np
from jaxtyping import Int

from meshgnn.mesh import Mesh


def uncovered(mesh: Mesh, left: Int[np.ndarray, " K"], rest: str) -> str:
    """The message about boundary facets (global numbers) without a condition, by group."""
    groups = [n for n, g in mesh.groups.items() if g.dim == mesh.dim - 1]
    counts = {n: len(np.intersect1d(mesh.facets_of(n), left)) for n in groups}
    parts = [f"{name!r} ({count})" for name, count in counts.items() if count]
    named = np.unique(np.concatenate([left[:0], *(mesh.facets_of(n) for n in groups)]))
    unnamed = len(np.setdiff1d(left, named))
    parts += [f"no group ({unnamed})"] if unnamed else []
    total = len(mesh.boundary_facet_cells)
    return (
        f"{len(left)} of {total} boundary facets have no condition: {', '.join(parts)}. Every "
        "part needs one; a natural one is said with a zero flux (neumann or traction), and "
        f"the name {rest!r} stands for all facets not named otherwise"
    )
