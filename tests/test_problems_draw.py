"""Random problems: their statistics, and that no mesh enters them."""

import numpy as np
import pytest
from mesh_builders import box, octasphere

from meshgnn.geometry import domains
from meshgnn.graph import MeshDataset
from meshgnn.mesh import Group, Mesh
from meshgnn.problems import PROBLEMS, Heat, LinearElasticity, Poisson
from meshgnn.problems.fields import GaussianField, LoopField, boundary_loops
from meshgnn.volumes import cell_interval

SQUARE = box("triangle", 8)


def test_gaussian_field_has_the_squared_exponential_covariance() -> None:
    """E v(x) v(x + r) = σ² exp(-r² / 2l²): exactly, from the weights, anywhere in the box."""
    field = GaussianField.draw(SQUARE, 0.31, 0.034, np.random.default_rng(0))
    scale = (
        field.weights.std() / np.random.default_rng(0).standard_normal(field.weights.shape).std()
    )
    grids = np.stack(np.meshgrid(*field.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    for x in ([0.0, 0.0], [0.5, 0.3], [0.9, 1.0]):
        for r in ([0.0, 0.0], [0.1, 0.0], [0.05, -0.2]):
            ends = np.array([x, np.add(x, r)])
            bumps = np.exp(-(((ends[:, None] - grids) / 0.31) ** 2).sum(axis=-1))
            covariance = scale**2 * bumps[0] @ bumps[1]
            expected = 0.034**2 * np.exp(-np.dot(r, r) / (2 * 0.31**2))
            assert covariance == pytest.approx(expected, abs=1e-4 * 0.034**2)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_gaussian_field_is_the_sum_of_its_bumps(dim: int) -> None:
    """The separable evaluation equals Σ_j w_j exp(-|x - x_j|² / l²), of any number of points."""
    mesh = box({1: "line", 2: "quad", 3: "tetra"}[dim], 2)
    field = GaussianField.draw(mesh, 0.4, 1.0, np.random.default_rng(1))
    grids = np.stack(np.meshgrid(*field.axes, indexing="ij"), axis=-1).reshape(-1, dim)
    x = np.random.default_rng(2).random((3, 5, dim))
    gaps = ((x[:, :, None] - grids) ** 2).sum(axis=-1)
    expected = np.exp(-gaps / 0.4**2) @ field.weights.ravel()
    np.testing.assert_allclose(field(x), expected, atol=1e-12)
    assert field(np.zeros((0, dim))).shape == (0,)
    fine = GaussianField.draw(mesh, 0.05, 1.0, np.random.default_rng(1)) if dim < 3 else field
    grids = np.stack(np.meshgrid(*fine.axes, indexing="ij"), axis=-1).reshape(-1, dim)
    gaps = ((x[:, :, None] - grids) ** 2).sum(axis=-1)
    expected = np.exp(-gaps / fine.length**2) @ fine.weights.ravel()
    np.testing.assert_allclose(fine(x), expected, atol=1e-12)
    many = np.random.default_rng(3).random((40_000, dim))
    np.testing.assert_allclose(field(many)[-5:], field(many[-5:]), atol=1e-13)


def test_statistics_of_the_published_data() -> None:
    """std f = 0.034, gradient length sqrt(E f² / E f_x²) = 0.31; the same of g along the arc is
    0.13 and max |g| = 0.02; each within 10 % over 200 draws."""
    f, fx, g, gs, peaks = [], [], [], [], []
    inner = np.random.default_rng(0).random((50, 2))
    arc = np.linspace(0.05, 0.95, 40)
    wall = np.stack([arc, np.zeros(40)], axis=1)
    h = 1e-5
    for seed in range(200):
        drawn = Poisson.draw(SQUARE, np.random.default_rng(seed))
        f.append(drawn.source(inner))
        fx.append((drawn.source(inner + [h, 0]) - f[-1]) / h)
        edge = drawn.dirichlet["*"]
        g.append(edge(wall))
        gs.append((edge(wall + [h, 0]) - g[-1]) / h)
        around = np.stack([edge(SQUARE.points[path]) for path in boundary_loops(SQUARE)])
        peaks.append(np.abs(around).max())
    assert np.std(f) == pytest.approx(0.034, rel=0.1)
    assert np.std(f) / np.std(fx) == pytest.approx(0.31, rel=0.1)
    assert np.std(g) / np.std(gs) == pytest.approx(0.13, rel=0.1)
    assert 0.018 < np.mean(peaks) <= max(peaks) <= 0.02 * (1 + 1e-3)


@pytest.mark.parametrize("shape", ["plate_with_holes", "l_shape", "box", "interval"])
def test_no_mesh_enters_a_draw(shape: str) -> None:
    """The same generator on a refined, renumbered mesh of the same polygon is the same problem."""
    mesh = box("tetra", 2) if shape == "box" else domains.draw(shape, 3, 0.2)
    fine = mesh.refined()
    order = np.random.default_rng(5).permutation(fine.num_nodes)
    place = np.argsort(order)
    name, cells = next(iter(fine.cells.items()))
    shuffled = Mesh(fine.points[order], {name: place[cells][::-1]})
    options = {"neumann": 0.0, "contrast": 10.0}
    one, other = (Poisson.draw(m, np.random.default_rng(4), **options) for m in (mesh, shuffled))
    x, edge = fine.points, fine.points[fine.boundary_nodes]
    np.testing.assert_allclose(one.source(x), other.source(x), atol=1e-14)
    np.testing.assert_allclose(one.dirichlet["*"](edge), other.dirichlet["*"](edge), atol=1e-12)
    k = one.diffusivity(x)
    np.testing.assert_allclose(k, other.diffusivity(x), rtol=1e-12)
    assert 10**-0.5 <= k.min() < k.max() <= 10**0.5


@pytest.mark.parametrize("cells", ["triangle", "mixed 2D", "tetra"])
def test_materials_attain_the_contrast_and_share_the_volume(cells: str) -> None:
    """k takes n values; max k / min k is the contrast, each on about |Ω| / n; the same for the
    same seed; the sample carries k as it is, and the solution is that of the array."""
    mesh = box(cells, 8)
    for phases, contrast in ((2, 10.0), (4, 1000.0)):
        options = {"phases": phases, "contrast": contrast}
        drawn = Poisson.draw(mesh, np.random.default_rng(3), **options)
        k = np.asarray(drawn.diffusivity)
        values, which = np.unique(k, return_inverse=True)
        assert len(values) == phases and k.shape == (mesh.num_cells,)
        np.testing.assert_allclose(values[[0, -1]], [contrast**-0.5, contrast**0.5], rtol=1e-13)
        share = np.bincount(which, np.abs(mesh.volumes)) / np.abs(mesh.volumes).sum()
        np.testing.assert_allclose(share, 1 / phases, atol=0.02)
        again = Poisson.draw(mesh, np.random.default_rng(3), **options)
        np.testing.assert_array_equal(k, again.diffusivity)
        sample = drawn.solve(mesh)
        np.testing.assert_array_equal(sample.cell_inputs[:, 1], k)
        plain = Poisson(drawn.source, k.copy(), drawn.dirichlet).solve(mesh)
        np.testing.assert_array_equal(sample.u, plain.u)
    smooth = Poisson.draw(mesh, np.random.default_rng(3), contrast=10.0)
    np.testing.assert_array_equal(smooth.source(mesh.points), drawn.source(mesh.points))


def test_materials_are_level_sets() -> None:
    """They hang together: few nodes touch both, which nearly all would if cells drew lots."""
    mesh = box("triangle", 16)
    drawn = Poisson.draw(mesh, np.random.default_rng(0), phases=2, contrast=9.0)
    rows, k = mesh.cells["triangle"].ravel(), np.repeat(np.asarray(drawn.diffusivity), 3)
    low, high = np.full(mesh.num_nodes, np.inf), np.zeros(mesh.num_nodes)
    np.minimum.at(low, rows, k)
    np.maximum.at(high, rows, k)
    assert 0.02 < (high > low).mean() < 0.4


def test_elastic_draws_have_tractions_and_random_moduli() -> None:
    """Shares of loaded groups, clamped ones left, E and ν within their limits, solvable."""
    mesh = domains.draw("cut_square", 2, 0.25)
    loaded, groups = 0, [n for n, g in mesh.groups.items() if g.dim == 1]
    options = {"traction": 0.4, "contrast": 100.0, "poisson_range": (0.1, 0.4)}
    for seed in range(40):
        drawn = LinearElasticity.draw(mesh, np.random.default_rng(seed), **options)
        loaded += len(drawn.traction)
        sample = drawn.solve(mesh) if seed < 5 else drawn.sample(mesh)
        assert sample.boundary.dirichlet_mask.all(axis=1).any()
        assert np.abs(sample.boundary.flux).max(initial=0) <= 0.02 * (1 + 1e-3)
        young, nu = sample.inputs[:, 2:].T
        assert 0.1 <= young.min() < young.max() <= 10 and 0.1 <= nu.min() < nu.max() <= 0.4
    assert loaded / (40 * len(groups)) == pytest.approx(0.4, abs=0.08)
    plain, free = (
        LinearElasticity.draw(mesh, np.random.default_rng(1), **given)
        for given in ({}, {"traction": 1.0, "traction_max": 0.0})
    )
    assert not plain.traction and (plain.young, plain.poisson) == (1.0, 0.3)
    assert set(free.traction.values()) == {0.0} and len(free.traction) == len(groups) - 1
    edge = mesh.points[mesh.boundary_nodes]
    for one, other in zip(plain.dirichlet["*"], free.dirichlet["*"], strict=True):
        np.testing.assert_array_equal(one(edge), other(edge))
    bare = Mesh(mesh.points, mesh.cells)
    alone = LinearElasticity.draw(bare, np.random.default_rng(1), traction=1.0)
    assert not alone.traction and alone.solve(bare).boundary.dirichlet_mask.any()


def test_loops_run_with_the_domain_on_the_left_from_their_smallest_point() -> None:
    mesh = domains.draw("annulus", 1, 0.2)
    outer, inner = boundary_loops(mesh)
    for path, turn in ((outer, 1), (inner, -1)):
        x, y = mesh.points[path].T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
        assert np.sign(area) == turn
        assert path[0] == path[np.lexsort((y, x))[0]]
    assert set(outer) | set(inner) == set(mesh.boundary_nodes.tolist())


def test_loop_field_is_periodic_and_uses_the_nearest_segment() -> None:
    field = LoopField.draw(SQUARE, 0.13, 0.02, np.random.default_rng(0))
    corner = field(np.array([[0.0, 0.0], [1e-9, 0.0], [0.0, 1e-9]]))
    np.testing.assert_allclose(corner, corner[0], atol=1e-8)
    near = field(np.array([[0.3, 0.0], [0.3, -0.1], [0.3, 0.05]]))
    np.testing.assert_allclose(near, near[0], rtol=1e-12)
    shifted = SQUARE.moved(SQUARE.points + 1e5)
    far = LoopField.draw(shifted, 0.13, 0.02, np.random.default_rng(0))
    edge = SQUARE.points[SQUARE.boundary_nodes]
    np.testing.assert_allclose(far(edge + 1e5), field(edge), atol=1e-9)


def test_draws_scale_with_the_domain() -> None:
    """On a domain L times as large u(L x) is the same: lengths in L, f in 1 / L²."""
    large = SQUARE.moved(25 * SQUARE.points)
    u, scaled = (Poisson.draw(m, np.random.default_rng(7)).solve(m).u for m in (SQUARE, large))
    np.testing.assert_allclose(scaled, u, atol=1e-10)


def test_mixed_parts_are_drawn_and_some_dirichlet_part_stays() -> None:
    """Shares of Neumann and Robin groups over many draws; each problem is well posed."""
    mesh = domains.draw("cut_square", 2, 0.25)
    kinds = []
    for seed in range(60):
        drawn = Poisson.draw(mesh, np.random.default_rng(seed), neumann=0.3, robin=0.2)
        kinds += ["n"] * len(drawn.neumann) + ["r"] * len(drawn.robin)
        sample = drawn.solve(mesh)
        assert sample.boundary.dirichlet_mask.any()
    groups = len([g for g in mesh.groups.values() if g.dim == 1]) * 60
    assert kinds.count("n") / groups == pytest.approx(0.3, abs=0.07)
    assert kinds.count("r") / groups == pytest.approx(0.2, abs=0.07)
    everything = Poisson.draw(mesh, np.random.default_rng(0), neumann=1.0, flux_max=0.0)
    assert set(everything.neumann.values()) == {0.0}
    assert everything.solve(mesh).boundary.dirichlet_mask.any()


ONE_MESH = {
    "CombinedEquation": lambda: cell_interval(32),
    "NavierStokes": lambda: domains.draw("channel_with_obstacle", 0, 0.1),
}
BRIEF = {
    "AdvectionDiffusion": {"frames": 4, "length": 0.5},
    "Burgers": {"frames": 10, "dt": 2e-3, "length": 0.4},
    "CombinedEquation": {"frames": 5},
    "FitzHughNagumo": {"steps": 3, "duration": 2.0},
    "NavierStokes": {"steps": 2, "duration": 0.02, "spin_up": 0.02, "dt_max": 0.01},
}


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        (name, cells)
        for name in PROBLEMS
        for cells in (["its own"] if name in ONE_MESH else ["triangle", "mixed 2D", "tetra"])
    ],
)
def test_every_problem_draws_solvable_samples(name: str, cells: str) -> None:
    """Same seed, same field, bit for bit; another seed, another; Dirichlet values are exact."""
    mesh = ONE_MESH[name]() if name in ONE_MESH else box(cells, 3)
    problem, options = PROBLEMS[name], BRIEF.get(name, {})
    first, again, other = (
        problem.draw(mesh, np.random.default_rng(seed), **options).solve(mesh) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.u, again.u)
    assert np.abs(first.u - other.u).max() > 1e-3
    mask = first.boundary.dirichlet_mask
    values = np.broadcast_to(first.boundary.dirichlet_values, first.u.shape)
    np.testing.assert_array_equal(first.u[-1][mask], values[-1][mask])
    assert first.meta["problem"] == name
    assert len(first.names["u"]) == first.channels == first.u.shape[2]
    assert len(first.names["inputs"]) == first.inputs.shape[1]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="the mesh is closed; it needs a boundary"):
        Poisson.draw(octasphere(1), np.random.default_rng(0))
    with pytest.raises(ValueError, match="contrast: expected max k / min k >= 1, got 0.5"):
        Poisson.draw(SQUARE, np.random.default_rng(0), contrast=0.5)
    with pytest.raises(ValueError, match="phases: expected 2 or more and .*, got 1 and 9; give"):
        Poisson.draw(SQUARE, np.random.default_rng(0), contrast=9.0, phases=1)
    with pytest.raises(ValueError, match="phases: expected 2 or more and .*, got 3 and 1; give"):
        Poisson.draw(SQUARE, np.random.default_rng(0), phases=3)
    with pytest.raises(ValueError, match="4 cells hold only 4 of 9 materials; refine the mesh"):
        Poisson.draw(box("triangle", 1), np.random.default_rng(0), contrast=9.0, phases=9)
    with pytest.raises(
        ValueError, match="poisson_range: expected the smaller value first, got 0.4"
    ):
        LinearElasticity.draw(SQUARE, np.random.default_rng(0), poisson_range=(0.4, 0.1))
    flipped = SQUARE.cells["triangle"].copy()
    flipped[0] = flipped[0, ::-1]
    points = np.column_stack([SQUARE.points, SQUARE.points[:, 0] ** 2])
    with pytest.raises(ValueError, match="the cells are not oriented alike"):
        boundary_loops(Mesh(points, {"triangle": flipped}, {"domain": Group(0, {})}))


def test_heat_of_a_family_has_one_time_step() -> None:
    """t_k = k T / n, whatever the mesh: samples of different sizes make one data set."""
    drawn = []
    for mesh in (SQUARE, SQUARE.moved(1.3 * SQUARE.points)):
        problem = Heat.draw(mesh, np.random.default_rng(0), steps=4, duration=0.2)
        np.testing.assert_allclose(problem.times, [0.0, 0.05, 0.1, 0.15, 0.2])
        drawn.append(problem.solve(mesh))
    assert len(MeshDataset(drawn, history=1)) == 8
