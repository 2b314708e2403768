"""`CombinedEquation` between given values and free outflow: exact solutions, orders, limits."""

from collections.abc import Callable

import numpy as np
import pytest

from meshgnn.mesh import Group, Mesh
from meshgnn.problems.combined_equation import CombinedEquation, averages
from meshgnn.volumes import Cells


def interval(n: int, start: float = 0.0, end: float = 1.0) -> Mesh:
    nodes = np.arange(n + 1)
    groups = {"left": nodes[:1], "right": nodes[-1:], "middle": nodes[n // 2 : n // 2 + 1]}
    return Mesh(
        np.linspace(start, end, n + 1)[:, None],
        {"line": np.stack([nodes[:-1], nodes[1:]], axis=1)},
        {name: Group(0, {"vertex": part[:, None]}) for name, part in groups.items()},
    )


def error(problem: CombinedEquation, mesh: Mesh, exact: Callable, refine: int = 1) -> np.ndarray:
    """|u - averages of the exact solution| at all times and nodes, 0 where u is given."""
    x = mesh.points[:, 0]
    cells = Cells(float(x[0]), float(x[1] - x[0]), len(x), 1, False)
    truth = np.stack([averages(exact, cells, "exact")(t) for t in problem.times.tolist()])
    sample = problem.solve(mesh, refine)
    return np.abs(sample.u - truth)[:, :, 0] * ~sample.boundary.dirichlet_mask[:, 0]


def between(times: np.ndarray, beta: float, exact: Callable, **options) -> CombinedEquation:
    ends = {"dirichlet": {"left": exact, "right": exact}} | options
    return CombinedEquation(times, 1.0, beta, initial=lambda x: exact(x, times[0]), **ends)


def test_viscous_shock() -> None:
    """u = U - A tanh(A (x - U t) / 2β) on [-1, 1], the shock and both ends in motion: order 4, more
    with the control volumes divided."""
    beta, times, errors = 0.1, np.linspace(0, 1, 5), []

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        return 0.5 - np.tanh((x[..., 0] - 0.5 * t) / (2 * beta))

    for n in (20, 40):
        errors.append(error(between(times, beta, exact), interval(n, -1, 1), exact).max())
    assert np.log2(errors[-2] / errors[-1]) > 3.7 and errors[-1] < 2e-4
    fine = error(between(times, beta, exact), interval(20, -1, 1), exact, refine=3).max()
    assert fine < errors[0] / 30


def test_values_that_change_at_both_ends() -> None:
    """Cole–Hopf: u = -2β φ_x / φ, φ = 1 + a exp(-β k² t) cos k x, on an interval that is no period;
    the ends hold g to the last digit."""
    beta, a, k, errors = 0.05, 0.8, 2 * np.pi, []
    times = np.linspace(0, 0.5, 5)

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        decay = a * np.exp(-beta * k**2 * t)
        return 2 * beta * k * decay * np.sin(k * x[..., 0]) / (1 + decay * np.cos(k * x[..., 0]))

    for n in (20, 40):
        mesh, problem = interval(n, 0.1, 1.2), between(times, beta, exact)
        errors.append(error(problem, mesh, exact).max())
        sample = problem.solve(mesh)
        for step, t in zip(sample.u, times, strict=True):
            ends = exact(mesh.points[[0, -1]], t)
            np.testing.assert_array_equal(step[[0, -1], 0], ends)
    assert np.log2(errors[-2] / errors[-1]) > 3.7
    assert sample.boundary.dirichlet_values.shape == (5, 41, 1)
    assert np.flatnonzero(sample.boundary.dirichlet_mask).tolist() == [0, 40]


def test_diffusion_to_a_free_end() -> None:
    """α = 0: u = exp(-β k² t) cos k x on [0.2, 1], k = π, so that u_x = 0 at x = 1."""
    beta, times, errors = 0.3, np.linspace(0, 0.5, 4), []

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        return np.exp(-beta * np.pi**2 * t) * np.cos(np.pi * x[..., 0])

    for n in (16, 32):
        problem = CombinedEquation(
            times,
            0.0,
            beta,
            initial=lambda x: exact(x, 0.0),
            dirichlet={"left": exact},
            neumann={"right": 0.0},
        )
        errors.append(error(problem, interval(n, 0.2, 1.0), exact).max())
    assert np.log2(errors[-2] / errors[-1]) > 3.7


def test_rarefaction_leaves() -> None:
    """u = (x + 0.2) / (1 + t): exact but near the free end, where u_x = 0 is another solution."""
    times = np.linspace(0, 1, 5)

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        return (x[..., 0] + 0.2) / (1 + t)

    for n in (40, 80):
        free = {"dirichlet": {"left": exact}, "neumann": {"right": 0.0}}
        gap = error(between(times, 0.0, exact, **free), interval(n), exact)
        assert gap[:, : n // 2].max() < 1e-6
        assert gap.max() < 1.1 / n  # at the free end itself


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_fronts_come_in_and_leave(sign: float) -> None:
    """Fluid at rest, u = 1 at the left from t = 0: a front of speed 1/2 without overshoot, which
    has left by t = 3. Mirrored for u = -1 at the right."""
    inlet, outlet = ("left", "right") if sign > 0 else ("right", "left")
    times = np.array([0.0, 1.0, 3.0])
    problem = CombinedEquation(times, dirichlet={inlet: sign}, neumann={outlet: 0.0})
    u = sign * problem.solve(interval(50)).u[:, :: int(sign), 0]
    assert u.min() > -1e-3 and u.max() < 1.01
    assert u[1].sum() / 50 == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(u[2], 1, atol=1e-6)


def test_steady_layer() -> None:
    """u(0) = 1, u(1) = 0 with β = 0.1 tends to tanh((1 - x) / 2β), four cells wide."""
    problem = CombinedEquation(
        np.array([0.0, 8.0]),
        1.0,
        0.1,
        initial=lambda x: 1 - x[..., 0],
        dirichlet={"*": 0.0, "left": 1.0},
    )
    gap = error(problem, interval(20), lambda x: np.tanh((1 - x[..., 0]) / 0.2))
    assert gap[0].max() > 0.3 and gap[-1].max() < 1e-3


def test_ends_are_chosen_as_conditions_are() -> None:
    """The rest "*" beside named groups, arrays over the nodes, the sample's flux facet."""
    mesh, times = interval(20), np.array([0.0, 0.5])
    named = CombinedEquation(times, 1.0, 0.1, dirichlet={"left": 1.0, "right": 0.5}).solve(mesh)
    nodal = np.linspace(1, 0.5, 21)
    for ends in (
        {"left": 1.0, "*": 0.5},
        {"*": nodal},
        {"*": 0.5, "left": lambda x, t: 1.0 + 0 * t},
    ):
        other = CombinedEquation(times, 1.0, 0.1, dirichlet=ends).solve(mesh)
        np.testing.assert_allclose(other.u, named.u, atol=1e-14)
    free = CombinedEquation(times, 1.0, 0.1, dirichlet={"left": 1.0}, neumann={"*": 0.0})
    sample = free.solve(mesh)
    assert sample.boundary.facets.tolist() == [[20]] and len(sample.boundary.twin) == 0
    assert sample.u[-1, -1, 0] < 0.5


def test_refusals() -> None:
    times, mesh = np.array([0.0, 1.0]), interval(10)
    ends = {"dirichlet": {"*": 0.0}}
    with pytest.raises(ValueError, match="expected gamma = 0 on a bounded interval, got 0.1"):
        CombinedEquation(times, gamma=0.1, **ends).solve(mesh)
    with pytest.raises(ValueError, match="neumann: expected 0.0, which is free outflow, got .*1.0"):
        CombinedEquation(times, neumann={"right": 1.0})
    with pytest.raises(ValueError, match="dirichlet: expected the end nodes only, got nodes .5."):
        CombinedEquation(times, dirichlet={"*": 0.0, "middle": 1.0}).solve(mesh)
    with pytest.raises(ValueError, match="expected equidistant nodes, got edges from 0.01"):
        CombinedEquation(times, **ends).solve(mesh.moved(mesh.points**2))
    with pytest.raises(ValueError, match="refine: expected 1, 3, 5, ... .* got 2"):
        CombinedEquation(times, **ends).solve(mesh, refine=2)
    with pytest.raises(ValueError, match="1 of 2 boundary facets have no condition: 'right'"):
        CombinedEquation(times, dirichlet={"left": 0.0}).solve(mesh)
