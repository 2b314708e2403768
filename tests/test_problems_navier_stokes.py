"""`NavierStokes`: orders, exact flows, restarts, forces, shedding, refusals."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from mesh_builders import box

from meshgnn.fem import incompressible
from meshgnn.fem.momentum import Momentum
from meshgnn.fem.taylor_hood import TaylorHood
from meshgnn.geometry.channel import channel
from meshgnn.mesh import Mesh
from meshgnn.problems.navier_stokes import NavierStokes

Function = Callable[..., np.ndarray]


def orders(errors: list[float]) -> np.ndarray:
    """log2 of the ratios of errors, each at half the step of the one before."""
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def poiseuille(x: np.ndarray) -> np.ndarray:
    """u = y (1 - y) e_x."""
    return np.stack([x[..., 1] * (1 - x[..., 1]), *(0 * x[..., 0],) * (x.shape[-1] - 1)], axis=-1)


def test_second_order_in_time() -> None:
    """u = g (y², x), g = 1 + sin 3t, p = cos 2t (x - ½) + sin t (y - ½) lie in the elements: with
    f = ∂u/∂t + u·∇u + ∇p - ν Δu only time is discretised. All of the boundary is Dirichlet."""

    def u(x: np.ndarray, t: float) -> np.ndarray:
        return (1 + np.sin(3 * t)) * np.stack([x[..., 1] ** 2, x[..., 0]], axis=-1)

    def f(x: np.ndarray, t: float) -> np.ndarray:
        g, rate, (a, b) = 1 + np.sin(3 * t), 3 * np.cos(3 * t), (x[..., 0], x[..., 1])
        first = rate * b**2 + 2 * g**2 * a * b + np.cos(2 * t) - 0.1 * 2 * g
        return np.stack([first, rate * a + g**2 * b**2 + np.sin(t)], axis=-1)

    mesh, errors = box("triangle", 3), []
    for steps in (10, 20, 40):
        times = np.linspace(0, 1, steps + 1)
        start = lambda x: u(x, 0.0)  # noqa: E731
        problem = NavierStokes(times, 0.1, start, {"left": u, "rest": u}, source=f)
        with pytest.warns(UserWarning, match="the source changes with time"):
            sample = problem.solve(mesh)
        x = mesh.points - 0.5
        p = np.stack([np.cos(2 * t) * x[:, 0] + np.sin(t) * x[:, 1] for t in times])
        gap = sample.u - np.dstack([np.stack([u(mesh.points, t) for t in times]), p])
        errors.append([np.abs(gap[:, :, :2]).max(), np.sqrt((gap[-1, :, 2] ** 2).mean())])
    found = np.array([orders(list(column)) for column in zip(*errors, strict=True)])
    assert (found[0] > 1.7).all() and errors[-1][0] < 3e-3
    assert (found[1] > 1.4).all()


def taylor_green(viscosity: float) -> tuple[Function, Function]:
    """u = (-cos πx sin πy, sin πx cos πy) e^{-2π²νt}, p = -¼ (cos 2πx + cos 2πy) e^{-4π²νt}."""

    def u(x: np.ndarray, t: float) -> np.ndarray:
        a, b = np.pi * x[..., 0], np.pi * x[..., 1]
        both = np.stack([-np.cos(a) * np.sin(b), np.sin(a) * np.cos(b)], axis=-1)
        return both * np.exp(-2 * np.pi**2 * viscosity * t)

    def p(x: np.ndarray, t: float) -> np.ndarray:
        return -np.cos(2 * np.pi * x).sum(axis=-1) / 4 * np.exp(-4 * np.pi**2 * viscosity * t)

    return u, p


def test_order_in_space() -> None:
    """Taylor–Green: velocity of order 3, pressure of order 2, also that of the start."""
    u, p = taylor_green(0.02)
    errors, first = [], []
    for n in (4, 8, 16):
        mesh = box("triangle", n)
        start = lambda x: u(x, 0.0)  # noqa: E731
        problem = NavierStokes(np.array([0.0, 0.1]), 0.02, start, {"*": u}, substeps=20)
        sample = problem.solve(mesh)
        for frame, time, rows in ((0, 0.0, first), (1, 0.1, errors)):
            truth = np.column_stack([u(mesh.points, time), p(mesh.points, time)])
            rows.append(np.sqrt(((sample.u[frame] - truth) ** 2).mean(axis=0)))
    for rows in (first, errors):
        found = np.array([orders(list(column)) for column in zip(*rows, strict=True)])
        assert (found[:2] > 2.7).all() and (found[2] > 1.6).all(), found


@pytest.mark.parametrize("name", ["triangle", "quad", "tetra", "hexahedron"])
def test_poiseuille_stays(name: str) -> None:
    """u = y (1 - y) e_x, p = 2ν (1 - x) is a fixed point on any mesh, the outlet being natural."""
    mesh = box(name, 3)
    sides = outlet_of(mesh)
    walls: dict = {"left": poiseuille, "side": poiseuille}
    problem = NavierStokes(np.linspace(0, 1, 6), 0.1, poiseuille, walls, {"right": 0.0})
    sample = problem.solve(sides)
    truth = np.column_stack([poiseuille(mesh.points), 0.2 * (1 - mesh.points[:, 0])])
    np.testing.assert_allclose(sample.u - truth, 0, atol=1e-8)
    assert np.array_equal(sample.inputs, sample.u[0])


def outlet_of(mesh: Mesh) -> Mesh:
    """The box with its facets at x = 1 as "right" and the other ones of "rest" as "side"."""
    from mesh_builders import masked

    from meshgnn.mesh import Group

    x = mesh.facet_centres[:, 0]
    parts = {"right": x > 1 - 1e-9, "side": (x > 1e-9) & (x < 1 - 1e-9)}
    groups = {n: Group(mesh.dim - 1, masked(mesh.boundary_facets, m)) for n, m in parts.items()}
    return Mesh(mesh.points, mesh.cells, {"left": mesh.groups["left"], **groups})


def test_poiseuille_from_rest() -> None:
    """From rest the flow becomes Poiseuille's; divergence vanishes with the change in time."""
    mesh, walls = outlet_of(box("triangle", 4)), {"left": poiseuille, "side": 0.0}
    problem = NavierStokes(np.linspace(0, 8, 9), 0.1, None, walls, {"right": 0.0}, dt_max=0.1)
    spaces, flows = TaylorHood(mesh), list(problem.states(mesh))
    net = [np.abs(spaces.net(flow.velocity)).max() for flow in flows]
    assert net[0] < 1e-12 and max(net) < 1e-4 and net[-1] < 1e-10
    final = flows[-1].velocity[: mesh.num_nodes]
    np.testing.assert_allclose(final, poiseuille(mesh.points), atol=1e-8)
    np.testing.assert_allclose(flows[-1].pressure, 0.2 * (1 - mesh.points[:, 0]), atol=1e-7)


