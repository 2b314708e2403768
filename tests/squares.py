"""The unit square in triangles, for tests that need any mesh with named sides."""

import numpy as np

from meshgnn.mesh import Group, Mesh


def square(n: int = 9, width: float = 1.0) -> Mesh:
    """n × n nodes on [0, width] × [0, 1]; "left" and "right", and "wall" for the whole boundary."""
    x, y = np.meshgrid(np.linspace(0, width, n), np.linspace(0, 1, n), indexing="ij")
    i = np.arange(n * n).reshape(n, n)
    quads = np.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], axis=-1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    mesh = Mesh(np.stack([x.ravel(), y.ravel()], axis=1), {"triangle": triangles})
    sides = {
        name: Group(1, {"line": np.stack([i[row, :-1], i[row, 1:]], axis=1)})
        for name, row in (("left", 0), ("right", -1))
    }
    return Mesh(mesh.points, mesh.cells, sides | {"wall": mesh.groups["boundary"]})
