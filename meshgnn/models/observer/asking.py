"""Checks of what an observer is made of and asked, and prescribed values in its answer."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.graph import Classes
from meshgnn.models.observer.sources import HELD, SAMPLING, SENSOR

_LEAST = {"dim": 1, "channels": 1, "inputs": 0, "params": 0, "history": 1, "bundle": 1}
_LEAST |= {"width": 1, "blocks": 1, "stride": 1, "links": 1, "hidden": 1, "heads": 1}
_SAME = 1e-9  # of the mesh's size: nearer points are one


def check_hparams(hparams: dict[str, Any]) -> None:
    """Raises: ValueError: see `Observer`."""
    for name, least in (_LEAST | {"neighbours": hparams["dim"] + 1}).items():
        if hparams[name] < least:
            raise ValueError(f"Observer: expected {name} of at least {least}, got {hparams[name]}")
    for whole, part in (("hidden", "heads"), ("bundle", "stride")):
        if hparams[whole] % hparams[part]:
            raise ValueError(
                f"Observer: expected {whole} to be a multiple of {part}, got {hparams[whole]} and "
                f"{hparams[part]}"
            )
    if hparams["sampling"] not in SAMPLING:
        raise ValueError(
            f"Observer: unknown sampling {hparams['sampling']!r}; choose one of "
            f"{', '.join(SAMPLING)}"
        )
    if not 0 < hparams["share"] <= 1 or not 0 <= hparams["drop"] <= 0.5:
        raise ValueError(
            f"Observer: expected a share in (0, 1] and drop in [0, 1/2], got {hparams['share']} "
            f"and {hparams['drop']}"
        )


def check_asked(sample: Any, points: np.ndarray, times: np.ndarray, last: float, dt: float) -> None:
    """Raises: ValueError: points and times that `Observer.at` cannot answer."""
    dim = sample.mesh.points.shape[1]
    if points.ndim != 2 or points.shape[1] != dim:
        raise ValueError(f"Observer.at: expected points [M, {dim}], got {list(points.shape)}")
    for name, values in (("points", points), ("times", times[:, None])):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise ValueError(
                f"Observer.at: {len(bad)} {name} are NaN or infinite, the first is {bad[0]}"
            )
    early = np.flatnonzero(times < last - 1e-6 * dt)
    if len(early):
        raise ValueError(
            f"Observer.at: expected times from {last:g} s, that of the last known state, got "
            f"{len(early)} before it, the first {times[early[0]]:g} s"
        )
    low, high = sample.mesh.points.min(axis=0), sample.mesh.points.max(axis=0)
    slack = 1e-6 * (high - low).max()
    outside = np.flatnonzero(((points < low - slack) | (points > high + slack)).any(axis=1))
    if len(outside):
        raise ValueError(
            f"Observer.at: {len(outside)} of {len(points)} points are outside the bounding box of "
            f"the mesh, {low.tolist()} to {high.tolist()}, the first is {outside[0]} at "
            f"{points[outside[0]].tolist()}"
        )


def given_sensors(
    sample: Any, graph: Data, sensors: Int[np.ndarray, " n"], least: int
) -> Int[Tensor, " N"]:
    """The kind of every node of the graph, from nodes of the mesh with sensors.

    Raises:
        ValueError: nodes that the mesh does not have, fewer different ones than `least`.
    """
    nodes = sample.mesh.num_nodes
    if len(sensors) and not 0 <= sensors.min() <= sensors.max() < nodes:
        raise ValueError(
            f"Observer.at: expected sensors to be nodes from 0 to {nodes - 1}, got {sensors.min()} "
            f"to {sensors.max()}"
        )
    kind = torch.where(graph.dirichlet_mask.all(dim=1), HELD, 0)
    chosen = torch.from_numpy(Classes.of(sample).nodes(sensors))
    kind[chosen[kind[chosen] == 0]] = SENSOR
    if (count := int((kind == SENSOR).sum())) < least:
        raise ValueError(
            f"Observer.at: expected at least {least} sensors at nodes without prescribed values, "
            f"got {count}"
        )
    return kind


def imposed(
    sample: Any,
    points: Float[np.ndarray, "M d"],
    times: Float[np.ndarray, " T"],
    field: Float[np.ndarray, "T M C"],
) -> Float[np.ndarray, "T M C"]:
    """The field with the prescribed values where points are nodes that have them."""
    mask = sample.boundary.dirichlet_mask
    held = np.flatnonzero(mask.any(axis=1))
    if not len(held):
        return field
    places = sample.mesh.points[held]
    gap, found = map(np.asarray, KDTree(places).query(points))
    size = float(np.ptp(sample.mesh.points, axis=0).max())
    here = np.flatnonzero(gap <= _SAME * size)
    node = held[found[here]]
    for state, time in zip(field, times, strict=True):
        state[here] = np.where(mask[node], sample.dirichlet_at(float(time))[node], state[here])
    return field
