"""`AdvectionDiffusion`: orders, travelling Gaussians, balance of mass, bounds, data over time."""

from dataclasses import replace

import numpy as np
import pytest
from mesh_builders import box
from periodic_builders import pairs, periodic_box

from meshgnn.fem import Space
from meshgnn.fem.transport import Transport
from meshgnn.geometry.domains import draw
from meshgnn.geometry.periodic import periodic_interval, periodic_square
from meshgnn.mesh import Mesh
from meshgnn.problems import AdvectionDiffusion, Heat
from meshgnn.sample import Sample


def gaussian(velocity: tuple[float, ...], k: float, width: float = 0.12):
    """c = (s²/v)^{d/2} exp(-|x - x_0 - b t|² / v), v = s² + 4 k t, nearest image on the torus."""

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        spread = width**2 + 4 * k * t
        gap = x - 0.35 - np.array(velocity) * t
        gap = gap - np.rint(gap)
        scale = (width**2 / spread) ** (x.shape[-1] / 2)
        return scale * np.exp(-(gap**2).sum(axis=-1) / spread)

    return exact


def error(sample: Sample, exact) -> float:  # noqa: ANN001
    truth = exact(sample.mesh.points, float(sample.times[-1]))
    mass = sample.mesh.lumped_mass
    return float(np.sqrt(mass @ (sample.u[-1, :, 0] - truth) ** 2 / (mass @ truth**2)))


@pytest.mark.parametrize(("order", "k"), [(1, 1e-3), (1, 1e-5), (2, 1e-3)])
def test_a_gaussian_travels(order: int, k: float) -> None:
    """Half a turn around the torus, upwinded (cell Péclet numbers of 25 to 5,000) and not: order 2
    with P1, 3 with P2, and after it no value below -1/1000 of the peak."""
    mesh, errors, exact = periodic_square(0.1), [], gaussian((1.0, 0.5), k)
    for steps in (40, 80, 160)[: 4 - order]:
        times = np.linspace(0, 0.5, steps * order + 1)
        start = {"initial": lambda x: exact(x, 0.0), "diffusivity": k, "periodic": pairs(2)}
        sample = AdvectionDiffusion(times, (1.0, 0.5), **start).solve(mesh, order)
        errors.append(error(sample, exact))
        mesh = mesh.refined()
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates[-1] > order + 0.5, (errors, rates)
    assert order == 2 or sample.u[-1].min() > -1e-3
    np.testing.assert_array_equal(sample.u, sample.u[:, sample.boundary.twin])


@pytest.mark.parametrize("dim", [1, 3])
def test_other_dimensions(dim: int) -> None:
    """The same in 1D (to 1 %) and in 3D (a wide Gaussian on a coarse box, to 10 %)."""
    velocity = (1.0, 0.5, -0.25)[:dim]
    exact = gaussian(velocity, 1e-2, {1: 0.12, 3: 0.3}[dim])
    mesh = periodic_box(dim, {1: 100, 3: 10}[dim])
    problem = AdvectionDiffusion(
        np.linspace(0, 0.2, 21),
        velocity if dim > 1 else 1.0,
        lambda x: exact(x, 0.0),
        periodic=pairs(dim),
    )
    gap = error(problem.solve(mesh), exact)
    assert gap < {1: 0.01, 3: 0.1}[dim]


