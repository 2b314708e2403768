"""Periodic elements: classes of degrees of freedom, prolongation, conditions, meshes that match."""

from dataclasses import replace

import numpy as np
import pytest
from periodic_builders import pairs, periodic_box

from meshgnn.fem import LinearSystem, Space
from meshgnn.fem.periodic import at_classes, classes, folded, prolongation
from meshgnn.geometry.periodic import periodic_interval, periodic_square
from meshgnn.mesh import Group, twins
from meshgnn.problems.conditions import Conditions

NONE = np.zeros(0, np.int64)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("order", [1, 2])
def test_classes_are_the_points_of_the_torus(dim: int, n: int, order: int) -> None:
    """A torus of n^d cubes cut into simplices has n^d nodes and (2n)^d points with mid points (two
    cells across included, where two edges join the same nodes); members of a class agree modulo
    the period."""
    mesh = periodic_box(dim, n)
    space = Space(mesh, order)
    index = classes(space, twins(mesh, pairs(dim)))
    assert index.max() + 1 == (order * n) ** dim
    place = at_classes(space.points, index)[index] - space.points
    np.testing.assert_allclose(place, np.rint(place), atol=1e-12)
    assert len(np.unique(np.round(space.points % (1 - 1e-13), 6), axis=0)) == index.max() + 1


def test_one_direction_only() -> None:
    """Left and right are one, bottom and top are not: n (n + 1) classes of nodes, 2n (2n + 1) of
    P2, and without any twin every degree of freedom is its own."""
    mesh = periodic_box(2, 4)
    twin = twins(mesh, {"left": "right"})
    assert prolongation(Space(mesh), twin).shape == (25, 20)
    assert prolongation(Space(mesh, 2), twin).shape == (81, 72)
    np.testing.assert_array_equal(prolongation(Space(mesh, 2), NONE).toarray(), np.eye(81))


@pytest.mark.parametrize("scale", [1.0, 1e7])
def test_one_direction_of_a_mesh_from_gmsh(scale: float) -> None:
    """Matched sides differ by rounding along the other axis, which is no period of it: per cell of
    the left side, one node and one mid point fewer, and the last node."""
    mesh = periodic_square(0.1)
    mesh = replace(mesh, points=scale * mesh.points)
    twin, cells = twins(mesh, {"left": "right"}), len(mesh.facets_of("left"))
    assert 0 < np.abs(mesh.points - mesh.points[twin])[:, 1].max() < 1e-9 * scale
    space = Space(mesh, 2)
    assert classes(space, twin).max() + 1 == space.size - (2 * cells + 1)


def poisson_error(space: Space) -> float:
    """|u_h - u| in L2 for -Δu = f on the torus, u = exp(sin 2πx + cos 4πy) less its mean."""
    mesh, w = space.mesh, 2 * np.pi
    prolong = prolongation(space, twins(mesh, pairs(2)))

    def exact(x: np.ndarray) -> np.ndarray:
        return np.exp(np.sin(w * x[..., 0]) + np.cos(2 * w * x[..., 1]))

    def source(x: np.ndarray) -> np.ndarray:
        a, b = w * x[..., 0], 2 * w * x[..., 1]
        slopes = w**2 * np.cos(a) ** 2 + 4 * w**2 * np.sin(b) ** 2
        return -exact(x) * (slopes - w**2 * np.sin(a) - 4 * w**2 * np.cos(b))

    mass, every = space.mass(), np.ones(space.size, dtype=bool)
    mean = mass @ np.ones(space.size)
    load = space.load(source)
    load -= load.sum() * mean / mean.sum()
    full = LinearSystem(space.stiffness(), load, every, 0.0 * load, space.points, mean=mean)
    u = prolong @ folded(full, prolong).solve()
    gap = u - exact(space.points)
    gap -= mean @ gap / mean.sum()
    return float(np.sqrt(gap @ mass @ gap))


@pytest.mark.parametrize("order", [1, 2])
def test_order_of_periodic_poisson(order: int) -> None:
    """Orders 2 and 3 in L2 on unstructured meshes: no trace of the seam."""
    mesh = periodic_square(0.1)
    errors = []
    for _ in range(3):
        errors.append(poisson_error(Space(mesh, order)))
        mesh = mesh.refined()
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates[-1] > order + 0.8, (errors, rates)


