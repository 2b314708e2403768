"""Volumes, normals, masses, simplices and quality against closed forms and integral theorems."""

import numpy as np
import pytest
from mesh_builders import BOX_2D, BOX_3D, BOXES, band, box, lattice, octasphere, shear

from meshgnn.mesh import CELL_TYPES, Mesh
from meshgnn.mesh.topology import simplices

REGULAR = {
    "line": 1,
    "triangle": np.sqrt(3) / 4,
    "quad": 1,
    "tetra": np.sqrt(2) / 12,
    "hexahedron": 1,
    "wedge": np.sqrt(3) / 4,
    "pyramid": np.sqrt(2) / 6,
}
ROTATION = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]


def single(name: str) -> Mesh:
    kind = CELL_TYPES[name]
    return Mesh(kind.reference.copy(), {name: np.arange(kind.size)[None]})


def closure(mesh: Mesh) -> tuple[np.ndarray, float]:
    """∮ n ds and ∮ x·n ds."""
    vectors = mesh.facet_normals * mesh.facet_areas[:, None]
    return vectors.sum(axis=0), float((mesh.facet_centres * vectors).sum())


@pytest.mark.parametrize("name", REGULAR)
def test_regular_cells(name: str) -> None:
    """The regular cell has its closed-form volume, quality 1, and outward facets (Gauss)."""
    mesh = single(name)
    assert np.allclose(mesh.volumes, REGULAR[name], rtol=1e-14)
    assert np.allclose(mesh.quality, 1, rtol=1e-14)
    assert np.allclose(np.linalg.norm(np.diff(mesh.points[mesh.edges], axis=1), axis=2), 1)
    flux, gauss = closure(mesh)
    assert np.allclose(flux, 0, atol=1e-14) and np.isclose(gauss, mesh.dim * REGULAR[name])
    centre = mesh.points.mean(axis=0)
    assert (((mesh.facet_centres - centre) * mesh.facet_normals).sum(axis=1) > 0.1).all()
    inverted = Mesh(mesh.points, {name: mesh.cells[name][:, list(CELL_TYPES[name].flip)]})
    assert np.allclose(inverted.volumes, -REGULAR[name]) and np.allclose(inverted.quality, -1)
    assert np.isclose(closure(inverted)[1], mesh.dim * REGULAR[name])


@pytest.mark.parametrize("name", BOXES)
def test_sheared_boxes(name: str) -> None:
    """x = A ξ over the unit box: volume det A, ∮ n = 0, ∮ x·n = d |Ω|, ∫ of linear functions."""
    dim = box(name).dim
    matrix = shear(dim)
    mesh = box(name, matrix=matrix)
    volume = np.linalg.det(matrix)
    assert mesh.dim == mesh.points.shape[1] == dim
    assert np.isclose(mesh.volumes.sum(), volume) and (mesh.volumes > 0).all()
    flux, gauss = closure(mesh)
    assert np.allclose(flux, 0, atol=1e-13) and np.isclose(gauss, dim * volume)
    assert np.allclose(np.linalg.norm(mesh.facet_normals, axis=1), 1)
    assert np.isclose(mesh.lumped_mass.sum(), volume) and (mesh.lumped_mass > 0).all()
    assert np.allclose(mesh.lumped_mass @ mesh.points, volume * matrix.sum(axis=1) / 2)
    assert np.isclose(mesh.node_areas.sum(), mesh.facet_areas.sum())
    weighted = mesh.facet_areas @ mesh.facet_centres
    assert np.allclose(mesh.node_areas @ mesh.points, weighted)
    assert np.array_equal(np.flatnonzero(mesh.node_areas), mesh.boundary_nodes)
    assert np.allclose(np.bincount(mesh.simplex_cells, mesh.simplex_volumes), mesh.volumes)
    # the owner of a facet has its vertices
    blocks = [row for block in mesh.cells.values() for row in block.tolist()]
    facets = [row for block in mesh.boundary_facets.values() for row in block.tolist()]
    for facet, owner in zip(facets, mesh.boundary_facet_cells, strict=True):
        assert set(facet) <= set(blocks[owner])


