"""Few points out of many, and the radius that joins them."""

import numpy as np
import pytest
from mesh_builders import BOXES, box, wavy
from scipy.spatial.distance import cdist, squareform

from meshgnn.graph.radius import component_count, connected_radius, radius_edges
from meshgnn.graph.sampling import (
    covering,
    farthest_points,
    mesh_coarsened,
    poisson_disc,
    random_points,
)
from meshgnn.mesh import Mesh

POINTS = np.random.default_rng(0).random((400, 3))
SAMPLINGS = [random_points, farthest_points, poisson_disc]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_samplings_are_seeded_choices_without_repetition(sampling) -> None:
    for count in (1, 37, 400):
        found = sampling(POINTS, count, seed=5)
        assert len(found) == count == len(set(found.tolist())) and found.max() < 400
        np.testing.assert_array_equal(found, sampling(POINTS, count, seed=5))
    assert set(sampling(POINTS, 37, 5)) != set(sampling(POINTS, 37, 6))


def test_farthest_points_are_the_greedy_choice() -> None:
    """p_{k+1} = argmax_i min_j |x_i − p_j|, against the distance matrix; prefixes are nested."""
    found, gaps = farthest_points(POINTS, 60), cdist(POINTS, POINTS)
    for k in range(1, 60):
        least = gaps[:, found[:k]].min(axis=1)
        assert least[found[k]] == pytest.approx(least.max(), rel=1e-12)
    np.testing.assert_array_equal(found[:20], farthest_points(POINTS, 20))


def test_farthest_points_go_through_points_at_one_place_too() -> None:
    points = np.repeat(POINTS[:5], 3, axis=0)
    found = farthest_points(points, 15)
    assert sorted(found.tolist()) == list(range(15))
    assert len(np.unique(points[found[:5]], axis=0)) == 5


@pytest.mark.parametrize("sampling", [random_points, farthest_points])
def test_some_are_chosen_in_any_case(sampling) -> None:
    """Those given come first, and none twice; the farthest ones are farthest from these too."""
    start = np.array([7, 3, 250])
    found = sampling(POINTS, 50, 2, start)
    assert found[:3].tolist() == [7, 3, 250] and len(set(found.tolist())) == 50
    if sampling is farthest_points:
        gaps = cdist(POINTS, POINTS)[:, found]
        assert all(gaps[found[k], :k].min() == gaps[:, :k].min(1).max() for k in range(4, 50))


def test_covering_points_are_the_first_that_suffice() -> None:
    """No point is farther than the distance from one of them, and with one less some are."""
    found, gaps = covering(POINTS, 0.3, 400), cdist(POINTS, POINTS)
    assert gaps[:, found].min(axis=1).max() <= 0.3 < gaps[:, found[:-1]].min(axis=1).max()
    np.testing.assert_array_equal(covering(POINTS, 0.3, 5), found[:5])


def test_discs_keep_a_distance_that_random_points_do_not() -> None:
    """Least distance of 40 points: at least 2/3 of that of farthest points, 3 times random's."""
    spacing = {}
    for sampling in SAMPLINGS:
        chosen = POINTS[sampling(POINTS, 40)]
        spacing[sampling] = (cdist(chosen, chosen) + 9 * np.eye(40)).min()
    assert spacing[poisson_disc] > 2 / 3 * spacing[farthest_points]
    assert spacing[poisson_disc] > 3 * spacing[random_points]


