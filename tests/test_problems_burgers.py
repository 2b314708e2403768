"""`Burgers`: exact solutions of Cole and Hopf, orders, symmetries, what is conserved, refusals."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from mesh_builders import box, octasphere
from periodic_builders import pairs, periodic_box

from meshgnn.geometry.domains import draw
from meshgnn.geometry.periodic import periodic_interval, periodic_square
from meshgnn.mesh import Mesh
from meshgnn.problems import Burgers
from meshgnn.sample import Sample

W, NU = 2 * np.pi, 0.05


def cole_hopf(x: np.ndarray, t: float) -> np.ndarray:
    """u = -2ν ∇φ / φ with φ_t = ν Δφ, φ = 3 + e^{-νw²t} (cos wx + sin wy) + e^{-2νw²t} sin w(x + y)
    in 2D, 2 + e^{-νw²t} cos wx in 1D: solutions of vector Burgers that are gradients."""
    slow, fast = np.exp(-NU * W**2 * t), np.exp(-2 * NU * W**2 * t)
    if x.shape[-1] == 1:
        return 2 * NU * W * slow * np.sin(W * x) / (2 + slow * np.cos(W * x))
    a, b = W * x[..., 0], W * x[..., 1]
    phi = 3 + slow * (np.cos(a) + np.sin(b)) + fast * np.sin(a + b)
    both = fast * np.cos(a + b)
    slopes = np.stack([-slow * np.sin(a) + both, slow * np.cos(b) + both], axis=-1)
    return -2 * NU * W * slopes / phi[..., None]


def solved(mesh: Mesh, steps: int, end: float, order: int, **options: object) -> Sample:
    """From the exact solution at t = 0, in steps that no Courant number shortens."""
    problem = Burgers(
        np.linspace(0, end, steps + 1),
        lambda x: cole_hopf(x, 0.0) if x.shape[-1] > 1 else cole_hopf(x, 0.0)[..., 0],
        NU,
        periodic=pairs(mesh.dim),
        **{"courant": 1e6} | options,
    )
    return problem.solve(mesh, order)


def error(sample: Sample) -> float:
    gap = sample.u[-1] - cole_hopf(sample.mesh.points, float(sample.times[-1]))
    return float(np.sqrt(sample.mesh.lumped_mass @ (gap**2).sum(axis=1)))


@pytest.mark.parametrize("order", [1, 2])
def test_order_in_space(order: int) -> None:
    """P1 is of order 2, P2 of order 3 (more at the nodes), on unstructured periodic meshes."""
    mesh, errors = periodic_square(0.16), []
    for _ in range(3 if order == 1 else 2):
        errors.append(error(solved(mesh, 40, 0.1, order)))
        mesh = mesh.refined()
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates[-1] > order + 0.85, (errors, rates)


def test_order_in_time() -> None:
    """Order 2, the first step (Euler) included; P2 on a fine interval leaves the error of time."""
    mesh = periodic_interval(100)
    errors = [error(solved(mesh, steps, 0.4, 2)) for steps in (10, 20, 40, 80)]
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(rates[1:], 2, atol=0.25)


def test_steps_of_different_length_keep_the_order() -> None:
    """With step ratios of 1/2 and 2 alternating, halving all steps still divides by four."""
    mesh, errors = periodic_interval(100), []
    for steps in (8, 16, 32):
        lengths = np.tile([1.0, 2.0, 2.0, 1.0], steps // 4)
        times = np.concatenate([[0], 0.4 * np.cumsum(lengths) / lengths.sum()])
        start = solved(mesh, steps, 0.4, 2)
        problem = Burgers(times, start.inputs[:, 0], NU, periodic=pairs(1), courant=1e6)
        errors.append(error(problem.solve(mesh, 2)))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(rates, 2, atol=0.35)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_boundary_values_and_sources_that_change(dim: int) -> None:
    """u = A(t) x with A = (1 + t²/2) B, ν = 0.3: every element holds it, and f = A' x + A A x makes
    it the solution. u is given on the left, ν ∂u/∂n elsewhere; the error is that of the time
    steps, order 2 (quartered by halving them)."""
    b = np.array([[0.3, 0.2, -0.1], [-0.4, 0.1, 0.2], [0.2, -0.3, 0.2]])[:dim, :dim]
    mesh = box({1: "line", 2: "mixed 2D", 3: "tetra"}[dim], 2)

    def shaped(v: np.ndarray) -> np.ndarray:
        return v if dim > 1 else v[..., 0]

    def exact(x: np.ndarray, t: float) -> np.ndarray:
        return shaped((1 + t**2 / 2) * x @ b.T)

    def force(x: np.ndarray, t: float) -> np.ndarray:
        return shaped(t * x @ b.T + (1 + t**2 / 2) ** 2 * x @ (b @ b).T)

    def stress(x: np.ndarray, t: float) -> np.ndarray:
        normal = np.where(np.abs(x - 1) < 1e-9, 1.0, np.where(np.abs(x) < 1e-9, -1.0, 0.0))
        # quadrature points of one facet have one coordinate that is 0 or 1
        return shaped(0.3 * (1 + t**2 / 2) * normal @ b.T)

    errors = []
    for steps in (4, 8, 16):
        problem = Burgers(
            np.linspace(0, 1, steps + 1),
            lambda x: exact(x, 0.0),
            0.3,
            force,
            {"left": exact},
            {"rest": stress},
            courant=1e6,
        )
        with pytest.warns(UserWarning, match="Burgers.sample: a source or flux changes with time"):
            sample = problem.solve(mesh)
        truth = np.stack([exact(mesh.points, t).reshape(-1, dim) for t in problem.times])
        errors.append(np.abs(sample.u - truth).max())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates[-1] == pytest.approx(2, abs=0.3), (errors, rates)
    assert sample.boundary.dirichlet_values.shape == (17, mesh.num_nodes, dim)
    mask = sample.boundary.dirichlet_mask
    assert np.abs(sample.u - sample.boundary.dirichlet_values)[:, mask].max() < 1e-12


def test_components_left_free() -> None:
    """A wall that u only slips along: u_y = 0 is held, u_x is free with ν ∂u_x/∂n = 0; a uniform
    stream along it goes on for ever."""
    mesh = periodic_box(2, 4)
    wrap = {"left": "right"}
    slip = {"bottom": (None, 0.0), "top": (None, 0.0)}
    free = {"bottom": 0.0, "top": 0.0}
    problem = Burgers(
        np.linspace(0, 1, 5), (1.0, 0.0), 0.1, dirichlet=slip, neumann=free, periodic=wrap
    )
    u = problem.solve(mesh).u
    np.testing.assert_allclose(u[..., 0], 1.0, atol=1e-12)
    assert np.abs(u[..., 1]).max() < 1e-12


def test_symmetric_data_give_symmetric_solutions() -> None:
    """The mesh maps to itself under x -> 1 - x (all coordinates) and under x <-> y: an odd field
    stays odd, and u_x(x, y) = u_y(y, x) stays so."""
    mesh = periodic_box(2, 10)
    times = np.linspace(0, 0.2, 11)

    def odd(x: np.ndarray) -> np.ndarray:
        a, b = W * x[..., 0], W * x[..., 1]
        return np.stack([np.sin(a) * np.cos(b), np.sin(a) - np.sin(2 * b)], axis=-1)

    u = Burgers(times, odd, 0.01, periodic=pairs(2)).solve(mesh, 2).u.reshape(11, 11, 11, 2)
    np.testing.assert_allclose(u, -u[:, ::-1, ::-1], atol=1e-11)

    def mirrored(x: np.ndarray) -> np.ndarray:
        a, b = W * x[..., 0], W * x[..., 1]
        return np.stack([np.sin(a) * np.cos(b), np.cos(a) * np.sin(b)], axis=-1)

    u = Burgers(times, mirrored, 0.01, periodic=pairs(2)).solve(mesh).u.reshape(11, 11, 11, 2)
    np.testing.assert_allclose(u[..., 0], np.swapaxes(u[..., 1], 1, 2), atol=1e-11)
    assert np.abs(u[0] - u[-1]).max() > 0.05


def test_what_is_conserved() -> None:
    """In 1D (u²/2)_x has no integral: the mean stays, exactly for P1 and P2, while energy falls. A
    uniform stream is a solution in any dimension."""
    mesh = periodic_interval(40)
    start = {"initial": lambda x: 0.7 + np.sin(W * x[..., 0]), "viscosity": 0.02}
    mass = mesh.lumped_mass
    sample = Burgers(np.linspace(0, 1, 21), periodic=pairs(1), **start).solve(mesh)
    np.testing.assert_allclose(mass @ sample.u[:, :, 0].T, 0.7, atol=1e-12)
    assert (np.diff(mass @ sample.u[:, :, 0].T ** 2) < 0).all()
    cube = periodic_box(3, 2)
    still = Burgers(np.linspace(0, 1, 4), (1.0, -2.0, 0.5), 0.1, periodic=pairs(3)).solve(cube)
    np.testing.assert_allclose(still.u, np.broadcast_to([1.0, -2.0, 0.5], still.u.shape), atol=1e-9)


def test_refined_labels() -> None:
    """Each refinement brings the values at the same nodes nearer to the exact ones; the measured
    label error is about the true one; twins are equal to the last bit."""
    mesh = periodic_square(0.2)
    errors = []
    for refine in (0, 1):
        sample = solved(mesh, 40, 0.1, 2, refine=refine, check_labels=refine == 1)
        assert sample.u.shape == (41, mesh.num_nodes, 2)
        np.testing.assert_array_equal(sample.u, sample.u[:, sample.boundary.twin])
        errors.append(error(sample))
    assert errors[1] < errors[0] / 5
    exact = np.stack([cole_hopf(mesh.points, t) for t in sample.times])
    weight = mesh.lumped_mass
    size = ((sample.u - exact) ** 2).sum(axis=2) @ weight, (exact**2).sum(axis=2) @ weight
    true = np.sqrt(size[0].sum() / size[1].sum())
    assert sample.label_error == pytest.approx(true, rel=0.35)


def test_arrays_are_p1_functions_on_refined_meshes() -> None:
    """An array over the nodes and the function x -> its P1 interpolant solve alike."""
    mesh = box("triangle", 3)
    values = np.stack([mesh.points[:, 0] * mesh.points[:, 1], np.cos(mesh.points[:, 0])], axis=1)
    times = np.linspace(0, 0.1, 3)
    one = Burgers(times, values, 0.1, dirichlet={"*": values}, refine=1).solve(mesh)
    parts = Burgers(times, (values[:, 0], values[:, 1]), 0.1, dirichlet={"*": values}, refine=1)
    np.testing.assert_allclose(one.u[0], values, atol=1e-12)
    np.testing.assert_allclose(parts.solve(mesh).u, one.u, atol=1e-12)


def test_courant_number_decides_on_the_steps() -> None:
    """Frames that are 40 cells of flow apart are marched in steps the scheme can take, and agree
    with frames that are close; `substeps` multiplies them."""
    mesh = periodic_interval(100)
    data = {"initial": lambda x: np.sin(W * x[..., 0]), "viscosity": 0.02, "periodic": pairs(1)}
    far = Burgers(np.linspace(0, 0.8, 3), **data).solve(mesh)
    near = Burgers(np.linspace(0, 0.8, 401), **data).solve(mesh)
    both = Burgers(np.linspace(0, 0.8, 3), **data, substeps=4).solve(mesh)
    gap = [np.abs(s.u[-1] - near.u[-1]).max() for s in (far, both)]
    assert gap[0] < 1e-3
    assert gap[1] < gap[0] / 4


def test_blow_up_is_said() -> None:
    """Steps far beyond the Courant limit on a flow that hardly diffuses grow without bound."""
    mesh = periodic_interval(50)
    problem = Burgers(
        np.linspace(0, 20, 41),
        lambda x: np.sin(W * x[..., 0]),
        1e-6,
        periodic=pairs(1),
        courant=50.0,
    )
    with pytest.raises(np.linalg.LinAlgError, match="the solution has lost its bound"):
        problem.solve(mesh)


def test_labels_of_too_few_cells_are_said() -> None:
    """A shock of thickness ν / |u| = 5e-4 on cells of 0.1 breaks the maximum principle; a viscosity
    that the cells resolve does not."""
    mesh = periodic_interval(10)
    sharp = Burgers(
        np.linspace(0, 0.5, 6), lambda x: np.sin(W * x[..., 0]), 5e-4, periodic=pairs(1)
    )
    with pytest.warns(UserWarning, match="Burgers: .u. reaches .* times what the data allow"):
        sharp.solve(mesh)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replace(sharp, viscosity=0.05).solve(mesh)
    driven = replace(sharp, viscosity=0.05, source=5.0).solve(mesh)
    assert driven.u.max() > 2  # no bound where a source drives it, and none is claimed


def test_draw() -> None:
    """A reproducible periodic field of max |u| about 1, at rest on the hole, with compatible
    boundary values; the interval of viscosities is log-uniform."""
    mesh = periodic_square(0.1, holes=[(0.5, 0.5, 0.15)])
    options = {"frames": 20, "dt": 0.005, "refine": 1}
    problem = Burgers.draw(mesh, np.random.default_rng(3), **options)
    again = Burgers.draw(mesh, np.random.default_rng(3), **options)
    sample = problem.solve(mesh)
    np.testing.assert_array_equal(sample.u, again.solve(mesh).u)
    np.testing.assert_allclose(sample.u[0], sample.inputs, atol=1e-12)
    speed = np.linalg.norm(sample.u, axis=2)
    assert 0.6 < speed[0].max() < 1.1
    assert speed.max() < 1.1
    assert (speed[:, mesh.nodes_of("hole")] == 0).all()
    assert problem.periodic == {"left": "right", "bottom": "top"}
    assert sample.names == {
        "u": ["ux", "uy"],
        "inputs": ["initial_ux", "initial_uy"],
        "params": ["viscosity"],
    }
    np.testing.assert_array_equal(sample.params, [5e-3])
    assert sample.meta["problem"] == "Burgers"
    nu = [
        Burgers.draw(mesh, np.random.default_rng(i), viscosity=(1e-3, 1e-1)).viscosity
        for i in range(40)
    ]
    assert 1e-3 < min(nu) < 3e-3
    assert 3e-2 < max(nu) < 1e-1


@pytest.mark.parametrize("family", ["interval", "l_shape", "box_with_hole"])
def test_draw_on_families(family: str) -> None:
    """Closed boxes with walls all around, 1D to 3D: energy falls."""
    mesh = draw(family, 0, {"interval": 0.03, "l_shape": 0.1, "box_with_hole": 0.3}[family])
    problem = Burgers.draw(mesh, np.random.default_rng(0), periodic=False, frames=5, refine=0)
    assert set(problem.dirichlet) == {"*"}
    energy = (problem.solve(mesh).u ** 2).sum(axis=2) @ mesh.lumped_mass
    assert (np.diff(energy) < 0).all()


def test_sample_holds_sources() -> None:
    mesh = periodic_box(2, 3)
    problem = Burgers(np.array([0.0, 1.0]), 0.0, 0.1, (1.0, 0.0), periodic=pairs(2))
    sample = problem.sample(mesh)
    assert sample.names["inputs"][2:] == ["source_ux", "source_uy"]
    np.testing.assert_array_equal(sample.inputs, [[0.0, 0.0, 1.0, 0.0]] * mesh.num_nodes)


def test_refusals() -> None:
    mesh, times = box("triangle", 2), np.array([0.0, 1.0])
    for change, message in (
        ({"times": times[:1]}, "times: expected two or more, increasing, got"),
        ({"viscosity": 0.0}, "viscosity: expected a positive value, got 0.0"),
        ({"courant": -1.0}, "courant: expected a positive value, got -1.0"),
        ({"refine": -1}, "refine: expected 0 or more refinements, got -1"),
        ({"substeps": 0}, "substeps: expected at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(Burgers(times), **change)
    with pytest.raises(ValueError, match="7 of 10 boundary facets have no condition"):
        Burgers(times, dirichlet={"left": 0.0}).solve(mesh)
    with pytest.raises(ValueError, match="Burgers: the mesh has dimension 2 in a space of dim"):
        Burgers(times).solve(octasphere(0))
    with pytest.raises(ValueError, match="initial: .* NaN"):
        Burgers(times, lambda x: x * np.nan, dirichlet={"*": 0.0}).solve(mesh)
