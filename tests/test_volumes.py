"""Finite volumes on intervals: their pieces, and refusals."""

import numpy as np
import pytest
from volume_builders import cells_of, gauss, means, rates

from meshgnn.mesh import Mesh
from meshgnn.volumes import (
    Cells,
    Ring,
    Sines,
    cell_interval,
    columns,
    edge_values,
    gradient,
    march,
    nodes_in_line,
    restricted,
    transport,
)

RNG = np.random.default_rng(0)
ONE, NONE = np.ones(1), np.zeros(1)


def test_order_of_edge_values() -> None:
    """u = sin x, averages from -cos x: both edges of order 5."""
    errors = []
    for n in (20, 40, 80):
        edges = np.arange(-2, n + 3) * 2 * np.pi / n
        found = edge_values(means(lambda x: -np.cos(x), edges))
        exact = np.sin(edges[2:-3]), np.sin(edges[3:-2])
        errors.append(max(np.abs(f[:, 0] - e).max() for f, e in zip(found, exact, strict=True)))
    assert rates(errors)[-1] == pytest.approx(5, abs=0.3)
    assert errors[-1] < 1e-6


def test_edge_values_do_not_know_units_and_sides() -> None:
    """Linear in the unit, mirrored by mirroring; a step stays within its limits to 1e-3."""
    u = RNG.normal(size=(24, 3))
    left, right = edge_values(u)
    for size in (1e-12, 1e12):
        np.testing.assert_allclose(edge_values(size * u)[0] / size, left, rtol=1e-12)
    np.testing.assert_allclose(edge_values(u[::-1])[0][::-1], right, rtol=1e-12)
    step = np.repeat([[0.0], [1.0]], 12, axis=0)
    assert -1e-3 < min(v.min() for v in edge_values(step)) < 1e-3
    assert edge_values(0 * u)[0].tolist() == [[0.0] * 3] * 20


def test_flux_of_godunov() -> None:
    """Constant states: u²/2 upwind, 0 through a rarefaction about 0, the larger one at a shock; for
    α < 0 what u -> -u gives."""
    for a, b, flux in ((2, 2, 2), (-2, -2, 2), (-1, 2, 0), (2, -1, 2), (1, -2, 2), (1, 2, 0.5)):
        u = np.repeat([[float(a)], [float(b)]], 6, axis=0)
        assert transport(u, ONE)[3, 0] == pytest.approx(flux, abs=1e-4)
        assert transport(-u, -ONE)[3, 0] == pytest.approx(-flux, abs=1e-4)


def test_order_of_the_gradient() -> None:
    errors = []
    for n in (20, 40, 80):
        edges = np.arange(-2, n + 3) * 2 * np.pi / n
        slope = gradient(means(lambda x: -np.cos(x), edges), 2 * np.pi / n)[:, 0]
        errors.append(np.abs(slope - np.cos(edges[2:-2])).max())
    np.testing.assert_allclose(rates(errors), 4, atol=0.1)


def test_linear_terms_are_exact() -> None:
    """u_t = β u_xx - γ u_xxx: exp(-β k² t) sin(k x + γ k³ t) in one step, to rounding; also an odd
    number of cells."""
    beta, gamma = np.array([0.1, 0.0]), np.array([0.3, 0.7])
    for n in (32, 33):
        edges, _ = cells_of(n, 2 * np.pi)
        ring = Ring(2 * np.pi, np.zeros(2), beta, gamma)
        for k in (1, 5):
            start = np.repeat(means(lambda x, k=k: -np.cos(k * x) / k, edges), 2, axis=1)
            *_, u = march(ring, start, np.array([0.0, 2.0]))
            exact = [
                np.exp(-b * k**2 * 2)
                * means(lambda x, k=k, g=g: -np.cos(k * x + g * k**3 * 2) / k, edges)
                for b, g in zip(beta, gamma, strict=True)
            ]
            np.testing.assert_allclose(u, np.hstack(exact), atol=1e-12)


