"""`Poisson`: exact solutions, limits, identities; what a sample carries."""

import warnings

import numpy as np
import pytest
from mesh_builders import BOXES, box, cells_of_box, masked, octasphere

from meshgnn.fem import error_norms
from meshgnn.mesh import Group, Mesh
from meshgnn.problems import Poisson


def field(problem: Poisson, mesh: Mesh, order: int = 1) -> np.ndarray:
    return problem.solve(mesh, order).u[0, :, 0]


@pytest.mark.parametrize("kind", ["regions", "cells", "function"])
@pytest.mark.parametrize("name", ["line", "triangle", "quad", "tetra", "wedge", "mixed 3D"])
def test_two_layers(name: str, kind: str) -> None:
    """k = 1 for x < 1/2, else 4; u(0) = 0, u(1) = 1: the flux q = k u' is 8/5, u is linear in each
    layer and so in the P1 space of a mesh that resolves the interface: exact to 1e-12."""
    mesh = box(name, 4)
    if kind == "function":
        k = lambda x: np.where(x[..., 0] < 0.5, 1.0, 4.0)  # noqa: E731
    else:
        k = np.full(mesh.num_cells, 4.0)
        k[mesh.cells_of("half")] = 1.0
        other = np.setdiff1d(np.arange(mesh.num_cells), mesh.cells_of("half"))
        cells, start = {}, 0
        for block_name, block in mesh.cells.items():
            rows = other[(other >= start) & (other < start + len(block))] - start
            cells[block_name], start = block[rows], start + len(block)
        groups = {**mesh.groups, "far": Group(mesh.dim, cells)}
        mesh = Mesh(mesh.points, mesh.cells, groups)
        k = {"half": 1.0, "far": 4.0} if kind == "regions" else k

    def exact(x: np.ndarray) -> np.ndarray:
        x = x[..., 0]
        return np.where(x < 0.5, 1.6 * x, 0.8 + 0.4 * (x - 0.5))

    np.testing.assert_allclose(
        field(Poisson(diffusivity=k, dirichlet={"*": exact}), mesh), exact(mesh.points), atol=1e-12
    )


@pytest.mark.parametrize("order", [1, 2])
def test_superposition(order: int) -> None:
    """u(f, g, h) = u(f, 0, 0) + u(0, g, 0) + u(0, 0, h) and u(2f, 2g, 2h) = 2u(f, g, h): 1e-12."""
    mesh = box("mixed 2D", 5)
    f, g, h = (lambda x: np.sin(3 * x[..., 0]), lambda x: x[..., 1] ** 2, 0.7)

    def solve(a: float, b: float, c: float) -> np.ndarray:
        scaled = (lambda x: a * f(x), lambda x: b * g(x))
        problem = Poisson(scaled[0], 2.0, {"rest": scaled[1]}, robin={"left": (1.0, c * h)})
        return field(problem, mesh, order)

    whole = solve(1, 1, 1)
    parts = solve(1, 0, 0) + solve(0, 1, 0) + solve(0, 0, 1)
    np.testing.assert_allclose(parts, whole, atol=1e-12)
    np.testing.assert_allclose(solve(2, 2, 2), 2 * whole, atol=1e-12)


def test_robin_between_neumann_and_dirichlet() -> None:
    """α = 0 is Neumann to rounding; α -> ∞ with g = α u₀ tends to u = u₀ like 1 / α."""
    mesh = box("triangle", 6)
    common = {"source": 1.0, "dirichlet": {"rest": 0.0}}
    neumann = field(Poisson(**common, neumann={"left": 0.3}), mesh)
    robin = field(Poisson(**common, robin={"left": (0.0, 0.3)}), mesh)
    np.testing.assert_array_equal(robin, neumann)
    wanted = mesh.points[:, 1] * (1 - mesh.points[:, 1])
    held = Poisson(1.0, dirichlet={"left": wanted, "rest": 0.0})
    gaps = [
        np.abs(
            field(Poisson(**common, robin={"left": (a, a * wanted)}), mesh) - field(held, mesh)
        ).max()
        for a in (1e4, 1e6)
    ]
    assert gaps[0] < 1e-2
    assert gaps[1] == pytest.approx(gaps[0] / 100, rel=0.05)


def test_the_solution_has_the_least_energy() -> None:
    """J(v) = ½ vᵀKv - bᵀv is larger for every other v with the same Dirichlet values."""
    system = Poisson(1.0, robin={"left": (2.0, 1.0)}, dirichlet={"rest": 0.5}).system(
        box("quad", 5)
    )
    u, rng = system.solve(), np.random.default_rng(0)

    def energy(v: np.ndarray) -> float:
        return v @ system.matrix @ v / 2 - system.load @ v

    for _ in range(20):
        other = u + np.where(system.free, rng.normal(size=u.shape), 0)
        assert energy(other) > energy(u)
    np.testing.assert_array_equal(u[~system.free], 0.5)


