"""One reference over the shapes of a family: named parts, affine maps, folds, fields both ways."""

import numpy as np
import pytest
import torch
from mesh_builders import box

from meshgnn.correspondence import Reference, Shape
from meshgnn.geometry import domains
from meshgnn.geometry.polygon import Loop, circle, ellipse, mesh_polygon
from meshgnn.mesh import Mesh

SIDES = ["bottom", "right", "top", "left"]


def plate(x: float = 0.0, r: float = 0.15, size: float = 0.1, right: float = 0.5, name="hole"):
    """[−1, 1] × [−0.5, 0.5], `right` high at its right end, with a hole at x."""
    corners = np.array([[-1, -0.5], [1, -right], [1, right], [-1, 0.5]])
    return mesh_polygon([Loop(corners, SIDES), circle((x, 0.0), r, name, size / 2)], size)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(Shape.of_mesh(plate()))


@pytest.mark.parametrize("mesh", [plate(0.3, 0.2), plate(-0.2, 0.1, 0.07, 0.4)])
def test_named_parts_lie_on_named_parts(reference: Reference, mesh: Mesh) -> None:
    """Corners on corners, every boundary node within h² / 8r of its curve, volumes positive; the
    ends of a hole face the same way."""
    laid = reference.over(Shape.of_mesh(mesh))
    laid.check()
    x, home = laid.points.numpy(), plate()
    for name in (*SIDES, "hole"):
        nodes = home.nodes_of(name)
        lines = mesh.points[mesh.groups[name].cells["line"]]
        along = lines[:, 1] - lines[:, 0]
        t = ((x[nodes, None] - lines[:, 0]) * along).sum(2) / (along**2).sum(1)
        feet = lines[:, 0] + np.clip(t, 0, 1)[..., None] * along
        assert np.linalg.norm(x[nodes, None] - feet, axis=2).min(axis=1).max() < 1e-12
    corners = [np.flatnonzero((home.points == c).all(1))[0] for c in ((-1, -0.5), (-1, 0.5))]
    np.testing.assert_allclose(x[corners], home.points[corners], atol=1e-14)
    hole = home.nodes_of("hole")
    turned = (home.points[hole] * (x[hole] - x[hole].mean(axis=0))).sum(axis=1)
    sizes = np.linalg.norm(home.points[hole], axis=1) * np.linalg.norm(
        x[hole] - x[hole].mean(axis=0), axis=1
    )
    assert (turned > 0.98 * sizes).all()


def test_place_and_size_do_not_matter(reference: Reference) -> None:
    """X = 1.5 ξ + c to rounding where the shape is that image of the reference."""
    home = plate()
    image = 1.5 * home.points + (3.0, -2.0)
    laid = reference.over(Shape.of_mesh(home.moved(image)))
    np.testing.assert_allclose(laid.points.numpy(), image, atol=1e-9)
    np.testing.assert_allclose(laid.coordinates().numpy(), home.points, atol=1e-9)


def test_affine_maps_of_polygons_are_exact() -> None:
    """X = A ξ + c for any A: fractions of straight sides stay what they are."""
    home = domains.draw("l_shape", 1, 0.1)
    image = home.points @ np.array([[1.5, 0.2], [-0.1, 0.7]]).T + (3.0, -2.0)
    laid = Reference(Shape.of_mesh(home)).over(Shape.of_mesh(home.moved(image)))
    np.testing.assert_allclose(laid.points.numpy(), image, atol=1e-9)


def test_fields_come_back(reference: Reference) -> None:
    """Linear fields exactly there; smooth ones there and back to second order."""
    errors = []
    for size in (0.1, 0.05):
        mesh, home = plate(0.25, 0.2, size), Reference(Shape.of_mesh(plate(size=size)))
        laid = home.over(Shape.of_mesh(mesh))
        linear = torch.tensor(mesh.points)
        torch.testing.assert_close(laid.to_reference(linear), laid.points, atol=1e-12, rtol=0)
        smooth = torch.tensor(np.sin(3 * mesh.points[:, :1]) * mesh.points[:, 1:])
        back = laid.to_shape(laid.to_reference(smooth))
        errors.append(((back - smooth).norm() / smooth.norm()).item())
    assert errors[0] < 0.02 and errors[1] < errors[0] / 2.5


