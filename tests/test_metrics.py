"""Errors as integrals, the trivial predictors, and the table of both."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from learning_builders import box, decaying, dirichlet_everywhere, steady

from meshgnn import metrics
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample


def field(mesh: Mesh, values: np.ndarray) -> np.ndarray:
    return np.asarray(values, float).reshape(1, mesh.num_nodes, -1)


def prescribed(mesh: Mesh, g: np.ndarray) -> Sample:
    return Sample(mesh, dirichlet_everywhere(mesh, g.reshape(-1, 1)), np.zeros((mesh.num_nodes, 0)))


@pytest.mark.parametrize("cells", ["line", "mixed 2D", "mixed 3D"])
def test_l2_is_an_integral(cells: str) -> None:
    """u − v = 0.1, v = 2 on a domain of volume 1: error 0.05 on any mesh."""
    mesh = box(cells)
    v = field(mesh, np.full(mesh.num_nodes, 2.0))
    assert metrics.relative_l2(v + 0.1, v, mesh.lumped_mass) == pytest.approx(0.05)


def test_l2_does_not_depend_on_where_the_mesh_is_fine() -> None:
    """‖x‖² = 1/3 and ‖x²‖² = 1/5 in 1D: ‖x² − x‖ / ‖x‖ = sqrt(1/30 · 3) on a graded mesh."""
    x = np.linspace(0, 1, 2001)[:, None] ** 3
    mesh = Mesh(x, {"line": np.stack([np.arange(2000), np.arange(1, 2001)], axis=1)})
    error = metrics.relative_l2(field(mesh, x**2), field(mesh, x), mesh.lumped_mass)
    assert error == pytest.approx(np.sqrt(0.1), rel=1e-4)


def test_l2_per_time_and_over_time() -> None:
    mesh = box()
    v = np.repeat(field(mesh, np.ones(mesh.num_nodes)), 3, axis=0)
    u = v * np.array([1.0, 1.1, 0.7])[:, None, None]
    per_time = metrics.relative_l2_per_time(u, v, mesh.lumped_mass)
    np.testing.assert_allclose(per_time, [0, 0.1, 0.3], atol=1e-12)
    over_time = metrics.relative_l2(u, v, mesh.lumped_mass)
    assert over_time == pytest.approx(np.sqrt((0.01 + 0.09) / 3))


@pytest.mark.parametrize("cells", ["line", "triangle", "mixed 2D", "tetra", "mixed 3D"])
def test_h1_is_exact_for_linear_fields(cells: str) -> None:
    """v = 3 x_0 and u − v = 4 x_{d−1}: |u − v|₁ / |v|₁ = 4 / 3; constants do not count."""
    mesh = box(cells)
    v = field(mesh, 3 * mesh.points[:, 0])
    u = v + field(mesh, 4 * mesh.points[:, -1] + 7)
    assert metrics.relative_h1(u, v, mesh) == pytest.approx(4 / 3)


def test_h1_of_several_components_and_times() -> None:
    mesh = box()
    v = np.repeat(field(mesh, mesh.points @ np.array([[1.0, 0], [0, 2]])), 2, axis=0)
    assert metrics.relative_h1(1.5 * v, v, mesh) == pytest.approx(0.5)


def test_maximum_and_vanishing_reference() -> None:
    mesh = box()
    v = field(mesh, mesh.points[:, 0])
    u = v.copy()
    u[0, 3] -= 0.25
    assert metrics.relative_maximum(u, v) == pytest.approx(0.25)
    assert metrics.relative_l2(0 * v, 0 * v, mesh.lumped_mass) == 0
    assert metrics.relative_l2(v, 0 * v, mesh.lumped_mass) == float("inf")


def test_boundary_error_sees_prescribed_entries_only() -> None:
    sample = decaying()
    u = sample.u.copy()
    assert metrics.boundary_error(u, sample) == pytest.approx(0, abs=1e-15)
    u[:, ~sample.boundary.dirichlet_mask[:, 0]] += 9
    assert metrics.boundary_error(u, sample) == pytest.approx(0, abs=1e-15)
    u[4, sample.mesh.boundary_nodes[0], 1] += 0.5
    assert metrics.boundary_error(u, sample) == pytest.approx(0.5)
    free = replace(sample, boundary=Boundary.none(sample.mesh.num_nodes, 2))
    assert metrics.boundary_error(u, free) == 0


def test_zero_mean_and_persistence() -> None:
    sample = decaying()
    mass = sample.mesh.lumped_mass
    assert metrics.relative_l2(metrics.zero(sample), sample.u, mass) == pytest.approx(1)
    held = metrics.persistence(sample)
    inside = ~sample.boundary.dirichlet_mask[:, 0]
    np.testing.assert_array_equal(held[3][inside], sample.u[0][inside])
    assert metrics.boundary_error(held, sample) == 0
    with pytest.raises(ValueError, match="persistence: expected a sample with its first state"):
        metrics.persistence(steady(solved=False))


def test_mean_is_over_volumes_not_nodes() -> None:
    """Means of u = 1 on any mesh and u = x on a graded one: (1 + 1/2) / 2, whatever the nodes."""
    graded = box(n=8)
    graded = graded.moved(graded.points**2)
    train = [prescribed(box(), np.ones(30)), prescribed(graded, graded.points[:, 0])]
    train[0] = train[0].with_solution(field(train[0].mesh, np.ones(30)))
    train[1] = train[1].with_solution(field(graded, graded.points[:, 0]))
    predicted = metrics.mean_value(train)(steady())
    np.testing.assert_allclose(predicted, 0.75, rtol=1e-2)


def test_inverse_distance_is_its_formula() -> None:
    """u(x) = Σ g_j / |x − x_j|² / Σ 1 / |x − x_j|²; exact where prescribed, constants exact."""
    sample = steady(3)
    u = metrics.inverse_distance(sample)[0, :, 0]
    fixed = sample.boundary.dirichlet_mask[:, 0]
    g, inside = sample.boundary.dirichlet_values[fixed, 0], np.flatnonzero(~fixed)[0]
    w = 1 / ((sample.mesh.points[inside] - sample.mesh.points[fixed]) ** 2).sum(axis=1)
    assert u[inside] == pytest.approx((w * g).sum() / w.sum())
    np.testing.assert_array_equal(u[fixed], g)
    constant = prescribed(sample.mesh, np.full(sample.mesh.num_nodes, 4.0))
    np.testing.assert_allclose(metrics.inverse_distance(constant), 4.0)


def test_inverse_distance_per_component_and_without_boundary_values() -> None:
    sample = steady()
    mask = np.zeros((sample.mesh.num_nodes, 2), dtype=bool)
    mask[sample.mesh.boundary_nodes, 0] = True
    none = Boundary.none(sample.mesh.num_nodes, 2)
    boundary = replace(none, dirichlet_mask=mask, dirichlet_values=3.0 * mask)
    u = metrics.inverse_distance(Sample(sample.mesh, boundary, np.zeros((len(mask), 0))))
    np.testing.assert_allclose(u[0], np.broadcast_to([3.0, 0.0], mask.shape))


@pytest.mark.parametrize("cells", ["line", "triangle", "tetra"])
def test_nearest_sample_finds_the_one_with_the_same_data(cells: str) -> None:
    """Asked for a training sample, without its truth, it returns that sample's field."""
    train = [steady(i, cells=cells, n=3) for i in range(5)]
    predict = metrics.nearest_sample(train)
    for sample in train:
        u = predict(replace(sample, u=None))
        np.testing.assert_allclose(u, sample.u, atol=1e-9)


