"""Kinds of variation: what each of them reproduces exactly, and what stays where it is."""

import numpy as np
import pytest
import torch
from mesh_builders import BOXES, box, octasphere

import meshgnn as mg
from meshgnn.geometry.domains import draw
from meshgnn.geometry.morph import (
    Fillet,
    FreeForm,
    Modal,
    Morph,
    Motion,
    Noise,
    Offset,
    RadialBasis,
)

PLATE = mg.read("meshes/plate.msh")
RNG = np.random.default_rng(0)


def affine(d):
    """A, b of a map x -> A x + b near to the identity."""
    return np.eye(d) + 0.1 * np.arange(d * d).reshape(d, d) / d**2, 0.05 * np.arange(1, d + 1)


@pytest.mark.parametrize("cells", BOXES)
@pytest.mark.parametrize(
    "kind", [FreeForm(4), FreeForm(5, degree=2), FreeForm(2), RadialBasis(controls=8)]
)
def test_controls_moved_by_an_affine_map_move_everything_by_it(cells: str, kind) -> None:
    """p_c = (A - I) x_c + b gives x = A X + b: Bernstein polynomials and B-splines reproduce linear
    functions at their Greville abscissae, radial functions by their polynomial part."""
    mesh = box(cells, 3)
    d = mesh.points.shape[1]
    if isinstance(kind, RadialBasis):
        grid = np.stack(np.meshgrid(*[[0.1, 0.4, 1.0]] * d), axis=-1).reshape(-1, d)
        kind, controls = RadialBasis(grid), grid
    else:
        controls = kind.controls(mesh.points)
    matrix, shift = affine(d)
    p = controls @ (matrix - np.eye(d)).T + shift
    x = Morph(mesh, [kind]).moved(p.ravel()).points
    np.testing.assert_allclose(x, mesh.points @ matrix.T + shift, atol=1e-12)


@pytest.mark.parametrize("kernel", ["polyharmonic", "wendland"])
def test_radial_functions_pass_through_their_control_points(kernel: str) -> None:
    """u(x_c) = p_c where control points are nodes; and 0 at fixed parts."""
    nodes = PLATE.nodes_of("holes")[::7]
    kind = RadialBasis(PLATE.points[nodes], kernel=kernel)
    morph = Morph(PLATE, [kind], fixed=("outer",))
    p = 0.01 * RNG.normal(size=2 * len(nodes))
    found = morph.moved(p).points - PLATE.points
    np.testing.assert_allclose(found[nodes].ravel(), p, atol=2e-4)
    np.testing.assert_array_equal(found[PLATE.nodes_of("outer")], 0)


def test_bernstein_polynomials_are_those_of_the_paper() -> None:
    """Sederberg & Parry's eq. (2): u(s, t) = Σ C(l,i) C(m,j) (1-s)^(l-i) s^i (1-t)^(m-j) t^j p."""
    from math import comb

    mesh = box("quad", 4)
    s, t = mesh.points.T
    morph = Morph(mesh, [FreeForm((4, 3), handles=[(1, 2)])])
    weight = comb(3, 1) * (1 - s) ** 2 * s * t**2
    x = morph.moved(np.array([0.01, -0.02])).points
    np.testing.assert_allclose(x - mesh.points, weight[:, None] * [0.01, -0.02], atol=1e-15)


KINDS = {
    "free form": FreeForm(),
    "radial": RadialBasis(),
    "modal": Modal(),
    "noise": Noise(),
    "offset": Offset(["holes", "notch"]),
    "fillet": Fillet(["notch"]),
    "motion": Motion("holes", shift=0.01, turn=0.1, scale=0.1),
}


@pytest.mark.parametrize("name", KINDS)
def test_nothing_moves_at_zero_and_fixed_parts_never_do(name: str) -> None:
    """x(0) = X and x(p) = X on fixed parts, bit for bit; everything else is in bounds and moves."""
    morph = Morph(PLATE, [KINDS[name]], fixed=("outer",))
    count = len(morph.names)
    assert morph.bounds.shape == (count, 2) and (morph.bounds[:, 0] <= 0).all()
    np.testing.assert_array_equal(morph.moved(np.zeros(count)).points, PLATE.points)
    member = morph.draw(seed=3)
    fixed = PLATE.nodes_of("outer")
    np.testing.assert_array_equal(member.mesh.points[fixed], PLATE.points[fixed])
    assert np.abs(member.mesh.points - PLATE.points).max() > 1e-3
    assert (np.abs(member.parameters) <= np.abs(morph.bounds).max(axis=1)).all()


