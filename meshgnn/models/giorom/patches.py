"""Where a sparse set strains: patches of a body, and the gradient of the decoded field in each."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import eigsh
from scipy.spatial import KDTree
from torch_geometric.data import Data

from meshgnn.decoders.neighbours import Neighbourhood
from meshgnn.decoders.slopes import slopes_of
from meshgnn.graph.sampling import farthest_points
from meshgnn.models.giorom.modes import Elastic, of_mesh, stiffening

_PER_POINT = 2  # patches for a point
Body = tuple[np.ndarray, np.ndarray, Neighbourhood]  # nodes, sources, those near the nodes


def with_patches(
    graph: Data,
    chosen: Int[np.ndarray, " n"],
    mass: Float[np.ndarray, " n"],
    bodies: list[Body],
) -> Data:
    """The graph with Q patches, of which the mean deformation gradient is F_q = 1 + Σ_j u_j g_qjᵀ.

    A patch is what is nearest to one of 2 n points far from each other, and g_q the mean over its
    nodes of the gradient of the decoded field: a strain that is taken as constant in a patch does
    not lock as that of single points does. Σ_j g_qj = 0 and Σ_j X_j g_qjᵀ = 1, so that a body that
    has moved and turned has F_q = R. s_q is how much stiffer a patch must be than its material for
    the body to vibrate as the mesh does, see `modes.stiffening`.

    Args:
        graph: of one body or several; it is changed.
        chosen: the sparse set, sorted.
        mass: that of each of its points.
        bodies: the nodes of each, its points of the sparse set, and which of them every node has
            near.
    """
    points, volume = graph.pos.double().numpy(), graph.mass.double().numpy()
    found = []
    for nodes, sources, near in bodies:
        rows, size = _of_body(points[nodes], volume[nodes], points[sources], near)
        place = np.searchsorted(chosen, sources)
        stiffer = _stiffer(graph, nodes, sources, rows, size, mass[place])
        whole = csr_array(
            (rows.data, place[rows.indices], rows.indptr),
            (np.diff(rows.indptr).size, len(chosen)),
        )
        found.append((whole, size, stiffer))
    slopes, size, stiffer = (list(parts) for parts in zip(*found, strict=True))
    size = np.concatenate(size)
    graph.strain_index = torch.from_numpy(chosen[np.concatenate([g.indices for g in slopes])])
    graph.strain_weight = torch.from_numpy(np.concatenate([g.data for g in slopes]))
    graph.strain_count = torch.from_numpy(np.concatenate([np.diff(g.indptr) for g in slopes]))
    graph.strain_volume = torch.from_numpy(size)
    graph.strain_stiffer = torch.from_numpy(np.concatenate(stiffer))
    graph.stiffest = torch.tensor([max(_stiffest(g, s, mass) for g, s, _ in found)])
    return graph


def _of_body(
    points: Float[np.ndarray, "N d"],
    volume: Float[np.ndarray, " N"],
    sources: Float[np.ndarray, "n d"],
    near: Neighbourhood,
) -> tuple[csr_array, Float[np.ndarray, " Q"]]:
    """g [Q d, n], the d rows of a patch together, and volumes."""
    dim, count = points.shape[1], min(_PER_POINT * len(sources), len(points))
    centres = points if count == len(points) else points[farthest_points(points, count)]
    # of two nodes at one place, as on the sides of a slit, one is nearest to none
    _, own = np.unique(KDTree(centres).query(points)[1], return_inverse=True)
    size = np.bincount(own, volume)
    count = len(size)
    entries = volume / size[own], (own, np.arange(len(points)))
    mean = csr_array(entries, (count, len(points)))
    slopes = [coo_array(mean @ g) for g in slopes_of(near, len(sources))]
    rows = np.concatenate([dim * g.coords[0] + a for a, g in enumerate(slopes)])
    columns = np.concatenate([g.coords[1] for g in slopes])
    values = np.concatenate([g.data for g in slopes])
    return csr_array((values, (rows, columns)), (dim * count, len(sources))), size


def _stiffer(
    graph: Data,
    nodes: Int[np.ndarray, " N"],
    sources: Int[np.ndarray, " n"],
    rows: csr_array,
    size: Float[np.ndarray, " Q"],
    mass: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "Q 2"]:
    """s of the patches of one body; 1 where its mesh is no solid of its own (periodic, a shell)."""
    simplices, dim = graph.simplex_index.t().numpy(), graph.pos.shape[1]
    if simplices.shape[1] != dim + 1 or "simplex_shift" in graph:
        return np.ones((len(size), 2))
    held, points = graph.dirichlet_mask.numpy(), graph.pos.double().numpy()
    own = np.searchsorted(nodes, simplices[np.isin(simplices[:, 0], nodes)])
    mesh = of_mesh(points[nodes], own, graph.mass.double().numpy()[nodes], held[nodes])
    slopes = [csr_array(rows[axis::dim]) for axis in range(dim)]
    patches = Elastic(slopes, size, mass, held[sources], mesh.size)
    return stiffening(mesh, patches, np.searchsorted(nodes, sources)).T


def _stiffest(
    slopes: csr_array, size: Float[np.ndarray, " Q"], mass: Float[np.ndarray, " n"]
) -> float:
    """Largest λ of Σ_q V_q g_q · g_q v = λ M v, 1/m²: waves of speed c have ω² = c² λ at most."""
    rows = np.sqrt(size).repeat(len(slopes.indptr) // len(size))
    half = diags_array(rows) @ slopes @ diags_array(1 / np.sqrt(mass))
    start = np.random.default_rng(0).standard_normal(len(mass))
    values = eigsh(half.T @ half, 1, v0=start, tol=1e-3, return_eigenvectors=False)  # pyright: ignore
    return float(np.max(values))
