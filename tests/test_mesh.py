"""`Mesh` and `Group`: what is accepted, what is refused, and how groups find their entities."""

import copy
import pickle

import numpy as np
import pytest
from mesh_builders import BOXES, box, lattice, octasphere

from meshgnn.mesh import Group, Mesh
from meshgnn.mesh.cells import cell_type
from meshgnn.mesh.checks import blocks, coordinates

SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def square(**groups: Group) -> Mesh:
    return Mesh(SQUARE, {"triangle": TRIANGLES}, groups)


def test_vanishing_coordinates_are_dropped() -> None:
    flat = np.column_stack([SQUARE, np.zeros(4)])
    assert Mesh(flat, {"triangle": TRIANGLES}).points.shape == (4, 2)
    raised = flat + [0, 0, 1]
    assert Mesh(raised, {"triangle": TRIANGLES}).points.shape == (4, 3)
    # a line on the x axis is 1D, one on the y axis cannot lose the coordinate in between
    line = {"line": np.array([[0, 1]])}
    assert Mesh(np.array([[0.0, 0, 0], [1, 0, 0]]), line).points.shape == (2, 1)
    assert Mesh(np.array([[0.0, 0, 0], [0, 1, 0]]), line).points.shape == (2, 2)
    # never below the dimension of the cells, degenerate as they are
    assert Mesh(np.zeros((3, 3)), {"triangle": TRIANGLES[:1]}).points.shape == (3, 2)


def test_arrays_are_read_only_and_own() -> None:
    points, cells = SQUARE.copy(), TRIANGLES.astype(np.int32)
    mesh = Mesh(points, {"triangle": cells}, {"left": Group(1, {"line": np.array([[3, 0]])})})
    points[0], cells[0] = 7, 0
    assert mesh.points[0].tolist() == [0, 0] and mesh.cells["triangle"].dtype == np.int64
    assert mesh.cells["triangle"].tolist() == TRIANGLES.tolist()
    derived = [mesh.edges, mesh.volumes, mesh.boundary_facets["line"], mesh.node_normals]
    groups = [mesh.groups["left"].cells["line"]]
    for array in [mesh.points, mesh.cells["triangle"], *derived, *groups]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        mesh.points = points  # type: ignore[misc]


def test_float32_points_and_empty_blocks() -> None:
    none = np.zeros((0, 4), np.int64)
    mesh = Mesh(SQUARE.astype(np.float32), {"quad": none, "triangle": TRIANGLES})
    assert mesh.points.dtype == np.float64
    assert list(mesh.cells) == ["triangle"]
    assert mesh.num_cells == 2 and mesh.num_nodes == 4 and mesh.dim == 2


def test_boundary_group_is_added_only_where_there_is_none() -> None:
    assert list(square().groups) == ["boundary"]
    assert square().facets_of("boundary").tolist() == [0, 1, 2, 3]
    left = Group(1, {"line": np.array([[0, 3]])})
    assert list(square(left=left).groups) == ["left"]
    region = Group(2, {"triangle": TRIANGLES})
    assert list(square(region=region).groups) == ["region", "boundary"]
    assert list(square(boundary=region).groups) == ["boundary", "boundary_facets"]
    assert octasphere(0).groups == {}
    assert square().refined().groups["boundary"].cells["line"].shape == (8, 2)


def test_groups_find_their_entities_whatever_the_vertex_order() -> None:
    mesh = square(
        left=Group(1, {"line": np.array([[0, 3], [3, 0]])}),
        inside=Group(1, {"line": np.array([[2, 0], [1, 2]])}),
        lower=Group(2, {"triangle": np.array([[2, 0, 1]])}),
        corner=Group(0, {"vertex": np.array([[3], [1]])}),
    )
    (facet,) = mesh.facets_of("left")
    assert mesh.boundary_facets["line"][facet].tolist() == [3, 0]
    # the interface 0-2 is no boundary facet, its nodes stay
    assert mesh.boundary_facets["line"][mesh.facets_of("inside")].tolist() == [[1, 2]]
    assert mesh.nodes_of("inside").tolist() == [0, 1, 2]
    assert mesh.cells_of("lower").tolist() == [0]
    assert mesh.nodes_of("corner").tolist() == [1, 3]
    assert mesh.groups["left"].cells["line"].tolist() == [[0, 3], [3, 0]]


