"""`Heat`: orders in time, limits, conservation, time-dependent data, refusals."""

import numpy as np
import pytest
from mesh_builders import box

from meshgnn.problems import Heat, Poisson


@pytest.mark.parametrize(("theta", "order"), [(1.0, 1), (0.5, 2)])
def test_order_in_time(theta: float, order: int) -> None:
    """u = (1 + x) cos 3t is linear in x, so that only time is discretised: c = 2, k = 1/2,
    f = -6 (1 + x) sin 3t, u(0, t) given, k u_x = cos(3t) / 2 at x = 1 (Robin with α = 1)."""
    mesh = box("line", 4)

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        return (1 + x[..., 0]) * np.cos(3 * t)

    errors = []
    for steps in (20, 40, 80):
        problem = Heat(
            np.linspace(0, 1, steps + 1),
            lambda x: exact(x, 0.0),
            lambda x, t: -6 * (1 + x[..., 0]) * np.sin(3 * t),
            0.5,
            2.0,
            {"left": exact},
            robin={"rest": (1.0, lambda x, t: 0.5 * np.cos(3 * t) + exact(x, t))},
            theta=theta,
        )
        with pytest.warns(UserWarning, match="a source or flux changes with time"):
            u = problem.solve(mesh).u[:, :, 0]
        truth = np.stack([exact(mesh.points, t) for t in problem.times])
        errors.append(np.abs(u - truth).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, order, atol=0.1)


@pytest.mark.parametrize("order", [1, 2])
def test_decay_of_the_slowest_mode(order: int) -> None:
    """u = sin πx sin πy e^{-2π²t} on the unit square with u = 0 around it."""
    mesh = box("triangle", 8)
    times = np.linspace(0, 0.05, 6)

    def mode(x: np.ndarray) -> np.ndarray:
        return np.sin(np.pi * x[..., 0]) * np.sin(np.pi * x[..., 1])

    sample = Heat(times, mode, dirichlet={"*": 0.0}, theta=0.5, substeps=20).solve(mesh, order)
    truth = np.exp(-2 * np.pi**2 * times)[:, None] * mode(mesh.points)
    gap = np.abs(sample.u[:, :, 0] - truth).max(axis=1)
    assert gap[0] < 1e-15
    assert gap[1:].max() < {1: 2e-2, 2: 3e-4}[order]
    np.testing.assert_array_equal(sample.times, times)
    assert sample.names["u"] == ["temperature"]
    assert sample.names["cell_inputs"] == ["source", "diffusivity", "capacity"]
    np.testing.assert_array_equal(sample.cell_inputs, [[0.0, 1.0, 1.0]] * mesh.num_cells)


def test_long_times_tend_to_the_stationary_solution() -> None:
    """One huge backward-Euler step is the Poisson solution; so is the limit of many."""
    mesh = box("quad", 5)
    data = {"source": lambda x: x[..., 0], "diffusivity": 2.0, "robin": {"left": (1.0, 0.5)}}
    steady = Poisson(**data, dirichlet={"rest": 0.2}).solve(mesh).u
    transient = Heat(np.array([0.0, 1e9]), **data, dirichlet={"rest": 0.2}).solve(mesh).u
    np.testing.assert_allclose(transient[-1], steady[0], atol=1e-8)
    many = Heat(np.linspace(0, 20, 41), **data, dirichlet={"rest": 0.2}).solve(mesh).u
    np.testing.assert_allclose(many[-1], steady[0], atol=1e-10)


@pytest.mark.parametrize("theta", [0.5, 0.75, 1.0])
def test_insulated_bodies_keep_their_heat(theta: float) -> None:
    """∫ c u dx is constant, to rounding, and grows by ∫∫ f otherwise."""
    mesh = box("tetra", 3)
    start = {"initial": lambda x: np.sin(5 * x[..., 0]), "capacity": lambda x: 1 + x[..., 1]}
    problem = Heat(np.linspace(0, 1, 6), **start, neumann={"*": 0.0}, theta=theta)
    system_mass = weights(mesh)
    heat = problem.solve(mesh).u[:, :, 0] @ system_mass
    np.testing.assert_allclose(heat, heat[0], rtol=1e-12)
    heated = Heat(problem.times, **start, source=3.0, neumann={"*": 0.0}, theta=theta)
    gain = heated.solve(mesh).u[:, :, 0] @ system_mass - heat
    np.testing.assert_allclose(gain, 3 * problem.times, atol=1e-11)


def weights(mesh) -> np.ndarray:  # noqa: ANN001
    """∫ c φ_i with c = 1 + y."""
    from meshgnn.fem import Space

    return Space(mesh).mass(lambda x: 1 + x[..., 1]) @ np.ones(mesh.num_nodes)


def test_steps_of_different_length() -> None:
    """Backward Euler on a coarse time grid with substeps is the fine grid read at its times."""
    mesh = box("triangle", 3)
    data = {"initial": 1.0, "dirichlet": {"*": lambda x, t: 1 + t * x[..., 0]}}
    fine = Heat(np.linspace(0, 1, 9), **data).solve(mesh)
    coarse = Heat(np.linspace(0, 1, 3), **data, substeps=4).solve(mesh)
    np.testing.assert_allclose(coarse.u, fine.u[::4], rtol=1e-12)
    uneven = Heat(np.array([0, 0.125, 0.25, 0.5, 1.0]), **data).solve(mesh)
    np.testing.assert_allclose(uneven.u[:3], fine.u[:3], rtol=1e-12)
    assert fine.boundary.dirichlet_values.shape == (9, mesh.num_nodes, 1)
    edge = mesh.boundary_nodes
    for step, values in zip(fine.u, fine.boundary.dirichlet_values, strict=True):
        np.testing.assert_array_equal(step[edge], values[edge])


def test_sample_inputs() -> None:
    mesh = box("triangle", 3)
    problem = Heat(
        np.array([0.0, 1.0]), 0.5, lambda x: x[..., 0], 2.0, 3.0, {"rest": 1.0}, {"left": 0.1}
    )
    sample = problem.sample(mesh)
    assert sample.names["inputs"] == ["source", "diffusivity", "capacity", "initial"]
    expected = np.stack([mesh.points[:, 0], *(np.full(20, v) for v in (2.0, 3.0, 0.5))], axis=1)
    np.testing.assert_array_equal(sample.inputs, expected)
    assert sample.boundary.dirichlet_values.shape == (20, 1)
    assert sample.meta == {"problem": "Heat", "theta": 1.0, "substeps": 1}


def test_refusals() -> None:
    mesh, times = box("triangle", 2), np.array([0.0, 1.0])
    with pytest.raises(ValueError, match="times: expected two or more, increasing"):
        Heat(np.array([0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="theta: expected 1/2 <= θ <= 1, got 0.2"):
        Heat(times, theta=0.2)
    with pytest.raises(ValueError, match="substeps: expected at least 1, got 0"):
        Heat(times, substeps=0)
    with pytest.raises(ValueError, match="initial: .* NaN"):
        Heat(times, lambda x: x[..., 0] * np.nan, dirichlet={"*": 0.0}).solve(mesh)
    with pytest.raises(ValueError, match="capacity: expected positive values, the smallest is 0"):
        Heat(times, capacity=0.0, dirichlet={"*": 0.0}).solve(mesh)
    with pytest.raises(ValueError, match="'left' has a Neumann and a Robin condition"):
        Heat(times, neumann={"left": 0.0}, robin={"left": (1.0, 0.0)}).solve(mesh)
    with pytest.raises(ValueError, match="7 of 10 boundary facets have no condition"):
        Heat(times, dirichlet={"left": 0.0}).solve(mesh)