@pytest.mark.parametrize(("theta", "order"), [(0.5, 2), (1.0, 1)])
@pytest.mark.parametrize("upwind", [None, True])
def test_order_in_time(theta: float, order: int, upwind: bool | None) -> None:
    """c = (1 + x + 2y) e^{sin 3t} is linear in x, the velocity (1 + t)(y, -x) turns ever faster,
    f = c_t + b·∇c; c is given on the left, k ∂c/∂n + c on the rest. Space adds no error (SUPG is
    consistent), the matrices change in time."""
    mesh = box("triangle", 3)
    slope = np.array([1.0, 2.0])

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        return (1 + x @ slope) * np.exp(np.sin(3 * t))

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return (1 + t) * np.stack([x[..., 1], -x[..., 0]], axis=-1)

    def source(x: np.ndarray, t: float) -> np.ndarray:
        carried = velocity(x, t) @ slope * np.exp(np.sin(3 * t))
        return 3 * np.cos(3 * t) * exact(x, t) + carried

    def flux(x: np.ndarray, t: float) -> np.ndarray:
        normal = (np.abs(x - 1) < 1e-9).astype(float) - (np.abs(x) < 1e-9)
        return 0.05 * normal @ slope * np.exp(np.sin(3 * t)) + exact(x, t)

    errors = []
    for steps in (16, 32):
        problem = AdvectionDiffusion(
            np.linspace(0, 1, steps + 1),
            velocity,
            lambda x: exact(x, 0.0),
            0.05,
            source,
            {"left": exact},
            robin={"rest": (1.0, flux)},
            theta=theta,
            upwind=upwind,
        )
        with pytest.warns(UserWarning, match="a velocity, source or flux changes with time"):
            sample = problem.solve(mesh)
        truth = np.stack([exact(mesh.points, t) for t in problem.times])
        errors.append(np.abs(sample.u[:, :, 0] - truth).max())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(rates, order, atol=0.2)
    assert sample.boundary.dirichlet_values.shape == (33, mesh.num_nodes, 1)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("k", [1e-5, 1e-1])
def test_mass_on_the_torus_is_kept(order: int, k: float) -> None:
    """∫ c dx is constant to rounding for a constant velocity, upwinded or not, and grows by ∫∫ f;
    tested with the mass matrix, whose rows add up to the weights of the nodes."""
    mesh = periodic_square(0.12)
    space = Space(mesh, order)
    problem = AdvectionDiffusion(
        np.linspace(0, 1, 11), (1.0, -0.4), lambda x: np.sin(5 * x[..., 0]), k, periodic=pairs(2)
    )
    weights = space.mass() @ np.ones(space.size)
    mass = np.array([weights @ u for u in problem._steps(space)])
    np.testing.assert_allclose(mass, mass[0], atol=1e-10)
    fed = replace(problem, source=lambda x: 1 + x[..., 0])
    gain = np.array([weights @ u for u in fed._steps(space)]) - mass
    np.testing.assert_allclose(gain, 1.5 * problem.times, atol=1e-10)


def front(upwind: bool | None, k: float = 1e-6) -> Sample:
    """A step that enters a channel of 16 × 4 cells at an angle to the mesh."""
    points = box("triangle", 16)
    return AdvectionDiffusion(
        np.linspace(0, 0.5, 26),
        (1.0, 0.0),
        0.0,
        k,
        dirichlet={"left": 1.0},
        neumann={"rest": 0.0},
        upwind=upwind,
    ).solve(points)


def test_overshoot_of_a_front() -> None:
    """A front thinner than a cell (Péclet number 30,000): Galerkin overshoots [0, 1] by over 15 %
    and rings far behind it; upwinded along the stream it stays below that, and behind the front
    the ringing falls to a fifth."""
    plain, upwinded = front(False), front(None)
    over = [max(s.u.max() - 1, -s.u.min()) for s in (plain, upwinded)]
    behind = plain.mesh.points[:, 0] < 0.3
    ring = [np.abs(s.u[-1, behind, 0] - 1).max() for s in (plain, upwinded)]
    assert over[0] > 0.15
    assert over[1] < over[0]
    assert ring[1] < ring[0] / 5


