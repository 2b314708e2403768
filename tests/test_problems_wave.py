"""`Wave`: the exact series, Newmark's orders and energy, reflections, what samples hold."""

from itertools import product

import numpy as np
import pytest
from mesh_builders import box, wavy

from meshgnn.fem import Space, error_norms
from meshgnn.fem.values import PerCell
from meshgnn.geometry.periodic import periodic_interval
from meshgnn.mesh import Mesh
from meshgnn.problems import Wave
from meshgnn.problems.wave_series import Pulse, interval_mesh

ENDS = [*product([False, True], repeat=2)]


def even(nodes: int) -> Mesh:
    return interval_mesh(nodes, place=lambda xi: xi)


def images(x: np.ndarray, t: float, centre: float, free: tuple[bool, bool]) -> np.ndarray:
    """d'Alembert on [-8, 8], c = 2: F(x + ct) and all its mirror images, signs by the ends."""
    left, right = (1.0 if f else -1.0 for f in free)
    y, total = x + 8, np.zeros_like(x)
    for m in range(-1, int(2 * t / 32) + 3):
        shift = 2 * t - 32 * m - (centre + 8)
        pair = np.exp(-((y + shift) ** 2)) + left * np.exp(-((-y + shift) ** 2))
        total += (left * right) ** m * pair
    return total


def with_ends(free: tuple[bool, bool], times: np.ndarray, centre: float = 0.0, **more) -> Wave:  # noqa: ANN003
    pulse, named = Pulse(centre, 1.0, 2.0), dict(zip(("left", "right"), free, strict=True))
    return Wave(
        times,
        pulse.displacement,
        pulse.velocity,
        2.0,
        dirichlet={name: 0.0 for name, natural in named.items() if not natural},
        neumann={name: 0.0 for name, natural in named.items() if natural},
        **more,
    )


@pytest.mark.parametrize("free", ENDS)
def test_series_is_d_alembert_with_images(free: tuple[bool, bool]) -> None:
    """To 1e-10 over 12.5 passages, at even, graded and Chebyshev nodes; one pulse, which starts to
    the left: u(x, t) = exp(-(x - s + ct)²) until it meets the end."""
    times = np.linspace(0, 100, 250)
    for mesh in (even(41), interval_mesh(50), interval_mesh(60, place=lambda xi: xi**2)):
        u = with_ends(free, times, 1.0, method="spectral").solve(mesh).u
        x = mesh.points[:, 0]
        truth = np.stack([images(x, t, 1.0, free) for t in times])
        np.testing.assert_allclose(u[:, :, 0], truth, atol=1e-10)
        moved = np.exp(-((x - 1.0 + 2 * times[3]) ** 2))
        np.testing.assert_allclose(u[3, :, 0], moved, atol=1e-10)


@pytest.mark.parametrize("free", ENDS)
def test_series_keeps_the_energy(free: tuple[bool, bool]) -> None:
    """½ ∫ u_t² + c² u_x² dx = 4 sqrt(π/2) for the pulse, from values at the nodes by Chebyshev
    interpolation, and as the series says it."""
    times = np.array([0.0, 1.7, 3.9, 31.4, 99.9])
    mesh, problem = interval_mesh(160), with_ends(free, times, method="spectral")
    states = problem.solve(mesh).u
    basis = np.polynomial.chebyshev.chebvander(mesh.points[:, 0] / 8, 159)
    nodes, weights = np.polynomial.legendre.leggauss(160)
    u, rate = np.moveaxis(np.linalg.solve(basis, states), -1, 0)  # coefficients [5, 160]
    slope = np.polynomial.chebyshev.chebval(nodes, np.polynomial.chebyshev.chebder(u.T)) / 8
    speed = np.polynomial.chebyshev.chebval(nodes, rate.T)
    energy = 8 * (4 * slope**2 + speed**2) @ weights / 2
    np.testing.assert_allclose(energy, 4 * np.sqrt(np.pi / 2), rtol=1e-10)
    series = problem.series(mesh)
    np.testing.assert_allclose(series.energy(), 4 * np.sqrt(np.pi / 2), rtol=1e-12)


