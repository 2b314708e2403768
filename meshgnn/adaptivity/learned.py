"""A trained mover on a mesh: what it gives is always a valid mesh of the same domain."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshgnn.adaptivity.constraints import mesh_walls
from meshgnn.adaptivity.measures import smallest_angle
from meshgnn.graph import check_graph, to_graph
from meshgnn.marching import evaluating
from meshgnn.mesh import Mesh
from meshgnn.models.dmm import CORNER
from meshgnn.monitors import Monitor
from meshgnn.operators import interpolate, neighbour_steps, track, unfolded
from meshgnn.sample import Boundary, Sample

_SIMPLICES = {"triangle", "tetra"}
_ANGLE = 5.0  # degrees
_OWN = 0.9  # of the smallest angle of the mesh given, where that is less
_SHRUNK = (*(0.95**k for k in range(40)), 0.0)  # of the displacement


def moved(
    model: Any,
    mesh: Mesh,
    field: Float[np.ndarray, "..."],
    monitor: Monitor | None = None,
) -> Mesh:
    """The mesh that a mover makes for a field: same cells, same groups, other points.

    Whatever the model says, on return no simplex has less than 1/100 of its signed volume, nodes of
    walls and interfaces are on their smooth piece and in their groups, corners and points where
    they were, and no node is outside: points are put onto the walls, and steps of the nodes around
    a folded cell halved (`operators.unfolded`), in float64. Where an angle is still below 5°, the
    displacement of all nodes shrinks, by twentieths, until none is (or below 0.9 of the smallest
    of the mesh given).

    Args:
        model: a `DMM`, or another with `transform(graph)`, `density(graph, monitor)` and
            `forward(graph)` -> [N, 1, d].
        mesh: of triangles or tetrahedra.
        field: u [N] or [N, C] at its nodes.
        monitor: instead of the model's own.

    Raises:
        ValueError: other cells, surfaces in space; a field that is not over the nodes or not
            finite; a mesh that does not fit the model.
    """
    u = _checked(mesh, field)
    nothing = np.zeros((mesh.num_nodes, 0))
    sample = Sample(mesh, Boundary.none(mesh.num_nodes, u.shape[1]), nothing, u=u[None])
    graph = to_graph(sample, history=1, bundle=0)
    check_graph(graph, model)
    device = next(model.parameters()).device
    with torch.no_grad(), evaluating(model):
        graph = model.transform(graph).to(device)
        graph.density = model.density(graph, monitor)
        step = (model(graph)[:, 0] - graph.pos).cpu().double()
    return mesh.moved(_valid(mesh, step).numpy())


def _valid(mesh: Mesh, step: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
    """ξ + step, on the walls and interfaces, inside, without folds and without small angles."""
    pos, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
    sliding, steps = mesh_walls(mesh, CORNER), neighbour_steps(simplices, len(pos))
    held = (sliding.tangents == 0).flatten(1).all(dim=1, keepdim=True)

    def onto(points: Tensor) -> Tensor:
        points = torch.where(held, pos, sliding.onto(points, pos))
        place = track(points, pos, simplices, steps)
        feet = interpolate(pos, simplices, place)  # where a chord cuts the corner of a polygon
        return torch.where(place.inside[:, None], points, feet)

    least, found = min(_ANGLE, _OWN * smallest_angle(mesh)), pos
    for part in _SHRUNK:
        found = unfolded(pos, onto(pos + part * step), simplices, onto=onto)[0]
        if smallest_angle(mesh.moved(found.numpy())) >= least:
            break
    return found


def _checked(mesh: Mesh, field: Float[np.ndarray, "..."]) -> Float[np.ndarray, "N C"]:
    """The field as [N, C]."""
    kinds = sorted(set(mesh.cells) - _SIMPLICES)
    if kinds or mesh.dim != mesh.points.shape[1]:
        raise ValueError(
            f"moved: expected triangles in 2D or tetrahedra in 3D, got {', '.join(mesh.cells)} in "
            f"{mesh.points.shape[1]}D; split other cells, Mesh(points, {{'triangle': "
            "mesh.simplices}) in 2D"
        )
    if field.ndim not in (1, 2) or len(field) != mesh.num_nodes:
        raise ValueError(
            f"moved: expected a field [{mesh.num_nodes}] or [{mesh.num_nodes}, C] over the nodes, "
            f"got {field.shape}; of a sample take one time, sample.u[t]"
        )
    u = np.asarray(field, dtype=np.float64).reshape(mesh.num_nodes, -1)
    bad = np.flatnonzero(~np.isfinite(u).all(axis=1))
    if len(bad):
        raise ValueError(
            f"moved: the field is NaN or infinite at {len(bad)} nodes, the first is node {bad[0]}"
        )
    return u