def test_boundary_layer_without_ringing() -> None:
    """Steady b c_x = k c_xx between 0 and 1 in 1D: SUPG with ζ(P) = coth P - 1/P gives the exact
    values at the nodes for every Péclet number, Galerkin oscillates beyond 1."""
    mesh = periodic_interval(10)
    for k in (1e-3, 0.02, 0.2):
        data = {"diffusivity": k, "dirichlet": {"left": 0.0, "right": 1.0}, "theta": 1.0}
        problem = AdvectionDiffusion(np.array([0.0, 1e6]), 1.0, **data, upwind=True)
        x = mesh.points[:, 0]
        exact = (np.exp((x - 1) / k) - np.exp(-1 / k)) / (1 - np.exp(-1 / k))
        np.testing.assert_allclose(problem.solve(mesh).u[-1, :, 0], exact, atol=1e-5)
    rough = AdvectionDiffusion(np.array([0.0, 1e6]), 1.0, **data | {"diffusivity": 1e-3})
    assert replace(rough, upwind=False).solve(mesh).u.min() < -0.5


def test_at_rest_it_is_heat() -> None:
    """b = 0 is `Heat` with c = 1, regions and cell-wise k included."""
    mesh = box("triangle", 4)
    times = np.linspace(0, 0.2, 5)
    data = {
        "initial": lambda x: x[..., 0],
        "diffusivity": np.linspace(0.5, 1.5, mesh.num_cells),
        "source": 1.0,
        "dirichlet": {"left": lambda x, t: t * x[..., 1]},
        "neumann": {"rest": 0.3},
        "theta": 1.0,
    }
    ours = AdvectionDiffusion(times, (0.0, 0.0), **data).solve(mesh)
    theirs = Heat(times, **data).solve(mesh)
    np.testing.assert_allclose(ours.u, theirs.u, atol=1e-6)


