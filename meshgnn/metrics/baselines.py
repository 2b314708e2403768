"""Trivial predictors: what a learned field must beat before it is worth anything.

Each is, or gives, a function from a sample to its field [T, N, C]. None of them reads the truth,
but for the first state of a time-dependent sample.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from meshgnn.operators import interpolate, locate
from meshgnn.sample import Sample

Predictor = Callable[[Sample], np.ndarray]


def zero(sample: Sample) -> Float[np.ndarray, "T N C"]:
    """u = 0: relative error 1, whatever the sample."""
    return np.zeros((len(sample.times), sample.mesh.num_nodes, sample.channels))


def persistence(sample: Sample, history: int = 1) -> Float[np.ndarray, "T N C"]:
    """u(t_k) = the last of the K known states, with the boundary values of t_k.

    Raises:
        ValueError: a sample without its first K = `history` states.
    """
    if sample.u is None or not 0 < history <= len(sample.u):
        states = "u = None" if sample.u is None else f"{len(sample.u)} states"
        raise ValueError(
            f"persistence: expected a sample with its first state in u (history={history}), got "
            f"{states}"
        )
    held = np.minimum(np.arange(len(sample.times)), history - 1)
    return _with_boundary(sample.u[held], sample)


def mean_value(train: Sequence[Sample]) -> Predictor:
    """u = the mass-weighted mean of each component over the training samples, a constant."""
    totals = [np.einsum("tnc,n->c", s.u, s.mesh.lumped_mass) for s in train if s.u is not None]
    volume = sum(len(s.times) * s.mesh.lumped_mass.sum() for s in train if s.u is not None)
    mean = np.sum(totals, axis=0) / volume

    def predict(sample: Sample) -> Float[np.ndarray, "T N C"]:
        return np.broadcast_to(mean, zero(sample).shape).copy()

    return predict


def inverse_distance(sample: Sample, power: float = 2.0) -> Float[np.ndarray, "T N C"]:
    """u(x) = Σ_j g_j |x − x_j|^−p / Σ_j |x − x_j|^−p over the Dirichlet nodes j, and g on them.

    Per component; 0 where a component is nowhere prescribed. Sources are ignored, and so is
    periodicity: distances are those within the mesh, not across the seam.

    Source: Shepard 1968.
    """
    points, values = sample.mesh.points, _boundary_values(sample)
    out = np.zeros(values.shape)
    for c in range(sample.channels):
        fixed = np.flatnonzero(sample.boundary.dirichlet_mask[:, c])
        rows = max(1, 4_000_000 // max(len(fixed), 1))  # bounds the distance matrix to 32 MB
        for start in range(0, len(points) if len(fixed) else 0, rows):
            gap = cdist(points[start : start + rows], points[fixed])
            weight = np.maximum(gap, 1e-100) ** -power  # nodes at distance 0 are set exactly below
            weight = weight / weight.sum(axis=1, keepdims=True)
            out[:, start : start + rows, c] = values[:, fixed, c] @ weight.T
    return _with_boundary(out, sample)


def nearest_sample(train: Sequence[Sample], cells: int = 32) -> Predictor:
    """u of the training sample whose data are nearest, interpolated to the mesh; g on its nodes.

    Data (inputs, boundary values, fluxes, Robin coefficients, a first state) are compared on a grid
    of cells² points over the bounding box of each mesh, taken from the nearest node that has them;
    each in units of its spread over the training samples. Fields are carried from bounding box to
    bounding box.

    Args:
        train: solved samples of one problem.
        cells: grid points per direction in 2D; in other dimensions about as many in all.

    Raises:
        ValueError: no training sample, or one without u; a sample with another number of times.
    """
    if not train or any(s.u is None for s in train):
        raise ValueError("nearest_sample: expected solved training samples, got none or u = None")
    features = np.stack([_features(s, cells) for s in train])
    spread = features.std(axis=0).mean(axis=-1, keepdims=True)
    spread = np.where(spread > 1e-12 * np.abs(features).max(), spread, 1.0)

    def predict(sample: Sample) -> Float[np.ndarray, "T N C"]:
        distance = (((features - _features(sample, cells)) / spread) ** 2).sum(axis=(1, 2))
        source = train[int(distance.argmin())]
        if len(source.times) != len(sample.times):
            raise ValueError(
                f"nearest_sample: expected samples of {len(source.times)} times, as in training, "
                f"got {len(sample.times)}"
            )
        low, extent = _box(source)
        points = torch.from_numpy(low + _in_box(sample) * extent)
        simplices = torch.tensor(source.mesh.simplices)
        place = locate(points, torch.tensor(source.mesh.points), simplices)
        states = torch.tensor(source.u).unbind()
        found = [interpolate(u, simplices, place).numpy() for u in states]
        return _with_boundary(np.stack(found), sample)

    return predict


def _boundary_values(sample: Sample) -> Float[np.ndarray, "T N C"]:
    mask = sample.boundary.dirichlet_mask
    return np.stack([np.where(mask, sample.dirichlet_at(float(t)), 0.0) for t in sample.times])


def _with_boundary(u: Float[np.ndarray, "T N C"], sample: Sample) -> Float[np.ndarray, "T N C"]:
    return np.where(sample.boundary.dirichlet_mask, _boundary_values(sample), u)


def _box(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Lower corner and extent of the bounding box; 1 in directions without extent."""
    points = sample.mesh.points
    extent = np.ptp(points, axis=0)
    return points.min(axis=0), np.where(extent > 0, extent, 1.0)


def _in_box(sample: Sample) -> Float[np.ndarray, "N d"]:
    """Positions relative to the bounding box, 0 to 1."""
    low, extent = _box(sample)
    return (sample.mesh.points - low) / extent


def _features(sample: Sample, cells: int) -> Float[np.ndarray, "Q G"]:
    """Everything that determines the solution, as Q quantities on G grid points."""
    place, boundary = _in_box(sample), sample.boundary
    side = round(cells ** (2 / place.shape[1]))
    axes = np.meshgrid(*[(np.arange(side) + 0.5) / side] * place.shape[1], indexing="ij")
    grid = np.stack([axis.ravel() for axis in axes], axis=1)
    fixed = boundary.dirichlet_mask.any(axis=1)
    inside = (boundary.facets >= 0)[..., None]
    centres = (place[boundary.facets] * inside).sum(axis=1) / inside.sum(axis=1)
    columns = [
        _nearest(grid, place, sample.inputs),
        _nearest(grid, place[fixed], _boundary_values(sample)[0, fixed]),
        _nearest(grid, centres, np.concatenate([boundary.flux, boundary.alpha], axis=1)),
        np.broadcast_to(sample.params, (len(grid), len(sample.params))),
    ]
    if len(sample.times) > 1 and sample.u is not None:
        columns.append(_nearest(grid, place, sample.u[0]))
    return np.concatenate(columns, axis=1).T


def _nearest(grid: np.ndarray, points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of the nearest point; 0 where there are no points."""
    if not len(points):
        return np.zeros((len(grid), values.shape[1]))
    return values[KDTree(points).query(grid)[1]]