@pytest.mark.parametrize("extension", ["elastic", "harmonic", "radial"])
def test_a_part_moves_rigidly_and_scales(extension: str) -> None:
    """|x_i - x_j| = (1 + s) |X_i - X_j| on the part, its centre moves by t; the outside stays."""
    kind = Motion("hole", shift=0.05, turn=0.4, scale=0.2, extension=extension)
    mesh = draw("disc_with_holes", 1)
    morph = Morph(mesh, [kind])
    nodes = mesh.nodes_of("hole")
    before, after = mesh.points[nodes], morph.moved(np.array([0.02, -0.01, 0.3, 0.1])).points
    centre = before.mean(axis=0)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    expected = centre + [0.02, -0.01] + 1.1 * (before - centre) @ turn.T
    np.testing.assert_allclose(after[nodes], expected, atol=1e-13)
    outer = mesh.nodes_of("outer")
    np.testing.assert_array_equal(after[outer], mesh.points[outer])
    assert morph.names == ["hole shift.x", "hole shift.y", "hole turn", "hole scale"]


def test_turns_in_space_are_rotations_about_their_axis() -> None:
    """R(ω) = exp [ω]ₓ: distances stay, points on the axis through the centre stay."""
    mesh = mg.read("meshes/bracket.msh")
    morph = Morph(mesh, [Motion("pin", shift=0.0, turn=0.3)], fixed=("base",))
    nodes = mesh.nodes_of("pin")
    before, omega = mesh.points[nodes] - mesh.points[nodes].mean(axis=0), np.array([0.1, 0.2, -0.1])
    after = morph.moved(omega).points[nodes] - mesh.points[nodes].mean(axis=0)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1))
    np.testing.assert_allclose(after @ omega, before @ omega, atol=1e-14)
    small = morph.moved(1e-6 * omega).points[nodes] - mesh.points[nodes]
    np.testing.assert_allclose(small, 1e-6 * np.cross(omega, before), atol=1e-11)


def test_modes_of_a_circle_are_those_of_its_angle() -> None:
    """On a circle of radius R the Laplacian has λ = (m / R)², m = 0, 1, 1, 2, 2, ..."""
    mesh = draw("annulus", 0, 0.035)
    morph = Morph(mesh, [Modal()])
    rows = morph.body.rows(["inner"])
    values, fields = morph.body.skin.modes(rows, np.zeros(mesh.num_nodes, bool), 7)
    radius = np.linalg.norm(mesh.points[mesh.nodes_of("inner")], axis=1).mean()
    length = mesh.facet_areas[mesh.facets_of("inner")].sum()
    np.testing.assert_allclose(values * radius**2, [0, 1, 1, 4, 4, 9, 9], rtol=0.02, atol=1e-9)
    np.testing.assert_allclose(fields[mesh.nodes_of("inner"), 0], length**-0.5, rtol=1e-6)


def test_noise_has_the_deviation_and_the_correlation_that_were_asked_for() -> None:
    """std = a D; on a closed curve the correlation is 1 at 0, about 0.1 at ℓ, and falls between."""
    mesh = draw("annulus", 0, 0.05)
    kind = Noise(length=0.25, amplitude=0.01, parts=["outer"], variance=0.999)
    morph = Morph(mesh, [kind])
    nodes = mesh.nodes_of("outer")
    normals = mesh.node_normals[nodes]
    heights = np.einsum("nd,ndk->nk", normals, morph.deformations[0].modes[nodes])
    covariance = heights @ heights.T
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(deviation, 0.01 * morph.body.diagonal, rtol=0.02)
    x = mesh.points[nodes]
    angle = np.arctan2(*x.T)
    gap = np.abs((angle - angle[0] + np.pi) % (2 * np.pi) - np.pi) * np.linalg.norm(x[0])
    near = np.abs(gap - 0.25 * morph.body.diagonal).argmin()
    assert covariance[0, near] / covariance[0, 0] == pytest.approx(0.14, abs=0.06)
    assert np.abs(covariance[0, gap > 2 * gap[near]]).max() < 0.05 * covariance[0, 0]


def test_an_offset_makes_a_hole_smaller_and_a_free_side_thicker() -> None:
    """n is outward: p > 0 shrinks holes by 2 p across. On a box with free sides and the bottom
    held the inside is stretched about evenly, y -> (1 + p) y, without lateral contraction."""
    mesh = draw("annulus", 0, 0.06)
    x = Morph(mesh, [Offset(["inner"])]).moved(np.array([0.02])).points
    nodes = mesh.nodes_of("inner")
    radius = np.linalg.norm(mesh.points[nodes], axis=1)
    np.testing.assert_allclose(np.linalg.norm(x[nodes], axis=1), radius - 0.02, rtol=1e-3)
    mesh = draw("periodic_square", 0, 0.2)
    sides = ("left", "right")
    morph = Morph(mesh, [Offset(["top"])], fixed=("bottom",), free=sides)
    x = morph.moved(np.array([0.1])).points
    np.testing.assert_allclose(x, mesh.points * [1, 1.1], atol=5e-3)
    top = mesh.nodes_of("top")
    np.testing.assert_allclose(x[top], mesh.points[top] + [0, 0.1], atol=1e-15)