@pytest.mark.parametrize("name", BOXES)
def test_normals_of_the_unit_box(name: str) -> None:
    """n = -e_x at x = 0; nodes inside a side have its normal, edges the mean, the rest none."""
    mesh = box(name, 3)
    assert np.allclose(mesh.facet_normals[mesh.facets_of("left")], -np.eye(mesh.dim)[0])
    assert np.isclose(mesh.facet_areas.sum(), 2 * mesh.dim)
    outward = np.where(mesh.points == 0, -1, np.where(mesh.points == 1, 1, 0))
    sides = np.abs(outward).sum(axis=1)
    assert np.allclose(mesh.node_normals[sides == 0], 0)
    assert np.allclose(mesh.node_normals[sides == 1], outward[sides == 1])
    many = mesh.node_normals[sides > 1]
    assert np.allclose(np.linalg.norm(many, axis=1), 1)
    assert (many * outward[sides > 1] >= 0).all()
    assert np.array_equal(mesh.boundary_nodes, np.flatnonzero(sides))


def test_interval() -> None:
    mesh = Mesh(np.array([[0.0], [0.5], [2.0]]), {"line": np.array([[1, 2], [1, 0]])})
    assert mesh.volumes.tolist() == [1.5, -0.5]
    facets = dict(zip(mesh.boundary_facets["vertex"][:, 0], mesh.facet_normals[:, 0], strict=True))
    assert facets == {0: -1.0, 2: 1.0} and mesh.facet_areas.tolist() == [1, 1]
    assert mesh.boundary_facet_cells.tolist() == [0, 1]
    assert mesh.oriented().volumes.tolist() == [1.5, 0.5]
    assert mesh.node_normals[:, 0].tolist() == [-1, 0, 1]
    assert mesh.node_areas.tolist() == [1, 0, 1]


def test_tilted_disc_has_conormals() -> None:
    """In a tilted plane ∮ ν = 0 and ∮ x·ν = 2 |Ω| with conormals ν tangent to the plane."""
    for name in BOX_2D:
        flat = box(name, 3)
        points = np.column_stack([flat.points, np.zeros(flat.num_nodes)]) @ ROTATION.T + 0.7
        mesh = Mesh(points, flat.cells, flat.groups)
        assert mesh.points.shape[1] == 3 and np.isclose(mesh.volumes.sum(), 1)
        flux, gauss = closure(mesh)
        assert np.allclose(flux, 0, atol=1e-14) and np.isclose(gauss, 2)
        assert np.allclose(mesh.facet_normals, flat.facet_normals @ ROTATION[:, :2].T)
        assert np.allclose(mesh.node_normals, flat.node_normals @ ROTATION[:, :2].T)
        assert np.allclose(mesh.quality, flat.quality) and np.allclose(
            mesh.lumped_mass, flat.lumped_mass
        )


def test_surfaces_in_space() -> None:
    """Sphere: 4π at second order, no boundary. Cylinder band: conormals ± e_z."""
    errors = [4 * np.pi - octasphere(levels).volumes.sum() for levels in (2, 3, 4)]
    assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.1)
    sphere = octasphere(2)
    assert sphere.boundary_facets == {} and sphere.groups == {}
    assert sphere.facet_normals.shape == sphere.facet_centres.shape == (0, 3)
    assert len(sphere.boundary_nodes) == 0 and len(sphere.facet_areas) == 0
    assert not sphere.node_normals.any() and not sphere.node_areas.any()
    cylinder = band(0, 24)
    side = 2 * np.sin(np.pi / 24)
    assert np.isclose(cylinder.volumes.sum(), 24 * side * 0.6)
    assert np.isclose(cylinder.facet_areas.sum(), 2 * 24 * side)
    sign = np.sign(cylinder.facet_centres[:, 2])
    assert np.allclose(cylinder.facet_normals, sign[:, None] * [0, 0, 1])


def test_curve_in_space() -> None:
    """A helix: its length, and its two ends with the outward tangents."""
    t = np.linspace(0, 3, 200)
    points = np.stack([np.cos(t), np.sin(t), t], axis=1)
    line = np.stack([np.arange(199), np.arange(1, 200)], axis=1)
    line[::2] = line[::2, ::-1]
    mesh = Mesh(points, {"line": line})
    assert np.isclose(mesh.volumes.sum(), 3 * np.sqrt(2), rtol=1e-4)
    order = mesh.boundary_facets["vertex"][:, 0].argsort()
    tangents = mesh.facet_normals[order]
    exact = np.array([[0, -1, -1], [-np.sin(3), np.cos(3), 1]]) / np.sqrt(2)
    assert np.allclose(tangents, exact, atol=1e-2)
    assert mesh.facet_areas.tolist() == [1, 1] and np.allclose(mesh.quality, 1)


