"""Uniform refinement keeps volume, boundary, groups and names, on every cell type."""

import numpy as np
import pytest
from mesh_builders import BOXES, band, box, lattice, octasphere, shear

from meshgnn.mesh import CELL_TYPES, Group, Mesh


def entities(mesh: Mesh, size: int) -> int:
    """Number of different edges (2), quadrilaterals (4) or hexahedra (8) in the cells."""
    if size == 2:
        return len(mesh.edges)
    if size == 8:
        return len(mesh.cells.get("hexahedron", ()))
    rows = [np.zeros((0, 4), np.int64), mesh.cells.get("quad", np.zeros((0, 4), np.int64))]
    for kind, block in mesh.cells.items():
        if "quad" in CELL_TYPES[kind].facets:
            rows.append(block[:, CELL_TYPES[kind].facets["quad"]].reshape(-1, 4))
    return len(np.unique(np.sort(np.concatenate(rows)), axis=0))


@pytest.mark.parametrize("name", BOXES)
def test_boxes(name: str) -> None:
    """|Ω|, |∂Ω|, the measure and place of every group, and N' = N + edges + quads + hexahedra."""
    mesh = box(name, matrix=shear(box(name).dim))
    fine = mesh.refined()
    fine.check()
    added = sum(entities(mesh, size) for size in (2, 4, 8))
    assert fine.num_nodes == mesh.num_nodes + added
    assert np.array_equal(fine.points[: mesh.num_nodes], mesh.points)
    assert np.isclose(fine.volumes.sum(), mesh.volumes.sum())
    assert np.isclose(fine.facet_areas.sum(), mesh.facet_areas.sum())
    assert list(fine.groups) == list(mesh.groups)
    assert [g.dim for g in fine.groups.values()] == [g.dim for g in mesh.groups.values()]
    for group in ("left", "rest"):
        area = mesh.facet_areas[mesh.facets_of(group)].sum()
        assert np.isclose(fine.facet_areas[fine.facets_of(group)].sum(), area)
        factor = {1: 1, 2: 2, 3: 4}[mesh.dim]
        assert len(fine.facets_of(group)) == factor * len(mesh.facets_of(group))
    half = fine.cells_of("half")
    assert np.isclose(fine.volumes[half].sum(), mesh.volumes[mesh.cells_of("half")].sum())
    assert fine.nodes_of("origin").tolist() == [0]
    if mesh.dim > 1:
        (spine,) = mesh.groups["spine"].cells["line"]
        assert len(fine.nodes_of("spine")) == 3
        middle = fine.points[fine.nodes_of("spine")[2]]
        assert np.allclose(middle, mesh.points[spine].mean(axis=0))


@pytest.mark.parametrize("name", [n for n in BOXES if n not in ("tetra", "pyramid", "mixed 3D")])
def test_shapes_repeat(name: str) -> None:
    """Children of parallel cells are similar to their parents: quality stays as it is."""
    mesh = box(name, matrix=shear(box(name).dim))
    assert np.isclose(mesh.refined().refined().quality.min(), mesh.quality.min())


def test_children_per_cell() -> None:
    counts = {
        "line": {"line": 2},
        "triangle": {"triangle": 4},
        "quad": {"quad": 4},
        "tetra": {"tetra": 8},
        "hexahedron": {"hexahedron": 8},
        "wedge": {"wedge": 8},
        "pyramid": {"pyramid": 6, "tetra": 4},
    }
    for name, children in counts.items():
        kind = CELL_TYPES[name]
        fine = Mesh(kind.reference.copy(), {name: np.arange(kind.size)[None]}).refined()
        assert {child: len(block) for child, block in fine.cells.items()} == children
        pieces = fine.volumes[: children[name]]
        assert np.allclose(pieces, pieces[0]) and (fine.volumes > 0).all()


def test_tetrahedra_do_not_degenerate() -> None:
    """The shortest diagonal bounds quality from below over repeated refinement."""
    points = np.array([[0, 0, 0], [1, 0.2, 0], [0.1, 0.9, 0.3], [0.4, 0.3, 0.5]])
    mesh = Mesh(points, {"tetra": np.array([[0, 1, 2, 3]])})
    volume, least = mesh.volumes.sum(), []
    for _ in range(4):
        mesh = mesh.refined()
        least.append(mesh.quality.min())
    assert np.allclose(least[1:], least[1]) and least[-1] > 0.3
    assert np.isclose(mesh.volumes.sum(), volume)


def test_groups_off_the_cells_are_refined_too() -> None:
    """A diagonal that is no edge, an interface of quads, a point inside: all are carried on."""
    points, hexes = lattice(2, 1, 1)
    interface = np.array([[4, 5, 7, 6]])
    groups = {
        "diagonal": Group(1, {"line": np.array([[0, 11]])}),
        "interface": Group(2, {"quad": interface}),
        "probe": Group(0, {"vertex": np.array([[5]])}),
        "first": Group(3, {"hexahedron": hexes[:1, ::-1]}),
    }
    fine = Mesh(points, {"hexahedron": hexes}, groups).refined()
    lines = fine.groups["diagonal"].cells["line"]
    assert np.allclose(fine.points[lines].mean(axis=(0, 1)), 0.5)
    assert (fine.points[fine.nodes_of("interface")][:, 0] == 0.5).all()
    assert len(fine.nodes_of("interface")) == 9 and len(fine.facets_of("interface")) == 0
    assert set(fine.nodes_of("interface")) <= set(fine.cells["hexahedron"].ravel())
    assert fine.cells_of("first").tolist() == list(range(8))
    assert fine.nodes_of("probe").tolist() == [5]


def test_surfaces_keep_their_space_and_orientation() -> None:
    cylinder = band(0)
    fine = cylinder.refined()
    assert fine.points.shape[1] == 3 and np.isclose(fine.volumes.sum(), cylinder.volumes.sum())
    assert len(fine.facets_of("boundary")) == 2 * len(cylinder.facets_of("boundary"))
    assert fine.oriented() is fine
    assert octasphere(1).groups == {}
    assert np.isclose(octasphere(0).refined().volumes.sum(), octasphere(0).volumes.sum())


def test_is_reproducible() -> None:
    first, second = box("mixed 3D").refined(), box("mixed 3D").refined()
    assert np.array_equal(first.points, second.points)
    for name, block in first.cells.items():
        assert np.array_equal(block, second.cells[name])
