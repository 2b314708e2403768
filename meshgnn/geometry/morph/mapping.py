"""`Morph`: one mesh and the ways in which its shape varies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import Tensor

from meshgnn.geometry.morph.body import Body, check_parts
from meshgnn.geometry.morph.curves import Curves
from meshgnn.geometry.morph.deformation import Deformation, Kind
from meshgnn.geometry.morph.remeshing import check_groups, remeshed
from meshgnn.geometry.morph.spatial import FreeForm
from meshgnn.geometry.morph.validity import flaw
from meshgnn.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Variation:
    """A member of a family: its mesh, and the parameters it is the image of.

    Args:
        mesh: the cells and groups of the first mesh at points x(p); a new mesh of the same shape
            if `remeshed`.
        parameters: p [P], those that were drawn times 2^-halvings.
        halvings: how often the parameters were halved until the mesh was valid.
        remeshed: whether gmsh meshed the shape anew.
    """

    mesh: Mesh
    parameters: Float[np.ndarray, " P"]
    halvings: int = 0
    remeshed: bool = False


@dataclass(frozen=True, eq=False)
class Morph:
    """x(p) = X + Σ_k c_k(p) φ_k(X): the nodes of a mesh as a function of shape parameters.

    Cells and named groups stay what they are. The displacements φ_k are computed once, so that a
    member costs a product of a matrix [N d, K] with c(p) and the check of its cells; they take
    16 N d K bytes. A member is valid: no simplex is inverted, every quality is above the floor, no
    facets cross. One that would not be is remade with half its parameters, and so on, so that its
    shape is always x(p) of the parameters that it comes with. Periodic meshes have to keep their
    matched sides fixed.

    A morph is a family for `simulate`: a function of a random generator that returns a mesh.

    Args:
        mesh: the mesh to vary, d = 1, 2, 3, any linear cells, surfaces and curves too.
        kinds: how it varies; the displacements of several kinds are added.
        fixed: parts (groups of any dimension) that do not move at all.
        free: boundary parts that follow where a part is moved and the rest of the boundary held;
            for deformations of the boundary, not those of space (FreeForm, RadialBasis).
        slide: boundary parts that are free, and whose nodes are put back to their curve or surface
            (their polygon, their triangles); corners of it stay. Not for surfaces in space.
        floor: least `Mesh.quality` of a member.
        remesh: mesh the shape anew with gmsh (triangles, tetrahedra) when its boundary is sound and
            its cells are not, rather than to retreat. Members then differ in their nodes.
        halvings: how often parameters are halved before the morph gives up.
        reach: ℓ / diagonal, the distance within which displacements go to 0 at fixed parts.

    Raises:
        ValueError: unknown parts, a part that is to be both fixed and free, no kinds, a mesh that
            is not valid or below the floor itself, one that cannot be meshed anew where it should;
            empty parts; a reach or number of halvings out of range.
    """

    mesh: Mesh
    kinds: Sequence[Kind] = (FreeForm(),)
    fixed: Sequence[str] = ()
    free: Sequence[str] = ()
    slide: Sequence[str] = ()
    floor: float = 0.1
    remesh: bool = False
    halvings: int = 10
    reach: float = 0.2

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("Morph: expected at least one kind of variation, such as FreeForm()")
        if self.halvings < 0 or not self.reach > 0 or not np.isfinite(self.floor):
            raise ValueError(
                "Morph: expected halvings >= 0, a reach > 0 and a finite floor, got "
                f"{self.halvings}, {self.reach} and {self.floor}"
            )
        check_parts(self.mesh, self.fixed, self.free, self.slide)
        self.mesh.check()
        if self.remesh:
            check_groups(self.mesh)
        if reason := flaw(self.mesh, self.floor):
            raise ValueError(
                f"Morph: the mesh itself is not valid: {reason}; repair it or lower the floor"
            )

    @cached_property
    def body(self) -> Body:
        """The mesh with what is held."""
        return Body(self.mesh, tuple(self.fixed), (*self.free, *self.slide), self.reach)

    @cached_property
    def deformations(self) -> list[Deformation]:
        """The displacements of each kind, computed when first used."""
        with threadpool_limits(1):  # sums in one order, whatever the machine is told
            found = [kind.deformation(self.body) for kind in self.kinds]
            return [self._still(deformation) for deformation in found]

    def _still(self, deformation: Deformation) -> Deformation:
        """Fixed parts do not move: what they would is taken off, fading within the reach."""
        fixed, modes = self.body.fixed_nodes, deformation.modes
        if np.abs(modes[fixed]).max(initial=0.0) > 0:
            modes = modes - self.body.faded(modes, fixed)
            modes[fixed] = 0.0
        return Deformation(
            modes,
            deformation.bounds,
            deformation.names,
            deformation.normal,
            deformation.coefficients,
        )

    @cached_property
    def curves(self) -> Curves | None:
        """What puts sliding nodes back; None where no part slides."""
        return Curves(self.body, tuple(self.slide)) if self.slide else None

    @cached_property
    def bounds(self) -> Float[np.ndarray, "P 2"]:
        """Least and largest value of every parameter."""
        return np.concatenate([deformation.bounds for deformation in self.deformations])

    @cached_property
    def names(self) -> list[str]:
        """Name of every parameter."""
        return [name for deformation in self.deformations for name in deformation.names]

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor]:
        modes = np.concatenate([deformation.modes for deformation in self.deformations], axis=2)
        return torch.tensor(self.mesh.points), torch.tensor(modes).movedim(2, 0).contiguous()

    def points(self, parameters: Float[Tensor, " P"]) -> Float[Tensor, "N d"]:
        """x(p), float64, differentiable in p; not checked.

        Raises: ValueError: another number of parameters than there are.
        """
        sizes = [len(deformation.names) for deformation in self.deformations]
        if len(parameters) != sum(sizes):
            raise ValueError(
                f"Morph: expected {sum(sizes)} parameters ({', '.join(self.names[:3])}, ...), got "
                f"{len(parameters)}"
            )
        p = parameters.double()
        parts = zip(self.deformations, p.split(sizes), strict=True)
        c = torch.cat([q if f.coefficients is None else f.coefficients(q) for f, q in parts])
        origin, modes = self._tensors
        found: Any = _Combined.apply(c, modes)
        x = origin + found
        return x if self.curves is None else self.curves.onto(x)

    def moved(self, parameters: Float[np.ndarray, " P"]) -> Mesh:
        """The mesh at x(p), valid or not."""
        with torch.no_grad():
            return self.mesh.moved(self.points(torch.tensor(parameters)).numpy())

    def member(self, parameters: Float[np.ndarray, " P"]) -> Variation:
        """The valid member nearest to these parameters among p, p/2, p/4, ...

        Raises: ValueError: none of them is valid.
        """
        reason = None
        for halvings in range(self.halvings + 1):
            p = parameters * 0.5**halvings
            mesh = self.moved(p)
            reason = flaw(mesh, self.floor)
            if reason is None:
                return Variation(mesh, p, halvings)
            if self.remesh and (new := self._anew(mesh)) is not None:
                return Variation(new, p, halvings, remeshed=True)
        raise ValueError(
            f"Morph: no valid shape after {self.halvings} halvings of the parameters: {reason}; "
            "the floor may be too near to the quality of the mesh itself"
        )

    def _anew(self, mesh: Mesh) -> Mesh | None:
        """The shape meshed anew, None where that gives no valid mesh either."""
        try:
            new = remeshed(mesh)
            new.check()
        except ValueError:
            return None
        return None if flaw(new, self.floor) else new

    def draw(self, seed: int, index: int = 0) -> Variation:
        """Member `index` of the family of a seed; it depends on these two numbers only."""
        return self.sampled(np.random.default_rng([seed, index]))

    def sampled(self, rng: np.random.Generator) -> Variation:
        """A member with parameters from a generator."""
        drawn = [deformation.draw(rng) for deformation in self.deformations]
        return self.member(np.concatenate(drawn))

    def __call__(self, rng: np.random.Generator, size: float | None = None) -> Mesh:
        """The mesh of a member. Raises: ValueError: a size, which the first mesh decides."""
        if size is not None:
            raise ValueError("Morph: the edge lengths are those of its mesh; leave size out")
        return self.sampled(rng).mesh

    def __getstate__(self) -> dict[str, Any]:
        # factors cannot be pickled; they are made anew where they are needed
        return {name: value for name, value in self.__dict__.items() if name != "curves"}


class _Combined(torch.autograd.Function):
    """Σ_k c_k φ_k, one after the other: by BLAS the bytes would depend on the number of threads."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, modes: Tensor) -> Tensor:
        ctx.modes = modes
        found = torch.zeros_like(modes[0])
        for factor, mode in zip(c.tolist(), modes, strict=True):
            found.add_(mode, alpha=factor)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return torch.einsum("knd,nd->k", ctx.modes, grads[0]), None