@pytest.mark.parametrize("cells", BOXES)
def test_coarsened_meshes_are_seeded_choices_without_repetition(cells: str) -> None:
    mesh = wavy(cells, 6 if box(cells, 2).dim < 3 else 4)
    for count in (1, mesh.num_nodes // 5, mesh.num_nodes):
        found = mesh_coarsened(mesh, count)
        assert len(found) == count == len(set(found.tolist()))
    first = set(mesh_coarsened(mesh, mesh.num_nodes // 2, seed=1).tolist())
    assert first != set(mesh_coarsened(mesh, mesh.num_nodes // 2, seed=2).tolist())


def test_coarse_levels_stay_fine_where_the_mesh_is() -> None:
    """Of nodes at (k/20)³ a quarter lies in the corner [0, 1/8]²: so of a coarser level, while of
    points even in space next to none do."""
    mesh = box("triangle", 20)
    graded = mesh.moved(mesh.points**3)
    chosen = graded.points[mesh_coarsened(graded, 100)]
    even = graded.points[farthest_points(graded.points, 100)]
    shares = [float((p < 1 / 8).all(axis=1).mean()) for p in (graded.points, chosen, even)]
    assert shares[1] == pytest.approx(shares[0], abs=0.05) and shares[2] < 0.05


def test_parts_of_a_mesh_that_nothing_joins_are_all_sampled() -> None:
    """As many components as nodes asked for, and fewer than there are components."""
    one = box("triangle", 3)
    far = Mesh(
        np.concatenate([one.points + [3.0 * k, 0] for k in range(4)]),
        {"triangle": np.concatenate([one.cells["triangle"] + 20 * k for k in range(4)])},
    )
    assert sorted(mesh_coarsened(far, 4) // 20) == [0, 1, 2, 3]
    assert len(set(mesh_coarsened(far, 2) // 20)) == 2


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_connected_radius_is_the_longest_edge_of_the_spanning_tree(dim: int) -> None:
    """At r the graph is one component, at 0.999999 r it is not."""
    points = POINTS[:120, :dim]
    radius = connected_radius(points)
    assert component_count(radius_edges(points, radius), 120) == 1
    assert component_count(radius_edges(points, radius * (1 - 1e-6)), 120) > 1
    turned = np.pad(points, ((0, 0), (0, 3 - dim))) @ np.linalg.qr(POINTS[:3])[0] + 5
    assert connected_radius(turned) == pytest.approx(radius, rel=1e-6)


def test_the_connected_radius_of_lattices_twins_and_one_point() -> None:
    lattice = np.stack(np.meshgrid(*3 * [np.arange(4.0)]), -1).reshape(-1, 3)
    assert connected_radius(lattice) == pytest.approx(1.0)
    assert connected_radius(np.concatenate([lattice, lattice[:5]])) == pytest.approx(1.0)
    assert connected_radius(np.concatenate([lattice, lattice + [10.0, 0, 0]])) == pytest.approx(7.0)
    far = (POINTS + 100).astype(np.float32)
    assert component_count(radius_edges(far, connected_radius(far)), 400) == 1
    assert connected_radius(lattice[:1]) == connected_radius(lattice[[0, 0]]) == 0.0


def test_radius_edges_are_all_pairs_within_it_sorted_by_target() -> None:
    edges = radius_edges(POINTS, 0.2)
    near = squareform(cdist(POINTS, POINTS)[np.triu_indices(400, 1)]) <= 0.2
    np.fill_diagonal(near, False)
    np.testing.assert_array_equal(edges[::-1], np.argwhere(near).T)
    assert radius_edges(POINTS, 1e-9).shape == (2, 0)


def test_bad_points_counts_and_radii_are_refused() -> None:
    mesh = box("triangle", 2)
    broken = POINTS.copy()
    broken[7, 1] = np.nan
    for sampling in SAMPLINGS:
        with pytest.raises(
            ValueError, match=f"{sampling.__name__}: 1 points are NaN .* first is 7"
        ):
            sampling(broken, 3)
        for count in (0, 401):
            with pytest.raises(ValueError, match=f"count of 1 to 400, .* got {count}"):
                sampling(POINTS, count)
    with pytest.raises(ValueError, match="mesh_coarsened: expected a count of 1 to 12"):
        mesh_coarsened(mesh, 13)
    for function in (connected_radius, lambda points: radius_edges(points, 0.1)):
        with pytest.raises(ValueError, match="1 points are NaN or infinite, the first is 7"):
            function(broken)
        with pytest.raises(ValueError, match="expected at least one point, got none"):
            function(POINTS[:0])
    with pytest.raises(ValueError, match="expected a positive radius, got 0"):
        radius_edges(POINTS, 0.0)
