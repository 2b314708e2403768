"""A mesh to be deformed: what is held, and how the inside follows the boundary."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array, diags_array

from meshgnn.geometry.morph.kernels import radial_weights
from meshgnn.geometry.morph.matrices import Factorised, elastic, laplacian, lumped, volumes
from meshgnn.geometry.morph.skin import Skin
from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import simplices

EXTENSIONS = ("elastic", "harmonic", "radial")
_MOST = 3000  # centres of a dense radial system


@dataclass(frozen=True, eq=False)
class Body:
    """A mesh and what its boundary parts do while others are moved.

    Args:
        mesh: the mesh.
        fixed: parts (groups of any dimension) whose nodes never move.
        free: boundary parts that follow; all that is neither moved nor free is held.
        reach: ℓ / diagonal, the distance within which a field goes to 0 at fixed parts.
    """

    mesh: Mesh
    fixed: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    reach: float = 0.2
    _solvers: dict[tuple[str, bytes], Factorised] = field(default_factory=dict, repr=False)

    @cached_property
    def skin(self) -> Skin:
        """The boundary, or the mesh itself where it is a surface or curve in space."""
        return Skin.of(self.mesh)

    @cached_property
    def diagonal(self) -> float:
        """Length of the diagonal of the bounding box."""
        return float(np.linalg.norm(np.ptp(self.mesh.points, axis=0)))

    @cached_property
    def fixed_nodes(self) -> Bool[np.ndarray, " N"]:
        """Nodes of the fixed parts."""
        return self.marked(*(self.mesh.nodes_of(name) for name in self.fixed))

    @cached_property
    def skin_nodes(self) -> Bool[np.ndarray, " N"]:
        """Nodes of the boundary."""
        return self.marked(self.mesh.boundary_nodes)

    def marked(self, *nodes: np.ndarray) -> Bool[np.ndarray, " N"]:
        """Mask of some nodes."""
        mask = np.zeros(self.mesh.num_nodes, bool)
        for some in nodes:
            mask[some] = True
        return mask

    def rows(self, parts: Sequence[str] | None) -> Bool[np.ndarray, " F"]:
        """The skin simplices of parts; of None, all that are not fixed."""
        if parts is not None:
            return self.skin.rows(self.mesh, parts)
        return np.logical_not(self.fixed_nodes[self.skin.simplices].all(axis=1, keepdims=True))[
            :, 0
        ]

    def held(self, rows: Bool[np.ndarray, " F"]) -> Bool[np.ndarray, " N"]:
        """Nodes that stay while the given skin simplices are moved.

        Those of fixed parts, and all of other parts that are not free.
        """
        # of a surface in space both its cells and its rim may be named
        dim = self.skin.simplices.shape[1] - 1
        rest = ~rows & ~self.skin.rows(self.mesh, self._free(dim))
        return self.fixed_nodes | self.marked(self.skin.simplices[rest].ravel())

    def around(self, moved: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Nodes that are held while others are moved: fixed, or of a boundary facet that is not."""
        facets, owner = simplices(self.mesh.boundary_facets)
        free = [self.mesh.facets_of(name) for name in self._free(self.mesh.dim - 1)]
        rest = ~np.isin(owner, np.concatenate([np.zeros(0, np.int64), *free]))
        rest &= ~moved[facets].all(axis=1)
        return (self.fixed_nodes | self.marked(facets[rest].ravel())) & ~moved

    def _free(self, dim: int) -> list[str]:
        return [name for name in self.free if self.mesh.groups[name].dim == dim]

    def extended(
        self,
        values: Float[np.ndarray, "N d K"],
        given: Bool[np.ndarray, " N"],
        how: str = "elastic",
    ) -> Float[np.ndarray, "N d K"]:
        """Displacements of all nodes from those of given ones, as smooth as can be.

        "elastic": ∫ w ε(u) : ε(v) = 0 with w = 1/|s|, so that small cells are stiff; "harmonic":
        the same with ∫ w ∇u : ∇v; both natural at free parts. "radial": the polyharmonic spline
        through the given nodes, with linear polynomials, which knows nothing of the mesh.

        Raises:
            ValueError: another name; too many nodes for a dense radial system.

        Source: Stein, Tezduyar, Benney, J. Appl. Mech. 70 (2003) 58-63 (w = 1/|s|); de Boer, van
        der Schoot, Bijl, Comput. Struct. 85 (2007) 784-795 (radial).
        """
        if how not in EXTENSIONS:
            raise ValueError(f"unknown extension {how!r}; there are {', '.join(EXTENSIONS)}")
        n, d, k = values.shape
        if how == "radial":
            if given.sum() > _MOST:
                raise ValueError(
                    f"radial extension: expected at most {_MOST} prescribed nodes, got "
                    f"{given.sum()}; take 'elastic'"
                )
            x = self.mesh.points
            spread = radial_weights(x[given], x) @ values[given].reshape(-1, d * k)
            found = spread.reshape(n, d, k)
        else:
            # a surface in space resists bending of no kind: elasticity would be singular
            scalar = how == "harmonic" or self.mesh.dim < d
            solver = self._solver("harmonic" if scalar else "elastic", given)
            flat = values.reshape(n, d * k) if scalar else values.reshape(n * d, k)
            found = solver(flat).reshape(n, d, k)
        # exact where it is prescribed, also by splines
        found[given] = values[given]
        return found

    def faded(
        self, values: Float[np.ndarray, "N d K"], given: Bool[np.ndarray, " N"]
    ) -> Float[np.ndarray, "N d K"]:
        """u - ℓ² Δu = 0 with u given at some nodes: they, fading within the reach ℓ."""
        n, d, k = values.shape
        return self._solver("faded", given)(values.reshape(n, d * k)).reshape(n, d, k)

    def harmonic(self, given: Bool[np.ndarray, " N"]) -> Factorised:
        """The harmonic extension from given nodes, factorised."""
        return self._solver("harmonic", given)

    def _solver(self, how: str, given: Bool[np.ndarray, " N"]) -> Factorised:
        key = (how, given.tobytes())
        if key not in self._solvers:
            x, s = self.mesh.points, self.mesh.simplices
            size = volumes(x, s)
            d, stiff = x.shape[1], size.mean() / size
            if how == "elastic":
                found = Factorised(elastic(x, s, stiff), np.repeat(given, d), _rigid(x))
            elif how == "harmonic":
                found = Factorised(laplacian(x, s, stiff), given)
            else:
                mass = diags_array(lumped(x, s) / (self.reach * self.diagonal) ** 2)
                found = Factorised(csr_array(laplacian(x, s) + mass), given)
            self._solvers[key] = found
        return self._solvers[key]

    def __getstate__(self) -> dict:
        # factors cannot be pickled; they are made anew where they are needed
        return {**self.__dict__, "_solvers": {}}


