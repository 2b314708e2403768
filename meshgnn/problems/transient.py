"""Data of time-dependent problems: functions of (x, t), boundary values over time, finer meshes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import Space
from meshgnn.mesh import Mesh
from meshgnn.operators import field_at
from meshgnn.problems.conditions import Conditions
from meshgnn.sample import Boundary


def check_times(times: Float[np.ndarray, " T"], substeps: int) -> None:
    """Raises: ValueError: fewer than two times, or not increasing; no substep."""
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError(f"times: expected two or more, increasing, got {times}")
    if substeps < 1:
        raise ValueError(f"substeps: expected at least 1, got {substeps}")


def is_zero(value: Any) -> bool:
    """Whether a datum is the number 0."""
    return isinstance(value, int | float) and value == 0


def varies(value: Any) -> bool:
    """Whether a datum, or one of several (dict or sequence), is a function of (x, t).

    That is one with two arguments that have no default.
    """
    if isinstance(value, Mapping):
        return any(map(varies, value.values()))
    if isinstance(value, list | tuple):
        return any(map(varies, value))
    if not callable(value) or isinstance(value, np.ufunc):
        return False
    given = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in signature(value).parameters.values() if p.default is Parameter.empty]
    return sum(p.kind in given for p in required) > 1


def frozen(value: Any, time: float) -> Any:
    """The datum, or each of several, at this time: a function of x where it was one of (x, t)."""
    if isinstance(value, Mapping):
        return {name: frozen(part, time) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [frozen(part, time) for part in value]
    return (lambda x: value(x, time)) if varies(value) else value


def warn_of_change(data: Any, what: str, time: float, stacklevel: int = 2) -> None:
    """Warns that a sample holds data as they are at its first time, where they vary.

    Args:
        data: a datum or several.
        what: "Heat.sample: a source", say.
        time: the first.
        stacklevel: 2 for the caller of who calls this.
    """
    if varies(data):
        warnings.warn(
            f"{what} changes with time; the sample holds it as it is at t = {time:g} (the "
            "solution follows the change)",
            stacklevel=stacklevel + 1,
        )


def over_times(
    boundary: Boundary, conditions: Callable[[float], Conditions], times: Float[np.ndarray, " T"]
) -> Boundary:
    """The boundary with its Dirichlet values [T, N, C] at all times."""
    values = []
    for time in times.tolist():
        now = conditions(time)
        values.append(now.prescribed(Space(now.mesh))[1])
    return replace(boundary, dirichlet_values=np.stack(values))


def on_refined(problem: Any, mesh: Mesh, names: Sequence[str]) -> tuple[Any, Mesh]:
    """The problem and the mesh after `problem.refine` refinements; old nodes stay the first.

    Arrays over the nodes of the mesh become the P1 functions that they are.

    Args:
        problem: a dataclass.
        mesh: the mesh that its arrays belong to.
        names: the fields of the problem that may hold arrays, or dicts of data.
    """
    fine = mesh
    for _ in range(problem.refine):
        fine = fine.refined()
    if fine is mesh:
        return problem, mesh
    return replace(problem, **{name: _lifted(getattr(problem, name), mesh) for name in names}), fine


def _lifted(value: Any, mesh: Mesh) -> Any:
    if isinstance(value, Mapping):
        return {name: _lifted(part, mesh) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [_lifted(part, mesh) for part in value]
    if not isinstance(value, np.ndarray) or value.shape[:1] != (mesh.num_nodes,):
        return value
    columns = value.reshape(len(value), -1).astype(np.float64)

    def field(x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "..."]:
        found = field_at(mesh, columns, x.reshape(-1, x.shape[-1]))
        return found.reshape(*x.shape[:-1], *value.shape[1:])

    return field
