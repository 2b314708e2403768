"""A trained mover on a mesh: what it gives is always a valid mesh of the same domain."""

from itertools import chain
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
        model: a `DMM`, or another module with `transform(graph)`, `forward(graph)` -> [N, 1, d] and
            a `monitor`. Its graph has m in `density`, computed in float64, and the standardised
            field as u; the field as it is where the model says `reads_values = True`.
        mesh: of triangles or tetrahedra.
        field: u [N] or [N, C] at its nodes.
        monitor: instead of the model's own.

    Raises:
        ValueError: other cells, surfaces in space; a field that is not over the nodes or not
            finite; a mesh that does not fit the model; a model that is no mover, whose weights are
            NaN or infinite or not in float32 or float64; points of the model that are.
    """
    u, like = _checked(mesh, field), _checked_mover(model, monitor)
    points, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
    m = (monitor or model.monitor)(points, simplices, torch.tensor(u))
    u = u if getattr(model, "reads_values", False) else _standardised(u)
    nothing = np.zeros((mesh.num_nodes, 0))
    sample = Sample(mesh, Boundary.none(mesh.num_nodes, u.shape[1]), nothing, u=u[None])
    graph = to_graph(sample, history=1, bundle=0)
    check_graph(graph, model)
    with evaluating(model):
        graph = model.transform(graph)
        graph.density = m
        graph = graph.apply(lambda v: v.to(like if v.is_floating_point() else like.device))
        step = _finite_step(model(graph), graph.pos)
    return mesh.moved(_valid(mesh, step).numpy())


def _standardised(u: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """(u − ⟨u⟩) / std(u), without overflow; 0 for constants."""
    largest = np.abs(u).max(axis=0)
    u = u / np.where(largest > 0, largest, 1.0)
    u = u - u.mean(axis=0)
    deviation = u.std(axis=0)
    return u / np.where(deviation > 0, deviation, 1.0)


def _finite_step(x: Float[Tensor, "..."], pos: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
    """x − ξ in float64."""
    if x.shape != (len(pos), 1, pos.shape[1]):
        raise ValueError(
            f"moved: expected points [{len(pos)}, 1, {pos.shape[1]}] of the mover, got "
            f"{list(x.shape)}"
        )
    step = (x[:, 0] - pos).cpu().double()
    bad = torch.nonzero(~torch.isfinite(step).all(dim=1))[:, 0]
    if len(bad):
        raise ValueError(
            f"moved: the mover gave NaN or infinite points for {len(bad)} of {len(pos)} nodes, the "
            f"first is node {int(bad[0])}; train it with a lower lr, or take another monitor"
        )
    return step


def _checked_mover(model: Any, monitor: Monitor | None) -> Tensor:
    """A tensor of the type and on the device of the weights."""
    monitor = getattr(model, "monitor", None) if monitor is None else monitor
    parts = isinstance(monitor, Monitor) and callable(getattr(model, "transform", None))
    if not (isinstance(model, torch.nn.Module) and parts):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ValueError(
            "moved: expected as mover a model with transform, monitor and forward, such as "
            f'models.DMM() or mg.load("mover"), got {got}'
        )
    weights = dict(model.named_parameters())
    bad = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if bad:
        raise ValueError(
            f"moved: the mover has NaN or infinite weights in {', '.join(bad)}; load it again, or "
            "train it with a lower lr"
        )
    like = next(chain(weights.values(), model.buffers(), [torch.zeros(())])).detach()
    if like.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"moved: expected a mover in float32 or float64, got {like.dtype}; use mover.float()"
        )
    return like


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