@pytest.mark.parametrize("name", BOX_3D)
def test_simplices_conform(name: str) -> None:
    """However the nodes are numbered, the tetrahedra meet in whole triangles and fill the box."""
    mesh = box(name)
    for seed in range(20):
        number = np.random.default_rng(seed).permutation(mesh.num_nodes)
        points = np.empty_like(mesh.points)
        points[number] = mesh.points
        cells = {kind: number[block] for kind, block in mesh.cells.items()}
        other = Mesh(points, cells)
        split = Mesh(points, {"tetra": other.simplices})
        assert (split.volumes > 0).all() and np.isclose(split.volumes.sum(), 1)
        facets = {kind: len(rows) for kind, rows in other.boundary_facets.items()}
        triangles = facets.get("triangle", 0) + 2 * facets.get("quad", 0)
        assert len(split.boundary_facets["triangle"]) == triangles
        assert np.isclose(split.facet_areas.sum(), 6)
        split.check()
        # facets are cut as the cells behind them are
        halves, _ = simplices(other.boundary_facets)
        assert {tuple(r) for r in np.sort(halves).tolist()} == {
            tuple(r) for r in np.sort(split.boundary_facets["triangle"]).tolist()
        }
        assert np.allclose(other.node_areas, split.node_areas)


def test_split_sizes_and_orientation() -> None:
    sizes = {name: len(single(name).simplices) for name in REGULAR}
    assert list(sizes.values()) == [1, 1, 2, 1, 6, 3, 2]
    points, quads = lattice(2, 1)
    mesh = Mesh(points, {"quad": quads})
    assert mesh.simplices.tolist() == [[0, 2, 3], [0, 3, 1], [2, 4, 5], [2, 5, 3]]
    assert mesh.simplex_cells.tolist() == [0, 0, 1, 1]


def test_warped_facets_keep_volume_and_area_consistent() -> None:
    """Warped quads: the flux of n is O(h²) off, while masses and areas stay sums of simplices."""
    rng = np.random.default_rng(0)
    mesh = box("hexahedron", 3)
    moved = mesh.moved(mesh.points + rng.uniform(-0.03, 0.03, mesh.points.shape))
    assert np.isclose(moved.node_areas.sum(), moved.facet_areas.sum())
    assert np.isclose(moved.lumped_mass.sum(), moved.volumes.sum())
    split = Mesh(moved.points, {"tetra": moved.simplices})
    assert np.isclose(closure(split)[1], 3 * moved.volumes.sum())
    assert np.isclose(split.facet_areas.sum(), moved.facet_areas.sum())


def test_quality_closed_forms() -> None:
    right = Mesh(np.array([[0.0, 0], [1, 0], [0, 1]]), {"triangle": np.array([[0, 1, 2]])})
    assert np.allclose(right.quality, np.sqrt(3) / 2)
    points, quad = lattice(1, 1)
    assert np.allclose(Mesh(points * [3, 1], {"quad": quad}).quality, 2 * 3 / (1 + 9))
    corner = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    tetra = {"tetra": np.array([[0, 1, 2, 3]])}
    # 12 (3 V)^(2/3) / Σ l² with V = 1/6 and Σ l² = 9
    assert np.allclose(Mesh(corner, tetra).quality, 12 * 0.5 ** (2 / 3) / 9)
    flat = corner * [1, 1, 0] + [0, 0, 1] * corner[:, :1]
    assert Mesh(flat, tetra).quality.tolist() == [0]
    assert Mesh(np.zeros((4, 3)), tetra).quality.tolist() == [0]
    # a quad with a re-entrant corner is inverted there, in the plane and in space
    arrow = np.array([[0.0, 0], [1, 0], [0.2, 0.2], [0, 1]])
    for points in (arrow, np.column_stack([arrow, np.ones(4)]) @ ROTATION.T):
        assert Mesh(points, {"quad": np.array([[0, 1, 2, 3]])}).quality < 0


@pytest.mark.parametrize("name", BOXES)
def test_quality_ignores_size_and_rotation(name: str) -> None:
    mesh = box(name, matrix=shear(box(name).dim))
    assert ((mesh.quality > 0) & (mesh.quality < 1 + 1e-12)).all()
    assert np.allclose(mesh.moved(mesh.points * 1e-6).quality, mesh.quality)
    if mesh.dim == 3:
        proper = ROTATION * np.linalg.det(ROTATION)
        assert np.allclose(mesh.moved(mesh.points @ proper.T).quality, mesh.quality)
        assert np.allclose(mesh.moved(-mesh.points).quality, -mesh.quality)


def test_components() -> None:
    points, lines = lattice(5)
    mesh = Mesh(points, {"line": lines[[0, 1, 4]]})
    assert mesh.components.tolist() == [0, 0, 0, 1, 2, 2]
    assert not box("mixed 3D").components.any()
