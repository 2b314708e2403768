"""Orientation, and the meshes that `check` refuses."""

import warnings

import numpy as np
import pytest
from mesh_builders import BOXES, band, box, lattice, octasphere

from meshgnn.mesh import CELL_TYPES, Mesh


def flipped(mesh: Mesh, seed: int, share: float = 0.4) -> Mesh:
    """Some cells mirrored at random."""
    rng, cells = np.random.default_rng(seed), {}
    for name, block in mesh.cells.items():
        chosen = rng.random((len(block), 1)) < share
        cells[name] = np.where(chosen, block[:, list(CELL_TYPES[name].flip)], block)
    return Mesh(mesh.points, cells, mesh.groups)


@pytest.mark.parametrize("name", BOXES)
def test_mirrored_cells_are_put_right(name: str) -> None:
    mesh = box(name, 3)
    assert mesh.oriented() is mesh
    for share in (0.4, 1.1):
        mixed = flipped(mesh, 0, share)
        assert (mixed.volumes < 0).any()
        with pytest.raises(ValueError, match="cells are inverted or degenerate"):
            mixed.check()
        right = mixed.oriented()
        right.check()
        for kind, block in mesh.cells.items():
            assert np.array_equal(right.cells[kind], block)
        assert np.array_equal(right.facets_of("left"), mesh.facets_of("left"))
        # outward normals never depended on it
        assert np.allclose(mixed.node_normals, mesh.node_normals)


def test_each_part_is_oriented_by_its_own_volume() -> None:
    points, quads = lattice(7, 2)
    cells = quads[[0, 1, 2, 3, 8, 9, 10, 11, 12]]
    cells[4:] = cells[4:, ::-1]
    mesh = Mesh(points, {"quad": cells}).oriented()
    assert (mesh.volumes > 0).all()


def test_a_folded_cell_stays_inverted() -> None:
    """Orientation repairs numbering only: a node dragged over its neighbours is an error."""
    mesh = box("triangle", 4)
    inner = np.flatnonzero(mesh.node_areas == 0)[0]
    points = mesh.points.copy()
    points[inner] += [0.6, 0]
    folded = mesh.moved(points).oriented()
    assert (folded.volumes < 0).any()
    with pytest.raises(ValueError, match=r"\d of 40 cells are inverted or degenerate .*: \d+"):
        folded.check()


def test_surfaces() -> None:
    """A closed surface is turned outward, ∮ x·n ds > 0; an open one follows its majority."""
    sphere = octasphere(2)
    assert sphere.oriented() is sphere
    for share in (0.3, 0.8):
        turned = flipped(sphere, 1, share).oriented()
        assert np.array_equal(turned.cells["triangle"], sphere.cells["triangle"])
        cylinder = band(0)
        turned = flipped(cylinder, 1, share).oriented()
        way = turned.cells["quad"][0].tolist() == cylinder.cells["quad"][0].tolist()
        assert way == (share < 0.5)
        assert turned.oriented() is turned
        assert np.allclose(turned.node_normals, cylinder.node_normals)


def test_curve() -> None:
    t = np.linspace(0, 3, 30)
    line = np.stack([np.arange(29), np.arange(1, 30)], axis=1)
    mesh = Mesh(np.stack([np.cos(t), np.sin(t)], axis=1), {"line": line})
    assert np.array_equal(flipped(mesh, 0, 0.3).oriented().cells["line"], line)


def test_moebius_strip_is_left_with_a_warning() -> None:
    strip = band(1)
    with pytest.warns(UserWarning, match="24 of 24 cells belong to a part without an orientation"):
        assert strip.oriented() is strip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        band(2).oriented()


