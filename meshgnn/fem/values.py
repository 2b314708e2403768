"""What users give as data: constants, functions of space, arrays; evaluated and checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh

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


def array_kind(value: np.ndarray, mesh: Mesh, what: str, cells: bool = False) -> str:
    """Whether an array holds "nodes" (length N) or "cells" (length M, where those are allowed).

    Raises:
        ValueError: another length, both lengths at once, or values that are not finite.
    """
    lengths = {"nodes": mesh.num_nodes} | ({"cells": mesh.num_cells} if cells else {})
    kinds = [kind for kind, length in lengths.items() if len(value) == length]
    if len(kinds) != 1:
        expected = " or ".join(f"{length} ({kind})" for kind, length in lengths.items())
        remedy = "give a function of x, or {region: value}" if kinds else "one value for each"
        raise ValueError(
            f"{what}: expected an array of length {expected}, got {len(value)}; {remedy}"
        )
    return kinds[0]


def finite(value: Float[np.ndarray, "..."], what: str) -> None:
    """Raises: ValueError: values that are NaN or infinite, with the index of the first."""
    bad = np.argwhere(~np.isfinite(value))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{what}: {len(bad)} values are NaN or infinite, the first at index {where}"
        )


def at_nodes(
    value: VectorValue,
    mesh: Mesh,
    what: str,
    channels: int | None = None,
) -> Float[np.ndarray, "N *C"]:
    """The datum at the nodes, as [N] or [N, C]; a sequence holds one datum per channel."""
    if channels is not None and isinstance(value, Sequence):
        parts = per_channel(value, channels, what)
        return np.stack([at_nodes(v, mesh, what) for v in parts], axis=-1)
    if is_array(value, channels):
        array_kind(value, mesh, what)
        finite(value, what)
        return as_shape(value, channels, what)
    return np.array(at_points(value, mesh.points, what, channels))


def is_array(value: Any, channels: int | None) -> TypeGuard[np.ndarray]:
    """Whether the datum holds a value per node or cell, rather than one (of C components)."""
    return isinstance(value, np.ndarray) and value.ndim > 0 and value.shape != (channels,)


def as_shape(value: np.ndarray, channels: int | None, what: str) -> Float[np.ndarray, "R *C"]:
    """The array as floats [R] or [R, C]. Raises: ValueError: another shape."""
    shape = (len(value),) if channels is None else (len(value), channels)
    if value.shape != shape:
        raise ValueError(f"{what}: expected an array of shape {shape}, got {value.shape}")
    return value.astype(np.float64)


def per_channel(value: Sequence[Any], channels: int, what: str) -> Sequence[Any]:
    """The sequence. Raises: ValueError: its length is not the number of channels."""
    if len(value) != channels:
        raise ValueError(f"{what}: expected {channels} components, got {len(value)}")
    return value


def by_region(value: CellValue, mesh: Mesh, what: str) -> Value:
    """{region: number} as an array over the cells; anything else as it is. Later regions win.

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
    return result