def test_balance_of_fluxes() -> None:
    """Σ_i (K u - b)_i over the Dirichlet nodes is -∫ f - ∫ g: what flows in flows out."""
    mesh = box("tetra", 3)
    system = Poisson(2.0, dirichlet={"left": 1.0}, neumann={"rest": 0.4}).system(mesh)
    reaction = system.matrix @ system.solve() - system.load
    assert np.abs(reaction[system.free]).max() < 1e-12
    supplied = 2 * 1.0 + 0.4 * 5  # unit cube, five of its faces
    assert reaction.sum() == pytest.approx(-supplied, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_pure_neumann(order: int) -> None:
    """u = cos(πx) cos(πy): -Δu = 2π²u, ∂u/∂n = 0 on the unit square, ∫u = 0; order p + 1 in L²."""
    errors, mesh = [], box("triangle", 4)
    for _ in range(3):

        def exact(x: np.ndarray) -> np.ndarray:
            return np.cos(np.pi * x[..., 0]) * np.cos(np.pi * x[..., 1])

        problem = Poisson(lambda x, u=exact: 2 * np.pi**2 * u(x), neumann={"*": 0.0})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "pure Neumann problem")
            system = problem.system(mesh, order)
        u = system.solve()
        assert system.mean @ u == pytest.approx(0, abs=1e-13)
        errors.append(error_norms(mesh, u, exact, order=order)[0])
        mesh = mesh.refined()
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order + 1, abs=0.2)


def test_closed_surface() -> None:
    """-Δ_S u = 2z on the unit sphere has the solution z: order 2 at the nodes, zero mean."""
    errors = []
    for levels in (2, 3, 4):
        mesh = octasphere(levels)
        u = field(Poisson(lambda x: 2 * x[..., 2]), mesh)
        errors.append(np.abs(u - mesh.points[:, 2]).max())
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(2, abs=0.3)


def test_a_quadrature_remainder_of_a_balanced_source_is_spread_with_a_warning() -> None:
    def f(x: np.ndarray) -> np.ndarray:
        return x[..., 0] - 0.5 + 1e-4

    with pytest.warns(UserWarning, match="quadrature error and spread evenly"):
        u = field(Poisson(f, neumann={"*": 0.0}), box("triangle", 4))
    assert np.isfinite(u).all()


def test_curve_in_space() -> None:
    """u linear in arc length along a polygon in space, k = 2, flux 3 at its end: slope 3/2."""
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [1, 2, 2.0]])
    groups = {
        "start": Group(0, {"vertex": np.array([[0]])}),
        "end": Group(0, {"vertex": np.array([[3]])}),
    }
    mesh = Mesh(points, {"line": np.array([[0, 1], [1, 2], [2, 3]])}, groups)
    u = field(Poisson(0.0, 2.0, {"start": 1.0}, {"end": 3.0}), mesh)
    np.testing.assert_allclose(u, 1 + 1.5 * np.array([0, 1, 3, 5]), rtol=1e-13)


def test_dirichlet_on_points_lines_and_regions_inside() -> None:
    """Parts of any dimension hold their nodes; the later part wins where they meet."""
    mesh = box("tetra", 2)
    first = Poisson(dirichlet={"origin": 5.0, "*": 0.0})
    later = Poisson(dirichlet={"rest": 0.0, "left": 1.0, "spine": 3.0, "origin": 5.0})
    assert field(first, mesh)[0] == 0
    u = field(later, mesh)
    assert u[0] == 5
    assert u[mesh.nodes_of("spine")].tolist() == [5, 3]
    region = Poisson(dirichlet={"half": 2.0, "rest": 2.0})  # covers "left", which is of its cells
    np.testing.assert_allclose(field(region, mesh), 2, rtol=1e-13)


def test_order_two_holds_mid_points_of_the_part_only() -> None:
    """An edge between two Dirichlet faces, itself inside, stays free: facets by connectivity."""
    mesh = Mesh(*cells_of_box("triangle", 1))
    system = Poisson(dirichlet={"*": 0.0}).system(mesh, order=2)
    middle = np.flatnonzero(system.free)
    assert len(system.free) == 6 + 9  # 2 x 1 squares, each in two triangles
    np.testing.assert_allclose(np.sort(system.points[middle][:, 0]), [0.5] * 3)


def test_dirichlet_wins_over_flux_where_parts_overlap() -> None:
    base = box("triangle", 3)
    groups = {**base.groups, "whole": Group(1, base.boundary_facets)}
    mesh = Mesh(base.points, base.cells, groups)
    overlapping = Poisson(1.0, dirichlet={"left": 0.0}, neumann={"whole": 1.0}).solve(mesh)
    apart = Poisson(1.0, dirichlet={"left": 0.0}, neumann={"rest": 1.0}).solve(mesh)
    np.testing.assert_allclose(overlapping.u, apart.u, rtol=1e-12)
    assert len(overlapping.boundary.facets) == len(apart.boundary.facets)


