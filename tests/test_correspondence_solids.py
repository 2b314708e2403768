"""Solids laid over each other: parts, edges and corners, affine maps, folds, gradients."""

import numpy as np
import pytest
import torch
from heat_sinks import PLATE, sink
from mesh_builders import box, masked, shear

from meshgnn.correspondence import Correspondence, Reference, Shape
from meshgnn.geometry.solid import box_with_hole
from meshgnn.mesh import Group, Mesh
from meshgnn.operators import locate


def named_box(names: tuple[str, ...], sizes=(1.0, 1.0, 1.0), n: int = 3) -> Mesh:
    """A box, its six faces named: x = 0, x = end, y = 0, ..."""
    bare = box("tetra", n, np.diag(sizes))
    bare = Mesh(bare.points, bare.cells)
    centres, groups = bare.facet_centres, {}
    for face, name in enumerate(names):
        axis, end = face // 2, sizes[face // 2] * (face % 2)
        on = np.abs(centres[:, axis] - end) < 1e-9
        groups[name] = Group(2, masked(bare.boundary_facets, on))
    return Mesh(bare.points, bare.cells, groups)


FACES = ("left", "right", "front", "back", "bottom", "top")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(Shape.of_mesh(sink()))


def off_part(laid: Correspondence, home: Mesh, mesh: Mesh, name: str) -> float:
    """The farthest that nodes of a part lie from the same part of the other shape."""
    facets = torch.tensor(mesh.groups[name].cells["triangle"])
    x, points = laid.points[home.nodes_of(name)], torch.tensor(mesh.points)
    found = locate(x, points, facets)
    feet = torch.einsum("qn,qnd->qd", found.weights, points[facets[found.simplex]])
    return (x - feet).norm(dim=1).max().item()


@pytest.mark.parametrize(
    "values", [(0.6, 0.15, 0.6, 0.5, 3), (0.3, 0.26, 1.0, 0.42, 2), (0.5, 0.2, 0.5, 0.4, 1)]
)
def test_parts_edges_and_corners_are_kept(reference: Reference, values: tuple) -> None:
    """Named parts on named parts to rounding; fins' tips and feet on those of the other shape;
    edges of the top on edges; no inverted tetrahedron."""
    home, mesh = sink(), sink(*values)
    laid = reference.over(Shape.of_mesh(mesh))
    laid.check()
    assert max(off_part(laid, home, mesh, name) for name in mesh.groups) < 1e-12
    x, old = laid.points.numpy(), home.points
    height, foot, taper, gap, _ = values
    for level, old_foot, new_foot in ((0, 0.2, foot), (1, 0.16, foot * taper)):
        for side in (-1, 1):
            there = (0.5 + 0.23 + side * old_foot / 2, 0.12, PLATE + 0.4 * level)
            node = np.linalg.norm(old - there, axis=1).argmin()
            wanted = (0.5 + gap / 2 + side * new_foot / 2, 0.12, PLATE + height * level)
            np.testing.assert_allclose(x[node], wanted, atol=1e-12)
    edge = np.intersect1d(home.nodes_of("top"), home.nodes_of("sides"))
    np.testing.assert_allclose(x[edge, 2], PLATE, atol=1e-12)
    assert (np.abs(x[edge][:, :2] / (1, 0.6) - 0.5).max(axis=1) > 0.5 - 1e-12).all()


def test_affine_maps_are_exact(reference: Reference) -> None:
    """X = A ξ + c and fields u(X) as they were, for any A: on the same nodes and on others."""
    home, finer = sink(), sink(cells=3)
    mild = 1.2 * np.eye(3) + 0.3 * (shear(3) - np.eye(3))  # edges stay sharp
    for mesh in (home, finer):
        image = mesh.points @ mild.T + (3.0, -2.0, 1.0)
        laid = reference.over(Shape.of_mesh(mesh.moved(image)))
        np.testing.assert_allclose(
            laid.points.numpy(), home.points @ mild.T + (3, -2, 1), atol=1e-9
        )
        np.testing.assert_allclose(laid.coordinates().numpy(), mesh.points, atol=1e-9)
        linear = torch.tensor(image @ np.array([[1.0], [2.0], [-3.0]]))
        torch.testing.assert_close(
            laid.to_shape(laid.to_reference(linear)), linear, atol=1e-8, rtol=0
        )


