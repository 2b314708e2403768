"""P1 fields as functions: their values anywhere, and their way from mesh to mesh."""

import numpy as np
import pytest
from mesh_builders import BOXES, box, smooth, wavy

from meshgnn.fem import error_norms, transfer
from meshgnn.operators import field_at

RNG = np.random.default_rng(0)


def test_fields_that_do_not_fit_are_refused() -> None:
    mesh = box("triangle", 3)
    n, x = mesh.num_nodes, np.array([[0.5, 0.5]])
    corner = np.flatnonzero((mesh.points == [0, 1]).all(axis=1))
    u = RNG.normal(size=(n, 1))
    np.testing.assert_array_equal(field_at(mesh, u, x.astype(np.float32)), field_at(mesh, u, x))
    assert field_at(mesh, u, np.array([[0, 1]])) == u[corner]
    assert field_at(mesh, u, np.zeros((0, 2))).shape == (0, 1)
    for field, points, message in (
        (np.concatenate([u, u]), x, rf"u \[..., {n}, C\] over the nodes, got \({2 * n}, 1\)"),
        (u[:, 0], x, r"give a scalar field as u\[:, None\]"),
        (u, x[0], r"expected points \[Q, 2\], got \(2,\)"),
        (u, np.zeros((2, 3)), r"expected points \[Q, 2\], got \(2, 3\)"),
        (
            u,
            np.array([[0, 0], [0.5, np.nan]]),
            "1 points are NaN or infinite, the first at index 1",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            field_at(mesh, field, points)
    for field, message in (
        (u[None], rf"transfer: expected u \[{n}, C\] of one time, got \(1, {n}, 1\)"),
        (u * np.nan, f"transfer: {n} values are NaN or infinite"),
        (u[:5], "over the nodes, got"),
    ):
        for by in ("interpolation", "projection"):
            with pytest.raises(ValueError, match=message):
                transfer(field, mesh, box("quad", 2), by)


@pytest.mark.parametrize("cells", BOXES)
def test_fields_are_evaluated_anywhere(cells: str) -> None:
    """Linear fields exactly, with times and components; the nearest point from outside."""
    mesh = wavy(cells, 3)
    d = mesh.points.shape[1]
    slopes = RNG.normal(size=(2, d, 3))
    u = np.einsum("nd,tdc->tnc", mesh.points, slopes)
    x = RNG.uniform(size=(40, d))
    inside = np.einsum("nd,tdc->tnc", x, slopes)
    np.testing.assert_allclose(field_at(mesh, u, x), inside, atol=1e-12)
    np.testing.assert_allclose(field_at(mesh, u[0], x), inside[0], atol=1e-12)
    np.testing.assert_allclose(field_at(mesh, u, mesh.points), u, atol=1e-12)
    far = field_at(mesh, u, np.full((1, d), 2.0))
    np.testing.assert_allclose(far[:, 0], np.einsum("d,tdc->tc", np.ones(d), slopes), atol=1e-12)


def test_transfer_to_a_refinement_and_back() -> None:
    """V_h lies in V_{h/2}: both ways give the field there, and projection brings it back."""
    coarse = wavy("triangle", 4)
    fine, u = coarse.refined(), RNG.normal(size=(coarse.num_nodes, 2))
    there = transfer(u, coarse, fine)
    np.testing.assert_allclose(there[: coarse.num_nodes], u, atol=1e-12)
    np.testing.assert_allclose(transfer(u, coarse, fine, "projection"), there, atol=1e-11)
    np.testing.assert_allclose(transfer(there, fine, coarse), u, atol=1e-12)
    with pytest.raises(ValueError, match="by: expected one of interpolation, projection, got 'inj"):
        transfer(u, coarse, fine, "injection")


@pytest.mark.parametrize("cells", BOXES)
def test_transfer_to_the_same_mesh_changes_nothing(cells: str) -> None:
    """Both are P1 on the simplices of the cells, whatever the cells; ∫ u is the same."""
    mesh = wavy(cells, 3)
    for u in (RNG.normal(size=(mesh.num_nodes, 1)), RNG.normal(size=(mesh.num_nodes, 2))):
        np.testing.assert_allclose(transfer(u, mesh, mesh, "projection"), u, atol=1e-10)
        np.testing.assert_allclose(transfer(u, mesh, mesh), u, atol=1e-12)


def test_transfer_between_unrelated_meshes_is_of_second_order() -> None:
    """The error of both ways in L² falls by 4 when both meshes are halved; ∫ is kept better."""
    errors = {"interpolation": [], "projection": []}
    for n in (6, 12):
        source, target = wavy("triangle", n + 1), box("quad", n)
        u = smooth(source.points)[:, None]
        for by, found in errors.items():
            there = transfer(u, source, target, by)[:, 0]
            found.append(error_norms(target, there, smooth)[0])
    for found in errors.values():
        assert np.log2(found[0] / found[1]) == pytest.approx(2, abs=0.35)
