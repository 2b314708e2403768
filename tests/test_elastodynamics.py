"""Explicit elastodynamics: stresses, balances and motions that are known in closed form."""

import numpy as np
import pytest
from mesh_builders import box, lattice, shear
from scipy.sparse import diags

from meshgnn.fem import Space
from meshgnn.fem.elastic_solid import LAWS, Solid
from meshgnn.fem.explicit import Held, Scene, march
from meshgnn.fem.newmark import Oscillator
from meshgnn.mesh import Group, Mesh
from meshgnn.problems import PROBLEMS, Elastodynamics, LinearElasticity

CELLS = {2: "triangle", 3: "tetra"}
LAME, SHEAR = 3.0, 2.0


def solid(mesh: Mesh, law: str, lame: float = LAME) -> Solid:
    one = np.ones(len(mesh.simplices))
    return Solid(mesh, lame * one, SHEAR * one, one, law)


def turn(dim: int, angle: float = 2.0) -> np.ndarray:
    """A rotation, in 3D about an oblique axis."""
    c, s = np.cos(angle), np.sin(angle)
    flat = np.array([[c, -s], [s, c]])
    if dim == 2:
        return flat
    one, other = np.eye(3), np.eye(3)
    one[:2, :2], other[1:, 1:] = flat, flat
    return one @ other


def first_piola(law: str, f: np.ndarray) -> np.ndarray:
    """P(F) by the formulas, with the rotation of the singular value decomposition."""
    det, inverse = np.linalg.det(f), np.linalg.inv(f).T
    if law == "neo-Hookean":
        return SHEAR * (f - inverse) + LAME * np.log(det) * inverse
    left, _, right = np.linalg.svd(f)
    proper = np.ones(len(f))
    proper[-1] = np.linalg.det(left @ right)
    return 2 * SHEAR * (f - left * proper @ right) + LAME * (det - 1) * det * inverse


def strip(length: int, width: int, size: float) -> Mesh:
    """[0, length size] × [0, width size] in squares halved, "left" and "rest" of the boundary."""
    points, quads = lattice(length, width)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    mesh = Mesh(points * [length * size, width * size], {"triangle": triangles})
    facets, at_left = mesh.boundary_facets["line"], mesh.facet_centres[:, 0] < 1e-12
    sides = {"left": facets[at_left], "rest": facets[~at_left]}
    return Mesh(mesh.points, mesh.cells, {n: Group(1, {"line": f}) for n, f in sides.items()})


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dim", [2, 3])
def test_patch(dim: int, law: str) -> None:
    """u = (F - I) X: forces vanish inside, and are ∫ P N ds on the boundary, with P by hand."""
    mesh = box(CELLS[dim], 2)
    inner = np.setdiff1d(np.arange(mesh.num_nodes), mesh.boundary_nodes)
    mesh = mesh.moved(mesh.points + 0.1 * np.isin(np.arange(mesh.num_nodes), inner)[:, None])
    large = turn(dim) @ shear(dim)
    for f in (large, np.eye(dim) + 1e-4 * shear(dim), np.diag([0.3, 2.0, 1.5][:dim])):
        forces, energy, _ = solid(mesh, law).forces(mesh.points @ (f - np.eye(dim)).T)
        p = first_piola(law, f)
        tractions = np.zeros_like(forces)
        facets = next(iter(mesh.boundary_facets.values()))
        share = (mesh.facet_areas[:, None] * mesh.facet_normals / dim) @ p.T
        for corner in facets.T:
            np.add.at(tractions, corner, share)
        np.testing.assert_allclose(forces, -tractions, atol=1e-12 * (1 + np.abs(p).max()))
        slope = [
            (solid(mesh, law).forces(mesh.points @ (f + t * shear(dim) - np.eye(dim)).T)[1])
            for t in (1e-5, -1e-5)
        ]
        # |Ω| = 1: dE/dt = P : dF/dt
        assert (slope[0] - slope[1]) / 2e-5 == pytest.approx((p * shear(dim)).sum(), rel=1e-6)
        assert energy > 0


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dim", [2, 3])
def test_rigid_motions_have_no_stress(dim: int, law: str) -> None:
    """P(R) = 0 for half turns and all between."""
    mesh = box(CELLS[dim], 2)
    for angle in (0.0, 1e-3, 1.0, np.pi / 2, np.pi):
        u = (mesh.points - 0.3) @ (turn(dim, angle) - np.eye(dim)).T + 5.0
        forces, energy, _ = solid(mesh, law).forces(u)
        assert np.abs(forces).max() < 1e-12 and abs(energy) < 1e-13