@pytest.mark.parametrize("name", BOXES)
def test_facets_and_cells_of_groups_in_mixed_blocks(name: str) -> None:
    mesh = box(name)
    left, rest = mesh.facets_of("left"), mesh.facets_of("rest")
    assert np.array_equal(np.sort(np.concatenate([left, rest])), np.arange(len(mesh.facet_areas)))
    assert np.allclose(mesh.facet_centres[left][:, 0], 0, atol=1e-15)
    assert (mesh.facet_centres[rest][:, 0] > 0).all()
    assert np.array_equal(mesh.nodes_of("left"), np.flatnonzero(mesh.points[:, 0] == 0))
    half = np.isin(np.arange(mesh.num_cells), mesh.cells_of("half"))
    centres = [mesh.points[block].mean(axis=1)[:, 0] for block in mesh.cells.values()]
    assert np.array_equal(half, np.concatenate(centres) < 0.5)


def test_unknown_groups_are_refused() -> None:
    foreign = Group(2, {"triangle": np.array([[0, 1, 2], [0, 1, 3]])})
    mesh = square(foreign=foreign, left=Group(1, {"line": np.array([[3, 0]])}))
    listed = r"no group 'lef' in this mesh; its groups: 'foreign' \(dim 2\), 'left' \(dim 1\)"
    for find in (mesh.nodes_of, mesh.facets_of, mesh.cells_of):
        with pytest.raises(ValueError, match=listed):
            find("lef")
    with pytest.raises(ValueError, match="group 'foreign' has dim 2, expected dim 1"):
        mesh.facets_of("foreign")
    with pytest.raises(ValueError, match="group 'left' has dim 1, expected dim 2"):
        mesh.cells_of("left")
    with pytest.raises(ValueError, match="'foreign': 1 of its cells do not occur in Mesh.cells"):
        mesh.cells_of("foreign")
    with pytest.raises(ValueError, match="'foreign': 1 of its cells do not occur"):
        mesh.refined()


def test_bad_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="expected cells of dimension 1, 2 or 3, got no cells"):
        Mesh(SQUARE, {"triangle": TRIANGLES[:0]})
    with pytest.raises(ValueError, match="got vertex; points without cells"):
        Mesh(SQUARE, {"vertex": np.array([[0]])})
    with pytest.raises(ValueError, match="line has dimension 1, expected 2 only"):
        Mesh(SQUARE, {"triangle": TRIANGLES, "line": np.array([[0, 1]])})
    with pytest.raises(
        ValueError, match=r"Mesh: expected triangle of shape \[M, 3\], got \(1, 4\)"
    ):
        Mesh(SQUARE, {"triangle": np.array([[0, 1, 2, 3]])})
    with pytest.raises(
        ValueError, match="Mesh: expected integer vertices of triangle, got float64"
    ):
        blocks({"triangle": TRIANGLES * 1.0}, "Mesh")
    with pytest.raises(ValueError, match="unknown cell type 'triangle6'.*Second-order cells"):
        Mesh(SQUARE, {"triangle6": np.array([[0, 1, 2, 3, 0, 1]])})
    for wrong in (4, -1):
        cells = TRIANGLES.copy()
        cells[1, 2] = wrong
        text = "Mesh cells: 1 triangle name vertices outside 0 ... 3, the first is number 1"
        with pytest.raises(ValueError, match=text):
            Mesh(SQUARE, {"triangle": cells})


def test_bad_points_are_refused() -> None:
    bad = SQUARE.copy()
    bad[2, 1], bad[3, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"2 points are NaN or infinite, the first is number 2"):
        Mesh(bad, {"triangle": TRIANGLES})
    text = "points of cells of dimension 2 need 2 to 3 coordinates, got shape"
    for points in (SQUARE[:, :1], np.zeros((4, 4))):
        with pytest.raises(ValueError, match=text):
            Mesh(points, {"triangle": TRIANGLES})
    with pytest.raises(ValueError, match=text):
        coordinates(np.zeros(4), 2, 2)


