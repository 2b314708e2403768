"""Measures of moved meshes, by hand on meshes of two cells and by their invariances."""

from dataclasses import fields

import numpy as np
import pytest
from mesh_builders import box, octasphere, wavy
from squares import square

from meshgnn.adaptivity import adapt
from meshgnn.adaptivity.measures import (
    Measures,
    interpolation_error,
    mesh_measures,
    smallest_angle,
)
from meshgnn.fem import error_norms
from meshgnn.mesh import Mesh
from meshgnn.monitors import Monitor

CELLS = {1: ("line", 24), 2: ("triangle", 12), 3: ("tetra", 4)}


def front(x: np.ndarray) -> np.ndarray:
    return np.tanh((np.linalg.norm(x - 0.45, axis=-1) - 0.3) * 8)


def gathered(mesh: Mesh, amount: float) -> Mesh:
    """Nodes moved towards the front, those of the boundary left alone."""
    radius = np.linalg.norm(mesh.points - 0.45, axis=1, keepdims=True)
    bump = np.prod(4 * mesh.points * (1 - mesh.points), axis=1, keepdims=True)
    way = (mesh.points - 0.45) * np.tanh((0.3 - radius) * 6) * bump
    return mesh.moved(mesh.points + amount * way)


def halves(x: np.ndarray) -> np.ndarray:
    """m = 1 + 2 x."""
    return 1 + 2 * x[..., 0]


def test_two_intervals_by_hand() -> None:
    """[0, ½] and [½, 1], m = 1 + 2x, the node moved to 3/5: the integrals of m are ¾, 5/4 and
    then 24/25, 26/25, over ½. For u = x² the P1 errors are Σ h⁵ / 30."""
    points = np.array([[0.0], [0.5], [1.0]])
    mesh = Mesh(points, {"line": np.array([[0, 1], [1, 2]])})
    moved = mesh.moved(np.array([[0.0], [0.6], [1.0]]))
    found = mesh_measures(mesh, moved, points[:, 0] ** 2, halves, lambda x: x[..., 0] ** 2)
    assert found.std_ratio == pytest.approx(0.04 / 0.25)
    assert found.range_ratio == pytest.approx(0.04 / 0.25)
    assert found.cv_before == pytest.approx(0.25) and found.cv_after == pytest.approx(0.04)
    assert (found.folded, found.outside) == (0, 0) and np.isnan(found.smallest_angle)
    errors = [2 * 0.5**5 / 30, (0.6**5 + 0.4**5) / 30]
    assert found.interpolation_ratio == pytest.approx((errors[1] / errors[0]) ** 0.5)
    square_of = interpolation_error(moved, lambda x: x[..., 0] ** 2) ** 2
    assert square_of == pytest.approx(errors[1])


def test_two_triangles_by_hand() -> None:
    """The unit square cut along x = y, m = 1 + 2x: ∫ m = ½ (1 + 2 · mean x of the corners), so
    w = 7/3 (below) and 5/3 (above). With (1, 0) pulled to (0.9, 0.1) the lower area is 0.4 and
    w = 0.8 · (1 + 2 · 1.9 / 3); at (0.4, 0.6), beyond the diagonal, it is −0.1: folded."""
    points = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    mesh = Mesh(points, {"triangle": np.array([[0, 1, 2], [0, 2, 3]])})
    u = points[:, 0] + points[:, 1] ** 2
    for place, area in (((0.9, 0.1), 0.4), ((0.4, 0.6), -0.1)):
        moved = points.copy()
        moved[1] = place
        found = mesh_measures(mesh, mesh.moved(moved), u, halves)
        w = np.array([2 * area * (1 + 2 * (1 + place[0]) / 3), 5 / 3])
        assert found.cv_before == pytest.approx((1 / 3) / 2)
        assert found.std_ratio == pytest.approx(w.std() / (1 / 3))
        assert found.range_ratio == pytest.approx(np.ptp(w) / (2 / 3))
        assert found.cv_after == pytest.approx(w.std() / w.mean())
        assert found.folded == (area < 0) and (found.quality < 0) == (area < 0)
    assert smallest_angle(mesh) == pytest.approx(45)
    assert smallest_angle(mesh.moved(points * [1, 0.1])) == pytest.approx(np.degrees(np.atan(0.1)))
    assert smallest_angle(mesh.moved(points * [1, 0])) == 0
    flat = mesh_measures(mesh, mesh.moved(points * [1, 0]), u)
    assert flat.folded == 2 and flat.cv_after == float("inf")


