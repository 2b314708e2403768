"""`adapt`: from a field on a mesh to the mesh that suits it."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from meshgnn.adaptivity.learned import moved
from meshgnn.adaptivity.monge_ampere import check_simplices, monge_ampere
from meshgnn.mesh import Mesh
from meshgnn.monitors import Monitor
from meshgnn.sample import Sample


def adapt(
    mesh: Mesh,
    field: Float[np.ndarray, "..."] | Sample,
    mover: Any = None,
    monitor: Monitor | Callable[..., Any] | None = None,
    **options: Any,
) -> Mesh:
    """The mesh with its nodes moved to where a field needs them: same cells, same groups.

    m(x) det(∂x/∂ξ) = θ with the monitor m of the field: cells get small where m is large. Nodes of
    the boundary slide along it, corners stay, no cell is folded. A constant field gives the mesh
    itself. Solve on a mesh, adapt, solve again on the mesh returned.

    Args:
        mesh: of triangles or tetrahedra (or segments, without a mover); not changed.
        field: u [N] or [N, C] at its nodes, or a sample on the mesh, of which the last time counts.
        mover: a trained mover, such as `models.DMM`; `monge_ampere` without one.
        monitor: a `Monitor`; `Monitor()`, or the mover's own, without one. Without a mover also
            the density m(x) itself as x[..., d] -> m[...].
        options: of `monge_ampere`.

    Raises:
        ValueError: quadrilaterals and other cells that are no simplices; a field that is not over
            the nodes or not finite; options or a function together with a mover; all that
            `monge_ampere` refuses.
        RuntimeError: an iteration that diverges, see `monge_ampere`.
    """
    check_simplices(mesh)
    u = _nodal(mesh, field)
    if mover is not None:
        if options or not (monitor is None or isinstance(monitor, Monitor)):
            raise ValueError(
                "adapt: a mover takes a Monitor and no options of monge_ampere, got "
                f"{', '.join(options) or type(monitor).__name__}"
            )
        return moved(mover, mesh, u, monitor)
    density: Any = Monitor() if monitor is None else monitor
    if isinstance(density, Monitor):
        arrays = (torch.tensor(array) for array in (mesh.points, mesh.simplices, u))
        density = density(*arrays).numpy()
    result = monge_ampere(mesh, density, **options)
    if not result.converged:
        warnings.warn(f"adapt: the iteration ended early, {result!r}", stacklevel=2)
    return result.mesh


def _nodal(mesh: Mesh, field: Float[np.ndarray, "..."] | Sample) -> Float[np.ndarray, "N C"]:
    """u [N, C] in float64."""
    u = field.u[-1] if isinstance(field, Sample) and field.u is not None else field
    if isinstance(u, Sample):
        raise ValueError("adapt: the sample has no solution u; solve it or pass nodal values")
    if u.ndim not in (1, 2) or len(u) != mesh.num_nodes:
        raise ValueError(
            f"adapt: expected a field [{mesh.num_nodes}] or [{mesh.num_nodes}, C] over the nodes "
            f"of the mesh, got {list(u.shape)}"
        )
    return np.array(u, dtype=np.float64).reshape(mesh.num_nodes, -1)
