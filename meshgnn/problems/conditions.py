"""Boundary conditions by group name, turned into prescribed values, matrices, loads and data."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from meshgnn.fem import Space, means, values
from meshgnn.fem.periodic import agreed, classes
from meshgnn.fem.values import Value, VectorValue
from meshgnn.mesh import Mesh, twins
from meshgnn.mesh.topology import Cells
from meshgnn.problems.coverage import uncovered
from meshgnn.sample import Boundary

REST = "*"


@dataclass(frozen=True, eq=False)
class Conditions:
    """u_c = g on Dirichlet parts; k ∂u/∂n + α u = g on flux parts (Neumann is α = 0).

    Parts are named groups, facets being carried by connectivity; the name "*" stands for all
    boundary facets that no other condition names. Dirichlet parts may have any dimension and lie
    inside. Where parts meet, Dirichlet wins over flux, and the later Dirichlet part over the
    earlier (in the order of the dict). Every boundary facet needs a condition.

    Args:
        mesh: the mesh.
        channels: C.
        dirichlet: {name: value}; with C > 1 a sequence may hold None for components left free.
        flux: {name: (α, g)}.
        periodic: {group: its translate}; their facets need no condition, see `mesh.twins`.

    Raises:
        ValueError: an unknown name, a facet without a condition or with two flux conditions, a
            scalar name with both kinds, a periodic group with another condition or that is no
            translate of its partner.
    """

    mesh: Mesh
    channels: int
    dirichlet: Mapping[str, Any]
    flux: Mapping[str, tuple[Value, VectorValue]]
    periodic: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        twice = [n for n in self.dirichlet if n in self.flux and (self.channels == 1 or n == REST)]
        if twice:
            raise ValueError(f"{twice[0]!r} has a Dirichlet and a flux condition; keep one of them")
        wrapped = {*self.periodic, *self.periodic.values()}
        if again := wrapped & {*self.dirichlet, *self.flux}:
            raise ValueError(
                f"{min(again)!r} is periodic and has another condition; keep one of them"
            )
        covered = np.zeros(len(self.mesh.boundary_facet_cells), dtype=bool)
        covered[self._wrapped] = True
        for name in (*self.dirichlet, *self.flux):
            covered[self._facets(name)] = True
        if not covered.all():
            raise ValueError(uncovered(self.mesh, np.flatnonzero(~covered), REST))

    @cached_property
    def twin(self) -> Int[np.ndarray, " *N"]:
        """[N] representative of each node; [0] where nothing is periodic."""
        return twins(self.mesh, self.periodic) if self.periodic else np.zeros(0, np.int64)

    @cached_property
    def _wrapped(self) -> Int[np.ndarray, " K"]:
        """Boundary facets of the periodic groups, once their nodes are known to match."""
        names = (
            [*self.periodic, *self.periodic.values()] if self.periodic and len(self.twin) else []
        )
        return np.concatenate([np.zeros(0, np.int64), *map(self.mesh.facets_of, names)])

    @cached_property
    def _rest(self) -> Int[np.ndarray, " K"]:
        named = [self._facets(n) for n in (*self.dirichlet, *self.flux) if n != REST]
        named.append(self._wrapped)
        every = np.arange(len(self.mesh.boundary_facet_cells))
        return np.setdiff1d(every, np.concatenate([every[:0], *named]))

    def _facets(self, name: str) -> Int[np.ndarray, " K"]:
        """Boundary facets of a part; those of its cells for a region, none for thinner parts."""
        if name == REST:
            return self._rest
        dim = self.mesh.groups[name].dim if name in self.mesh.groups else self.mesh.dim - 1
        if dim == self.mesh.dim:
            cells = np.isin(self.mesh.boundary_facet_cells, self.mesh.cells_of(name))
            return np.flatnonzero(cells)
        return self.mesh.facets_of(name) if dim == self.mesh.dim - 1 else np.zeros(0, np.int64)

    def _connectivity(self, name: str) -> Cells:
        if name != REST:
            return self.mesh.groups[name].cells
        return dict(_rows(self.mesh, self._rest))

    @cached_property
    def flux_facets(self) -> dict[str, Int[np.ndarray, " K"]]:
        """Boundary facets (global numbers) of each flux part, less those Dirichlet holds wholly.

        Raises:
            ValueError: a part with no boundary facet, or a facet in two flux parts.
        """
        total = len(self.mesh.boundary_facet_cells)
        held = np.zeros((total, self.channels), dtype=bool)
        for name, spec in self.dirichlet.items():
            fixed = [v is not None for v in spec] if _by_component(spec) else True
            held[self._facets(name)] |= np.array(fixed)
        owner = np.full(total, -1)
        result, names = {}, list(self.flux)
        for number, name in enumerate(names):
            facets = self.mesh.facets_of(name) if name != REST else self._rest
            self._warn_inner(name, len(facets))
            taken = facets[owner[facets] >= 0]
            if len(taken):
                raise ValueError(
                    f"{len(taken)} facets belong to {names[owner[taken[0]]]!r} and to {name!r}, "
                    "which both have a flux condition; give one that holds the sum"
                )
            owner[facets] = number
            result[name] = facets[~held[facets].all(axis=1)]
        return result

    def _warn_inner(self, name: str, found: int) -> None:
        if name == REST:
            return
        inner = sum(len(rows) for rows in self.mesh.groups[name].cells.values()) - found
        if not found:
            raise ValueError(
                f"group {name!r} has a flux condition but none of its {inner} facets is on the "
                "boundary; fluxes through inner surfaces are not covered"
            )
        if inner:
            warnings.warn(
                f"group {name!r}: its flux condition leaves out {inner} facets inside the domain",
                stacklevel=5,
            )

    def prescribed(self, space: Space) -> tuple[Bool[np.ndarray, "n C"], Float[np.ndarray, "n C"]]:
        """Which channels of which degrees of freedom are Dirichlet, and their values (0 else)."""
        return self._nodal if space.order == 1 else self._prescribed(space)

    @cached_property
    def _nodal(self) -> tuple[np.ndarray, np.ndarray]:
        return self._prescribed(Space(self.mesh))

    def _prescribed(self, space: Space) -> tuple[np.ndarray, np.ndarray]:
        mask = np.zeros((space.size, self.channels), dtype=bool)
        result = np.zeros(mask.shape)
        for name, spec in self.dirichlet.items():
            dofs = space.dofs_on(self._connectivity(name))
            given = self._at_dofs(space, dofs, spec, f"Dirichlet value on {name!r}")
            mask[dofs] |= ~np.isnan(given)
            result[dofs] = np.where(np.isnan(given), result[dofs], given)
        return agreed(mask, result, classes(space, self.twin)) if len(self.twin) else (mask, result)

    def _at_dofs(
        self, space: Space, dofs: Int[np.ndarray, " K"], spec: Any, what: str
    ) -> Float[np.ndarray, "K C"]:
        """Values at some degrees of freedom, NaN where a component is left free."""
        if _by_component(spec):
            parts = values.per_channel(spec, self.channels, what)
            columns = [
                np.full(len(dofs), np.nan) if part is None else space.interpolate(part, what, dofs)
                for part in parts
            ]
            return np.stack(columns, axis=1)
        channels = None if self.channels == 1 else self.channels
        return space.interpolate(spec, what, dofs, channels).reshape(-1, self.channels)

    def matrix(self, space: Space) -> csr_matrix | None:
        """∫ α φ_i φ_j ds over the flux parts (one channel); None where α vanishes."""
        total = None
        for name, (alpha, _) in self.flux.items():
            if isinstance(alpha, int | float) and alpha == 0:
                continue
            part = space.mass(alpha, f"Robin coefficient on {name!r}", self.flux_facets[name])
            total = part if total is None else total + part
        return total

    def load(self, space: Space) -> Float[np.ndarray, " n"]:
        """∫ g φ_i ds over the flux parts, node-major."""
        total = np.zeros(space.size * self.channels)
        for name, (_, g) in self.flux.items():
            if not (isinstance(g, int | float) and g == 0):
                facets = self.flux_facets[name]
                total += space.load(g, f"flux on {name!r}", facets, self.channels)
        return total

    def boundary(self) -> Boundary:
        """The conditions as data of a sample; α and g as their means over each facet."""
        space = Space(self.mesh)
        mask, prescribed = self.prescribed(space)
        if not any(map(len, self.flux_facets.values())):
            return Boundary(mask, prescribed, *_no_facets(self.channels), self.twin)
        rows, alphas, fluxes = [], [], []
        width = max(block.shape[1] for block in self.mesh.boundary_facets.values())
        for name, (alpha, g) in self.flux.items():
            facets = self.flux_facets[name]
            for _, block in _rows(self.mesh, facets):
                pad = ((0, 0), (0, width - block.shape[1]))
                rows.append(np.pad(block, pad, constant_values=-1))
            alphas.append(means(space, alpha, f"Robin coefficient on {name!r}", 1, facets))
            fluxes.append(means(space, g, f"flux on {name!r}", self.channels, facets))
        alpha = np.repeat(np.concatenate(alphas), self.channels, axis=1)
        flux = np.concatenate(fluxes)
        return Boundary(mask, prescribed, np.concatenate(rows), alpha, flux, self.twin)


def check_parts(**parts: Any) -> None:
    """Raises: ValueError: not {part: value}, for a Robin condition not {part: (α, g)}."""
    for kind, given in parts.items():
        value = "(1.0, 0.0)" if kind == "robin" else "0.0"
        pairs = kind == "robin" and isinstance(given, Mapping)
        wrong = [v for v in given.values() if not _by_component(v) or len(v) != 2] if pairs else []
        if wrong or not isinstance(given, Mapping):
            what = "a pair (alpha, g) for each part" if pairs else "a value for each part"
            raise ValueError(
                f"{kind}: expected a dict with {what}, such as {{{REST!r}: {value}}}, got {given!r}"
            )


def _no_facets(channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((0, 1), np.int64), np.zeros((0, channels)), np.zeros((0, channels))


def _by_component(spec: Any) -> bool:
    return isinstance(spec, Sequence)


def _rows(mesh: Mesh, facets: Int[np.ndarray, " K"]) -> list[tuple[str, Int[np.ndarray, "F k"]]]:
    """Boundary facets (global numbers, ascending) as connectivity by type."""
    result, start = [], 0
    for name, block in mesh.boundary_facets.items():
        chosen = facets[(facets >= start) & (facets < start + len(block))] - start
        start += len(block)
        if len(chosen):
            result.append((name, block[chosen]))
    return result