def test_the_rotation_of_inverted_cells_is_proper() -> None:
    """Fixed-corotated P(F) for any F, det F < 0 too, as with the signed decomposition."""
    rng = np.random.default_rng(0)
    for dim in (2, 3):
        one = Mesh(np.eye(dim + 1, dim, -1), {CELLS[dim]: np.arange(dim + 1)[None]})
        for _ in range(50):
            f = rng.standard_normal((dim, dim))
            forces, *_ = solid(one, "fixed-corotated").forces(one.points @ (f - np.eye(dim)).T)
            p = -forces[1:].T / one.volumes[0]
            np.testing.assert_allclose(p, first_piola("fixed-corotated", f), atol=1e-9)
        flat = -one.points  # F = 0 has no rotation of its own
        assert np.isfinite(solid(one, "fixed-corotated").forces(flat)[0]).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_stable_step_is_that_of_the_single_cells(dim: int) -> None:
    """ω² is the largest eigenvalue of M⁻¹ K of the stiffest cell, and bounds that of the mesh."""
    mesh = box(CELLS[dim], 2, shear(dim))
    body = solid(mesh, LAWS[0])
    for s in (0, 3):
        rows = mesh.simplices[s]
        one = Mesh(mesh.points[rows], {CELLS[dim]: np.arange(dim + 1)[None]})
        stiffness = Space(one).elasticity(LAME, SHEAR).toarray()
        mass = np.repeat(one.lumped_mass, dim)
        assert body.rates[s] == pytest.approx(
            np.linalg.eigvals(stiffness / mass[:, None]).real.max()
        )
    whole = Space(mesh).elasticity(LAME, SHEAR).toarray() / np.repeat(body.mass, dim)[:, None]
    omega = np.sqrt(np.linalg.eigvals(whole).real.max())
    assert 0.7 * 2 / omega < body.stable_step < 2 / omega


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dim", [2, 3])
def test_free_fall_is_exact(dim: int, law: str) -> None:
    """u = v t + g t² / 2 at every node and time, to rounding; energy and momentum with it."""
    mesh, v, g = box(CELLS[dim], 2), np.arange(1.0, dim + 1), [0.0] * (dim - 1) + [-9.81]
    times = np.array([1.0, 1.1, 1.5])
    found = Elastodynamics(times, law=law, gravity=g, velocity=v.tolist()).solve(mesh)
    t = (times - 1)[:, None, None]
    expected = np.broadcast_to(v * t + np.array(g) * t**2 / 2, found.u.shape)
    np.testing.assert_allclose(found.u, expected, atol=1e-11)
    total = np.sum(list(found.meta["energy"].values()), axis=0)
    np.testing.assert_allclose(total, total[0], rtol=1e-10)
    momentum = 1000 * (v + np.array(g) * (times - 1)[:, None])
    np.testing.assert_allclose(found.meta["momentum"]["linear"], momentum, rtol=1e-10)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dim", [2, 3])
def test_free_bodies_keep_energy_and_momentum(dim: int, law: str) -> None:
    """2,000 steps of a body that spins and rings: E within 1 %, momenta to 1e-10."""
    mesh = box(CELLS[dim], 3 if dim == 2 else 2)
    swirl = 6 * (turn(dim, np.pi / 2) - turn(dim, np.pi / 2).T)

    def velocity(x: np.ndarray) -> np.ndarray:
        return (x - 0.4) @ swirl.T + 1

    body = Elastodynamics(np.array([0.0, 1.0]), law=law).solid(mesh)
    times = np.linspace(0, 2000 * 0.5 * body.stable_step, 101)
    found = Elastodynamics(
        times, law=law, velocity=velocity, displacement=lambda x: 0.1 * x[..., ::-1] ** 2
    ).solve(mesh)
    assert sum(found.meta["steps"]) >= 2000
    energy, momentum = found.meta["energy"], found.meta["momentum"]
    total = np.add(energy["kinetic"], energy["strain"])
    assert np.ptp(energy["strain"]) > 0.05 * total[0]
    assert np.abs(total - total[0]).max() < 0.01 * total[0]
    for kind in ("linear", "angular"):
        values = np.array(momentum[kind])
        assert np.abs(values - values[0]).max() < 1e-10 * np.abs(values).max()