def test_angles_between_faces() -> None:
    """arccos 1/3 in the regular tetrahedron; arccos 1/√3 = 54.7° in the corner of a cube."""
    cell = {"tetra": np.array([[0, 1, 2, 3]])}
    regular = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])[[0, 2, 1, 3]]
    assert smallest_angle(Mesh(regular, cell)) == pytest.approx(np.degrees(np.arccos(1 / 3)))
    corner = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    assert smallest_angle(Mesh(corner, cell)) == pytest.approx(np.degrees(np.arccos(3**-0.5)))
    assert smallest_angle(Mesh(corner[[1, 0, 2, 3]], cell)) == pytest.approx(
        np.degrees(np.arccos(3**-0.5))
    )


@pytest.mark.parametrize("d", [1, 2, 3])
def test_no_movement_changes_nothing(d: int) -> None:
    """Ratios of 1 exactly for the identity, located or not, whatever is constant or linear."""
    mesh = wavy(*CELLS[d])
    u = front(mesh.points)
    for field, monitor, exact in [
        (u, None, None),
        (np.stack([u, 1e9 * u**2], axis=1), Monitor("hessian"), None),
        (u, halves, front),
        (np.full(mesh.num_nodes, 1.1), None, None),
        (1 + mesh.points[:, 0] / 3, None, lambda x: 1 + x[..., 0] / 3),
    ]:
        found = mesh_measures(mesh, mesh, field, monitor, exact)
        ratios = (found.std_ratio, found.range_ratio, found.interpolation_ratio)
        assert ratios == (1, 1, 1) and found.cv_before == found.cv_after
        assert (found.folded, found.outside) == (0, 0)
        assert found.quality == mesh.quality.min()
    again = mesh_measures(mesh, mesh.moved(mesh.points + 1e-14), u)
    near = mesh_measures(mesh, mesh, u).as_dict()
    assert again.as_dict() == pytest.approx(near, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_towards_the_front_all_gets_better(d: int) -> None:
    """A little movement towards the front lowers every ratio; away from it every one rises. In 3D
    the mesh is too coarse to see that without the exact function."""
    mesh = wavy(CELLS[d][0], {1: 48, 2: 32, 3: 8}[d])
    u = front(mesh.points)
    for exact in (front, None) if d < 3 else (front,):
        better, worse = (
            mesh_measures(mesh, gathered(mesh, a), u, exact=exact) for a in (0.05, -0.05)
        )
        assert better.std_ratio < 1 < worse.std_ratio
        assert better.interpolation_ratio < 1 < worse.interpolation_ratio
        assert better.folded == worse.folded == better.outside == worse.outside == 0


def test_units_and_rotations_do_not_matter() -> None:
    """The same measures for x → L R x + b and u → a u + b."""
    mesh = wavy("triangle", 10)
    moved, u = gathered(mesh, 0.2), front(mesh.points)
    expected = mesh_measures(mesh, moved, u).as_dict()
    turn = 1e-6 * np.array([[0.6, -0.8], [0.8, 0.6]])
    here, there = (m.moved(m.points @ turn.T + 3e-6) for m in (mesh, moved))
    found = mesh_measures(here, there, 300 - 1e5 * u).as_dict()
    assert found == pytest.approx(expected, rel=1e-6)


def test_nodes_outside_and_in_holes() -> None:
    """Counted: a node beyond a side and one in a hole by more than 1e-9; not one by 1e-12."""
    grid = square(9)
    centre = (np.abs(grid.points[grid.cells["triangle"]].mean(axis=1) - 0.5) < 0.125).all(axis=1)
    keep, cells = np.unique(grid.cells["triangle"][~centre], return_inverse=True)
    mesh = Mesh(grid.points[keep], {"triangle": cells.reshape(-1, 3)})
    u = mesh.points[:, 0] ** 2
    rim = int(np.argmin(np.linalg.norm(mesh.points - [0.5, 0.375], axis=1)))
    for step, outside in ((0.05, 2), (1e-7, 2), (1e-12, 0), (-0.01, 0)):
        points = mesh.points.copy()
        points[0, 0] -= step if step > 0 else 0
        points[rim, 1] += step
        assert mesh_measures(mesh, mesh.moved(points), u).outside == outside


@pytest.mark.parametrize("cells", ["line", "quad", "mixed 2D", "tetra"])
def test_interpolation_error_is_the_norm_of_the_finite_elements(cells: str) -> None:
    """On simplices the same as `error_norms` of the nodal values; others count as their split."""
    mesh = wavy(cells, 4)
    name = {1: "line", 2: "triangle", 3: "tetra"}[mesh.dim]
    split = Mesh(mesh.points, {name: mesh.simplices})
    expected, _ = error_norms(split, front(split.points), front)
    assert interpolation_error(mesh, front) == pytest.approx(expected, rel=1e-12)
    pair = interpolation_error(mesh, lambda x: np.stack([front(x), 2 * front(x)], axis=-1))
    assert pair == pytest.approx(5**0.5 * expected, rel=1e-12)


def test_quadratic_fields_need_no_exact_function() -> None:
    """The field between the nodes is exact for quadratic u: the same ratio with and without u."""

    def u(x: np.ndarray) -> np.ndarray:
        return x[..., 0] ** 2 + 3 * x[..., 0] * x[..., 1] - x[..., 1]

    mesh = wavy("triangle", 8)
    moved = gathered(mesh, 0.3)
    known = mesh_measures(mesh, moved, u(mesh.points), exact=u).interpolation_ratio
    assert known != pytest.approx(1, abs=1e-3)
    found = mesh_measures(mesh, moved, u(mesh.points)).interpolation_ratio
    assert found == pytest.approx(known, rel=1e-9)


def test_constant_monitors_and_exact_fields() -> None:
    """Where there was nothing to lose any loss is infinite: a constant m, a linear u."""
    mesh = box("triangle", 4)
    moved = gathered(mesh, 0.3)
    found = mesh_measures(mesh, moved, np.ones(mesh.num_nodes))
    assert found.std_ratio == found.range_ratio == float("inf") and found.interpolation_ratio == 1
    assert found.cv_before == pytest.approx(0, abs=1e-12) and found.cv_after > 0.01


def test_readable_and_a_table_row() -> None:
    values = Measures(0.1, 0.2, 1.04, 0.104, 0, 12.345, 0.5, 3, 0.589, 0.9994)
    assert repr(values) == (
        "Measures(std ratio 0.1, range ratio 0.2, CV 1.04 -> 0.104, 0 folded, smallest angle "
        "12.3°, quality 0.5, 3 outside, interpolation ratio 0.589, volume ratio 0.9994)"
    )
    assert list(values.as_dict()) == [f.name for f in fields(Measures)]
    assert values.as_dict()["outside"] == 3


def test_errors() -> None:
    """Meshes and fields that do not belong together are said."""
    mesh = square(5)
    u = front(mesh.points)
    for wrong in (u[:-1], np.stack([[u]]), np.zeros((1, 25, 1))):
        with pytest.raises(ValueError, match=r"expected a field \[25\] or \[25, C\].*sample.u\[t"):
            mesh_measures(mesh, mesh, wrong)
    with pytest.raises(ValueError, match="field: 1 values are NaN or infinite.*index \\(3, 0\\)"):
        mesh_measures(mesh, mesh, np.where(np.arange(25) == 3, np.nan, u), halves)
    with pytest.raises(ValueError, match="a moved mesh with the cells of Mesh\\(25.*got Mesh\\(36"):
        mesh_measures(mesh, square(6), u)
    sphere = octasphere(1)
    with pytest.raises(ValueError, match="cells of dimension d = 3, got 2; curves and surfaces"):
        mesh_measures(sphere, sphere, sphere.points[:, 0])
    mirrored = mesh.moved(mesh.points * [-1, 1])
    with pytest.raises(ValueError, match="32 simplices of the reference are inverted.*number 0"):
        mesh_measures(mirrored, mirrored, u)
    with pytest.raises(ValueError, match="monitor: .* values are NaN or infinite, the first at x"):
        mesh_measures(mesh, mesh, u, lambda x: np.where(x[..., 0] > 0.5, np.inf, 1.0))
    with pytest.raises(ValueError, match="exact: expected values of shape"):
        mesh_measures(mesh, mesh, u, exact=lambda x: np.zeros((3, 3, 3)))
    with pytest.raises(ValueError, match="interpolation_error: 3 values are NaN"):
        interpolation_error(mesh, lambda x: np.where(np.arange(len(x)) < 3, np.nan, 0.0))


def test_the_monitor_of_interpolation_lowers_its_error_most():
    """(1 + r)^(2d/(d+4)) of |H u| against 1 + r of |∇u|, which when strong leaves too few cells."""
    mesh = square(25)

    def front(x):
        return np.tanh((np.linalg.norm(x - 0.45, axis=-1) - 0.3) / 0.08)

    ratios = {}
    for kind in ("gradient", "interpolation"):
        moved = adapt(mesh, front(mesh.points), monitor=Monitor(kind, 0.3))
        ratios[kind] = interpolation_error(moved, front) / interpolation_error(mesh, front)
    assert ratios["interpolation"] < 0.75 and ratios["gradient"] > 0.8