def test_a_fillet_rounds_corners_and_shrinks_circles_as_it_says() -> None:
    """y - r² Δy = x on a circle of radius R: |y| = R / (1 + r² / R²)."""
    mesh = draw("annulus", 0, 0.05)
    kind = Fillet(["inner"], radius=0.05)
    morph = Morph(mesh, [kind])
    nodes = mesh.nodes_of("inner")
    centre = mesh.points[nodes].mean(axis=0)
    radius = np.linalg.norm(mesh.points[nodes] - centre, axis=1).mean()
    step = 0.05 * morph.body.diagonal
    y = np.linalg.norm(morph.moved(np.ones(1)).points[nodes] - centre, axis=1)
    np.testing.assert_allclose(y, radius / (1 + step**2 / radius**2), rtol=5e-3)
    assert morph.bounds.tolist() == [[0, 1]]


@pytest.mark.parametrize("kind", [Modal(4), Noise(), Offset(["patch"]), FreeForm(3)])
def test_surfaces_in_space_vary_along_their_normals(kind) -> None:
    """The mesh is its own skin; an offset of all of a sphere by p has radius 1 + p."""
    sphere = octasphere(3)
    patch = mg.Mesh(sphere.points, sphere.cells, {"patch": mg.mesh.Group(2, sphere.cells)})
    morph = Morph(patch, [kind])
    if isinstance(kind, Offset):
        radius = np.linalg.norm(morph.moved(np.array([0.1])).points, axis=1)
        np.testing.assert_allclose(radius, 1.1, atol=1e-3)
    assert morph.draw(0).mesh.quality.min() > 0.3


def test_the_rim_of_a_surface_moves_while_the_other_stays() -> None:
    """Harmonic on the surface: the moved rim rigidly, held rims not at all, free ones follow."""
    shell = mg.read("meshes/dome.msh")
    top = mg.mesh.Group(0, {"vertex": shell.points[:, -1].argmax()[None, None]})
    mesh = mg.Mesh(shell.points, shell.cells, {**shell.groups, "top": top})
    x = Morph(mesh, [Motion("top")]).moved(np.array([0.0, 0.0, 0.1])).points - mesh.points
    np.testing.assert_array_equal(x[mesh.nodes_of("rim")], 0)
    np.testing.assert_allclose(x[mesh.nodes_of("top")], [[0, 0, 0.1]], atol=1e-15)
    assert x[:, 2].min() >= 0
    x = Morph(mesh, [Motion("top")], free=("rim",)).moved(np.array([0.0, 0.0, 0.1])).points
    np.testing.assert_allclose(x - mesh.points, np.tile([0, 0, 0.1], (len(x), 1)), atol=1e-12)


def test_gradients_are_those_of_the_map() -> None:
    """dx/dp by autograd against central differences, with all that is not linear in it."""
    mesh = draw("plate_with_holes", 1, 0.12)
    hole, *_ = sorted(name for name in mesh.groups if name.startswith("hole"))
    kinds = [FreeForm(3), Motion(hole, turn=0.2, scale=0.1)]
    outer = next(name for name in mesh.groups if not name.startswith("hole"))
    morph = Morph(mesh, kinds, slide=(outer,))
    weights = torch.tensor(RNG.normal(size=mesh.points.shape))
    p = torch.tensor(0.5 * morph.draw(1).parameters, requires_grad=True)
    (morph.points(p) * weights).sum().backward()
    assert p.grad is not None
    for k in (0, 5, *range(len(p) - 4, len(p))):
        step = torch.zeros(len(p), dtype=torch.float64)
        step[k] = 1e-6
        ahead, behind = ((morph.points(p.detach() + s) * weights).sum() for s in (step, -step))
        assert p.grad[k].item() == pytest.approx((ahead - behind).item() / 2e-6, rel=1e-4, abs=1e-6)


def test_sliding_nodes_stay_on_their_curve() -> None:
    """Distance to the polygon of the holes 0; the other nodes go where they would, or follow."""
    from scipy.spatial import KDTree

    free = Morph(PLATE, [FreeForm()]).draw(2).mesh.points
    morph = Morph(PLATE, [FreeForm()], slide=("holes",))
    x = morph.draw(2).mesh.points
    nodes, outer = PLATE.nodes_of("holes"), PLATE.nodes_of("outer")
    ends = PLATE.points[PLATE.groups["holes"].cells["line"]]
    weights = np.linspace(0, 1, 2001)[:, None, None]
    dense = (weights * ends[:, 0] + (1 - weights) * ends[:, 1]).reshape(-1, 2)
    assert KDTree(dense).query(x[nodes])[0].max() < 2e-5
    assert KDTree(dense).query(free[nodes])[0].max() > 5e-3
    assert np.abs(x[nodes] - PLATE.points[nodes]).max() > 5e-3
    np.testing.assert_array_equal(x[outer], free[outer])