def test_series_of_the_mean() -> None:
    """u = 1 + 2t between free ends: the mode that is constant in x."""
    problem = Wave(np.linspace(0, 3, 4), 1.0, 2.0, 5.0, neumann={"*": 0.0}, method="spectral")
    u = problem.solve(interval_mesh(5)).u
    np.testing.assert_allclose(
        u[:, :, 0], (1 + 2 * problem.times)[:, None] * np.ones(5), atol=1e-12
    )
    np.testing.assert_allclose(u[:, :, 1], 2.0, atol=1e-12)


def test_series_says_what_it_does_not_resolve() -> None:
    """A string that starts at u = 1 between fixed ends has coefficients of order 1 / k."""
    problem = Wave(np.array([0.0, 1.0]), 1.0, dirichlet={"*": 0.0}, method="spectral")
    with pytest.warns(UserWarning, match="the last of 1024 modes still have .* of the largest"):
        problem.solve(interval_mesh(9))


@pytest.mark.parametrize(("order", "rate"), [(1, 2), (2, 3)])
@pytest.mark.parametrize("free", [(False, False), (True, False)])
def test_newmark_tends_to_the_series(order: int, rate: int, free: tuple[bool, bool]) -> None:
    """Orders 2 and 3 at the nodes after a reflection, Δt going with h and h^1.5."""
    errors = []
    for cells in (64, 128, 256):
        problem = with_ends(
            free, np.linspace(0, 8, 9), 1.0, substeps=round(20 * (cells / 64) ** (rate / 2))
        )
        mesh = even(cells + 1)
        gap = problem.solve(mesh, order).u - problem.solve(mesh, method="spectral").u
        errors.append(np.abs(gap[:, :, 0]).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > rate - 0.1, (errors, orders)
    assert errors[-1] < {1: 1.5e-2, 2: 1e-3}[order]


@pytest.mark.parametrize(("order", "rate"), [(1, 2), (2, 3)])
def test_standing_waves_in_the_plane(order: int, rate: int) -> None:
    """u = sin πx cos 2πy cos ωt, ω = c π sqrt 5, in L² on moved triangles: x = 0 held, the rest of
    the flux given by the exact gradient."""
    speed, errors, end = 0.7, [], 0.6
    omega = speed * np.pi * np.sqrt(5)

    def mode(x: np.ndarray) -> np.ndarray:
        return np.sin(np.pi * x[..., 0]) * np.cos(2 * np.pi * x[..., 1])

    for n in (4, 8, 16):
        mesh = wavy("triangle", n)
        problem = Wave(
            np.array([0.0, end]),
            mode,
            speed=speed,
            neumann={"rest": flux(omega)},
            dirichlet={"left": 0.0},
            substeps=round(2 * n ** (rate / 2)),
        )
        u = list(problem.steps(mesh, order))[-1]
        errors.append(
            error_norms(mesh, u[:, 0], lambda x: mode(x) * np.cos(omega * end), order=order)[0]
        )
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > rate - 0.2, (errors, orders)


def flux(omega: float):  # noqa: ANN201
    """∂u/∂n on the sides of the unit square without x = 0; zero where y = 0 or 1."""

    def normal(x: np.ndarray, t: float) -> np.ndarray:
        at_right = x[..., 0] > 1 - 1e-9
        return np.where(at_right, -np.pi * np.cos(2 * np.pi * x[..., 1]) * np.cos(omega * t), 0.0)

    return normal


@pytest.mark.parametrize("order", [1, 2])
def test_newmark_keeps_the_energy(order: int) -> None:
    """vᵀ M v + uᵀ K u to rounding over 200 steps, on quads and triangles with c by cell."""
    mesh = wavy("mixed 2D", 5)
    speed = np.random.default_rng(0).uniform(0.5, 2.0, mesh.num_cells).view(PerCell)
    problem = Wave(
        np.linspace(0, 10, 11),
        lambda x: np.sin(5 * x[..., 0]) * x[..., 0],
        0.3,
        speed,
        dirichlet={"left": 0.0},
        neumann={"rest": 0.0},
        substeps=20,
    )
    space = Space(mesh, order)
    mass, stiffness = space.mass((np.asarray(speed) ** -2.0).view(PerCell)), space.stiffness()
    energy = [
        v @ mass @ v + u @ stiffness @ u for u, v in (s.T for s in problem.steps(mesh, order))
    ]
    np.testing.assert_allclose(energy, energy[0], rtol=1e-11)


@pytest.mark.parametrize("method", ["newmark", "spectral"])
def test_signs_of_reflections(method: str) -> None:
    """A pulse comes back from a fixed end upside down, from a free end as it was."""
    mesh, times = even(401), np.array([0.0, 8.0])
    for free, sign in ((False, -1), (True, 1)):
        problem = with_ends((free, True), times, substeps=400, method=method)
        last = problem.solve(mesh).u[-1, :, 0]
        np.testing.assert_allclose(last, sign * np.exp(-(mesh.points[:, 0] ** 2)), atol=2e-2)


@pytest.mark.parametrize("kind", ["line", "quad"])
def test_absorbing_ends_let_pulses_out(kind: str) -> None:
    """Less than 1 % of a pulse of normal incidence is left, in one and in two dimensions."""
    mesh = box(kind, 160) if kind == "line" else strip(160)
    pulse = Pulse(0.5, 0.08, 1.0)
    sides = {} if kind == "line" else {"sides": 0.0}
    problem = Wave(
        np.array([0.0, 0.25, 1.5]),
        pulse.displacement,
        pulse.velocity,
        neumann=sides,
        absorbing=("left", "rest") if kind == "line" else ("left", "right"),
        substeps=300,
    )
    sample = problem.solve(mesh)
    assert np.abs(sample.u[1, :, 0]).max() > 0.95
    assert np.abs(sample.u[2, :, 0]).max() < 0.01
    absorbing = sample.boundary.alpha[:, 1] > 0
    np.testing.assert_array_equal(sample.boundary.alpha[absorbing], [[0.0, 1.0]] * 2)


def strip(n: int) -> Mesh:
    """[0, 1] × [0, 1/n] in one row of squares: left, right, sides."""
    from meshgnn.mesh import Group

    x, low = np.linspace(0, 1, n + 1), np.arange(n)
    points = np.concatenate([np.stack([x, np.full(n + 1, y)], 1) for y in (0.0, 1 / n)])
    quads = np.stack([low, low + 1, low + n + 2, low + n + 1], 1)
    sides = np.concatenate([quads[:, :2], quads[:, 2:]])
    groups = {
        "left": Group(1, {"line": np.array([[n + 1, 0]])}),
        "right": Group(1, {"line": np.array([[n, 2 * n + 1]])}),
        "sides": Group(1, {"line": sides}),
    }
    return Mesh(points, {"quad": quads}, groups)


def test_transmission_where_the_speed_jumps() -> None:
    """From c = 1 to c = 3: (c₂ - c₁)/(c₁ + c₂) = 1/2 comes back, 2 c₂/(c₁ + c₂) = 3/2 goes on."""
    mesh = interval_mesh(801, 0.0, 1.0, lambda xi: xi)
    pulse = Pulse(0.3, 0.03, -1.0)
    speed = np.where(np.arange(800) < 400, 1.0, 3.0)
    problem = Wave(
        np.array([0.0, 0.3]),
        pulse.displacement,
        pulse.velocity,
        speed,
        absorbing=("left", "right"),
        substeps=600,
    )
    sample = problem.solve(mesh)
    x, u = mesh.points[:, 0], sample.u[-1, :, 0]
    np.testing.assert_allclose(u[x < 0.5].max(), 0.5, atol=2e-3)
    np.testing.assert_allclose(u[x > 0.5].max(), 1.5, atol=2e-3)
    assert abs(x[x < 0.5][u[x < 0.5].argmax()] - 0.4) < 2e-3
    assert abs(x[u.argmax()] - 0.8) < 2e-3
    np.testing.assert_allclose(sample.boundary.alpha, [[0.0, 1.0], [0.0, 1 / 3]], rtol=1e-15)
    assert sample.names["inputs"][2:] == ["speed"]
    np.testing.assert_array_equal(sample.cell_inputs[:, 0], speed)


def test_order_in_time_with_moving_data() -> None:
    """u = (1 + x) cos 3t is linear in x: order 2 in Δt for u and u_t, held ends included."""

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        return (1 + x[..., 0]) * np.cos(3 * t)

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return -3 * (1 + x[..., 0]) * np.sin(3 * t)

    mesh, errors = box("line", 4), []
    for steps in (10, 20, 40):
        problem = Wave(
            np.linspace(0, 1, steps + 1),
            lambda x: exact(x, 0.0),
            0.0,
            2.0,
            lambda x, t: -9 * exact(x, t),
            {"left": exact},
            {"rest": lambda x, t: np.cos(3 * t)},
        )
        with pytest.warns(UserWarning, match="a source or flux changes with time"):
            sample = problem.solve(mesh)
        truth = np.stack([[f(mesh.points, t) for f in (exact, velocity)] for t in problem.times])
        errors.append(np.abs(sample.u - truth.swapaxes(1, 2)).max(axis=(0, 1)))
        values = sample.boundary.dirichlet_values[:, 0]
        np.testing.assert_allclose(values, truth[:, :, 0], atol=1e-9)
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2, atol=0.1)