def test_bad_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="Group of dim 1: triangle has dimension 2, expected 1"):
        Group(1, {"triangle": TRIANGLES})
    with pytest.raises(ValueError, match=r"Group of dim 1: expected line of shape \[M, 2\]"):
        Group(1, {"line": TRIANGLES})
    with pytest.raises(ValueError, match="group 'far': 1 line name vertices outside 0 ... 3"):
        square(far=Group(1, {"line": np.array([[0, 9]])}))
    with pytest.raises(ValueError, match="group 'solid' has dim 3, but the cells .* have dim 2"):
        square(solid=Group(3, {"tetra": np.array([[0, 1, 2, 3]])}))
    with pytest.raises(ValueError, match="unknown cell type 'polygon'"):
        cell_type("polygon")


def test_moved_keeps_topology_and_dimension() -> None:
    mesh = square(left=Group(1, {"line": np.array([[3, 0]])}))
    edges = mesh.edges
    twice = mesh.moved(2 * SQUARE)
    assert twice.edges is edges and twice.groups is mesh.groups
    assert twice.volumes.sum() == 4 and mesh.volumes.sum() == 1
    # mirrored: the cells are inverted now, the boundary still points outward
    mirrored = mesh.moved(SQUARE * [-1, 1])
    assert np.allclose(mirrored.volumes, -0.5)
    assert mirrored.facet_normals[mirrored.facets_of("left")].tolist() == [[1, 0]]
    # lifted into space and flat there: it stays in space, also when refined, oriented, pickled
    lifted = mesh.moved(np.column_stack([SQUARE, np.zeros(4)]))
    for same in (lifted, lifted.refined(), lifted.oriented(), copy.deepcopy(lifted)):
        assert same.points.shape[1] == 3
    backward = Mesh(SQUARE, {"triangle": TRIANGLES * 1}).moved(lifted.points)
    assert backward.boundary_facets["line"].tolist() == mesh.boundary_facets["line"].tolist()
    with pytest.raises(ValueError, match="Mesh.moved: expected 4 points, got 3"):
        mesh.moved(SQUARE[:3])
    with pytest.raises(ValueError, match="1 points are NaN or infinite, the first is number 1"):
        mesh.moved(SQUARE * np.array([[1], [np.nan], [1], [1]]))
    with pytest.raises(ValueError, match="need 2 to 3 coordinates"):
        mesh.moved(SQUARE[:, :1])


def test_pickle_and_repr() -> None:
    mesh = box("mixed 3D")
    _ = mesh.edges
    again = pickle.loads(pickle.dumps(mesh))
    assert "edges" not in again.__dict__ and not again.points.flags.writeable
    assert np.array_equal(again.points, mesh.points)
    assert list(again.cells) == list(mesh.cells) and list(again.groups) == list(mesh.groups)
    for name, group in mesh.groups.items():
        for kind, rows in group.cells.items():
            same = again.groups[name].cells[kind]
            assert np.array_equal(same, rows) and not same.flags.writeable
    assert repr(square()) == "Mesh(4 nodes in 2D, 2 triangle, {'boundary': 1D})"


@pytest.mark.slow
def test_a_million_nodes() -> None:
    """Edges, boundary, masses and normals of 1,000,000 nodes in seconds (2 to 3 when quiet)."""
    from time import perf_counter

    points, quads = lattice(999, 999)
    cells = {"triangle": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])}
    start = perf_counter()
    mesh = Mesh(points, cells)
    assert len(mesh.edges) == 999 * 999 + 2 * 999 * 1000
    assert len(mesh.facet_areas) == len(mesh.boundary_nodes) == 4 * 999
    assert np.isclose(mesh.lumped_mass.sum(), 1) and np.isclose(mesh.node_areas.sum(), 4)
    assert np.isclose(np.abs(mesh.node_normals).sum(), 4 * 998 + 4 * np.sqrt(2))
    assert perf_counter() - start < 20