def test_points_are_differentiable() -> None:
    """dX/dp of a plate whose nodes move with p, against central differences; its own nodes are
    nowhere on those of the reference, where interpolants have kinks."""
    corners = np.array([[-1, -0.5], [1, -0.43], [1, 0.52], [-1, 0.5]])
    hole = ellipse((0.2, 0.03), (0.21, 0.13), 0.43, "hole", 0.047)
    home, mesh = Reference(Shape.of_mesh(plate())), mesh_polygon([Loop(corners, SIDES), hole], 0.09)
    points, weight = torch.tensor(mesh.points), torch.tensor([0.3, 0.7], dtype=torch.float64)

    def total(p: torch.Tensor) -> torch.Tensor:
        moved = points + p * torch.stack([points[:, 1] ** 2, torch.sin(points[:, 0])], dim=1)
        shape = Shape.of_mesh(mesh)
        laid = home.over(Shape(moved, shape.simplices, shape.facets, shape.names))
        return (torch.sin(3 * laid.points) @ weight).sum() + (laid.coordinates() ** 3).sum()

    p = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(total(p), p)
    step = 1e-5
    with torch.no_grad():
        found = (total(p + step) - total(p - step)) / (2 * step)
    assert slope.item() == pytest.approx(found.item(), rel=1e-5)


def test_pieces_of_one_name_and_sharp_corners_are_told_apart() -> None:
    """Two holes and four cut corners under one name each; a section with its trailing edge."""

    def two(shift: float) -> Mesh:
        square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
        hole = [[x, 0.3 + shift, 0.1] for x in (0.25, 0.75)]
        diamond = np.array([[0.5, 0.6], [0.6, 0.7], [0.5, 0.8], [0.4, 0.7]]) + (shift, 0)
        loops = [Loop(square, "wall"), *(circle((x, y), r, "hole", 0.05) for x, y, r in hole)]
        return mesh_polygon([*loops, Loop(diamond, "hole")], 0.1)

    home = two(0.0)
    laid = Reference(Shape.of_mesh(home)).over(Shape.of_mesh(two(0.1)))
    laid.check()
    near = np.abs(laid.points.numpy() - home.points).max()
    assert near == pytest.approx(0.1, abs=0.01)
    sections = [domains.draw("naca_aerofoil", seed, 0.15) for seed in (0, 1)]
    laid = Reference(Shape.of_mesh(sections[0])).over(Shape.of_mesh(sections[1]))
    tails = [
        m.points[m.nodes_of("aerofoil")[m.points[m.nodes_of("aerofoil")][:, 0].argmax()]]
        for m in sections
    ]
    place = np.linalg.norm(sections[0].points - tails[0], axis=1).argmin()
    np.testing.assert_allclose(laid.points[place].numpy(), tails[1], atol=1e-12)
    assert len(laid.folded) == 0


def test_other_shapes_are_refused(reference: Reference) -> None:
    with pytest.raises(
        ValueError, match=r"other curves .* \('gap' 0 in the reference, 1 here; 'ho"
    ):
        reference.over(Shape.of_mesh(plate(name="gap")))
    turned = plate()
    names = dict(zip(SIDES, ["right", "bottom", "top", "left"], strict=True))
    groups = {names.get(k, k): g for k, g in turned.groups.items()}
    with pytest.raises(ValueError, match="the boundary goes on otherwise behind part"):
        reference.over(Shape.of_mesh(Mesh(turned.points, turned.cells, groups)))
    far = reference.over(Shape.of_mesh(plate()))
    object.__setattr__(far, "points", far.points * torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"folds in \d+ of \d+ cells .* take a reference nearer"):
        far.check()
    with pytest.raises(ValueError, match="tetrahedra in 3D, got simplices of 2 corners in 1D"):
        Shape.of_mesh(box("line", 2))
    bow = Mesh(
        np.array([[0.0, 0], [1, 0], [1, 1], [-1, 0], [-1, -1]]),
        {"triangle": np.array([[0, 1, 2], [0, 3, 4]])},
    )
    with pytest.raises(ValueError, match="the boundary touches itself at 1 nodes, the first 0"):
        Reference(Shape.of_mesh(bow))
