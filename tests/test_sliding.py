"""Walls: who slides where, nearest points of curves and surfaces, steps that fold nothing."""

import numpy as np
import pytest
import torch
from mesh_builders import box, disc

from meshgnn import operators as op
from meshgnn.geometry.domains import draw
from meshgnn.mesh import Mesh


def parts(mesh: Mesh, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(mesh.points.copy(), dtype=dtype), torch.tensor(mesh.simplices.copy())


@pytest.mark.parametrize("cells", ["line", "triangle", "tetra"])
def test_tangents_of_a_box(cells):
    """T is diagonal: 1 along the axes whose coordinate is not 0 or 1; rank d, d-1, ..., 0."""
    mesh = box(cells, 3)
    inner = ~np.isin(mesh.points, [0, 1])
    found = op.tangents(*parts(mesh)).numpy()
    np.testing.assert_allclose(found, inner[:, :, None] * np.eye(mesh.dim), atol=1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_tangents_turn_with_the_mesh_and_do_not_see_orientation(d):
    mesh = box("triangle" if d == 2 else "tetra", 3)
    pos, simplices = parts(mesh)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    flipped = simplices[:, [1, 0, *range(2, d + 1)]]
    plain = op.tangents(pos, simplices)
    found = op.tangents(
        pos @ turn.T, torch.where(torch.rand(len(flipped), 1) < 0.5, flipped, simplices)
    )
    torch.testing.assert_close(found, turn @ plain @ turn.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("edges", "slides"), [(8, False), (10, False), (11, True), (40, True)])
def test_circles_are_smooth_from_eleven_edges_on(edges, slides):
    mesh = disc(edges)
    found = op.tangents(*parts(mesh))[mesh.boundary_nodes].numpy()
    normal = mesh.node_normals[mesh.boundary_nodes]
    expected = (np.eye(2) - normal[:, :, None] * normal[:, None, :]) * slides
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("cells", ["triangle", "tetra"])
def test_points_go_to_the_nearest_point_of_their_side(cells):
    """On the unit box it is the point with clipped coordinates, those across the side kept."""
    mesh = box(cells, 3)
    pos, simplices = parts(mesh)
    x = pos + 0.4 * torch.randn_like(pos)
    found = op.onto_boundary(x, pos, simplices)
    side = (pos == 0) | (pos == 1)
    wall = side.any(dim=1, keepdim=True)
    expected = torch.where(wall, torch.where(side, pos, x.clamp(0, 1)), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(op.onto_boundary(pos, pos, simplices), pos, rtol=0, atol=0)


def test_points_of_curves_stay_on_the_polygon_of_their_own_curve():
    """Two concentric circles: |x| within the sagitta of its own circle, wherever it came from."""
    mesh = draw("annulus", 1, 0.1)
    pos, simplices = parts(mesh)
    torch.manual_seed(0)
    found = op.onto_boundary(pos + 0.3 * torch.randn_like(pos), pos, simplices).numpy()
    for name in ("outer", "inner"):
        nodes = mesh.nodes_of(name)
        centre = mesh.points[nodes].mean(axis=0)
        radius = np.linalg.norm(mesh.points[nodes] - centre, axis=1).mean()
        away = np.linalg.norm(found[nodes] - centre, axis=1)
        assert away.max() < radius * (1 + 1e-6) and away.min() > radius * np.cos(np.pi / 9)
        assert len(np.unique(found[nodes].round(6), axis=0)) > len(nodes) // 2


def test_gradients_run_along_the_side():
    pos, simplices = parts(box("triangle", 4))
    x = (pos + 0.01).requires_grad_()
    op.onto_boundary(x, pos, simplices).sum().backward()
    expected = (~((pos == 0) | (pos == 1))).double()
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-12)


def test_labels_and_inner_walls():
    """A wall along x = 1/2, and a label that changes on the lower side: its ends stay."""
    mesh = box("triangle", 4)  # 4 by 5 cells
    pos, simplices = parts(mesh)
    inner = mesh.edges[(mesh.points[mesh.edges][:, :, 0] == 0.5).all(axis=1)]
    outer = mesh.boundary_facets["line"]
    facets = torch.tensor(np.concatenate([outer, inner]))
    centre = pos[facets].mean(dim=1)
    labels = ((centre[:, 1] == 0) & (centre[:, 0] < 0.25)).long()
    found = op.walls(pos, simplices, facets, labels)
    middle = (pos[:, 0] == 0.5) & (pos[:, 1] > 0) & (pos[:, 1] < 1)
    expected = torch.tensor([[0.0, 0.0], [0.0, 1.0]]).double().expand(int(middle.sum()), 2, 2)
    torch.testing.assert_close(found.tangents[middle], expected)
    stay = {(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.5, 1.0), (0.25, 0.0)}
    assert {tuple(p) for p in pos[found.corners].tolist()} == stay


def test_a_cylinder_slides_on_its_side_and_its_rims():
    """Nodes of the mantle have T = I - n nᵀ, those of the rims t tᵀ; the tip of a cone stays."""
    flat = disc(24)
    n, levels = flat.num_nodes, 4
    points = np.concatenate(
        [np.pad(flat.points, ((0, 0), (0, 1)), constant_values=z / 3) for z in range(levels)]
    )
    rows = flat.cells["triangle"]
    wedges = np.concatenate(
        [np.hstack([rows + z * n, rows + (z + 1) * n]) for z in range(levels - 1)]
    )
    mesh = Mesh(points, {"wedge": wedges})
    rank = np.trace(op.tangents(*parts(mesh)).numpy(), axis1=1, axis2=2).round(9)
    side = np.isclose(np.hypot(*points.T[:2]), 1)
    lid = np.isin(points[:, 2], [0, 1])
    np.testing.assert_array_equal(rank, 3 - side - 1.0 * lid)
    cone = mesh.moved(
        points * np.array([1, 1, 0])
        + np.array([0, 0, 1]) * (points[:, 2:] * (3 - 2.5 * np.hypot(*points.T[:2])[:, None]))
    )
    found = op.walls(*parts(cone))
    assert found.corners.tolist() == [(levels - 1) * n]


def test_unfolded_halves_only_where_cells_would_fold():
    """One inner node is sent across its star: it stops, all others go all the way."""
    pos, simplices = parts(box("triangle", 6))
    x = pos.clone()
    inner = (~((pos == 0) | (pos == 1))).all(dim=1)
    x[inner] += 0.01
    far = int(torch.nonzero(inner)[0])
    x[far] += 0.5
    found, step = op.unfolded(pos, x, simplices)
    before, after = (op.hat_gradients(p, simplices)[1] for p in (pos, found))
    assert (after >= 0.01 * before).all() and 0 < step[far] < 1
    whole = step == 1
    assert whole.sum() >= len(pos) - 8 and torch.equal(found[whole], x[whole])
    assert torch.equal(op.unfolded(pos, pos, simplices)[0], pos)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", ["disc_with_holes", "bracket"])
def test_unfolded_whatever_comes(family, dtype):
    """Random, huge and NaN targets in 2D and 3D, kept on the walls: no cell folds."""
    mesh = draw(family, 2, 0.2 if family == "bracket" else None)
    pos, simplices = parts(mesh, dtype)
    walls = op.walls(pos, simplices)
    torch.manual_seed(0)
    for size in (0.02, 1.0):
        x = pos + size * torch.randn_like(pos)
        found, step = op.unfolded(pos, x, simplices, onto=lambda p: walls.onto(p, pos))
        before, after = (op.hat_gradients(p.double(), simplices)[1] for p in (pos, found))
        assert (after / before >= 0.01).all() and step.mean() > 0
        again = walls.onto(found, pos)
        torch.testing.assert_close(
            again, found, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12
        )
    lost = torch.full_like(pos, torch.nan)
    assert torch.equal(op.unfolded(pos, lost, simplices)[0], pos)


def test_unions_are_their_parts():
    a, b = parts(disc(16)), parts(box("triangle", 3))
    pos, simplices = torch.cat([a[0], b[0]]), torch.cat([a[1], b[1] + len(a[0])])
    torch.testing.assert_close(
        op.tangents(pos, simplices), torch.cat([op.tangents(*a), op.tangents(*b)])
    )
    shift = 0.05 * torch.randn_like(pos)
    parts_of_x = [
        op.onto_boundary(p + s, p, c)
        for (p, c), s in zip((a, b), shift.split([len(a[0]), len(b[0])]), strict=True)
    ]
    torch.testing.assert_close(op.onto_boundary(pos + shift, pos, simplices), torch.cat(parts_of_x))


def test_surfaces_are_refused():
    pos = torch.eye(3)
    with pytest.raises(ValueError, match="walls: expected simplices with d \\+ 1 = 4 corners in 3"):
        op.tangents(pos, torch.tensor([[0, 1, 2]]))


def test_tangents_follow_nodes_around_a_curve():
    """A quarter turn around a circle T = t tᵀ is that of the new place; corners keep T = 0."""
    mesh = disc(40)
    pos, simplices = parts(mesh)
    walls = op.walls(pos, simplices)
    turn = torch.tensor([[0.0, -1], [1, 0]], dtype=torch.float64)
    found, before = walls.along(pos @ turn.T, pos), walls.tangents
    torch.testing.assert_close(found, turn @ before @ turn.T, rtol=0, atol=0.1)
    assert (found[mesh.boundary_nodes] - before[mesh.boundary_nodes]).abs().max() > 0.9
    square, cells = parts(box("triangle", 3))
    walls = op.walls(square, cells)
    torch.testing.assert_close(walls.along(square, square), walls.tangents, rtol=0, atol=1e-12)