def test_trajectories_of_a_batch_do_not_know_each_other() -> None:
    """Columns with the same largest speed take the same steps: alone as together, to rounding."""
    _, x = cells_of(40, 2 * np.pi)
    start = np.hstack([gauss(np.sin(x)), gauss(2 * np.sin(2 * x)), gauss(5 * np.sin(x))])
    alpha, beta, gamma = (
        np.array([1.0, 0.5, -0.2]),
        np.array([0.0, 0.1, 0.2]),
        np.array([0, 0.1, 0]),
    )
    times = np.array([0.0, 0.4])
    *_, together = march(Ring(2 * np.pi, alpha, beta, gamma, cfl=0.1), start, times)
    for i in range(3):
        own = (value[i : i + 1] for value in (alpha, beta, gamma))
        *_, alone = march(Ring(2 * np.pi, *own, cfl=0.1), start[:, i : i + 1], times)
        np.testing.assert_allclose(together[:, i : i + 1], alone, atol=1e-12)
    assert columns(800) == 6 and columns(10**6) == 1


def test_sines() -> None:
    """Averages are differences of the antiderivative; at width 0 the value; rows of a stack."""
    parts = [
        Sines(
            *RNG.uniform(-1, 1, (2, 1, 3)),
            RNG.integers(0, 4, (1, 3)),
            RNG.uniform(0, 6, (1, 3)),
            3.0,
        )
        for _ in range(4)
    ]
    sines = Sines.stacked(parts)
    centre, width = np.array([0.2, 1.0, 2.5]), np.array([0.4, 0.0, 1e-3])
    found = sines.averages(centre, width)(1.7)
    place, weights = np.polynomial.legendre.leggauss(12)
    for i, part in enumerate(parts):
        points = (centre[:, None] + width[:, None] / 2 * place)[..., None]
        np.testing.assert_allclose(found[:, i], part(points, 1.7) @ weights / 2, atol=1e-13)
    some = sines[np.array([2, 0])].averages(centre, width)(1.7)
    np.testing.assert_allclose(some, found[:, [2, 0]], atol=1e-15)


def test_cells_of_nodes() -> None:
    """The control volume of node k is [k dx, (k + 1) dx]: 800 cells restrict to 100, 50, 40."""
    for n in (100, 50, 40):
        mesh = cell_interval(n, 16.0)
        first, dx, order = nodes_in_line(mesh)
        assert (first, dx, len(order)) == pytest.approx((8 / n, 16 / n, n + 1))
        cells = Cells(first, dx, n + 1, 800 // n, True)
        np.testing.assert_allclose(cells.centres, (np.arange(800) + 0.5) / 50, atol=1e-13)
        nodes = cells.to_nodes(cells.centres[:, None])
        np.testing.assert_allclose(nodes[:-1, 0], mesh.points[:-1, 0], atol=1e-13)
        assert nodes[-1] == nodes[0]
        assert mesh.nodes_of("left").tolist() == [0] and mesh.nodes_of("right").tolist() == [n]
    bounded = Cells(0.0, 0.1, 11, 3, False)
    nodes = bounded.to_nodes(bounded.centres[:, None])[:, 0]  # the mean of x where it is averaged
    np.testing.assert_allclose(nodes, [0.025, *np.arange(1, 10) / 10, 0.975])
    np.testing.assert_allclose(bounded.widths.sum(), bounded.length)
    np.testing.assert_array_equal(restricted(np.arange(4.0)[:, None], 2), [[0.5], [2.5]])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="expected 5 cells or more and a positive length, got 4"):
        cell_interval(4)
    with pytest.raises(
        ValueError, match="expected 1, 2, 3, ... cells in each control volume, got 0"
    ):
        Cells(0.0, 0.1, 11, 0, True)
    with pytest.raises(ValueError, match="expected 1, 3, 5, ... .* got 2"):
        Cells(0.0, 0.1, 11, 2, False)
    mesh = cell_interval(8)
    with pytest.raises(ValueError, match="expected equidistant nodes, got edges from 0.0"):
        nodes_in_line(mesh.moved(mesh.points**2))
    points = np.array([[0.0, 0], [1, 0], [0, 1]])
    with pytest.raises(ValueError, match="expected an interval on the x axis with 6 nodes or more"):
        nodes_in_line(Mesh(points, {"triangle": np.array([[0, 1, 2]])}))
    burst = Ring(1.0, NONE, NONE, NONE, lambda t: np.full((8, 1), np.nan))
    with pytest.raises(FloatingPointError, match="blows up at t = 0 s, where dt = 1 s"):
        list(march(burst, np.zeros((8, 1)), np.array([0.0, 1.0])))
