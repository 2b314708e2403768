"""What the wave equation makes of its data: matrices, rates of boundary values, both channels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from meshgnn.fem import Space, means, values
from meshgnn.fem.newmark import Oscillator
from meshgnn.fem.periodic import at_classes
from meshgnn.fem.values import CellValue, PerCell, Value
from meshgnn.mesh import Mesh
from meshgnn.problems.conditions import Conditions
from meshgnn.problems.transient import varies
from meshgnn.sample import Boundary


def oscillator(
    space: Space,
    conditions: Conditions,
    speed: CellValue,
    absorbing: Sequence[str],
    tie: csr_matrix,
) -> tuple[csr_matrix, Oscillator]:
    """M = ∫ φ_i φ_j / c² dx over all degrees of freedom, and the system of their classes.

    Args:
        space: order 1 or 2.
        conditions: on u; absorbing parts are flux parts.
        speed: c.
        absorbing: names of the parts with ∫ φ_i φ_j / c ds.
        tie: P of `fem.periodic.prolongation`.
    """
    data, damping = values.coefficient(speed, space.mesh, "speed"), None
    for name in absorbing:
        for value, part in _by_material(power(data, -1), space.mesh, conditions.flux_facets[name]):
            matrix = space.mass(value, "speed", part)
            damping = matrix if damping is None else damping + matrix
    mass = space.mass(power(data, -2), "speed")
    fixed = at_classes(conditions.prescribed(space)[0][:, 0], tie.indices)
    return mass, Oscillator(
        csr_matrix(tie.T @ mass @ tie),
        csr_matrix(tie.T @ space.stiffness() @ tie),
        None if damping is None else csr_matrix(tie.T @ damping @ tie),
        ~fixed,
        space.mesh.points.shape[1],
    )


def power(speed: Any, exponent: int) -> Any:
    """c^p of the same kind as c, which is as `values.coefficient` gives it.

    Raises:
        ValueError: c <= 0 (functions: when they are asked).
    """
    if callable(speed):
        return lambda x: values.positive(np.asarray(speed(x), np.float64), "speed") ** exponent
    data = values.positive(np.array(speed, np.float64), "speed") ** exponent
    if isinstance(speed, PerCell):
        return data.view(PerCell)
    return data if data.ndim else float(data)


def _by_material(
    value: Any, mesh: Mesh, facets: Int[np.ndarray, " F"]
) -> Iterator[tuple[Any, Int[np.ndarray, " K"]]]:
    """(value, facets), the facets of each value by themselves where it is one by cell."""
    if not isinstance(value, PerCell):
        yield value, facets
        return
    own = values.per_cell(value, mesh, "speed")[mesh.boundary_facet_cells[facets]]
    for number in np.unique(own).tolist():
        yield number, facets[own == number]


def rate(value: Value, time: float, step: float) -> Value:
    """∂v/∂t as a function of x, by central differences of order 4; 0 where v is constant in time.

    Args:
        value: v.
        time: t.
        step: of the differences, s; v is asked for from t - 2 step to t + 2 step.
    """
    if not callable(value) or not varies(value):
        return 0.0

    def slope(x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        near, far = (
            np.asarray(value(x, time + k * step)) - value(x, time - k * step) for k in (1, 2)
        )
        return (8 * near - far) / (12 * step)

    return slope


def both_channels(
    conditions: Conditions,
    speed: CellValue,
    absorbing: Sequence[str],
    held: Callable[[float], tuple[Conditions, Conditions]],
    times: Float[np.ndarray, " T"] | None,
    start: float,
) -> Boundary:
    """The conditions on u as those on (u, u_t).

    Args:
        conditions: on u at the first time.
        speed: c.
        absorbing: names of the parts with α = 1 / c in the column of u_t.
        held: t -> conditions on u and on u_t.
        times: those that Dirichlet values are wanted at; None where they do not change.
        start: the first time.
    """
    one, space = conditions.boundary(), Space(conditions.mesh)
    slowness = power(values.coefficient(speed, conditions.mesh, "speed"), -1)
    alpha = [
        _facet_means(space, slowness, facets) * (name in absorbing)
        for name, facets in conditions.flux_facets.items()
    ]
    over = [
        np.hstack([c.prescribed(space)[1] for c in held(t)])
        for t in ([start] if times is None else times.tolist())
    ]
    pad = np.zeros_like(one.flux)
    return replace(
        one,
        dirichlet_mask=np.repeat(one.dirichlet_mask, 2, axis=1),
        dirichlet_values=over[0] if times is None else np.stack(over),
        alpha=np.hstack([pad, np.concatenate([pad[:0], *alpha])]),
        flux=np.hstack([one.flux, pad]),
    )


def _facet_means(
    space: Space, value: Any, facets: Int[np.ndarray, " F"]
) -> Float[np.ndarray, "F 1"]:
    """The mean over each facet; of data by cell, the value in the cell behind it."""
    if isinstance(value, PerCell):
        cells = values.per_cell(value, space.mesh, "speed")
        return cells[space.mesh.boundary_facet_cells[facets]][:, None]
    return means(space, value, "speed", 1, facets)
