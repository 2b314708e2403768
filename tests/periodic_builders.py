"""Structured periodic meshes of simplices on the unit box, in any dimension."""

import numpy as np
from mesh_builders import lattice, masked

from meshgnn.mesh import Group, Mesh

SIDES = {"left": "right", "bottom": "top", "front": "back"}


def periodic_box(dim: int, n: int) -> Mesh:
    """n cells along each axis; groups left/right (x), bottom/top (y), front/back (z)."""
    points, cells = lattice(*[n] * dim)
    blocks = {"line": cells} if dim == 1 else {}
    if dim == 2:
        blocks = {"triangle": np.concatenate([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]])}
    if dim == 3:
        # six tetrahedra around one diagonal of each cube: the same on opposite faces
        paths = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        number = np.arange(len(points)).reshape([n + 1] * 3)
        base = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
        tetra = []
        for path in paths:
            corner, row = base.copy(), [base]
            for axis in path:
                corner = corner + np.eye(3, dtype=int)[axis]
                row.append(corner)
            nodes = np.stack([number[tuple(c.T)] for c in row], axis=1)
            odd = path in ([0, 2, 1], [1, 0, 2], [2, 1, 0])
            tetra.append(nodes[:, [0, 1, 3, 2]] if odd else nodes)
        blocks = {"tetra": np.concatenate(tetra)}
    bare = Mesh(points, blocks)
    groups = {}
    for axis, pair in enumerate(list(SIDES.items())[:dim]):
        for name, place in zip(pair, (0.0, 1.0), strict=True):
            on = np.abs(bare.facet_centres[:, axis] - place) < 1e-12
            groups[name] = Group(dim - 1, masked(bare.boundary_facets, on))
    return Mesh(points, blocks, groups)


def pairs(dim: int) -> dict[str, str]:
    """The periodic groups of `periodic_box`."""
    return dict(list(SIDES.items())[:dim])
