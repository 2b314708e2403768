"""Corner-cut problems: which rectangles are cut, and the dual mesh of the lattice."""

import numpy as np
import pytest
from corner_cases import CASES, rng

from meshgnn.datasets.beno import CornerCut, Lattice, corner_cuts, shapes


@pytest.fixture(params=CASES, ids=lambda c: f"{c.corners}{'m' if c.insulated else 'd'}")
def cut(request: pytest.FixtureRequest) -> CornerCut:
    return request.param


@pytest.mark.parametrize("corners", range(5))
def test_rectangles_keep_two_cells_apart(corners: int) -> None:
    """Covered cells of one rectangle, grown by one cell, meet no grown cells of another."""
    for seed in range(30):
        cuts = shapes.draw(rng(seed), corners, 32, (2, 29))
        assert ((cuts > 0).all(axis=1)).sum() == corners
        grown = np.zeros((34, 34), int)
        for (x, right), (y, top) in shapes.ends(cuts, 32):
            if right > x:
                grown[x : right + 2, y : top + 2] += 1
        assert grown.max(initial=0) <= 1


def test_default_sides_are_those_of_the_published_four_corner_file() -> None:
    cuts = np.stack([c.cuts for c in corner_cuts(60, seed=1)])
    assert (cuts.min(), cuts.max()) == (4, 14)


def test_dual_mesh_fills_the_polygon(cut: CornerCut) -> None:
    """Area and perimeter are those of the polygon; P = 4N faces, 4 + 2k corners, all in order."""
    lattice, sample = cut.lattice(), cut.lattice_sample()
    mesh, count, faces = sample.mesh, len(lattice.centres), 4 * cut.cells
    mesh.check()
    assert list(mesh.cells) == ["quad"]
    assert mesh.volumes.sum() == pytest.approx(lattice.inside.mean(), abs=1e-13)
    assert mesh.facet_areas.sum() == pytest.approx(4, abs=1e-12)
    assert mesh.num_nodes == count + faces + 4 + 2 * cut.corners
    assert len(mesh.boundary_facet_cells) == faces + 4 + 2 * cut.corners
    centres = np.argwhere(lattice.inside) + 0.5
    np.testing.assert_allclose(mesh.points[:count] * cut.cells, centres, atol=1e-12)
    np.testing.assert_array_equal(mesh.boundary_nodes, np.arange(count, mesh.num_nodes))


def test_faces_run_counter_clockwise_from_the_middle_of_the_left_wall(cut: CornerCut) -> None:
    """Shoelace area of the corners is that of the polygon; faces are a step of a cell apart."""
    lattice, n = cut.lattice(), cut.cells
    points = lattice.faces / (2 * n)
    assert points[0].tolist() == [0, 0.5 - 0.5 / n]
    steps = np.abs(np.roll(points, -1, axis=0) - points)
    assert steps.max() <= 1 / n
    x, y = lattice.corners.T / (2 * n)
    area = (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    assert area == pytest.approx(lattice.inside.mean())
    np.testing.assert_array_equal(lattice.loop, np.arange(4 * n))
    np.testing.assert_array_equal(lattice.centres[lattice.owner] + lattice.normals, lattice.faces)


def test_no_edge_leaves_the_polygon(cut: CornerCut) -> None:
    """Points along every edge, moved a little to both sides, touch a cell inside."""
    lattice, mesh = cut.lattice(), cut.lattice_sample().mesh
    a, b = mesh.points[mesh.edges].transpose(1, 0, 2)
    for t in np.linspace(0.05, 0.95, 7):
        x = (a + t * (b - a)) * cut.cells
        near = [np.floor(x + 1e-6 * np.array(d)) for d in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        near = np.clip(np.array(near, int), 0, cut.cells - 1)
        assert lattice.inside[near[..., 0], near[..., 1]].any(axis=0).all()


def test_groups_are_the_sides(cut: CornerCut) -> None:
    """Each piece of the boundary is in one group; lengths equal those of the gmsh mesh."""
    lattice, plane = cut.lattice_sample().mesh, cut.mesh(0.08)
    names = {n for n, g in lattice.groups.items() if g.dim == 1}
    assert names == {n for n, g in plane.groups.items() if g.dim == 1}
    found = np.concatenate([lattice.facets_of(name) for name in names])
    assert len(np.unique(found)) == len(found) == len(lattice.boundary_facet_cells)
    for name in names:
        length = plane.facet_areas[plane.facets_of(name)].sum()
        dual = lattice.facet_areas[lattice.facets_of(name)].sum()
        # pieces that straddle the ends of the insulated part belong to it: half a cell each
        assert dual == pytest.approx(length, abs=1.01 / cut.cells if cut.insulated else 1e-12)
    assert plane.volumes.sum() == pytest.approx(lattice.volumes.sum(), abs=1e-12)
    if cut.insulated is not None:
        assert plane.facet_areas[plane.facets_of("insulated")].sum() == pytest.approx(1)


def test_lattices_that_are_refused() -> None:
    inside = np.ones((6, 6), bool)
    inside[2, 3] = False
    with pytest.raises(ValueError, match="expected one boundary loop, but 4 of 28"):
        Lattice.of(inside)
    touching = np.zeros((6, 6), bool)
    touching[:4, :3] = touching[4:, 3:] = True
    with pytest.raises(ValueError, match="parts that touch in a vertex"):
        Lattice.of(touching)
    whole = Lattice.of(np.ones((6, 6), bool))
    with pytest.raises(ValueError, match="24 boundary faces of the inside cells, got 23"):
        Lattice(whole.inside, whole.faces[1:])