def test_large_systems_by_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the size for a factorisation BiCGStab gives the same, residuals checked."""
    from meshgnn.fem import transport

    mesh = periodic_box(3, 5)

    def wave(x: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * x.sum(-1))

    times, velocity = np.linspace(0, 0.5, 4), (1.0, 2.0, 0.5)
    problem = AdvectionDiffusion(times, velocity, wave, periodic=pairs(3))
    direct = problem.solve(mesh).u
    monkeypatch.setitem(transport.DIRECT, 3, 10)
    np.testing.assert_allclose(problem.solve(mesh).u, direct, atol=1e-9)


def test_draws() -> None:
    """A channel carries in what varies at its inlet; a box is stirred, free of divergence and
    tangential at walls, so that it keeps its mass up to the quadrature of b."""
    channel = draw("channel_with_obstacle", 1)
    problem = AdvectionDiffusion.draw(channel, np.random.default_rng(0), frames=10)
    sample = problem.solve(channel)
    inlet = channel.nodes_of("inlet")
    np.testing.assert_array_equal(sample.u[:, inlet], sample.boundary.dirichlet_values[:, inlet])
    assert np.ptp(sample.u[:, inlet[0], 0]) > 0.1
    assert -0.1 < sample.u.min() <= sample.u.max() < 1.1
    assert sample.inputs[inlet, 1].mean() == pytest.approx(1.0, abs=0.1)
    square = periodic_square(0.08, holes=[(0.4, 0.6, 0.15)])
    stirred = AdvectionDiffusion.draw(square, np.random.default_rng(1), frames=10)
    sample = stirred.solve(square)
    mass = sample.u[:, :, 0] @ (Space(square).mass() @ np.ones(square.num_nodes))
    np.testing.assert_allclose(mass, mass[0], rtol=2e-3)
    speed = np.linalg.norm(sample.inputs[:, 1:], axis=1)
    assert speed.max() == pytest.approx(1.0)
    assert speed[square.nodes_of("hole")].max() < 1e-2
    assert sample.names["inputs"] == ["initial", "velocity_x", "velocity_y"]
    assert sample.names["params"] == ["diffusivity"]
    assert sample.meta["problem"] == "AdvectionDiffusion"
    again = AdvectionDiffusion.draw(square, np.random.default_rng(1), frames=10)
    np.testing.assert_array_equal(again.solve(square).u, sample.u)


@pytest.mark.parametrize(
    ("mesh", "periodic"),
    [
        (periodic_interval(30), True),
        (periodic_interval(30), False),
        (periodic_box(2, 12), False),
        (periodic_box(3, 2), False),
    ],
)
def test_draws_in_all_dimensions(mesh: Mesh, periodic: bool) -> None:
    """Values stay within [0, 1] up to a small overshoot; without periods boxes have walls, and an
    interval an inlet on its left."""
    rng = np.random.default_rng(0)
    problem = AdvectionDiffusion.draw(mesh, rng, frames=4, duration=0.2, periodic=periodic)
    assert bool(problem.periodic) == periodic
    assert set(problem.dirichlet) == ({"left"} if mesh.dim == 1 and not periodic else set())
    u = problem.solve(mesh).u
    assert -0.1 < u.min() < u.max() < 1.1
    assert np.abs(u[-1] - u[0]).max() > 0.01


def test_velocity_is_free_of_divergence() -> None:
    """Σ_a ∂b_a/∂x_a of the drawn velocity by central differences, in 2D and 3D."""
    for mesh in (periodic_square(0.2), periodic_box(3, 3)):
        b = AdvectionDiffusion.draw(mesh, np.random.default_rng(2)).velocity
        d, h = mesh.dim, 1e-3
        x = np.random.default_rng(0).random((50, d))
        slopes = [(b(x + e) - b(x - e))[:, a] / (2 * h) for a, e in enumerate(h * np.eye(d))]
        assert np.abs(sum(slopes)).max() < 1e-3 * np.abs(slopes).max()


def test_sample_holds_fields_of_coefficients() -> None:
    mesh = box("triangle", 2)
    problem = AdvectionDiffusion(
        np.array([0.0, 1.0]),
        lambda x: np.stack([x[..., 1], 0 * x[..., 0]], axis=-1),
        0.5,
        lambda x: 1 + x[..., 0],
        2.0,
        {"*": 0.0},
    )
    sample = problem.sample(mesh)
    names = ["initial", "velocity_x", "velocity_y", "diffusivity", "source"]
    assert sample.names["inputs"] == names
    x, y = mesh.points.T
    expected = np.stack([0 * x + 0.5, y, 0 * x, 1 + x, 0 * x + 2], axis=1)
    np.testing.assert_allclose(sample.inputs, expected)
    assert sample.params.shape == (0,)


def test_refusals() -> None:
    mesh, times = box("triangle", 2), np.array([0.0, 1.0])
    still = AdvectionDiffusion(times, (1.0, 0.0), dirichlet={"*": 0.0})
    for change, message in (
        ({"times": times[:1]}, "times: expected two or more, increasing, got"),
        ({"theta": 0.4}, "theta: expected 1/2 <= θ <= 1, got 0.4"),
        ({"substeps": 0}, "substeps: expected at least 1, got 0"),
        (
            {"neumann": {"left": 0.0}, "robin": {"left": (1.0, 0.0)}},
            "'left' has a Neumann and a Robin condition",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            replace(still, **change)
    with pytest.raises(ValueError, match="streamline upwinding is for elements of order 1"):
        Transport(Space(mesh, 2), (1.0, 0.0), 1.0, True)
    with pytest.raises(ValueError, match="diffusivity: expected k >= 0, got -1"):
        replace(still, diffusivity=-1.0).solve(mesh)
    with pytest.raises(ValueError, match="velocity: expected 2 components, got 3"):
        replace(still, velocity=(1.0, 0.0, 0.0)).solve(mesh)
    with pytest.raises(ValueError, match="7 of 10 boundary facets have no condition"):
        replace(still, dirichlet={"left": 0.0}).solve(mesh)


def test_pure_advection_needs_no_diffusivity() -> None:
    """k = 0, transported exactly along x by whole cells where the mesh is a line: to 2 %."""
    mesh: Mesh = periodic_interval(200)
    exact = gaussian((1.0,), 0.0)
    problem = AdvectionDiffusion(
        np.linspace(0, 1, 201), 1.0, lambda x: exact(x, 0.0), 0.0, periodic=pairs(1)
    )
    assert error(problem.solve(mesh), exact) < 0.02