def test_sample_carries_the_conditions() -> None:
    """Facets by connectivity, α and g as means over each facet, f and k at the nodes."""
    mesh = box("mixed 3D")
    problem = Poisson(
        mesh.points[:, 1].copy(),
        lambda x: 1 + x[..., 0],
        dirichlet={"left": lambda x: x[..., 1]},
        robin={"rest": (lambda x: 1 + x[..., 2], lambda x: x[..., 0])},
    )
    sample = problem.sample(mesh)
    boundary = sample.boundary
    left, rest = mesh.nodes_of("left"), mesh.facets_of("rest")
    np.testing.assert_array_equal(np.flatnonzero(boundary.dirichlet_mask), left)
    np.testing.assert_array_equal(boundary.dirichlet_values[left, 0], mesh.points[left, 1])
    assert boundary.facets.shape == (len(rest), 4)
    triangles = boundary.facets[:, 3] < 0
    assert triangles.any() and not triangles.all()
    for row, alpha, g in zip(boundary.facets, boundary.alpha, boundary.flux, strict=True):
        centre = mesh.points[row[row >= 0]].mean(axis=0)
        assert alpha[0] == pytest.approx(1 + centre[2])
        assert g[0] == pytest.approx(centre[0])
    np.testing.assert_allclose(
        sample.inputs, np.stack([mesh.points[:, 1], 1 + mesh.points[:, 0]], 1)
    )
    columns = ["source", "diffusivity"]
    assert sample.names == {"u": ["u"], "inputs": columns, "cell_inputs": columns}
    assert sample.u is None
    solved = problem.solve(mesh)
    assert solved.u.shape == (1, mesh.num_nodes, 1)
    np.testing.assert_array_equal(solved.inputs, sample.inputs)


@pytest.mark.parametrize("cells", BOXES)
def test_cell_inputs_are_means(cells: str) -> None:
    """(1 / |s|) ∫_s v: 1 + x gives its value at the centroid; data by cell stay as they are."""
    mesh = box(cells, 5)
    weighted = mesh.simplex_volumes * mesh.points[mesh.simplices].mean(axis=1)[:, 0]
    centroid = np.bincount(mesh.simplex_cells, weighted) / mesh.volumes
    k = np.random.default_rng(0).uniform(1, 2, mesh.num_cells)
    one = Poisson(lambda x: 1 + x[..., 0], k, {"*": 0.0}).sample(mesh).cell_inputs
    np.testing.assert_allclose(one[:, 0], 1 + centroid, rtol=1e-13)
    np.testing.assert_array_equal(one[:, 1], k)
    other = Poisson(mesh.points[:, 0] - 1, 0.3, {"*": 0.0}).sample(mesh).cell_inputs
    np.testing.assert_allclose(other[:, 0], centroid - 1, rtol=1e-13)
    np.testing.assert_array_equal(other[:, 1], 0.3)
    half = np.isin(np.arange(mesh.num_cells), mesh.cells_of("half"))
    groups = {**mesh.groups, "other": Group(mesh.dim, masked(mesh.cells, ~half))}
    mesh, values = Mesh(mesh.points, mesh.cells, groups), {"half": 2.0, "other": 5.0}
    by_region = Poisson(values, values, {"*": 0.0}).sample(mesh).cell_inputs
    np.testing.assert_array_equal(by_region, np.where(half, 2.0, 5.0)[:, None].repeat(2, axis=1))


def test_coefficients_by_cell_are_averaged_at_the_nodes() -> None:
    """Weighted by volume: 1 inside the half, 3 beyond, 2 on the interface of equal cells."""
    mesh = box("quad", 2)
    k = np.full(mesh.num_cells, 3.0)
    k[mesh.cells_of("half")] = 1.0
    nodal = Poisson(diffusivity=k, dirichlet={"*": 0.0}).sample(mesh).inputs[:, 1]
    np.testing.assert_allclose(nodal, 2 + np.sign(mesh.points[:, 0] - 0.5), atol=1e-14)


def test_nodal_arrays_need_values_where_they_are_used_only() -> None:
    mesh = box("triangle", 3)
    values = np.full(mesh.num_nodes, np.nan)
    values[mesh.nodes_of("left")] = 2.0
    sample = Poisson(dirichlet={"rest": 0.0, "left": values}).solve(mesh, order=2)
    np.testing.assert_array_equal(sample.u[0, mesh.nodes_of("left"), 0], 2)
    with pytest.raises(ValueError, match="Dirichlet value on 'rest': .* NaN"):
        Poisson(dirichlet={"left": 0.0, "rest": values}).sample(mesh)