@pytest.mark.parametrize("law", LAWS)
def test_first_frequency_of_a_bar(law: str) -> None:
    """Clamped at one end, ν = 0: u(L, t) ~ cos ω t, ω = 2π √(E/ρ) / (4 L), within 2 %."""
    bar, young, density = strip(40, 4, 0.025), 1e4, 10.0
    period = 4 / np.sqrt(young / density)
    found = Elastodynamics(
        np.linspace(0, period, 41), young, 0.0, density, law,
        displacement=lambda x: np.stack([1e-4 * np.sin(np.pi * x[..., 0] / 2), 0 * x[..., 1]], -1),
        dirichlet={"left": 0.0},
    ).solve(bar)  # fmt: skip
    tip = found.u[:, bar.points[:, 0] > 1 - 1e-9, 0].mean(axis=1) / 1e-4
    falling = np.flatnonzero(np.diff(np.sign(tip)) < 0)[0]
    crossing = found.times[falling] + tip[falling] / (tip[falling] - tip[falling + 1]) * period / 40
    assert crossing == pytest.approx(period / 4, rel=0.02)
    assert tip[20] == pytest.approx(-1, abs=0.02) and tip[40] == pytest.approx(1, abs=0.02)


def test_small_motions_are_those_of_newmarks_scheme() -> None:
    """M ü + K u = M g with the same M and K of linear elasticity, to the order of both schemes."""
    bar, gravity = strip(8, 2, 0.125), [0.0, -1e-3]
    times = np.linspace(0, 1, 6)
    problem = Elastodynamics(
        times, 100.0, 0.3, 1.0, gravity=gravity, dirichlet={"left": 0.0}, courant=0.2
    )
    found, body = problem.solve(bar), problem.solid(bar)
    held = np.repeat(bar.points[:, 0] < 1e-12, 2)
    stiffness = Space(bar).elasticity(body.lame[0], body.shear[0])
    mass = np.repeat(body.mass, 2)
    system = Oscillator(diags(mass).tocsr(), stiffness, None, ~held, 2)
    load, none = mass * np.tile(gravity, bar.num_nodes), np.zeros(len(mass))
    steps = system.steps(lambda t: (load, none, none), (none, none), times, 200)
    expected = np.stack([u.reshape(-1, 2) for u, _ in steps])
    np.testing.assert_allclose(found.u, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("dim", [2, 3])
def test_rest_is_linear_elasticity(dim: int) -> None:
    """After damping a small load gives the displacement of `LinearElasticity`."""
    mesh, g = box(CELLS[dim], 3), [0.0] * (dim - 1) + [-1e-3]
    found = Elastodynamics(
        np.array([0.0, 10.0]), 10.0, 0.3, 1.0, gravity=g, dirichlet={"left": 0.0}, damping=2.5
    ).solve(mesh)
    problem = LinearElasticity(10.0, 0.3, dirichlet={"left": 0.0}, traction={"rest": 0.0}, body=g)
    expected = problem.solve(mesh).u[0]
    assert np.abs(found.u[-1] - expected).max() < 2e-3 * np.abs(expected).max()


def test_order_in_time() -> None:
    """Halving Δt quarters the error, with damping, gravity and a part that moves."""

    def pulled(x: np.ndarray, t: float) -> np.ndarray:
        return np.stack([0.1 * np.sin(3 * t) ** 2 + 0 * x[..., 0], 0 * x[..., 1]], axis=-1)

    mesh, ends = strip(6, 2, 0.2), []
    for courant in (0.4, 0.2, 0.1, 0.025):
        problem = Elastodynamics(
            np.array([0.0, 0.3]), 50.0, 0.3, 1.0, gravity=[0.0, -1.0], damping=0.5,
            dirichlet={"left": pulled}, courant=courant,
        )  # fmt: skip
        ends.append(problem.solve(mesh).u[-1])
    errors = [np.abs(u - ends[-1]).max() for u in ends[:-1]]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.3)
    left = mesh.nodes_of("left")
    np.testing.assert_allclose(ends[0][left], pulled(mesh.points[left], 0.3), atol=1e-15)


def test_march_keeps_what_it_is_given() -> None:
    """The states begin with the start; a held component with one row of values stays."""
    mesh = box("triangle", 2)
    body, u = solid(mesh, LAWS[0]), np.zeros((mesh.num_nodes, 2))
    mask = np.zeros(u.shape, bool)
    mask[3, 1] = True
    open_ = Scene(np.array([0.0, -1.0]), np.full(2, -np.inf), np.full(2, np.inf))
    held = Held(mask, lambda times: np.zeros((1, 1)))
    states = list(march(body, open_, (u, u + 1.0), np.array([0.0, 0.1]), 0.01, held))
    assert np.array_equal(states[0].u, u) and np.array_equal(states[0].v, u + 1)
    assert states[1].u[3, 1] == 0 and (states[1].u[:, 0] > 0.05).all() and states[1].steps == 10
    assert PROBLEMS["Elastodynamics"] is Elastodynamics
