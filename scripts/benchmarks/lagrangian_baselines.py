"""What a march of few points is printed beside: coarse and fine finite elements, other decoders."""

from functools import partial
from time import process_time
from typing import Any

import numpy as np
from lagrangian_bodies import TEST, body, problem

from meshgnn.decoders import (
    gappy_modes,
    inverse_distance,
    local_rbf,
    moving_least_squares,
    nearest_source,
)
from meshgnn.operators.fields import field_at
from meshgnn.sample import Sample

# edges: of about as many nodes as are marched, or the fewest there can be; twice those of the truth
OTHERS = {"l_shape": (0.1, 0.0212), "box_with_hole": (0.4, 0.055)}
DECODERS = {
    "nearest source": nearest_source,
    "inverse distance": inverse_distance,
    "moving least squares": moving_least_squares,
    "local RBF": local_rbf,
    "continuous cubic RBF": partial(local_rbf, neighbours=24, power=3.0, fade=0.05),
}
Row = dict[str, Any]


def mean_square(u: np.ndarray, truth: np.ndarray) -> float:
    """Mean over frames and nodes of the square of the distance, m²."""
    return float(((u - truth) ** 2).sum(axis=-1).mean())


def finite_elements(kind: str, name: str, truth: list[Sample], known: int) -> Row:
    """The same motions on coarser and finer meshes of the body, against those of the truth.

    The finer one tells how far the truth itself can be trusted.
    """
    mesh, found = body(name), {}
    for label, size in zip(("coarse", "fine"), OTHERS[name], strict=True):
        other, errors, seconds = body(name, size), [], 0.0
        for k, sample in enumerate(truth):
            assert sample.u is not None
            begin = process_time()
            u = problem(kind, mesh, TEST, k).solve(other).u
            seconds += process_time() - begin
            at = field_at(other, u, mesh.points)
            errors.append(mean_square(at[known:], sample.u[known:]))
        found[label] = {
            "nodes": other.num_nodes,
            "mse": float(np.mean(errors)),
            "worst": max(errors),
            "cpu_s_a_frame": seconds / len(truth) / (len(truth[0].times) - 1),
        }
    begin = process_time()
    problem(kind, mesh, TEST, 0).solve(mesh)
    own = (process_time() - begin) / (len(truth[0].times) - 1)
    return found | {"truth": {"nodes": mesh.num_nodes, "cpu_s_a_frame": own}}


def decoded_by_all(
    marched: list[np.ndarray], truth: list[Sample], train: list[Sample], chosen: np.ndarray
) -> Row:
    """The marches of the few points [T, N, d], decoded in every way, against the truth.

    "modes" are the 32 leading ones of the training motions, by what they show at the sources;
    "projection" is the least error of so many modes, which see all of the truth.
    """
    points, rest = truth[0].mesh.points, np.setdiff1d(np.arange(marched[0].shape[1]), chosen)
    snapshots = np.concatenate([np.asarray(s.u) for s in train])
    everywhere = gappy_modes(snapshots, np.arange(len(points)))
    fits = {name: fit(points[rest], points[chosen]) for name, fit in DECODERS.items()}
    modes = gappy_modes(snapshots, chosen)
    found: dict[str, list[float]] = {}
    for u, sample in zip(marched, truth, strict=True):
        assert sample.u is not None
        new = sample.u[-len(u) :]
        for name, decode in fits.items():
            error = mean_square(decode(u[:, chosen]), new[:, rest])
            found.setdefault(name, []).append(error)
        error = mean_square(modes(u[:, chosen])[:, rest], new[:, rest])
        found.setdefault("gappy POD", []).append(error)
        error = mean_square(everywhere(new)[:, rest], new[:, rest])
        found.setdefault("POD projection of the truth", []).append(error)
    return {name: float(np.mean(errors)) for name, errors in found.items()}