def test_curved_patches_between_two_rims() -> None:
    """Holes through boxes: on the hole, and around it in the same sense; no folds."""
    home, same = (box_with_hole(np.random.default_rng(0), size) for size in (0.16, 0.14))
    x, y, _ = same.points.T
    mesh = same.moved(same.points + 0.1 * np.stack([np.sin(2 * y), x * y, x], axis=1))
    laid = Reference(Shape.of_mesh(home)).over(Shape.of_mesh(mesh))
    laid.check()
    assert max(off_part(laid, home, mesh, name) for name in home.groups if name != "domain") < 1e-9
    hole = home.nodes_of("hole")
    before, after = home.points[hole, :2], laid.points.numpy()[hole, :2]
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    sizes = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    assert ((before * after).sum(axis=1) > 0.9 * sizes).all()


def test_thinned_controls_keep_the_boundary() -> None:
    """A spline through a third of the boundary: all of it in place, inside close to the full."""
    home, mesh = Shape.of_mesh(sink()), Shape.of_mesh(sink(0.5, 0.18, 0.7))
    whole = Reference(home).over(mesh)
    few = Reference(home, controls=len(whole.rim.nodes) // 3).over(mesh)
    few.check()
    assert torch.equal(few.points[few.reference.boundary.nodes], few.rim.of(mesh.points))
    assert (few.points - whole.points).norm(dim=1).max() < 0.02


def test_boundary_data_are_read_within_a_part(reference: Reference) -> None:
    """1 on the fins, 0 elsewhere, means at their edges: only 0 and 1 come back."""
    mesh = sink(0.5, cells=3)
    laid = reference.over(Shape.of_mesh(mesh))
    value = torch.zeros(mesh.num_nodes, 1, dtype=torch.float64)
    value[mesh.nodes_of("fins")] = 1.0
    value[np.intersect1d(mesh.nodes_of("fins"), mesh.nodes_of("top"))] = 0.5
    found = laid.rim.data(value)[:, 0]
    assert ((found - found.round()).abs() < 1e-12).all() and found.round().unique().tolist() == [
        0,
        1,
    ]


def test_points_are_differentiable(reference: Reference) -> None:
    """d/dp of Σ w · sin 3X for a shape whose nodes move with p, by central differences."""
    shape = Shape.of_mesh(sink(0.5, 0.17, 0.7, 0.43, 3))
    x, y, z = shape.points.T
    move = torch.stack([0.3 * x * z, y**2, z**2], dim=1)
    weight = torch.tensor([0.3, 0.7, -0.4], dtype=torch.float64)

    def total(p: torch.Tensor) -> torch.Tensor:
        moved = Shape(shape.points + p * move, shape.simplices, shape.facets, shape.names)
        return (torch.sin(3 * reference.over(moved).points) @ weight).sum()

    p = torch.tensor(0.0137, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(total(p), p)
    with torch.no_grad():
        found = (total(p + 1e-6) - total(p - 1e-6)) / 2e-6
    assert slope.item() == pytest.approx(found.item(), rel=1e-4)


def test_other_solids_are_refused(reference: Reference) -> None:
    with pytest.raises(ValueError, match=r"other patches between .*'fins' 10 in the reference, 0"):
        reference.over(Shape.of_mesh(named_box(FACES)))
    mirrored = named_box(("right", "left", *FACES[2:]))
    with pytest.raises(ValueError, match="edges meet otherwise at the ends of that of"):
        Reference(Shape.of_mesh(named_box(FACES))).over(Shape.of_mesh(mirrored))
    signs = np.array([[a, b, c] for a in (0, 3) for b in (1, 4) for c in (2, 5)])
    cells = np.column_stack([np.full(8, 6), signs])
    ball = Mesh(np.concatenate([np.eye(3), -np.eye(3), np.zeros((1, 3))]), {"tetra": cells})
    with pytest.raises(ValueError, match="part 'boundary' has a closed piece without edges, so"):
        Reference(Shape.of_mesh(ball.oriented()), sharp=np.pi / 2)
    points = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [-1, 0, 0], [-1, -1, 0.0]])
    pair = Mesh(points, {"tetra": np.array([[0, 1, 2, 3], [0, 1, 4, 5]])})
    with pytest.raises(ValueError, match="the boundary touches itself at 2 edges, the first at"):
        Reference(Shape.of_mesh(pair.oriented()))
