"""`FitzHughNagumo`: orders in time and space, the limit of an ODE, exact fronts, balances."""

from dataclasses import replace

import numpy as np
import pytest
from mesh_builders import box, wavy
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from meshgnn.fem import Space, error_norms
from meshgnn.geometry.periodic import periodic_interval, periodic_square
from meshgnn.operators import field_at
from meshgnn.problems import FitzHughNagumo
from meshgnn.problems.reactions import Cubic, GrayScott
from meshgnn.problems.wave_series import interval_mesh


def linear(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A focus that turns and decays."""
    return -0.3 * u - 2.0 * v, 2.0 * u - 0.1 * v


RATES = np.array([[-0.3, -2.0], [2.0, -0.1]])


def decay(time: float, eigenvalue: float, diffusivity: tuple[float, float]) -> np.ndarray:
    """(u, v) of the mode that begins as (1, 1/2): exp(t (A - λ D)) (1, 1/2)."""
    return expm(time * (RATES - eigenvalue * np.diag(diffusivity))) @ (1.0, 0.5)


@pytest.mark.parametrize("kinetics", [Cubic(), GrayScott(0.3, 0.1)])
@pytest.mark.parametrize("kind", ["line", "triangle"])
def test_constant_fields_follow_the_ode(kinetics, kind: str) -> None:  # noqa: ANN001
    """Without gradients the rates are those of the reaction: order 2 to scipy's solution."""
    mesh, times = box(kind, 2), np.linspace(0, 6, 4)
    start = (0.8, 0.3)
    truth = solve_ivp(
        lambda t, y: np.concatenate(kinetics(y[:1], y[1:])),
        (0, 6),
        start,
        t_eval=times,
        rtol=1e-12,
        atol=1e-12,
    ).y.T
    errors = []
    for substeps in (20, 40, 80):
        problem = FitzHughNagumo(
            times, start, reaction=kinetics, neumann={"*": 0.0}, substeps=substeps
        )
        u = problem.solve(mesh).u
        assert np.ptp(u, axis=1).max() < 1e-12
        errors.append(np.abs(u[:, 0] - truth).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2, atol=0.15)


@pytest.mark.parametrize(("order", "rate"), [(1, 2), (2, 3)])
def test_orders_in_space(order: int, rate: int) -> None:
    """cos πx cos πy times exp(t (A - 2π² D)) w, for a linear reaction, in L² on moved triangles."""

    def mode(x: np.ndarray) -> np.ndarray:
        return np.cos(np.pi * x[..., 0]) * np.cos(np.pi * x[..., 1])

    diffusivity, errors = (0.05, 0.02), []
    truth = decay(0.5, 2 * np.pi**2, diffusivity)
    for n in (4, 8, 16):
        mesh = wavy("triangle", n)
        problem = FitzHughNagumo(
            np.array([0.0, 0.5]),
            lambda x: mode(x)[..., None] * (1.0, 0.5),
            diffusivity,
            linear,
            neumann={"*": 0.0},
            substeps=round(3 * n ** (rate / 2)),
        )
        u = list(problem.steps(mesh, order))[-1]
        errors.append(error_norms(mesh, u, lambda x: mode(x)[..., None] * truth, order=order)[0])
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > rate - 0.2, (errors, orders)


def test_order_in_time() -> None:
    """Two in Δt, against the solution of 640 steps, diffusion far beyond explicit limits."""
    mesh = periodic_interval(64)
    problem = {
        "times": np.array([0.0, 2.0]),
        "initial": lambda x: np.sin(2 * np.pi * x) * (1.0, 0.0) + 0.3 * np.cos(4 * np.pi * x),
        "diffusivity": (0.001, 0.01),
        "periodic": {"left": "right"},
    }
    fine, *coarse = (FitzHughNagumo(**problem, substeps=n).solve(mesh).u[-1] for n in (640, 40, 80))
    errors = [np.abs(u - fine).max() for u in coarse]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2, atol=0.15)
    assert errors[-1] < 2e-4