def test_slip_walls() -> None:
    """u = e_x between walls that hold the normal component only; tractions p n at the outlet."""
    mesh = outlet_of(box("triangle", 3))
    parts = {"left": (1.0, 0.0), "side": (None, 0.0)}
    problem = NavierStokes(np.array([0.0, 0.5]), 0.1, (1.0, 0.0), parts, {"right": (-3.0, 0.0)})
    sample = problem.solve(mesh)
    np.testing.assert_allclose(
        sample.u, np.broadcast_to([1.0, 0.0, 3.0], sample.u.shape), atol=1e-9
    )
    mask = sample.boundary.dirichlet_mask
    assert not mask[:, 2].any() and mask[:, 1].sum() > mask[:, 0].sum()


def test_force_of_a_fluid_at_rest() -> None:
    """p = x, f = e_x: the force on a body of area A is ∮ p n ds = -A e_x over ρ (buoyancy)."""
    mesh = channel("square", h=0.2, h_obstacle=0.02)
    parts = {"inlet": 0.0, "outlet": 0.0, "walls": 0.0, "obstacle": 0.0}
    problem = NavierStokes(np.array([0.0, 0.1]), 0.01, None, parts, source=(1.0, 0.0))
    sample = problem.solve(mesh, forces=["obstacle"])
    np.testing.assert_allclose(sample.u[..., :2], 0, atol=1e-10)
    np.testing.assert_allclose(sample.meta["forces"]["obstacle"][-1], [-0.01, 0], atol=1e-9)
    assert sample.names["inputs"] == ["initial_u", "initial_v", "initial_p", "source_u", "source_v"]


