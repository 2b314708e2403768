"""What users give as data: constants, functions of space, arrays; evaluated and checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh


class PerCell(np.ndarray):
    """An array [M] that is known to be over the cells; what is computed from it is so too."""


Value = float | int | np.ndarray | Callable[..., Any]
CellValue = Value | Mapping[str, float | int]
VectorValue = Value | Sequence[Value]


def at_points(
    value: VectorValue, x: Float[np.ndarray, "*R d"], what: str, channels: int | None = None
) -> Float[np.ndarray, "..."]:
    """A constant or a function v(x) at points, as [*R] or [*R, C].

    Args:
        value: a number, C numbers, or a function that takes points [..., d] to [...] or [..., C].
        x: [*R, d] points.
        what: name of the datum, for messages.
        channels: C, or None for a scalar.

    Raises:
        ValueError: a result of another shape, or one that is NaN or infinite (with the place).
    """
    shape = x.shape[:-1] if channels is None else (*x.shape[:-1], channels)
    result = np.asarray(value(x) if callable(value) else value, dtype=np.float64)
    try:
        result = np.broadcast_to(result, shape)
    except ValueError:
        raise ValueError(
            f"{what}: expected values of shape {shape} at points of shape {x.shape}, got "
            f"{result.shape}; functions take points x[..., d] and return one value for each "
            "(x[..., 0] is the first coordinate)"
        ) from None
    bad = np.argwhere(~np.isfinite(result))
    if len(bad):
        place = x[tuple(bad[0].tolist()[: x.ndim - 1])]
        raise ValueError(f"{what}: {len(bad)} values are NaN or infinite, the first at x = {place}")
    return result


def is_array(value: Any, channels: int | None) -> TypeGuard[np.ndarray]:
    """Whether the datum holds many values, rather than one (of C components)."""
    return isinstance(value, np.ndarray) and value.ndim > 0 and value.shape != (channels,)


def nodal(
    value: np.ndarray, mesh: Mesh, what: str, channels: int | None = None
) -> Float[np.ndarray, " N *C"]:
    """The array as floats [N] or [N, C]. Raises: ValueError: another shape."""
    shape = (mesh.num_nodes,) if channels is None else (mesh.num_nodes, channels)
    if value.shape != shape:
        raise ValueError(
            f"{what}: expected an array of length {mesh.num_nodes}, over the nodes, of shape "
            f"{shape}, got {value.shape}"
        )
    return value.astype(np.float64)


def finite(value: Float[np.ndarray, "..."], what: str) -> Float[np.ndarray, "..."]:
    """The values. Raises: ValueError: one that is NaN or infinite, with the index of the first."""
    bad = np.argwhere(~np.isfinite(value))
    if len(bad):
        where = tuple(bad[0].tolist())
        raise ValueError(
            f"{what}: {len(bad)} values are NaN or infinite, the first at index {where}"
        )
    return value


def per_channel(value: Sequence[Any], channels: int, what: str) -> Sequence[Any]:
    """The sequence. Raises: ValueError: its length is not the number of channels."""
    if len(value) != channels:
        raise ValueError(f"{what}: expected {channels} components, got {len(value)}")
    return value


def by_region(value: Any, mesh: Mesh, what: str) -> Any:
    """{region: number} cell by cell; anything else as it is. Later regions win.

    Raises:
        ValueError: an unknown region, or cells that no region covers.
    """
    if not isinstance(value, Mapping):
        return value
    result = np.full(mesh.num_cells, np.nan)
    for name, number in value.items():
        result[mesh.cells_of(name)] = number
    missing = np.isnan(result).sum()
    if missing:
        raise ValueError(
            f"{what}: {missing} of {mesh.num_cells} cells belong to none of the regions "
            f"{', '.join(value)}, or have the value NaN; name every region"
        )
    return result.view(PerCell)


def coefficient(value: CellValue, mesh: Mesh, what: str) -> Any:
    """As `by_region`, and arrays of length M cell by cell; those over the nodes stay arrays.

    Raises:
        ValueError: as `by_region`; an array of another length, or of both lengths where N = M.
    """
    data = by_region(value, mesh, what)
    if isinstance(data, PerCell) or not is_array(data, None):
        return data
    nodes, cells = mesh.num_nodes, mesh.num_cells
    if len(data) not in (nodes, cells) or nodes == cells:
        remedy = "which it is cannot be told: give a function of x or {region: value}"
        raise ValueError(
            f"{what}: expected an array over the nodes ({nodes}) or the cells ({cells}), got "
            f"{len(data)} values" + (f"; {remedy}" if nodes == cells == len(data) else "")
        )
    if len(data) == nodes:
        return data
    return finite(data.astype(np.float64), what).view(PerCell)


def per_cell(value: PerCell, mesh: Mesh, what: str) -> Float[np.ndarray, " M"]:
    """The values. Raises: ValueError: not one for each cell of the mesh, NaN or infinite ones."""
    data = np.array(value, np.float64)
    if data.shape != (mesh.num_cells,):
        raise ValueError(
            f"{what}: expected values over the {mesh.num_cells} cells of the mesh, got {data.shape}"
            "; data by cell belong to the mesh they were made for: make them again for this one"
        )
    return finite(data, what)


def to_nodes(value: Float[np.ndarray, " M"], mesh: Mesh) -> Float[np.ndarray, " N"]:
    """The mean over the cells around each node, weighted by their volume."""
    volumes, total, start = np.abs(mesh.volumes), np.zeros((2, mesh.num_nodes)), 0
    for block in mesh.cells.values():
        own = slice(start, start + len(block))
        for row, weights in enumerate((volumes[own] * value[own], volumes[own])):
            each = np.repeat(weights, block.shape[1])
            total[row] += np.bincount(block.ravel(), each, mesh.num_nodes)
        start += len(block)
    return total[0] / total[1]


def positive(value: Float[np.ndarray, "..."], what: str) -> Float[np.ndarray, "..."]:
    """The values. Raises: ValueError: one that is zero or negative."""
    if value.min(initial=np.inf) <= 0:
        raise ValueError(f"{what}: expected positive values, the smallest is {value.min():.6g}")
    return value
