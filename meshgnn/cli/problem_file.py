"""A problem from a TOML file: name, data and conditions; formulas are strings in x, y, z, t."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from meshgnn.cli.expressions import Expression


def read_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no valid TOML; with the place.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a valid TOML file: {error}") from error


def problem_from(path: str | Path) -> Any:
    """The problem that a TOML file describes:

        problem = "Poisson"
        source = "1 + sin(pi*x)"                  # a number or a formula
        dirichlet = {wall = 0.0, inlet = "sin(pi*y)"}
        neumann = {outlet = 0.0}
        robin = {side = [2.0, "x"]}               # α and g
        # LinearElasticity: dirichlet = {base = [0.0, "free"]}, traction = {tip = [0.0, -1.0]}
        # Heat: times = {to = 1.0, steps = 50}, and formulas may hold t

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unknown problem or entry, or a formula that cannot be read.
    """
    return problem_of(read_toml(path), str(path))


def problem_of(entries: Mapping[str, Any], origin: str) -> Any:
    """The problem of these entries; `origin` names them in messages."""
    from meshgnn.problems import PROBLEMS

    entries = dict(entries)
    name = entries.pop("problem", None)
    if name not in PROBLEMS:
        raise ValueError(f"{origin}: expected problem = one of {', '.join(PROBLEMS)}, got {name!r}")
    kind = PROBLEMS[name]
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind) if f.init]
    for key in entries:
        if key not in known:
            raise ValueError(f"{origin}: {name} has no entry {key!r}; it takes {', '.join(known)}")
        _check_kind(key, entries[key], hints[key], origin)
    timed = "times" in known
    try:
        data = {
            key: _datum(value, hints[key], timed and key in _CHANGING)
            for key, value in entries.items()
        }
        return kind(**data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{origin}: {error}") from error


def _check_kind(key: str, value: Any, hint: Any, origin: str) -> None:
    """Conditions are named parts; true and false are no numbers."""
    if get_origin(hint) is Mapping and not isinstance(value, dict):
        raise ValueError(
            f"{origin}: expected a section [{key}] of named parts of the boundary, such as "
            f"{key} = {{wall = ...}}, got {key} = {value!r}"
        )
    values = [value, *(value.values() if isinstance(value, dict) else ())]
    lists = [part for part in values if isinstance(part, list)]
    if hint is not bool and any(isinstance(v, bool) for v in sum(lists, values)):
        raise ValueError(f"{origin}: expected numbers or formulas in {key}, got {value!r}")


# Entries whose formulas may hold t, in problems that have times.
_CHANGING = ("source", "dirichlet", "neumann", "robin")


def _datum(value: Any, hint: Any, changing: bool) -> Any:
    """The value as a problem takes it: float, formula, tuple, array of times, dict of those."""
    match value:
        case "free":
            return None
        case str() if hint is str or str in get_args(hint):
            return value
        case str():
            expression = Expression(value)
            return expression.function if changing else expression
        case int() if not isinstance(value, bool) and hint is not int:
            return float(value)
        case {"to": end, "steps": steps, **rest} if not rest.keys() - {"from"}:
            return np.linspace(rest.get("from", 0.0), end, steps + 1)
        case dict():
            return {name: _datum(part, None, changing) for name, part in value.items()}
        case list() if hint is not None and "Sequence" not in str(hint):
            return np.array(value, np.float64)
        case list():
            return tuple(_datum(part, None, changing) for part in value)
    return value