def test_inflow_that_changes() -> None:
    """Values of (x, t) are taken at the time of each step and kept at each frame."""
    mesh = outlet_of(box("triangle", 3))
    parts = {"left": lambda x, t: (1 + t) * poiseuille(x), "side": 0.0}
    problem = NavierStokes(np.array([0.0, 0.1, 0.3]), 1.0, poiseuille, parts, {"right": 0.0})
    sample = problem.solve(mesh)
    held = sample.boundary.dirichlet_mask
    values = sample.boundary.dirichlet_values
    assert values.shape == sample.u.shape
    np.testing.assert_allclose(values[2, :, 0].max(), 1.3 * values[0, :, 0].max())
    np.testing.assert_array_equal(sample.u[:, held], values[:, held])


WALLS = {"left": 0.0, "rest": 0.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": np.array([1.0, 0.0])}, "times: expected one or more, increasing"),
        ({"viscosity": 0.0}, "viscosity: expected a positive number"),
        ({"substeps": 0}, "substeps: expected at least 1, got 0"),
        ({"dt_max": 0.0}, "dt_max: expected a positive time step or None, got 0"),
        ({"start": 2.0}, r"start: expected at most times\[0\] = 0, got 2"),
        ({"neumann": {"left": lambda x, t: x}}, "the traction on 'left' is a function of"),
    ],
)
def test_problem_refuses(options: dict, message: str) -> None:
    given: dict = {"times": np.array([0.0, 1.0]), "viscosity": 1.0, "dirichlet": WALLS}
    with pytest.raises(ValueError, match=message):
        NavierStokes(**(given | options))


def test_meshes_and_states_that_are_refused() -> None:
    mesh, times = box("triangle", 2), np.array([0.0, 0.1])
    resting = NavierStokes(times, 1.0, dirichlet=WALLS)
    with pytest.raises(ValueError, match="need 2D cells in the plane or 3D cells in space, got 1D"):
        resting.solve(box("line", 3))
    with pytest.raises(ValueError, match="boundary facets have no condition"):
        NavierStokes(times, 1.0, dirichlet={"left": 0.0}).solve(mesh)
    with pytest.raises(ValueError, match="let a net volume of 1 per second.*no outlet"):
        replace(resting, dirichlet={"rest": 0.0, "left": (1.0, 0.0)}).solve(box("triangle", 6))
    with pytest.raises(ValueError, match="no group 'nose' in this mesh"):
        resting.solve(mesh, forces=["nose"])
    sample = resting.sample(mesh)
    with pytest.raises(ValueError, match=r"initial: expected a sample with u \[T, 12, 3\]"):
        replace(resting, initial=sample).solve(mesh)
    flow = next(resting.states(box("triangle", 3)))
    with pytest.raises(ValueError, match=r"velocity .*, 2\).*goes on on the mesh it began on"):
        replace(resting, initial=flow).solve(mesh)


def test_steps_that_cannot_be_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow that is not finite, a momentum matrix of zeros, a start that does not converge."""
    spaces = TaylorHood(box("triangle", 2))
    none = np.zeros((spaces.size, 2))
    momentum = Momentum(spaces.mass, none > 0)
    with pytest.raises(np.linalg.LinAlgError, match="momentum matrix is singular"):
        momentum.solve(0 * spaces.mass.data, none + 1, none, none)
    with pytest.raises(np.linalg.LinAlgError, match="not solved to 1e-09 in 60 iterations"):
        momentum.solve(spaces.mass.data, none + np.nan, none, none)
    monkeypatch.setattr(incompressible, "cg", lambda *_, **__: (none[:12, 0], 7))
    with pytest.raises(np.linalg.LinAlgError, match="could not be made free of div.*7 iterations"):
        NavierStokes(np.zeros(1), 1.0, poiseuille, WALLS).sample(spaces.mesh)


def test_convection_is_exact() -> None:
    """1ᵀ C(w) u = ∫ w·∇u dx for w = (xy, x²), u = x y + y²: ∫ x y² + x³ + 2 x² y = 1/6 + 1/4 + 1/3;
    on tetrahedra with w = (xy, z², 0), u = x y: ∫ x y² + x z² = 1/3."""
    for name, truth in (("triangle", 0.75), ("tetra", 1 / 3)):
        spaces = TaylorHood(box(name, 2))
        x, y, *z = spaces.space.points.T
        wind, u = ([x * y, x**2], x * y + y**2) if not z else ([x * y, z[0] ** 2, 0 * x], x * y)
        matrix = spaces.matrix(spaces.convection(np.stack(wind, axis=1)))
        assert (matrix @ u).sum() == pytest.approx(truth, rel=1e-12)