def check_parts(
    mesh: Mesh, fixed: Sequence[str], free: Sequence[str], slide: Sequence[str]
) -> None:
    """Raises: ValueError: unknown or empty parts, texts in place of lists, parts that are to be
    fixed and to move, ones that are free without facets on the boundary."""
    for words in (fixed, free, slide):
        if isinstance(words, str):
            raise ValueError(f"Morph: expected a list of parts, got the text {words!r}")
        for name in words:
            if not len(mesh.nodes_of(name)):
                raise ValueError(f"Morph: part {name!r} is empty; leave it out")
    if both := set(fixed) & {*free, *slide}:
        raise ValueError(f"Morph: {sorted(both)} are to be fixed and to move; choose one")
    solid = mesh.dim == mesh.points.shape[1]
    allowed = (mesh.dim - 1, mesh.dim)[: 1 if solid else 2]
    for name in (*free, *slide):
        if (dim := mesh.groups[name].dim) not in allowed:
            raise ValueError(
                f"Morph: {name!r} has dimension {dim}; parts that are free or slide are of the "
                f"boundary, of dimension {allowed[0]}"
            )
        if dim < mesh.dim and not len(mesh.facets_of(name)):
            raise ValueError(
                f"Morph: no facet of part {name!r} is on the boundary; inside of the mesh all "
                "follows anyway, leave it out of free and slide"
            )


def _rigid(x: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "U r"]:
    """Translations and rotations as displacements."""
    n, d = x.shape
    fields = list(np.tile(np.eye(d), (n, 1)).T)
    for a in range(d):
        for b in range(a):
            turn = np.zeros((n, d))
            turn[:, a], turn[:, b] = x[:, b], -x[:, a]
            fields.append(turn.ravel())
    return np.stack(fields, axis=1)