@pytest.mark.parametrize("order", [1, 2])
def test_exact_front(order: int) -> None:
    """u_t = u_xx + u (1 - u)(u - a) has the front 1 / (1 + exp((x - st) / √2)), s = √2 (1/2 - a),
    which its ends follow in time; v decays alone, between ends left free."""

    def bistable(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return u * (1 - u) * (u - 0.2), -v

    def front(x: np.ndarray, t: float) -> np.ndarray:
        return 1 / (1 + np.exp((x[..., 0] - 0.3 * np.sqrt(2) * t) / np.sqrt(2)))

    errors, times = [], np.array([0.0, 2.0, 4.0])
    for cells in (16, 32, 64) if order == 1 else (8, 16, 32):
        mesh = interval_mesh(cells + 1, -4.0, 6.0, lambda xi: xi)
        problem = FitzHughNagumo(
            times,
            [lambda x: front(x, 0.0), 1.0],
            (1.0, 0.0),
            bistable,
            dirichlet={"left": (front, None), "right": [front, None]},
            substeps=round(cells ** (1 if order == 1 else 1.5) / 4),
        )
        sample = problem.solve(mesh, order)
        truth = np.stack([front(mesh.points, t) for t in times])
        errors.append(np.abs(sample.u[:, :, 0] - truth).max())
        np.testing.assert_allclose(sample.u[:, 0, 0], truth[:, 0], rtol=1e-14)
        np.testing.assert_allclose(
            sample.u[:, :, 1], np.exp(-times)[:, None] * np.ones(cells + 1), atol=2e-2
        )
        assert sample.boundary.dirichlet_values.shape == (3, cells + 1, 2)
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > {1: 1.85, 2: 2.8}[order], (errors, orders)


def test_what_reacts_within_closed_walls_is_kept() -> None:
    """∫ u + v for u <-> v, closed; it grows by ∫∫ h with a flux h = (1, 2) through x = 0."""

    def exchange(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate = u**2 - v
        return -rate, rate

    mesh, times = wavy("mixed 2D", 4), np.linspace(0, 1, 5)
    data = {"initial": lambda x: np.stack([np.sin(4 * x[..., 0]), x[..., 1]], axis=-1)}
    weights = Space(mesh).load(1.0)
    for walls, gain in (({"*": 0.0}, 0.0), ({"rest": 0.0, "left": (1.0, 2.0)}, 3.0)):
        problem = FitzHughNagumo(times, **data, reaction=exchange, neumann=walls, substeps=8)
        with np.errstate(all="raise"):
            total = np.einsum("tnc,n->t", problem.solve(mesh).u, weights)
        np.testing.assert_allclose(total - total[0], gain * times, atol=1e-11)


def test_mean_balance() -> None:
    """d/dt ∫ v = β ∫ (u - v), whatever diffuses: by Simpson's rule over short steps."""
    mesh = periodic_square(0.2)
    problem = FitzHughNagumo.draw(
        mesh,
        np.random.default_rng(0),
        periodic={"left": "right", "bottom": "top"},
        length=0.3,
        refine=0,
    )
    sample = replace(problem, substeps=8).solve(mesh)
    mean = sample.u.transpose(0, 2, 1) @ Space(mesh).load(1.0)
    inflow = 0.25 * (mean[:, 0] - mean[:, 1])
    dt = sample.times[1]
    gain = dt / 3 * (inflow[:-2:2] + 4 * inflow[1:-1:2] + inflow[2::2])
    np.testing.assert_allclose(mean[2::2, 1] - mean[:-2:2, 1], gain, atol=2e-5)
    np.testing.assert_array_equal(sample.u, sample.u[:, sample.boundary.twin])


def test_refined_solutions_are_kept_at_the_nodes() -> None:
    """refine=1 is the solution on the refined mesh, arrays over the nodes taken as P1."""
    mesh = box("triangle", 4)
    start = np.random.default_rng(0).standard_normal((mesh.num_nodes, 2))
    problem = {"times": np.array([0.0, 0.1]), "diffusivity": (0.1, 0.1), "neumann": {"*": 0.0}}
    sample = FitzHughNagumo(initial=start, refine=1, **problem).solve(mesh)
    fine = mesh.refined()
    direct = FitzHughNagumo(initial=field_at(mesh, start, fine.points), **problem).solve(fine)
    np.testing.assert_allclose(sample.u, direct.u[:, : mesh.num_nodes], atol=1e-12)
    np.testing.assert_array_equal(sample.inputs, start)


@pytest.mark.parametrize("kinetics", ["fitz_hugh_nagumo", "gray_scott"])
def test_draws(kinetics: str) -> None:
    """The same seed, the same sample; bounded; named parameters in units of the domain."""
    mesh = box("triangle", 6)
    draw = {"kinetics": kinetics, "steps": 5, "duration": 5.0}
    one, two = (
        FitzHughNagumo.draw(mesh, np.random.default_rng(3), **draw).solve(mesh) for _ in "ab"
    )
    np.testing.assert_array_equal(one.u, two.u)
    assert np.abs(one.u).max() < 3
    rates = {"fitz_hugh_nagumo": ["alpha", "beta"], "gray_scott": ["feed", "kill"]}[kinetics]
    assert one.names["params"] == ["diffusivity_u", "diffusivity_v", *rates]
    assert one.names["inputs"] == ["initial_u", "initial_v"]
    np.testing.assert_array_equal(one.inputs, one.u[0])
    side = {"fitz_hugh_nagumo": 128, "gray_scott": 2.5}[kinetics]
    ratio = {"fitz_hugh_nagumo": 1.0, "gray_scott": 2e-5}[kinetics]
    np.testing.assert_allclose(one.params[0], ratio / side**2, rtol=1e-12)
    if kinetics == "gray_scott":
        assert one.u.min() > -1e-3


def test_patterns_grow() -> None:
    """(u, v) = (α^1/3, α^1/3) is unstable: a perturbation of 1 % is of order 1 by t = 30."""
    mesh = periodic_interval(128)
    base = 0.01 ** (1 / 3)
    problem = FitzHughNagumo(
        np.array([0.0, 30.0]),
        lambda x: base + 0.01 * np.sin(6 * np.pi * x) * (1.0, 1.0),
        (128.0**-2, 10 * 128.0**-2),
        periodic={"left": "right"},
        substeps=300,
    )
    u = problem.solve(mesh).u[-1]
    assert np.ptp(u[:, 0]) > 0.3
    still = FitzHughNagumo(
        problem.times, base, problem.diffusivity, periodic={"left": "right"}, substeps=300
    ).solve(mesh)
    np.testing.assert_allclose(still.u, base, atol=1e-6)


def test_refusals() -> None:
    mesh, times = box("line", 4), np.array([0.0, 1.0])
    with pytest.raises(ValueError, match="times: expected two or more, increasing"):
        FitzHughNagumo(np.array([0.0]))
    with pytest.raises(
        ValueError, match=r"diffusivity: expected two numbers >= 0, got \(1.0, -1.0"
    ):
        FitzHughNagumo(times, diffusivity=(1.0, -1.0))
    with pytest.raises(ValueError, match="refine: expected at least 0, got -1"):
        FitzHughNagumo(times, refine=-1)
    with pytest.raises(ValueError, match="2 of 2 boundary facets have no condition"):
        FitzHughNagumo(times).solve(mesh)
    with pytest.raises(ValueError, match="kinetics: expected one of fitz_hugh_nagumo, gray_scott"):
        FitzHughNagumo.draw(mesh, np.random.default_rng(0), kinetics="brusselator")
    with pytest.raises(ValueError, match="the reaction is NaN or overflows for states up to"):
        FitzHughNagumo(np.array([0.0, 1e3]), 100.0, neumann={"*": 0.0}, substeps=20).solve(mesh)
    moving = FitzHughNagumo(times, neumann={"*": [lambda x, t: t + 0 * x[..., 0], 0.0]})
    with pytest.warns(UserWarning, match="a flux changes with time"):
        moving.solve(mesh)
