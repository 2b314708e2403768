"""`adapt`: from a field on a mesh to the mesh that suits it."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from meshgnn.adaptivity.equidistribution import check_simplices, monge_ampere
from meshgnn.adaptivity.learned import moved
from meshgnn.adaptivity.sampling import estimated_error
from meshgnn.mesh import Mesh
from meshgnn.monitors import Monitor
from meshgnn.sample import Sample

_LOSS = 0.01
_STAYS = (
    "adapt: the mesh given is returned, as the interpolation error estimated from the nodal values "
    "would grow; monitors of other kinds move it all the same"
)


def adapt(
    mesh: Mesh,
    field: Float[np.ndarray, "..."] | Sample,
    mover: Any = None,
    monitor: Monitor | str | Callable[..., Any] | Float[np.ndarray, " N"] | None = None,
    **options: Any,
) -> Mesh:
    """The mesh with its nodes moved to where a field needs them: same cells, same groups.

    m(x) det(∂x/∂ξ) = θ with the monitor m of the field: cells get small where m is large. Nodes of
    the boundary slide along it, corners stay, no cell is folded. A constant field gives the mesh
    itself; with a monitor of kind "interpolation", the default, so does a field that it would
    serve worse, as far as its nodal values tell (`sampling.estimated_error`). Solve on a mesh,
    adapt, solve again on the mesh returned; to adapt again, start from the first mesh: a curve is
    the polygon that the mesh given has, and cutting its corners adds up.

    Args:
        mesh: of triangles or tetrahedra (or segments, without a mover); not changed.
        field: u [N] or [N, C] at its nodes, or a sample on the mesh, of which the last time counts.
        mover: a trained mover, such as `models.DMM`; `monge_ampere` without one.
        monitor: a `Monitor` or the name of its kind; `Monitor()`, or the mover's own, without one.
            Without a mover also the density, m(x) as x[..., d] -> m[...] or [N] at the nodes.
        options: of `monge_ampere`.

    Raises:
        ValueError: quadrilaterals and other cells that are no simplices; a field that is not over
            the nodes or not finite; a sample of another mesh, or of a periodic one; options or a
            density together with a mover; all that `monge_ampere` refuses.
        RuntimeError: an iteration that diverges, see `monge_ampere`.

    Warns of an iteration that ended early, where the mesh given serves the field as well, and where
    more than 1 % of the volume was lost at curves.
    """
    check_simplices(mesh)
    u = _nodal(mesh, field)
    monitor = Monitor(monitor) if isinstance(monitor, str) else monitor
    if mover is not None:
        if options or not (monitor is None or isinstance(monitor, Monitor)):
            raise ValueError(
                "adapt: a mover takes a Monitor and no options of monge_ampere, got "
                f"{', '.join(options) or type(monitor).__name__}"
            )
        found = _learned(mesh, u, mover, monitor)
    else:
        found = _classical(mesh, u, Monitor() if monitor is None else monitor, options)
    lost = 1 - found.simplex_volumes.sum() / mesh.simplex_volumes.sum()
    if lost > _LOSS:
        warnings.warn(
            f"adapt: {lost:.1%} of the volume were lost where nodes slid past the corners of the "
            "polygons that stand for curves; take a mesh with more nodes on its curves",
            stacklevel=2,
        )
    return found


def _learned(mesh: Mesh, u: Float[np.ndarray, "N C"], mover: Any, monitor: Monitor | None) -> Mesh:
    """By a mover; the mesh itself where the monitor is for interpolation and its error grew."""
    found = moved(mover, mesh, u, monitor)
    if (monitor or mover.monitor).kind == "interpolation":
        error = estimated_error(mesh, u)
        if error(found) > error(mesh):
            warnings.warn(_STAYS, stacklevel=3)
            return mesh
    return found


def _classical(
    mesh: Mesh, u: Float[np.ndarray, "N C"], monitor: Any, options: dict[str, Any]
) -> Mesh:
    """By `monge_ampere`."""
    density = monitor
    if isinstance(monitor, Monitor):
        arrays = (torch.tensor(array) for array in (mesh.points, mesh.simplices, u))
        density = monitor(*arrays).numpy()
        if monitor.kind == "interpolation":
            options = {"error": estimated_error(mesh, u)} | options
    result = monge_ampere(mesh, density, **options)
    if not result.converged:
        warnings.warn(f"adapt: the iteration ended early, {result!r}", stacklevel=3)
    elif result.kept < result.iterations and result.kept == 0:
        warnings.warn(_STAYS, stacklevel=3)
    return result.mesh


def _nodal(mesh: Mesh, field: Float[np.ndarray, "..."] | Sample) -> Float[np.ndarray, "N C"]:
    """u [N, C] in float64."""
    values: Any = _last(mesh, field) if isinstance(field, Sample) else field
    u = np.asarray(values, dtype=np.float64)
    if u.ndim not in (1, 2) or len(u) != mesh.num_nodes or not u.size:
        raise ValueError(
            f"adapt: expected a field [{mesh.num_nodes}] or [{mesh.num_nodes}, C] over the nodes "
            f"of the mesh, got {list(u.shape)}"
        )
    bad = np.flatnonzero(~np.isfinite(u).reshape(len(u), -1).all(axis=1))
    if len(bad):
        raise ValueError(
            f"adapt: expected a finite field, got {len(bad)} of {len(u)} nodes with NaN or "
            f"infinite values, the first is node {bad[0]}; repair the field"
        )
    return u.reshape(mesh.num_nodes, -1).copy()


def _last(mesh: Mesh, sample: Sample) -> Float[np.ndarray, "N C"]:
    """Its last state. Raises: ValueError: no solution, on another mesh, or periodic."""
    if sample.u is None:
        raise ValueError("adapt: the sample has no solution u; solve it or pass nodal values")
    if not np.array_equal(sample.mesh.points, mesh.points):
        raise ValueError(
            "adapt: the sample is on another mesh than the one given; adapt(sample.mesh, sample), "
            "or take its values to the nodes of the mesh by operators.field_at"
        )
    twin = sample.boundary.twin
    if twin is not None and (twin != np.arange(len(twin))).any():
        raise ValueError(
            "adapt: the sample is periodic, and twins would move apart; pass its values u[-1] to "
            "move the nodes of both sides on their own"
        )
    return sample.u[-1]