def test_nearest_sample_interpolates_to_another_mesh_of_another_size() -> None:
    """A linear field carried to a finer mesh, moved and ten times larger, is the same one."""
    train = []
    for slope in (1.0, -2.0):
        sample = prescribed(box(n=4), slope * box(n=4).points[:, 0])
        train.append(sample.with_solution(field(sample.mesh, slope * sample.mesh.points[:, 0])))
    fine = box(n=7)
    asked = prescribed(fine.moved(10 * fine.points + 3), -2.1 * fine.points[:, 0])
    u = metrics.nearest_sample(train)(asked)
    expected = np.where(asked.boundary.dirichlet_mask[:, 0], -2.1, -2.0) * fine.points[:, 0]
    np.testing.assert_allclose(u[0, :, 0], expected, atol=1e-9)


def test_nearest_sample_sees_fluxes_parameters_and_first_states() -> None:
    base = decaying(0)
    other = replace(base, u=base.u + 1.0)
    found = metrics.nearest_sample([base, other])(other)
    np.testing.assert_allclose(
        found[0][~base.boundary.dirichlet_mask], other.u[0][~base.boundary.dirichlet_mask]
    )
    params = [replace(steady(), params=np.array([p]), u=steady().u * p) for p in (1.0, 2.0)]
    np.testing.assert_allclose(
        metrics.nearest_sample(params)(params[1])[:, 7], params[1].u[:, 7], atol=1e-9
    )
    facets = steady().mesh.boundary_facets["line"]
    with_flux = []
    for g in (1.0, 5.0):
        boundary = Boundary.none(30, 1)
        g = np.full((len(facets), 1), g)
        boundary = replace(boundary, facets=facets, alpha=0 * g, flux=g)
        with_flux.append(replace(steady(), boundary=boundary, u=steady().u * g[0]))
    np.testing.assert_allclose(
        metrics.nearest_sample(with_flux)(with_flux[1]), with_flux[1].u, atol=1e-9
    )


def test_nearest_sample_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="expected solved training samples"):
        metrics.nearest_sample([steady(solved=False)])
    with pytest.raises(ValueError, match="expected samples of 6 times, as in training, got 3"):
        metrics.nearest_sample([decaying()])(decaying(times=3))


def test_table_compares_predictors_without_showing_them_the_truth(tmp_path, capsys) -> None:
    samples = [replace(steady(i), label_error=0.01 * (i + 1)) for i in range(3)]
    seen = []

    def oracle(sample: Sample) -> Sample:
        seen.append(sample.u)
        truth = next(s for s in samples if s.mesh is sample.mesh)
        return sample.with_solution(truth.u * 1.1)

    table = metrics.evaluate(samples, {"zero": metrics.zero, "ten per cent": oracle})
    assert seen == [None] * 3 and table.samples == 3
    row = table.rows["ten per cent"]
    assert row["relative_l2"] == pytest.approx(0.1) and row["relative_h1"] == pytest.approx(0.1)
    assert row["worst_l2"] == pytest.approx(0.1) and row["seconds"] >= 0
    assert table.rows["zero"]["relative_l2"] == pytest.approx(1)
    assert table.rows["label itself"] == pytest.approx({"relative_l2": 0.02, "worst_l2": 0.03})
    table.to_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv") as file:
        lines = list(csv.DictReader(file))
    assert [line["predictor"] for line in lines] == ["zero", "ten per cent", "label itself"]
    assert float(lines[1]["relative_l2"]) == pytest.approx(0.1)
    table.show()
    printed = capsys.readouterr().out
    assert "ten per cent" in printed and "label itself" in printed and "3 samples" in printed


def test_table_needs_truth() -> None:
    with pytest.raises(ValueError, match=r"got 2 samples, without u: \[1\]"):
        metrics.evaluate([steady(), steady(solved=False)], {"zero": metrics.zero})
