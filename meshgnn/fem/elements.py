"""Reference elements: shape functions and quadrature rules as tables, from scikit-fem.

Vertices are in meshio's order on the reference cell: [0, 1], the simplex with corners 0 and e_i,
[0, 1]², [0, 1]³, triangle × [0, 1].
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import skfem
from jaxtyping import Float
from scipy.special import roots_jacobi
from skfem.element import ElementH1
from skfem.quadrature import get_quadrature

_LINEAR: dict[str, ElementH1] = {
    "line": skfem.ElementLineP1(),
    "triangle": skfem.ElementTriP1(),
    "quad": skfem.ElementQuad1(),
    "tetra": skfem.ElementTetP1(),
    "hexahedron": skfem.ElementHex1(),
    "wedge": skfem.ElementWedge1(),
}
_QUADRATIC: dict[str, ElementH1] = {
    "line": skfem.ElementLineP2(),
    "triangle": skfem.ElementTriP2(),
    "tetra": skfem.ElementTetP2(),
}
# position in scikit-fem's element of each meshio vertex, where the two differ
VERTICES = {"hexahedron": [7, 4, 1, 5, 6, 2, 0, 3]}

SIMPLICES = ("vertex", "line", "triangle", "tetra")


class Table(NamedTuple):
    """Shape functions of one element at the Q points ξ_q of one quadrature rule.

    Attributes:
        weights: [Q] of the rule on the reference cell.
        corners: [Q, v] φ_a(ξ_q) of the vertices: geometry and nodal data.
        slopes: [Q, v, n] ∂φ_a/∂ξ_i of the vertices.
        shapes: [Q, k] φ_a(ξ_q) of the degrees of freedom.
        shape_slopes: [Q, k, n] ∂φ_a/∂ξ_i of the degrees of freedom.
    """

    weights: Float[np.ndarray, " Q"]
    corners: Float[np.ndarray, "Q v"]
    slopes: Float[np.ndarray, "Q v n"]
    shapes: Float[np.ndarray, "Q k"]
    shape_slopes: Float[np.ndarray, "Q k n"]


@lru_cache
def midpoints(name: str) -> tuple[tuple[int, int], ...]:
    """Vertex pairs whose mid points carry the further degrees of freedom of order 2."""
    if name not in _QUADRATIC:
        return ()
    locations = _QUADRATIC[name].doflocs
    vertices = locations[: locations.shape[1] + 1]
    pairs = [(a, b) for a in range(len(vertices)) for b in range(a + 1, len(vertices))]
    middle = {tuple((vertices[a] + vertices[b]) / 2): (a, b) for a, b in pairs}
    return tuple(middle[tuple(x)] for x in locations[len(vertices) :])


def rule(name: str, degree: int) -> tuple[Float[np.ndarray, "n Q"], Float[np.ndarray, " Q"]]:
    """Points and positive weights that integrate polynomials of this degree exactly."""
    if name == "wedge":
        # scikit-fem 12 has no valid rule for prisms: the product of its triangle and line rules
        (plane, u), (axis, v) = rule("triangle", degree), rule("line", degree)
        points = np.concatenate([np.repeat(plane, len(v), axis=1), np.tile(axis, len(u))])
        return points, np.repeat(u, len(v)) * np.tile(v, len(u))
    if degree <= 1 and name in SIMPLICES:
        corners = _LINEAR[name].doflocs
        return corners.mean(axis=0)[:, None], np.array([1 / (1, 2, 6)[corners.shape[1] - 1]])
    if name == "tetra" and degree > 2:
        # scikit-fem 12's have negative weights at 3 and 4 and are not exact from degree 5 on
        return _conical(degree)
    if name == "triangle" and degree in (3, 7):
        degree += 1  # those two have negative weights
    return get_quadrature(_LINEAR[name].refdom, degree)


def _conical(degree: int) -> tuple[Float[np.ndarray, "3 Q"], Float[np.ndarray, " Q"]]:
    """x = u, y = v (1 - u), z = w (1 - u)(1 - v) with Gauss–Jacobi rules for u, v, w in [0, 1].

    Source: Stroud, Approximate Calculation of Multiple Integrals, 1971, section 2.5.
    """
    rules = [roots_jacobi(degree // 2 + 1, k, 0) for k in (2, 1, 0)]
    u, v, w = np.meshgrid(*((x + 1) / 2 for x, _ in rules), indexing="ij")
    points = np.stack([u, v * (1 - u), w * (1 - u) * (1 - v)]).reshape(3, -1)
    weights = [weight / 2 ** (k + 1) for (_, weight), k in zip(rules, (2, 1, 0), strict=True)]
    return points, np.einsum("i,j,k->ijk", *weights).ravel()


@lru_cache
def table(name: str, order: int, degree: int) -> Table:
    """Tables of the element of this cell type and order with the rule of this degree."""
    if name == "vertex":
        one = np.ones((1, 1))
        return Table(np.ones(1), one, np.zeros((1, 1, 0)), one, np.zeros((1, 1, 0)))
    points, weights = rule(name, degree)
    linear = _evaluate(_LINEAR[name], points, VERTICES.get(name))
    return Table(weights, *linear, *(linear if order == 1 else _evaluate(_QUADRATIC[name], points)))


def _evaluate(
    element: ElementH1, points: Float[np.ndarray, "n Q"], order: list[int] | None = None
) -> tuple[Float[np.ndarray, "Q k"], Float[np.ndarray, "Q k n"]]:
    pairs = [element.lbasis(points, a) for a in order or range(len(element.doflocs))]
    shape = points.shape[1:]
    values = np.stack([np.broadcast_to(value, shape) for value, _ in pairs], axis=1)
    slopes = [np.broadcast_to(np.asarray(s, float), points.shape).T for _, s in pairs]
    return values, np.stack(slopes, axis=1)
