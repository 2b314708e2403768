"""The sources of a batch of graphs, and what is seen of them from query points."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.decoders.neighbours import Neighbourhood
from meshgnn.decoders.radial import rbf_weights
from meshgnn.graph.sampling import farthest_points, random_points
from meshgnn.models.observer.surroundings import Places

SENSOR, HELD = 1, 2  # kinds of nodes; 0 for those that nothing is known of
SAMPLING = {"farthest": farthest_points, "random": random_points}


@dataclass(frozen=True, eq=False)
class View:
    """What query points see: k sources each, numbered as in `Sources`.

    Args:
        index: j [Q, k].
        weight: of the interpolation in space [Q, k]; it reproduces linear functions.
        place: geometry of each pair [Q, k, d + 5].
        window: log (1 − s²)² [Q, k], what a source weighs before it leaves.
        aside: 0 at the sources, near 1 between them [Q].
    """

    index: Int[Tensor, "Q k"]
    weight: Float[Tensor, "Q k"]
    place: Float[Tensor, "Q k g"]
    window: Float[Tensor, "Q k"]
    aside: Float[Tensor, " Q"]


@dataclass(frozen=True, eq=False)
class Sources:
    """Sensors and prescribed nodes of the graphs of a batch, one graph after the other.

    Args:
        node: their nodes [n].
        sensor: which of them are sensors [n]; the others have prescribed values.
        spacing: distance from a sensor to its neighbour k [n]; a mean for the others.
        link_index: edges between them [2, E], sorted by target.
        link_delta: x_j − x_i [E, d].
        places: of each graph.
    """

    node: Int[Tensor, " n"]
    sensor: Bool[Tensor, " n"]
    spacing: Float[Tensor, " n"]
    link_index: Int[Tensor, "2 E"]
    link_delta: Float[Tensor, "E d"]
    places: list[Places]

    @classmethod
    def of(cls, graph: Data, kind: Int[Tensor, " N"], links: int) -> "Sources":
        """The sources that `kind` says, each sensor linked to the `links` nearest."""
        pos, kinds = graph.pos.detach().cpu().double().numpy(), kind.cpu().numpy()
        owner = _owner(graph)
        period = graph.get("period")
        box = np.zeros((1, pos.shape[1])) if period is None else period.cpu().double().numpy()
        nodes, spacing, index, delta, places, start = [], [], [], [], [], 0
        for g in range(len(graph.theta)):
            sensors, held = (np.flatnonzero((kinds == k) & (owner == g)) for k in (SENSOR, HELD))
            place = Places(pos[sensors], pos[held], box[g % len(box)])
            pairs, between, reach = place.links(links)
            nodes += [sensors, held]
            spacing += [reach, np.full(len(held), reach.mean())]
            index, delta = [*index, pairs + start], [*delta, between]
            places.append(place)
            start += len(sensors) + len(held)
        node = torch.from_numpy(np.concatenate(nodes)).to(kind.device)
        return cls(
            node,
            kind[node] == SENSOR,
            graph.pos.new_tensor(np.concatenate(spacing)),
            torch.from_numpy(np.concatenate(index, axis=1)).to(kind.device),
            graph.pos.new_tensor(np.concatenate(delta)),
            places,
        )

    def view(
        self, queries: Float[np.ndarray, "Q d"], owner: Int[np.ndarray, " Q"], count: int
    ) -> View:
        """What the query points, grouped by graph, see of the sources of their graph."""
        parts, start = [], 0
        for g, place in enumerate(self.places):
            near = place.nearest(queries[owner == g], count)
            parts.append((near.index + start, *_seen(near, len(place.sensors))))
            start += len(place.sensors) + len(place.held)
        index, *others = (np.concatenate(one) for one in zip(*parts, strict=True))
        floats = (self.spacing.new_tensor(other) for other in others)
        return View(torch.from_numpy(index).to(self.node.device), *floats)


def _seen(near: Neighbourhood, sensors: int) -> tuple[np.ndarray, ...]:
    """Weights, places, windows and distances of `View`."""
    weight = rbf_weights(near, power=3.0, fade=0.05)
    gap = np.linalg.norm(near.offset, axis=2)
    scale = np.broadcast_to(np.log(near.radius)[:, None], gap.shape)
    held = (near.index >= sensors).astype(float)
    scalars = np.stack([gap, near.share, weight, held, scale], axis=2)
    # a weight of 1e-12 at the end: where all are equally far, some are left
    window = 2 * np.log(np.maximum(1 - near.share**2, 1e-6))
    closest = np.where(near.share < 1, gap, np.inf).min(axis=1, initial=1.0) ** 2
    return (
        weight,
        np.concatenate([near.offset, scalars], axis=2),
        window,
        closest / (closest + 0.01),
    )


def _owner(graph: Data) -> np.ndarray:
    batch = getattr(graph, "batch", None)
    return np.zeros(len(graph.pos), np.int64) if batch is None else batch.cpu().numpy()


def chosen_sensors(
    graph: Data, share: float, sampling: str, seed: int, least: int
) -> Int[Tensor, " N"]:
    """The kind of every node: sensors are a share of all nodes, among those that are not held.

    Prescribed in all components is held. The choice depends on the places alone, not on the
    numbering of the nodes or on where the mesh is.

    Raises:
        ValueError: fewer than `least` nodes that are not held.
    """
    kind = torch.where(graph.dirichlet_mask.all(dim=1), HELD, 0)
    free = np.flatnonzero(kind.cpu().numpy() == 0)
    if len(free) < least:
        raise ValueError(
            f"Observer: expected at least {least} nodes without prescribed values to choose "
            f"sensors from, got {len(free)} of {len(kind)}; use a finer mesh"
        )
    pos = graph.pos.detach().cpu().double().numpy()
    points = np.round(pos[free] / np.ptp(pos, axis=0).max(), 5)  # equal distances stay equal
    order = np.lexsort(points.T)
    count = min(max(round(share * len(kind)), least), len(free))
    picked = free[order[SAMPLING[sampling](points[order], count, seed)]]
    kind[torch.from_numpy(picked).to(kind.device)] = SENSOR
    return kind