@pytest.mark.parametrize("order", [1, 2])
def test_waves_run_around(order: int) -> None:
    """u = sin 2π(x - t) on a periodic interval, after one period."""
    mesh = periodic_interval(40)
    problem = Wave(
        np.array([0.0, 1.0]),
        lambda x: np.sin(2 * np.pi * x[..., 0]),
        lambda x: -2 * np.pi * np.cos(2 * np.pi * x[..., 0]),
        periodic={"left": "right"},
        substeps=400,
    )
    sample = problem.solve(mesh, order)
    np.testing.assert_allclose(sample.u[1], sample.u[0], atol={1: 0.05, 2: 2e-3}[order])
    np.testing.assert_array_equal(sample.u[:, 0], sample.u[:, -1])
    assert sample.boundary.twin[-1] == 0
    assert not len(sample.boundary.facets)


@pytest.mark.parametrize("family", ["WE1", "WE2", "WE3"])
def test_published_families(family: str) -> None:
    """Pulses within 4 of the centre; every pair of ends of WE3 occurs; flags say which."""
    mesh, seen = interval_mesh(50), set()
    for seed in range(12):
        problem = Wave.draw(mesh, np.random.default_rng(seed), family=family, frames=4)
        sample = problem.sample(mesh)
        held = tuple(bool(sample.boundary.dirichlet_mask[i, 0]) for i in (0, -1))
        seen.add(held)
        assert (
            sample.names["params"]
            == ["speed", "left_neumann", "right_neumann"][: 3 if family == "WE3" else 1]
        )
        assert sample.params.tolist() == [2.0, *(float(not h) for h in held)][: len(sample.params)]
        peak = mesh.points[sample.inputs[:, 0].argmax(), 0]
        assert abs(peak) < 4.5
    assert len(seen) == {"WE3": 4}.get(family, 1)
    sample = Wave.draw(mesh, np.random.default_rng(1), family=family).solve(mesh)
    assert sample.u.shape == (250, 50, 2)
    assert sample.times[-1] == 100.0
    assert sample.meta["method"] == "spectral"
    np.testing.assert_allclose(sample.u[0], sample.inputs, atol=2e-6)


