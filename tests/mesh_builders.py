"""Meshes of every cell type on the unit box, with named groups, and a few surfaces and curves."""

from itertools import product

import numpy as np

from meshgnn.mesh import CELL_TYPES, Group, Mesh

BOX_2D = ("triangle", "quad", "mixed 2D")
BOX_3D = ("tetra", "hexahedron", "wedge", "pyramid", "mixed 3D")
BOXES = ("line", *BOX_2D, *BOX_3D)


def lattice(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of the unit box and its line, quad or hexahedron cells, counts[a] along axis a."""
    axes = [np.linspace(0, 1, n + 1) for n in counts]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(counts))
    number = np.arange(len(points)).reshape([n + 1 for n in counts])
    corners = {1: ["0", "1"], 2: ["00", "10", "11", "01"]}.get(
        len(counts), ["000", "100", "110", "010", "001", "101", "111", "011"]
    )
    part = {"0": slice(None, -1), "1": slice(1, None)}
    cells = [number[tuple(part[bit] for bit in corner)].ravel() for corner in corners]
    return points, np.stack(cells, axis=1)


def pyramids(points: np.ndarray, hexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Six pyramids in every hexahedron, about its centre."""
    centre = np.arange(len(hexes)) + len(points)
    faces = CELL_TYPES["hexahedron"].facets["quad"][:, ::-1]
    cells = [np.column_stack([hexes[:, face], centre]) for face in faces]
    return np.concatenate([points, points[hexes].mean(axis=1)]), np.concatenate(cells)


def wedges(hexes: np.ndarray) -> np.ndarray:
    """Two wedges in every hexahedron."""
    return np.concatenate([hexes[:, [0, 1, 2, 4, 5, 6]], hexes[:, [0, 2, 3, 4, 6, 7]]])


def mixed_3d() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Unit box: pyramids to x = 1/4, hexahedra to 1/2, wedges to 3/4, pyramids and tetrahedra to 1,
    all joined facet to facet."""
    points, hexes = lattice(4, 2, 2)
    slab = (points[hexes].mean(axis=1)[:, 0] * 4).astype(int)
    first, last = hexes[slab == 0], hexes[slab == 3]
    points, pyramid = pyramids(points, np.concatenate([first, last]))
    # in the last slab the pyramids that do not stand on a wedge are halved, by one rule
    in_last = np.tile(np.arange(len(first) + len(last)) >= len(first), 6)
    halved = in_last & (points[pyramid[:, :4], 0] != 0.75).any(axis=1)
    tetra = Mesh(points, {"pyramid": pyramid[halved]}).simplices
    return points, {
        "hexahedron": hexes[slab == 1],
        "pyramid": pyramid[~halved],
        "tetra": tetra,
        "wedge": wedges(hexes[slab == 2]),
    }


def cells_of_box(name: str, n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Points and cells of the unit interval, square or cube."""
    if name == "mixed 3D":
        return mixed_3d()
    dim = {"line": 1, "mixed 2D": 2}.get(name) or CELL_TYPES[name].dim
    points, cells = lattice(*(n + axis for axis in range(dim)))
    if name in ("line", "quad", "hexahedron"):
        return points, {name: cells}
    if name == "triangle":
        return points, {name: np.concatenate([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]])}
    if name == "mixed 2D":
        left, right = np.array_split(cells, 2)
        return points, {
            "triangle": np.concatenate([left[:, [0, 1, 2]], left[:, [0, 2, 3]]]),
            "quad": right,
        }
    if name == "tetra":
        return points, {name: Mesh(points, {"hexahedron": cells}).simplices}
    if name == "wedge":
        return points, {name: wedges(cells)}
    points, cells = pyramids(points, cells)
    return points, {name: cells}


