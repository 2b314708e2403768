"""Keys of facets and the counts of vertices, edges, facets and cells."""

import numpy as np
from mesh_builders import BOXES, box, octasphere

from meshgnn.mesh import CELL_TYPES
from meshgnn.mesh.topology import match_rows, row_keys


def test_keys_are_exact_beyond_63_bits() -> None:
    """Rows are matched by exact keys also where n^k overflows an int64."""
    rng = np.random.default_rng(0)
    for k, nodes in [(1, 9), (2, 10**9), (3, 12), (3, 4 * 10**6), (4, 10**6), (8, 10**7)]:
        table = np.sort(rng.choice(nodes, (500, k)) if nodes > 99 else rng.choice(nodes, (9, k)))
        table = np.unique(table, axis=0)
        assert len(np.unique(row_keys(table, nodes))) == len(table)
        rows = rng.permuted(np.concatenate([table[::2], table[:1] - 1]) % nodes, axis=1)
        place = match_rows(rows, table, nodes)
        for row, found in zip(np.sort(rows), place, strict=True):
            equal = np.flatnonzero((table == row).all(axis=1))
            assert found == (equal[0] if len(equal) else -1)


def test_edges_and_euler_characteristic() -> None:
    """V - E + F - C = 1 for a ball and 2 for a sphere, with F counted from the facets."""
    counts = [len(kind.edges) for kind in CELL_TYPES.values()]
    types = ["vertex", "line", "triangle", "quad", "tetra", "hexahedron", "wedge", "pyramid"]
    assert list(CELL_TYPES) == types and counts == [0, 1, 3, 4, 6, 12, 9, 8]
    for name in BOXES:
        mesh = box(name, 3)
        assert (mesh.edges[:, 0] < mesh.edges[:, 1]).all()
        assert np.array_equal(np.lexsort(mesh.edges.T[::-1]), np.arange(len(mesh.edges)))
        halves = sum(
            len(block) * sum(len(rows) for rows in CELL_TYPES[kind].facets.values())
            for kind, block in mesh.cells.items()
        )
        facets = (halves + len(mesh.facet_areas)) // 2
        numbers = [mesh.num_nodes, len(mesh.edges), facets, mesh.num_cells]
        if mesh.dim < 3:
            numbers[mesh.dim :] = [mesh.num_cells]
        assert sum((-1) ** i * n for i, n in enumerate(numbers)) == 1
    sphere = octasphere(2)
    assert sphere.num_nodes - len(sphere.edges) + sphere.num_cells == 2
