"""Periodic meshes: twins by group name, and graphs with one node for each class of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mesh_builders import lattice

from meshgnn.geometry.periodic import periodic_square
from meshgnn.graph import Classes, MeshDataset, check_graph, to_graph
from meshgnn.mesh import Group, Mesh, twins
from meshgnn.nn import edge_vectors
from meshgnn.operators import hat_gradients
from meshgnn.sample import Boundary, Sample


def sides(n: int) -> tuple[Mesh, dict[str, np.ndarray]]:
    """The unit square of n × n cells, cut in triangles, with its four sides as groups."""
    points, quads = lattice(n, n)
    cells = {"triangle": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])}
    mesh = Mesh(points, cells)
    lines = mesh.boundary_facets["line"]
    centre = mesh.points[lines].mean(axis=1)
    parts = {
        "left": centre[:, 0] < 1e-9,
        "right": centre[:, 0] > 1 - 1e-9,
        "bottom": centre[:, 1] < 1e-9,
        "top": centre[:, 1] > 1 - 1e-9,
    }
    groups = {name: Group(1, {"line": lines[chosen]}) for name, chosen in parts.items()}
    return Mesh(mesh.points, mesh.cells, groups), parts


BOTH = {"left": "right", "bottom": "top"}


def periodic(mesh: Mesh, pairs: dict[str, str], u: np.ndarray | None = None, **given) -> Sample:
    boundary = replace(Boundary.none(mesh.num_nodes, 1), twin=twins(mesh, pairs), **given)
    return Sample(mesh, boundary, np.zeros((mesh.num_nodes, 1)), u=u)


def test_twins_of_a_square_are_its_sides_and_its_four_corners():
    mesh, _ = sides(5)
    twin = twins(mesh, BOTH)
    assert len(np.unique(twin)) == 25 and (twin[twin] == twin).all()
    gap = mesh.points - mesh.points[twin]
    np.testing.assert_allclose(gap, np.round(gap), atol=1e-12)
    corners = np.isin(mesh.points, (0, 1)).all(axis=1)
    assert len(set(twin[corners])) == 1
    assert len(np.unique(twins(mesh, {"left": "right"}))) == 30
    np.testing.assert_array_equal(twins(mesh, {}), np.arange(mesh.num_nodes))


def test_sides_that_do_not_match_are_refused():
    mesh, _ = sides(5)
    points = mesh.points.copy()
    points[mesh.nodes_of("right")[2], 1] += 0.03
    with pytest.raises(ValueError, match="1 nodes have no partner; mesh both sides alike"):
        twins(mesh.moved(points), {"left": "right"})
    with pytest.raises(ValueError, match="no translates"):
        twins(mesh, {"left": "top"})
    with pytest.raises(ValueError, match="every group once"):
        twins(mesh, {"left": "right", "right": "top"})


def test_the_graph_is_a_torus():
    """n² nodes of degree 6, short edges only, no boundary, all of the mass."""
    n = 6
    mesh, _ = sides(n)
    graph = to_graph(periodic(mesh, BOTH))
    check_graph(graph)
    assert graph.num_nodes == n * n
    assert (torch.bincount(graph.edge_index[1]) == 6).all()
    delta = edge_vectors(graph)
    assert float(delta.norm(dim=1).max()) <= 2**0.5 / n + 1e-6
    back = {(int(j), int(i)): d for (j, i), d in zip(graph.edge_index.T, delta, strict=True)}
    assert all(torch.allclose(d, -back[i, j], atol=1e-6) for (j, i), d in back.items())
    assert torch.allclose(graph.mass, torch.full((n * n,), 1 / n**2))
    assert not graph.normal.any() and not graph.area.any() and (graph.bc[:, 0] == 1).all()


def test_simplices_find_their_corners_across_the_period():
    mesh, _ = sides(5)
    graph = to_graph(periodic(mesh, BOTH))
    corners = graph.simplex_index.T
    shift = graph.simplex_shift.view(*corners.shape, 2) * graph.period
    pos = graph.pos[corners] + shift
    volume = hat_gradients(pos.flatten(0, 1), torch.arange(corners.numel()).view(corners.shape))[1]
    assert torch.allclose(volume, torch.tensor(mesh.simplex_volumes).float(), atol=1e-7)


def test_walls_of_a_channel_that_is_periodic_one_way_keep_their_normals():
    n = 5
    mesh, _ = sides(n)
    graph = to_graph(periodic(mesh, {"left": "right"}))
    wall = graph.area > 0
    assert int(wall.sum()) == 2 * n
    assert torch.allclose(graph.area[wall], torch.tensor(1 / n))
    expected = torch.stack([torch.zeros(2 * n), torch.sign(graph.pos[wall, 1])], dim=1)
    assert torch.allclose(graph.normal[wall], expected, atol=1e-6)


def test_values_go_to_the_graph_and_back():
    mesh, _ = sides(4)
    field = np.cos(2 * np.pi * mesh.points).sum(axis=1)[:, None]
    sample = periodic(mesh, BOTH, field[None])
    classes = Classes.of(sample)
    graph = to_graph(sample)
    np.testing.assert_allclose(classes.spread(graph.y[:, 0].numpy()), field, atol=1e-6)
    np.testing.assert_allclose(classes.sum(mesh.lumped_mass).sum(), 1)


def test_a_sample_keeps_its_twins_in_a_file(tmp_path):
    mesh, _ = sides(4)
    sample = periodic(mesh, BOTH)
    sample.save(tmp_path / "s.vtkhdf")
    np.testing.assert_array_equal(
        Sample.load(tmp_path / "s.vtkhdf").boundary.twin, sample.boundary.twin
    )


def test_wrong_twins_are_refused():
    mesh, _ = sides(4)
    free = Boundary.none(mesh.num_nodes, 1)
    every = np.arange(mesh.num_nodes)
    with pytest.raises(ValueError, match=r"twin: expected \[25\] nodes"):
        Sample(mesh, replace(free, twin=every + 1), np.zeros((25, 1)))
    chain = np.maximum(every - 1, 0)
    with pytest.raises(ValueError, match="whose twin has another twin"):
        Sample(mesh, replace(free, twin=chain), np.zeros((25, 1)))


def test_what_differs_among_twins_is_refused():
    """A graph has one node for both and would drop one of them silently; rounding is no matter."""
    mesh, _ = sides(4)
    free = replace(Boundary.none(25, 2), twin=twins(mesh, {"left": "right"}))
    wave = np.sin(2 * np.pi * mesh.points)
    u = np.stack([np.cos(2 * np.pi * mesh.points) * t for t in range(3)])
    sample = Sample(mesh, free, wave, np.arange(3.0), u)
    other = u.copy()
    other[1:, 21, 1] += 1e-6
    with pytest.raises(ValueError, match="u: .* 1 pairs .* nodes 1 and 21 in column 1: .*period"):
        replace(sample, u=other)
    assert replace(sample, u=(u + 1e-4 * (other - u)).astype(np.float32)).u.dtype == np.float32
    with pytest.raises(ValueError, match="inputs: .* 5 pairs .* nodes 0 and 20 in column 0"):
        replace(sample, inputs=mesh.points)
    held = np.zeros((25, 2), bool)
    held[22, 0] = True
    with pytest.raises(ValueError, match="dirichlet_mask: .* nodes 2 and 22 in column 0"):
        replace(sample, boundary=replace(free, dirichlet_mask=held))
    held[2, 0] = True
    values = np.where(held, np.arange(25)[:, None], 0.0)
    for given in (values, np.stack([0 * values, values, values])):
        with pytest.raises(ValueError, match="dirichlet_values: .* column 0: 2 and 22"):
            replace(sample, boundary=replace(free, dirichlet_mask=held, dirichlet_values=given))


def test_too_few_cells_across_a_period_are_refused():
    mesh, _ = sides(2)
    with pytest.raises(ValueError, match="at least three cells across a period"):
        to_graph(periodic(mesh, BOTH))


def test_periodic_and_other_samples_do_not_mix():
    mesh, _ = sides(4)
    u = np.zeros((1, mesh.num_nodes, 1))
    with pytest.raises(ValueError, match="differs from sample 0 in periodicity"):
        MeshDataset([periodic(mesh, BOTH, u), periodic(mesh, {}, u)])


def test_one_direction_of_a_mesh_from_gmsh():
    """Its matched sides differ by rounding along the other axis, which is no period of it."""
    mesh = periodic_square(0.1)
    graph = to_graph(periodic(mesh, {"left": "right"}))
    assert graph.period.tolist() == [[1.0, 0.0]]
    assert not graph.edge_shift[:, 1].any()
    assert graph.num_nodes == mesh.num_nodes - len(mesh.nodes_of("left"))


@pytest.mark.parametrize("kept", [["period"], ["period", "edge_shift"], ["simplex_shift"]])
def test_periodicity_is_told_whole_or_not_at_all(kept):
    """Half of it would be taken for none by whatever reads the other half."""
    mesh, _ = sides(4)
    graph, names = to_graph(periodic(mesh, BOTH)), ["edge_shift", "period", "simplex_shift"]
    missing = [name for name in names if name not in kept]
    for name in missing:
        del graph[name]
    with pytest.raises(ValueError, match=f"without {' and '.join(missing)}; build"):
        check_graph(graph)
    for name in kept:
        del graph[name]
    check_graph(graph)