def box(name: str, n: int = 2, matrix: np.ndarray | None = None) -> Mesh:
    """A box mesh with the groups "left" (x = 0), "rest" (of the boundary), "half" (cells with
    x < 1/2), "origin" (a point) and, from 2D on, "spine" (a line from the origin)."""
    points, cells = cells_of_box(name, n)
    bare = Mesh(points, cells)
    groups = {"origin": Group(0, {"vertex": np.array([[0]])})}
    at_left, cells_left = bare.facet_centres[:, 0] < 1e-12, []
    for block in bare.cells.values():
        cells_left.append(points[block].mean(axis=1)[:, 0] < 0.5)
    groups["half"] = Group(bare.dim, masked(bare.cells, np.concatenate(cells_left)))
    groups["left"] = Group(bare.dim - 1, masked(bare.boundary_facets, at_left))
    groups["rest"] = Group(bare.dim - 1, masked(bare.boundary_facets, ~at_left))
    if bare.dim > 1:
        groups["spine"] = Group(1, {"line": bare.edges[:1]})
    return Mesh(points if matrix is None else points @ matrix.T, cells, groups)


def masked(blocks: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of all blocks, one after the other, where the mask is True."""
    ends = np.cumsum([len(block) for block in blocks.values()])
    parts = zip(blocks.items(), np.split(mask, ends[:-1]), strict=True)
    return {name: block[part] for (name, block), part in parts}


def shear(dim: int) -> np.ndarray:
    """A linear map without symmetry; its determinant is not 1."""
    matrix = np.array([[1.3, 0.4, -0.2], [0.1, 0.8, 0.3], [-0.3, 0.2, 1.1]])
    return matrix[:dim, :dim]


def octasphere(levels: int) -> Mesh:
    """The unit sphere: an octahedron refined and projected."""
    points = np.concatenate([np.eye(3), -np.eye(3)])
    signs = np.array(list(product([0, 3], repeat=3)))
    faces = signs + np.arange(3)
    odd = (signs > 0).sum(axis=1) % 2 == 1
    faces[odd] = faces[odd][:, ::-1]
    mesh = Mesh(points, {"triangle": faces})
    for _ in range(levels):
        mesh = mesh.refined()
        mesh = mesh.moved(mesh.points / np.linalg.norm(mesh.points, axis=1, keepdims=True))
    return mesh


def band(twists: int, n: int = 24) -> Mesh:
    """A closed band of quadrilaterals with half twists: 0 a cylinder, 1 a Möbius strip."""
    angle = np.arange(n) * 2 * np.pi / n
    points = []
    for side in (-0.3, 0.3):
        radius = 1 + side * np.sin(twists * angle / 2)
        height = side * np.cos(twists * angle / 2)
        points.append(np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1))
    low, high = np.arange(n), np.arange(n) + n
    after_low, after_high = np.roll(low, -1), np.roll(high, -1)
    if twists % 2:
        after_low[-1], after_high[-1] = n, 0
    quads = np.stack([low, after_low, after_high, high], axis=1)
    return Mesh(np.concatenate(points), {"quad": quads})


def smooth(x: np.ndarray) -> np.ndarray:
    return np.sin(3 * x[..., 0] + 1) * np.exp(x[..., -1])


def wavy(cells: str, n: int) -> Mesh:
    """The unit box with its inner nodes moved."""
    mesh = box(cells, n)
    bump = np.prod(np.sin(np.pi * mesh.points), axis=1, keepdims=True)
    return mesh.moved(mesh.points + 0.05 * bump * np.cos(5 * mesh.points[:, ::-1]))


def disc(n: int, rings: int = 4) -> Mesh:
    """A disc of n edges around, exactly round."""
    angle = np.arange(n) * 2 * np.pi / n
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([np.zeros((1, 2)), *(ring * r / rings for r in range(1, rings + 1))])
    here, after = np.arange(n), np.roll(np.arange(n), -1)
    cells = [np.stack([0 * here, here + 1, after + 1], axis=1)]
    for r in range(rings - 1):
        a, b = 1 + r * n, 1 + (r + 1) * n
        cells.append(np.stack([a + here, b + here, b + after], axis=1))
        cells.append(np.stack([a + here, b + after, a + after], axis=1))
    return Mesh(points, {"triangle": np.concatenate(cells)})
