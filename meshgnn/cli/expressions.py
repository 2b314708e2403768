"""Formulas in x, y, z and t from a file, evaluated on points; never executed as code."""

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh"),
        *("exp", "log", "log10", "sqrt", "abs", "sign", "floor", "ceil", "hypot", "heaviside"),
        *("minimum", "maximum", "where"),
    )
}
_CONSTANTS = {"pi": np.pi, "e": np.e}
_AXES = ("x", "y", "z")
_TIME = "t"
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
    ast.Mod: np.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_LONGEST = 500


@dataclass(frozen=True)
class Expression:
    """A formula v(x) such as "sin(pi*x) * y" as a function of points x[..., d] -> [...].

    Known are x, y, z, t, pi, e, numbers, + - * / % **, comparisons (also chained), `a if c else b`
    and the functions in the message of the error. Everything else is refused when the formula is
    read. All numbers are float64, so no formula takes long or much memory.

    Args:
        text: the formula.

    Raises:
        ValueError: no formula; an unknown name, function or operation; z in a plane mesh, t in a
            steady problem.
    """

    text: str
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text) > _LONGEST:
            raise ValueError(f"a formula has at most {_LONGEST} characters, got {len(self.text)}")
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"cannot read the formula {self.text!r}: {error}") from error
        self._check(tree)
        object.__setattr__(self, "_tree", tree)

    def __call__(self, points: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """The values at points."""
        return self._at(points, {})

    def over_time(self, points: Float[np.ndarray, "*R d"], time: float) -> Float[np.ndarray, "*R"]:
        """The values at points and a time t."""
        return self._at(points, {_TIME: time})

    @property
    def function(self) -> Callable[..., Any]:
        """v(x), or v(x, t) where the formula holds t."""
        return self.over_time if self.changes else self

    @property
    def changes(self) -> bool:
        """Whether the formula holds t."""
        return _TIME in self._names()

    def _at(
        self, points: Float[np.ndarray, "*R d"], more: dict[str, float]
    ) -> Float[np.ndarray, "*R"]:
        known = dict(zip(_AXES, np.moveaxis(points, -1, 0), strict=False)) | more
        missing = sorted(self._names() - known.keys() - _CONSTANTS.keys() - _FUNCTIONS.keys())
        if missing:
            raise ValueError(
                f"the formula {self.text!r} uses {', '.join(missing)}, but here there are only "
                f"{', '.join(known)}"
            )
        with np.errstate(all="ignore"):
            # Values that are not finite are reported by whoever takes them, with their place.
            result = _value(self._tree, known | _CONSTANTS)
        return np.broadcast_to(np.asarray(result, np.float64), points.shape[:-1]).copy()

    def _names(self) -> set[str]:
        return {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}

    def _check(self, tree: ast.expr) -> None:
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and id(node) not in called:
                known = node.id in (*_AXES, _TIME, *_CONSTANTS)
            elif isinstance(node, ast.Constant):
                known = type(node.value) in (int, float)
            elif isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else None
                # More arguments than these would be places that numpy writes its result to.
                count = getattr(_FUNCTIONS.get(name or ""), "nin", 3)
                known = name in _FUNCTIONS and len(node.args) == count and not node.keywords
            else:
                known = isinstance(node, _NODES) or type(node) in _OPERATORS
            if not known:
                part = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
                names = ", ".join((*_AXES, _TIME, *_CONSTANTS))
                raise ValueError(
                    f"the formula {self.text!r} holds {part!r}, which is not known; there are "
                    f"{names} and the functions {', '.join(_FUNCTIONS)}"
                )


_NODES = (ast.Name, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.expr_context)


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value):
            return np.float64(value)
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=op, operand=operand):
            return _OPERATORS[type(op)](_value(operand, names))
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, names), _value(right, names))
        case ast.IfExp(test=test, body=body, orelse=other):
            return np.where(*(_value(part, names) for part in (test, body, other)))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            values = [_value(part, names) for part in (left, *rights)]
            pairs = zip(ops, values, values[1:], strict=False)
            holds = reduce(np.logical_and, [_OPERATORS[type(op)](a, b) for op, a, b in pairs])
            return np.asarray(holds, np.float64)
    # `Expression._check` lets nothing else pass
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return _FUNCTIONS[node.func.id](*(_value(part, names) for part in node.args))
