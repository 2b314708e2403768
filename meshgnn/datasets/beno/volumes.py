"""Finite volumes on the lattice: solution, residual, and the sample made of them."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import correlate1d
from scipy.sparse import csr_matrix

from meshgnn.datasets.beno.lattice import Lattice
from meshgnn.fem import LinearSystem
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample


def system(
    lattice: Lattice,
    source: Float[np.ndarray, " n"],
    g: Float[np.ndarray, " P"],
    insulated: Bool[np.ndarray, " P"],
) -> LinearSystem:
    """Σ_b (u_c - u_b) + 2 Σ_D (u_c - g_D) = h² s_c for every inside cell c: -∇²u = s.

    b are the inside neighbours, D the Dirichlet faces of c, whose value is the mean of u_c and of
    a cell behind it (u_behind = 2 g - u_c); through an insulated face nothing flows.

    Args:
        lattice: the cells.
        source: s at the centres.
        g: at the face midpoints.
        insulated: faces with zero flux in place of g.
    """
    count, held = len(lattice.centres), ~insulated
    owner, (a, b) = lattice.owner[held], lattice.pairs.T
    diagonal = np.bincount(np.concatenate([a, b]), minlength=count)
    diagonal = diagonal + 2 * np.bincount(owner, minlength=count)
    every = np.arange(count)
    rows, columns = np.concatenate([every, a, b]), np.concatenate([every, b, a])
    entries = np.concatenate([diagonal, np.full(2 * len(a), -1.0)])
    load = source / lattice.size**2 + 2 * np.bincount(owner, g[held], count)
    return LinearSystem(
        csr_matrix((entries, (rows, columns)), shape=(count, count)),
        load,
        np.ones(count, bool),
        np.zeros(count),
        lattice.points[:count],
    )


def blurred(rhs: Float[np.ndarray, "N N"]) -> Float[np.ndarray, "N N 3"]:
    """A 5 x 5 Gaussian mean of standard deviation 5 cells, and its central differences in x and y.

    Mirrored beyond the square (without the cell at its edge); differences are per cell, not
    divided by h, one-sided at the edge. The source features of the published network.
    """
    weights = np.exp(-((np.arange(5) - 2) ** 2) / 50)
    result = rhs
    for axis in (0, 1):
        result = correlate1d(result, weights / weights.sum(), axis, mode="mirror")
    return np.stack([result, *np.gradient(result)], axis=-1)


def at_boundary(lattice: Lattice, centres: Float[np.ndarray, "n F"]) -> Float[np.ndarray, "L F"]:
    """Cell values at all nodes; on the boundary the mean over the inside cells that touch them."""
    number = lattice.node_at[1::2, 1::2]
    padded = np.pad(number, 1, constant_values=-1)
    i, j = lattice.corners.T // 2
    around = np.stack([padded[i + a, j + b] for a in (0, 1) for b in (0, 1)])
    weights = (around >= 0) / (around >= 0).sum(axis=0)
    corners = (centres[around] * weights[..., None]).sum(axis=0)
    return np.concatenate([centres, centres[lattice.owner], corners])


def sample(
    lattice: Lattice,
    source: Float[np.ndarray, " L"],
    g: Float[np.ndarray, " P"],
    insulated: Bool[np.ndarray, " P"],
    u: Float[np.ndarray, " n"],
    rhs: Float[np.ndarray, "N N"] | None,
    meta: dict[str, Any],
) -> Sample:
    """The sample on the dual mesh.

    Args:
        lattice: the cells.
        source: s at all nodes.
        g: at the face midpoints, of no effect where insulated.
        insulated: faces with zero flux.
        u: at the centres.
        rhs: -s on the whole square, for the three further inputs of `blurred`; None without them.
        meta: of the sample.
    """
    mesh = lattice.mesh(insulated)
    count, around = len(u), lattice.corner_faces
    held, value = ~insulated, np.where(insulated, u[lattice.owner], g)
    # a corner between a Dirichlet and an insulated side has the value of the first alone
    weights = np.where(held[around].any(axis=1, keepdims=True), held[around], True)
    corners = (value[around] * weights).sum(axis=1) / weights.sum(axis=1)
    full = np.concatenate([u, value, corners])
    mask = np.concatenate([np.zeros(count, bool), held, held[around].any(axis=1)])
    names, columns = ["source", "diffusivity"], [source, np.ones_like(source)]
    if rhs is not None:
        names += ["blur", "blur_x", "blur_y"]
        columns += at_boundary(lattice, blurred(rhs)[lattice.inside]).T.tolist()
    inputs = np.stack(columns, axis=1)
    return Sample(
        mesh,
        _boundary(mesh, mask, np.where(mask, full, 0.0)),
        inputs,
        u=full[None, :, None],
        names={"u": ["u"], "inputs": names, "cell_inputs": names[:2]},
        meta={
            "problem": "Poisson",
            "lattice": lattice.size,
            "solver": "finite volumes",
            "mixed": bool(insulated.any()),
            **meta,
        },
        cell_inputs=inputs[mesh.cells["quad"], :2].mean(axis=1),
    )


def _boundary(
    mesh: Mesh, mask: Bool[np.ndarray, " L"], values: Float[np.ndarray, " L"]
) -> Boundary:
    part = mesh.groups.get("insulated")
    facets = part.cells["line"] if part else np.zeros((0, 1), np.int64)
    zero = np.zeros((len(facets), 1))
    return Boundary(mask[:, None], values[:, None], facets, zero, zero.copy())


def parts(
    given: Sample,
) -> tuple[
    Lattice,
    Float[np.ndarray, " n"],
    Float[np.ndarray, " P"],
    Bool[np.ndarray, " P"],
    Float[np.ndarray, " n"],
]:
    """Lattice, s at the centres, g, insulated faces and u at the centres of a lattice sample.

    Raises:
        ValueError: a sample that is none, or one without u.
    """
    size = given.meta.get("lattice")
    if size is None or given.u is None:
        raise ValueError(
            "expected a solved lattice sample, as CornerCut.lattice_sample and read give them, got "
            f"one with meta['lattice'] = {size} and u {'missing' if given.u is None else 'given'}"
        )
    places = np.rint(given.mesh.points * 2 * size).astype(np.int64)
    odd = (places % 2).sum(axis=1)
    inside = np.zeros((size, size), bool)
    inside[tuple(places[odd == 2].T // 2)] = True
    lattice = Lattice(inside, places[odd == 1])
    centres, faces = np.flatnonzero(odd == 2), np.flatnonzero(odd == 1)
    boundary = given.boundary
    return (
        lattice,
        given.inputs[centres, 0],
        boundary.dirichlet_values[..., faces, 0],
        ~boundary.dirichlet_mask[faces, 0],
        given.u[0, centres, 0],
    )
