"""`Lattice`: the cells of a square lattice in a polygon, their boundary faces, the dual mesh."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from meshgnn.mesh import Group, Mesh

_NORMALS = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
WALLS = ("left", "right", "bottom", "top")


def _rotations() -> dict[frozenset[tuple[int, int]], list[list[tuple[int, int]]]]:
    """{cells inside, of the four around a vertex: the quads there}, as offsets of half a cell."""
    full = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    base = [
        ([(1, 1)], [[(0, 0), (1, 0), (1, 1), (0, 1)]]),
        (full[:2], [[(-1, -1), (1, -1), (1, 0), (-1, 0)]]),
        (
            [(-1, 1), (-1, -1), (1, -1)],
            [[(0, 0), (0, 1), (-1, 1), (-1, -1)], [(0, 0), (-1, -1), (1, -1), (1, 0)]],
        ),
        (full, [full]),
    ]
    result = {}
    for cells, quads in base:
        for _ in range(4):
            result[frozenset(cells)] = quads
            cells = [(-y, x) for x, y in cells]
            quads = [[(-y, x) for x, y in quad] for quad in quads]
    return result


_QUADS = _rotations()


@dataclass(frozen=True, eq=False)
class Lattice:
    """Cells of width h = 1/N of the unit square that lie in a polygon with sides on the lattice.

    Positions are integers in half cells: centres (odd, odd), face midpoints of mixed parity,
    vertices (even, even); x = position h / 2. Nodes of the dual mesh are numbered: centres of the
    n inside cells (x slow, y fast), midpoints of the P boundary faces, corners of the polygon
    counter-clockwise. Not covered: holes, and parts that touch in a vertex.

    Args:
        inside: [N, N], by x and y.
        faces: [P, 2] positions of the boundary faces, in the order of their list.

    Raises:
        ValueError: faces that are not those of the cells; a boundary that is not one simple loop.
    """

    inside: Bool[np.ndarray, "N N"]
    faces: Int[np.ndarray, "P 2"]

    def __post_init__(self) -> None:
        ours = np.concatenate(
            [centres + n for n, centres in zip(_NORMALS, self._walls, strict=True)]
        )
        if not np.array_equal(_sorted(ours), _sorted(self.faces)):
            raise ValueError(
                f"Lattice: expected the {len(ours)} boundary faces of the inside cells, got "
                f"{len(self.faces)} positions that are others"
            )
        visited = len(np.unique(self.loop))
        if visited != len(self.faces):
            raise ValueError(
                f"Lattice: expected one boundary loop, but {len(self.faces) - visited} of "
                f"{len(self.faces)} faces are off the one through the middle of the left wall; "
                "holes and parts that touch in a vertex are not covered"
            )

    @classmethod
    def of(cls, inside: Bool[np.ndarray, "N N"]) -> "Lattice":
        """Faces counter-clockwise, the first one below the middle of the wall x = 0."""
        plain = object.__new__(cls)
        object.__setattr__(plain, "inside", inside)
        faces = np.concatenate([c + n for n, c in zip(_NORMALS, plain._walls, strict=True)])
        object.__setattr__(plain, "faces", faces)
        loop = plain.loop
        return cls(inside, faces[loop] if len(loop) == len(faces) else faces)

    @property
    def size(self) -> int:
        """N."""
        return len(self.inside)

    @cached_property
    def centres(self) -> Int[np.ndarray, "n 2"]:
        """Positions of the inside cells."""
        return 2 * np.argwhere(self.inside) + 1

    @cached_property
    def _padded(self) -> Bool[np.ndarray, "M M"]:
        return np.pad(self.inside, 1)

    @cached_property
    def _walls(self) -> list[Int[np.ndarray, "_ 2"]]:
        """For each normal, the centres of the cells without a neighbour there."""
        i, j = (self.centres // 2 + 1).T
        return [self.centres[~self._padded[i + a, j + b]] for a, b in _NORMALS]

    @cached_property
    def node_at(self) -> Int[np.ndarray, "L L"]:
        """Node at each position, -1 where there is none."""
        result = np.full((2 * self.size + 1,) * 2, -1)
        places = np.concatenate([self.centres, self.faces, self.corners])
        result[tuple(places.T)] = np.arange(len(places))
        return result

    @cached_property
    def normals(self) -> Int[np.ndarray, "P 2"]:
        """Outward normals of the faces."""
        i, j = (self.faces - 1).T // 2 + 1  # cell below or left of the face, and of the face itself
        upright = self.faces[:, 0] % 2 == 0
        low = self._padded[i, j]
        sign = np.where(low, 1, -1)
        return np.stack([np.where(upright, sign, 0), np.where(upright, 0, sign)], axis=1)

    @cached_property
    def owner(self) -> Int[np.ndarray, " P"]:
        """Number of the cell that each face belongs to."""
        number = np.full(self.inside.shape, -1)
        number[self.inside] = np.arange(len(self.centres))
        return number[tuple((self.faces - self.normals).T // 2)]

    @cached_property
    def loop(self) -> Int[np.ndarray, " _"]:
        """Faces counter-clockwise, from the one below the middle of the wall x = 0."""
        along = np.stack([-self.normals[:, 1], self.normals[:, 0]], axis=1)
        side = 2 * self.size + 1
        start, end = ((self.faces + s * along) @ np.array([side, 1]) for s in (-1, 1))
        at = np.full(side**2, -1)
        at[start] = np.arange(len(start))
        after = at[end].tolist()
        gap = np.abs(self.faces - [0, self.size - 1]) @ np.array([4 * side, 1])
        first = int(gap.argmin())
        result = [first]
        while (face := after[result[-1]]) != first and len(result) <= len(after):
            result.append(face)
        return np.array(result[: len(after)])

    @cached_property
    def turns(self) -> Bool[np.ndarray, " P"]:
        """Whether the boundary turns before each face of the loop."""
        normals = self.normals[self.loop]
        return (normals != np.roll(normals, 1, axis=0)).any(axis=1)

    @cached_property
    def starts(self) -> Int[np.ndarray, "P 2"]:
        """Vertices at which the faces of the loop begin."""
        normals = self.normals[self.loop]
        return self.faces[self.loop] - np.stack([-normals[:, 1], normals[:, 0]], axis=1)

    @cached_property
    def corners(self) -> Int[np.ndarray, "K 2"]:
        """Corners of the polygon, counter-clockwise."""
        return self.starts[self.turns]

    @cached_property
    def corner_faces(self) -> Int[np.ndarray, "K 2"]:
        """The faces before and behind each corner."""
        return np.stack([np.roll(self.loop, 1), self.loop], axis=1)[self.turns]

    @cached_property
    def pairs(self) -> Int[np.ndarray, "_ 2"]:
        """Numbers of the inside cells that share a face."""
        number = self.node_at[1::2, 1::2]
        both = [np.stack([n[:-1], n[1:]], axis=-1).reshape(-1, 2) for n in (number, number.T)]
        return np.concatenate([pair[(pair >= 0).all(axis=1)] for pair in both])

    @cached_property
    def face_sides(self) -> list[str]:
        """The side of the polygon that each face lies on: an outer wall, or "cut"."""
        end = 2 * self.size
        names = np.full(len(self.faces), "cut", dtype="U8")
        for name, at in zip(WALLS, ((0, 0), (0, end), (1, 0), (1, end)), strict=True):
            names[self.faces[:, at[0]] == at[1]] = name
        return names.tolist()

    @cached_property
    def quads(self) -> Int[np.ndarray, "M 4"]:
        """Cells of the dual mesh, counter-clockwise: one, or two, around each lattice vertex."""
        around = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        size = self.size + 1
        bits = [self._padded[(a + 1) // 2 :][:size, (b + 1) // 2 :][:, :size] for a, b in around]
        code = np.sum([bit.astype(int) << k for k, bit in enumerate(bits)], axis=0)
        blocks = []
        for number in np.unique(code[code > 0]).tolist():
            cells = frozenset(
                (int(a), int(b)) for k, (a, b) in enumerate(around) if number >> k & 1
            )
            vertices = 2 * np.argwhere(code == number)
            for quad in _QUADS[cells]:
                place = vertices[:, None] + np.array(quad)
                blocks.append(self.node_at[place[..., 0], place[..., 1]])
        return np.concatenate(blocks)

    @cached_property
    def points(self) -> Float[np.ndarray, "L 2"]:
        """Nodes of the dual mesh."""
        places = np.concatenate([self.centres, self.faces, self.corners])
        return places / (2.0 * self.size)

    def mesh(self, insulated: Bool[np.ndarray, " P"]) -> Mesh:
        """The dual mesh; groups "domain", "left", "right", "bottom", "top", "cut", "insulated".

        Pieces of the sides between neighbouring nodes: those that touch the midpoint of an
        insulated face are in "insulated", all others in the group of their side.
        """
        segments, names = self.outline(insulated)
        groups = {
            name: Group(1, {"line": segments[names == name]}) for name in np.unique(names).tolist()
        }
        quads = self.quads
        return Mesh(self.points, {"quad": quads}, groups | {"domain": Group(2, {"quad": quads})})

    def outline(
        self, insulated: Bool[np.ndarray, " P"]
    ) -> tuple[Int[np.ndarray, "S 2"], np.ndarray]:
        """Pieces of the boundary between neighbouring nodes, counter-clockwise; their groups."""
        faces, turns, first = self.loop, self.turns, len(self.centres)
        place = np.arange(len(faces)) + np.cumsum(turns)
        chain = np.zeros(len(faces) + turns.sum(), np.int64)
        chain[place] = first + faces
        chain[place[turns] - 1] = first + len(faces) + np.arange(turns.sum())
        segments = np.stack([chain, np.roll(chain, -1)], axis=1)
        number = segments - first
        face = np.where(number[:, 0] < len(faces), number[:, 0], number[:, 1])
        touched = (np.append(insulated, np.zeros(turns.sum(), bool))[number]).any(axis=1)
        return segments, np.where(touched, "insulated", np.array(self.face_sides)[face])


def _sorted(positions: Int[np.ndarray, "_ 2"]) -> Int[np.ndarray, "_ 2"]:
    return positions[np.lexsort(positions.T)]