def test_families_scale_with_the_interval() -> None:
    """The same draw on [0, 1] is the one on [-8, 8], with all lengths in L / 16."""
    large, small = interval_mesh(30), interval_mesh(30, 0.0, 1.0)
    one, other = (
        Wave.draw(mesh, np.random.default_rng(5), family="WE3", frames=20).solve(mesh)
        for mesh in (large, small)
    )
    np.testing.assert_allclose(one.u, other.u, atol=1e-9)
    assert other.params[0] == 2 / 16


@pytest.mark.parametrize("kind", ["line", "triangle", "tetra"])
def test_smooth_draws(kind: str) -> None:
    """At rest at first; held where a part is prescribed; the same for the same seed."""
    mesh = box(kind, 4)
    options = {"neumann": 0.3, "absorbing": 0.3, "frames": 5}
    one, two = (Wave.draw(mesh, np.random.default_rng(2), **options).solve(mesh) for _ in range(2))
    np.testing.assert_array_equal(one.u, two.u)
    mask = one.boundary.dirichlet_mask[:, 0]
    np.testing.assert_array_equal(one.u[:, mask, 0], np.tile(one.u[0, mask, 0], (5, 1)))
    np.testing.assert_array_equal(one.u[0, :, 1], 0.0)
    assert np.abs(one.u).max() < 20
    assert one.names["inputs"] == ["initial_displacement", "initial_velocity"]


