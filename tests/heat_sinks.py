"""Small heat sinks of tetrahedra: a plate with two tapered fins, without a mesher."""

from itertools import pairwise

import numpy as np
from mesh_builders import lattice, masked

from meshgnn.mesh import Group, Mesh

PLATE = 0.15


def sink(
    height: float = 0.4, foot: float = 0.2, taper: float = 0.8, gap: float = 0.46, cells: int = 2
) -> Mesh:
    """[0, 1] × [0, 0.6] × [0, PLATE] with fins on y in [0.12, 0.48]; `cells` a segment.

    Parts: base (underside), sides and top (of the plate), fins.
    """
    feet = [0.5 + s * gap / 2 + t * foot / 2 for s in (-1, 1) for t in (-1, 1)]
    breaks = [0, *feet, 1], [0, 0.12, 0.48, 0.6], [0, PLATE, PLATE + height]
    counts = [[cells] * 5, [cells, 2 * cells, cells], [cells, 2 * cells]]
    where, cubes = lattice(*(sum(c) for c in counts))
    axes, segments = [], []
    for ends, count in zip(breaks, counts, strict=True):
        parts = [np.linspace(*p, n + 1)[:-1] for p, n in zip(pairwise(ends), count, strict=True)]
        axes.append(np.concatenate([*parts, [ends[-1]]]))
        segments.append(np.repeat(np.arange(len(count)), count))
    places = [np.rint(w * (len(a) - 1)).astype(int) for w, a in zip(where.T, axes, strict=True)]
    x, y, z = (axis[place] for axis, place in zip(axes, places, strict=True))
    one, two, three = (s[p[cubes].min(axis=1)] for s, p in zip(segments, places, strict=True))
    cubes = cubes[(three == 0) | ((one % 2 == 1) & (two == 1))]
    middle = 0.5 + np.sign(x - 0.5) * gap / 2
    share = 1 - (1 - taper) * np.clip((z - PLATE) / height, 0, None)
    points = np.stack([middle + (x - middle) * share, y, z], axis=1)
    points[z <= PLATE, 0] = x[z <= PLATE]
    used, cubes = np.unique(cubes, return_inverse=True)
    points, cubes = points[used], cubes.reshape(-1, 8)
    bare = Mesh(points, {"tetra": Mesh(points, {"hexahedron": cubes}).simplices})
    return _named(bare)


def _named(bare: Mesh) -> Mesh:
    height, upwards = bare.facet_centres[:, 2], bare.facet_normals[:, 2]
    fins, base = height > PLATE + 1e-9, height < 1e-9
    top = ~fins & (upwards > 0.5)
    parts = {"base": base, "top": top, "fins": fins, "sides": ~(fins | base | top)}
    groups = {n: Group(2, masked(bare.boundary_facets, mask)) for n, mask in parts.items()}
    return Mesh(bare.points, bare.cells, groups)