def test_periodic_square() -> None:
    """About 500 nodes at 0.05; sides match also after refinement; a hole is inscribed."""
    mesh = periodic_square(0.05)
    mesh.check()
    assert set(mesh.groups) == {"left", "right", "bottom", "top", "domain"}
    assert 450 < mesh.num_nodes < 600
    count = len(mesh.nodes_of("left")) + len(mesh.nodes_of("bottom"))
    assert len(np.unique(twins(mesh, pairs(2)))) == mesh.num_nodes - count + 1
    holed = periodic_square(0.2, 2.0, [(0.7, 1.2, 0.3)])
    assert holed.volumes.sum() == pytest.approx(4 - np.pi * 0.09, rel=0.02)
    assert len(holed.nodes_of("hole")) == len(holed.facets_of("hole")) > 7
    fine = holed.refined()
    np.testing.assert_array_equal(fine.points[: holed.num_nodes], holed.points)
    gap = fine.points - fine.points[twins(fine, pairs(2))]
    np.testing.assert_allclose(gap, 2 * np.rint(gap / 2), atol=1e-10)


def test_periodic_interval() -> None:
    mesh = periodic_interval(5, 2.0)
    np.testing.assert_array_equal(twins(mesh, pairs(1)), [0, 1, 2, 3, 4, 0])
    assert mesh.points.max() == 2.0
    with pytest.raises(ValueError, match="periodic_interval: expected at least 3 cells, got 2"):
        periodic_interval(2)


def test_conditions_cover_what_is_periodic() -> None:
    """Periodic facets need no condition, the name "*" leaves them out, and what one corner of a
    class is prescribed holds for its twin, in the space and in the sample."""
    mesh = periodic_box(2, 3)
    wrap = {"left": "right"}
    with pytest.raises(ValueError, match="6 of 12 boundary facets have no condition: 'bottom' .3."):
        Conditions(mesh, 1, {}, {}, wrap)
    rest = Conditions(mesh, 1, {"*": lambda x: x[..., 1]}, {}, wrap)
    assert rest.prescribed(Space(mesh))[0].sum() == 8
    every = Conditions(mesh, 1, {}, {}, pairs(2))
    assert not every.boundary().dirichlet_mask.any()
    np.testing.assert_array_equal(every.boundary().twin, twins(mesh, pairs(2)))
    np.testing.assert_array_equal(Conditions(mesh, 1, {"*": 0.0}, {}).boundary().twin, NONE)
    # Dirichlet at the bottom alone and all sides periodic but for these: the top corners follow
    corner = Conditions(mesh, 1, {"bottom": 2.0}, {"top": (0.0, 1.0)}, wrap)
    mask, values = corner.prescribed(Space(mesh, 2))
    assert mask.sum() == 7
    assert (values[mask] == 2.0).all()
    assert corner.boundary().flux.shape == (3, 1)


def test_points_that_are_held_hold_their_twins() -> None:
    """A prescribed node on one side is prescribed on the other with the same value."""
    mesh = periodic_box(2, 3)
    pin = Group(0, {"vertex": np.array([[2]])})
    mesh = replace(mesh, groups=dict(mesh.groups) | {"pin": pin})
    boundary = Conditions(mesh, 1, {"pin": 3.0}, {}, pairs(2)).boundary()
    found = np.flatnonzero(boundary.dirichlet_mask[:, 0])
    np.testing.assert_array_equal(boundary.twin[found], [boundary.twin[2]] * 2)
    np.testing.assert_array_equal(boundary.dirichlet_values[found], 3.0)


def test_refusals() -> None:
    mesh = periodic_box(2, 3)
    with pytest.raises(ValueError, match="'right' is periodic and has another condition"):
        Conditions(mesh, 1, {"right": 0.0}, {}, pairs(2))
    with pytest.raises(ValueError, match="are no translates of each other"):
        Conditions(mesh, 1, {"*": 0.0}, {}, {"left": "top"})