def test_periodic_draw() -> None:
    """The displacement repeats with the box, value and slope."""
    mesh = periodic_interval(64)
    problem = Wave.draw(mesh, np.random.default_rng(0), periodic={"left": "right"}, frames=3)
    ends = problem.displacement(np.array([[-1e-3], [1 - 1e-3], [1e-3], [1 + 1e-3]]))
    np.testing.assert_allclose(ends[::2], ends[1::2], rtol=1e-9)
    assert problem.solve(mesh).u.shape == (3, 65, 2)


def test_interval_mesh() -> None:
    mesh = interval_mesh(5)
    np.testing.assert_allclose(mesh.points[:, 0], -8 * np.cos(np.pi * np.arange(5) / 4), atol=1e-14)
    assert [mesh.nodes_of(n).tolist() for n in ("left", "right")] == [[0], [4]]
    with pytest.raises(ValueError, match="interval_mesh: expected two or more increasing nodes"):
        interval_mesh(1)


def test_refusals() -> None:
    mesh, times = box("line", 4), np.array([0.0, 1.0])
    with pytest.raises(ValueError, match="times: expected two or more, increasing"):
        Wave(np.array([0.0]))
    with pytest.raises(ValueError, match="method: expected one of newmark, spectral, got 'exact'"):
        Wave(times, method="exact")
    with pytest.raises(ValueError, match="absorbing: expected a sequence of names, got 'left'"):
        Wave(times, absorbing="left")
    with pytest.raises(ValueError, match="'left' is absorbing and has a Neumann condition"):
        Wave(times, neumann={"left": 0.0}, absorbing=("left",))
    with pytest.raises(ValueError, match="1 of 2 boundary facets have no condition"):
        Wave(times, absorbing=("left",)).solve(mesh)
    with pytest.raises(ValueError, match="speed: expected positive values, the smallest is 0"):
        Wave(times, speed=0.0, neumann={"*": 0.0}).solve(mesh)
    with pytest.raises(ValueError, match="speed: expected positive values, the smallest is -0.9"):
        Wave(times, speed=lambda x: -1 + x[..., 0], neumann={"*": 0.0}).solve(mesh)
    with pytest.raises(ValueError, match="family: expected one of WE1, WE2, WE3 or None"):
        Wave.draw(mesh, np.random.default_rng(0), family="WE4")
    with pytest.raises(ValueError, match="WE1 needs an interval with the groups left and right"):
        Wave.draw(mesh, np.random.default_rng(0), family="WE1")
    lossy = Wave(
        times, np.ones(5), source=1.0, absorbing=("left", "rest"), speed={"half": 1.0, "*": 2.0}
    )
    with pytest.raises(
        ValueError, match="the spectral solution needs a constant speed, no source .* ends that ref"
    ):
        lossy.solve(mesh, method="spectral")