def test_sheets_that_meet_in_one_line() -> None:
    """Three half planes on a common line: no boundary there, nothing joined, a legal surface."""
    points = np.array([[0.0, 0, 0], [0, 0, 1], [1, 0, 0], [-1, 1, 0], [-1, -1, 0]])
    mesh = Mesh(points, {"triangle": np.array([[0, 1, 2], [0, 1, 3], [1, 0, 4]])})
    mesh.check()
    assert len(mesh.boundary_facets["line"]) == 6
    assert mesh.oriented() is mesh


def test_degenerate_cells_are_refused() -> None:
    points = np.array([[0.0, 0], [1, 0], [2, 0], [0, 1]])
    mesh = Mesh(points, {"triangle": np.array([[0, 2, 3], [0, 1, 2]])})
    with pytest.raises(ValueError, match=r"1 of 2 cells are inverted or degenerate .*: 1; repair"):
        mesh.check()
    twice = Mesh(points, {"triangle": np.array([[0, 1, 3], [1, 2, 3], [1, 2, 2]])})
    with pytest.raises(ValueError, match=r"1 of 3 cells are inverted"):
        twice.check()
    # on a surface as well, where volumes have no sign
    raised = np.column_stack([points, [1, 1, 1, 2]])
    with pytest.raises(ValueError, match="1 of 2 cells are inverted"):
        Mesh(raised, {"triangle": mesh.cells["triangle"]}).check()


def test_a_hexahedron_whose_tetrahedra_invert_is_refused() -> None:
    """All corners of a twisted hexahedron are good, yet a simplex of its split is not."""
    rng = np.random.default_rng(0)
    cube, hexes = lattice(1, 1, 1)
    for _ in range(4000):
        mesh = Mesh(cube + rng.uniform(-0.45, 0.45, cube.shape), {"hexahedron": hexes})
        if (mesh.quality > 0).all() and (mesh.simplex_volumes <= 0).any():
            break
    text = (
        r"1 of 1 cells have upright corners \(Mesh.quality > 0\) but are so "
        "warped that their split has inverted or degenerate simplices .*: 0; make the mesh finer"
    )
    with pytest.raises(ValueError, match=text):
        mesh.check()


def test_disconnected_meshes_are_refused() -> None:
    points, quads = lattice(7, 2)
    mesh = Mesh(points, {"quad": quads[[0, 1, 2, 3, 8, 9, 10, 11, 12]]})
    lost = np.setdiff1d(np.arange(len(points)), mesh.cells["quad"])
    with pytest.raises(ValueError, match=f"{len(lost)} nodes belong to no cell: {lost[0]}"):
        mesh.check()
    used, numbers = np.unique(mesh.cells["quad"], return_inverse=True)
    parts = Mesh(points[used], {"quad": numbers.reshape(-1, 4)})
    sizes = np.sort(np.bincount(parts.components))[::-1].tolist()
    assert len(sizes) == 2
    text = f"the mesh is disconnected: 2 components of {sizes[0]}, {sizes[1]} nodes"
    with pytest.raises(ValueError, match=text):
        parts.check()


def test_long_lists_are_cut() -> None:
    points, quads = lattice(20, 1)
    with pytest.raises(ValueError, match=r"20 of 20 cells .*: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...;"):
        Mesh(points, {"quad": quads[:, ::-1]}).check()


def test_cells_that_overlap_are_refused() -> None:
    mesh = box("tetra")
    twice = Mesh(mesh.points, {"tetra": np.concatenate([mesh.cells["tetra"]] * 2)})
    with pytest.raises(ValueError, match="triangle facets are shared by three cells or more, of"):
        twice.check()


def test_hexahedra_beside_tetrahedra_are_refused() -> None:
    """Two triangles on a quad: the cells touch and do not join; a field would be torn there."""
    points, hexes = lattice(2, 1, 1)
    tetra = Mesh(points, {"hexahedron": hexes[1:]}).simplices
    mesh = Mesh(points, {"hexahedron": hexes[:1], "tetra": tetra})
    with pytest.raises(ValueError, match=r"2 triangular facets .* at nodes 4, 5, 6, 7: .*pyramids"):
        mesh.check()
