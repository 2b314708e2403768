"""A small mesh of triangles and quadrilaterals, samples on it, and what equal means."""

from dataclasses import fields

import numpy as np

from meshgnn.mesh import Group, Mesh
from meshgnn.sample import Boundary, Sample

RNG = np.random.default_rng(7)


def square(n: int = 3) -> Mesh:
    """Unit square: triangles below, quads above, a named left side and a named region."""
    x = np.linspace(0, 1, n + 1)
    points = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    i = np.arange(n * (n + 1)).reshape(n, n + 1)[:, :-1].ravel()
    quads = np.stack([i, i + 1, i + n + 2, i + n + 1], 1)
    low, high = quads[:n], quads[n:]
    cells = {"triangle": np.concatenate([low[:, [0, 1, 2]], low[:, [0, 2, 3]]]), "quad": high}
    sides = Mesh(points, cells).boundary_facets["line"]
    left = (points[sides] < 1e-12).all(1)[:, 0]
    groups = {
        "left": Group(1, {"line": sides[left]}),
        "rest": Group(1, {"line": sides[~left]}),
        "corner": Group(0, {"vertex": np.array([[0]])}),
        "low": Group(2, {"triangle": cells["triangle"]}),
    }
    return Mesh(points, cells, groups)


def make(times: int = 1, channels: int = 2, varying: bool = False, n: int = 3) -> Sample:
    mesh = square(n)
    mask = np.zeros((mesh.num_nodes, channels), bool)
    mask[mesh.nodes_of("left"), 0] = True
    shape = (times, *mask.shape) if varying else mask.shape
    facets = mesh.groups["rest"].cells["line"]
    boundary = Boundary(
        mask,
        np.where(mask, RNG.random(shape), 0.0),
        facets,
        np.zeros((len(facets), channels)),
        RNG.random((len(facets), channels)),
    )
    return Sample(
        mesh,
        boundary,
        RNG.random((mesh.num_nodes, 3)),
        np.arange(times) * 0.1,
        RNG.random((times, mesh.num_nodes, channels)),
        RNG.random(2),
        {
            "u": ["ux", "uy"][:channels],
            "inputs": ["fx", "fy", "k"],
            "params": ["nu", "rho"],
            "cell_inputs": ["k", "mass"],
        },
        {"ux": "m", "k": "W/(m K)"},
        1.25e-3,
        {"problem": "Test", "seed": [3, 4], "versions": {"meshgnn": "0.1"}},
        RNG.random((mesh.num_cells, 2)),
    )


def assert_equal_meshes(one: Mesh, other: Mesh) -> None:
    np.testing.assert_array_equal(one.points, other.points)
    assert list(one.cells) == list(other.cells)
    for name in one.cells:
        np.testing.assert_array_equal(one.cells[name], other.cells[name])
    assert list(one.groups) == list(other.groups)
    for name, group in one.groups.items():
        assert group.dim == other.groups[name].dim
        assert list(group.cells) == list(other.groups[name].cells)
        for kind in group.cells:
            np.testing.assert_array_equal(group.cells[kind], other.groups[name].cells[kind])


def assert_equal_samples(one: Sample, other: Sample) -> None:
    assert_equal_meshes(one.mesh, other.mesh)
    for pair in ((one, other), (one.boundary, other.boundary)):
        for f in fields(pair[0]):
            a, b = (getattr(part, f.name) for part in pair)
            if isinstance(a, np.ndarray):
                assert a.dtype == b.dtype, f.name
                np.testing.assert_array_equal(a, b, err_msg=f.name)
            elif f.name not in ("mesh", "boundary"):
                assert a == b, f.name
