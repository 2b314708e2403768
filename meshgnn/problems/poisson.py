"""`Poisson`: stationary diffusion."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from meshgnn.fem import LinearSystem, Space, means, values
from meshgnn.fem.projection import encoded
from meshgnn.fem.values import CellValue, Value
from meshgnn.mesh import Mesh
from meshgnn.problems import fields
from meshgnn.problems.conditions import REST, Conditions, check_parts
from meshgnn.problems.draws import coefficient, random_parts
from meshgnn.sample import Sample


@dataclass(frozen=True, eq=False)
class Poisson:
    """-∇·(k ∇u) = f in Ω, with u = g, k ∂u/∂n = g or k ∂u/∂n + α u = g on named parts.

    Covers lines, plane regions, solids, and curves and surfaces in space (tangential gradients),
    discontinuous k, and pure Neumann problems with a compatible source (solved with zero mean).
    Not covered: tensor-valued k, convection, fluxes across inner surfaces. For heat conduction u
    is in K, k in W/(m K), f in W/m³.

    Every value is a constant, a function of points x[..., d] -> [...] (integrated by quadrature),
    or an array [N] over the nodes (taken as a P1 function). Parts are named by groups, "*" being
    all boundary facets not named otherwise; see `conditions.Conditions` for what wins where parts
    meet.

    Args:
        source: f; also {region: constant}.
        diffusivity: k > 0; also an array [M] over the cells or {region: constant}.
        dirichlet: {part: g}, parts of any dimension, also inside the domain.
        neumann: {part: g}; the natural condition is said as 0.0.
        robin: {part: (α, g)}, α >= 0.

    Raises:
        ValueError: conditions that are no dict of the form above; a part in both neumann and robin.
    """

    source: CellValue = 0.0
    diffusivity: CellValue = 1.0
    dirichlet: Mapping[str, Value] = field(default_factory=dict)
    neumann: Mapping[str, Value] = field(default_factory=dict)
    robin: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_parts(dirichlet=self.dirichlet, neumann=self.neumann, robin=self.robin)
        both = sorted(set(self.neumann) & set(self.robin))
        if both:
            raise ValueError(f"{both[0]!r} has a Neumann and a Robin condition; keep one of them")

    def conditions(self, mesh: Mesh) -> Conditions:
        """The boundary conditions on this mesh.

        Raises:
            ValueError: see `Conditions`.
        """
        flux = {name: (0.0, g) for name, g in self.neumann.items()}
        return Conditions(mesh, 1, self.dirichlet, flux | dict(self.robin))

    def system(self, mesh: Mesh, order: int = 1) -> LinearSystem:
        """∫ k ∇u·∇v dx + ∫ α u v ds = ∫ f v dx + ∫ g v ds for all test functions v.

        Args:
            mesh: the mesh.
            order: 1, or 2 for P2 on simplices; see `fem.Space`.

        Raises:
            ValueError: inverted or degenerate cells, a disconnected mesh, an unknown group, a part
                without a condition, data that do not fit or hold NaN, k <= 0, α < 0, a pure
                Neumann problem whose source and fluxes do not balance.
        """
        return self._system(Space(mesh, order), self.conditions(mesh))

    def _system(self, space: Space, conditions: Conditions) -> LinearSystem:
        space.mesh.check()
        matrix, robin = space.stiffness(self.diffusivity), conditions.matrix(space)
        load = space.load(self.source) + conditions.load(space)
        mask, prescribed = conditions.prescribed(space)
        mean = None
        if not mask.any() and (robin is None or robin.sum() == 0):
            mean = space.load(1.0)
            load = balanced(load, mean)
        return LinearSystem(
            matrix if robin is None else matrix + robin,
            load,
            ~mask.ravel(),
            prescribed.ravel(),
            space.points,
            mean=mean,
        )

    def sample(self, mesh: Mesh, encode: str = "interpolation") -> Sample:
        """The data of the problem on this mesh, unsolved; inputs are f and k at the nodes.

        k that is given by cells or regions is averaged over the cells around each node; the cell
        inputs are the means of f and k over each cell.

        Args:
            mesh: the mesh.
            encode: how f and k become nodal: "interpolation", or "projection" for the coefficients
                of the nearest fields in L² (see `fem.project`; at jumps they overshoot).

        Raises:
            ValueError: another way to encode; see `Conditions`.
        """
        return self._sample(self.conditions(mesh), encode)

    def _sample(self, conditions: Conditions, encode: str) -> Sample:
        mesh = conditions.mesh
        space = Space(mesh)
        inputs = {
            "source": values.by_region(self.source, mesh, "source"),
            "diffusivity": values.coefficient(self.diffusivity, mesh, "diffusivity"),
        }
        return Sample(
            mesh=mesh,
            boundary=conditions.boundary(),
            inputs=np.stack([encoded(space, v, n, encode) for n, v in inputs.items()], axis=1),
            names={"u": ["u"], "inputs": list(inputs), "cell_inputs": list(inputs)},
            meta={"problem": "Poisson"},
            cell_inputs=np.hstack([means(space, v, n) for n, v in inputs.items()]),
        )

    def solve(self, mesh: Mesh, order: int = 1, encode: str = "interpolation") -> Sample:
        """The sample with its finite-element solution at the nodes of the mesh, u [1, N, 1].

        Args:
            mesh: the mesh.
            order: see `system`.
            encode: see `sample`; the solution does not depend on it.

        Raises:
            ValueError: see `system`.
            numpy.linalg.LinAlgError: the residual stays above 1e-8.
        """
        conditions = self.conditions(mesh)
        u = self._system(Space(mesh, order), conditions).solve()
        return self._sample(conditions, encode).with_solution(u[: mesh.num_nodes].reshape(1, -1, 1))

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        source_length: float = 0.31,
        source_std: float = 0.034,
        boundary_length: float = 0.13,
        boundary_max: float = 0.02,
        neumann: float = 0.0,
        robin: float = 0.0,
        flux_max: float = 0.02,
        contrast: float = 1.0,
        phases: int = 0,
    ) -> "Poisson":
        """A random problem: smooth f, Dirichlet g along the boundary, k = 1.

        f is a Gaussian field with squared-exponential correlation; g is one in the arc length of
        each boundary loop (in space for 1D and 3D), scaled to its largest value. Both are
        functions of x, so the same generator state gives the same problem on a refined mesh.
        Lengths are in units of the largest side L of the bounding box, f is in 1/L², fluxes in
        1/L: the problem scales with the domain.

        Args:
            mesh: the mesh.
            rng: random numbers.
            source_length: correlation length of f.
            source_std: standard deviation of f.
            boundary_length: correlation length of g.
            boundary_max: largest |g|.
            neumann: chance that a boundary group has k ∂u/∂n = h in place of u = g.
            robin: chance that it has k ∂u/∂n + u / L = h.
            flux_max: largest |h|; 0 gives insulated parts.
            contrast: max k / min k bound; above 1, log k is a bounded smooth random field.
            phases: number of materials; from 2 on, k is constant on each and attains the contrast
                (see `draws.coefficient`), and belongs to the cells of this mesh.

        Raises:
            ValueError: a mesh without a boundary; a contrast or phases that make no sense.

        Source: f and g as measured on the data of Wang et al., BENO, ICLR 2024.
        """
        if not len(mesh.boundary_facet_cells):
            raise ValueError("Poisson.draw: the mesh is closed; it needs a boundary to prescribe")
        extent = float(np.ptp(mesh.points, axis=0).max())
        for_f, for_g, for_parts, for_h, for_k = rng.spawn(5)
        g = fields.boundary_field(mesh, boundary_length * extent, boundary_max, for_g)
        chosen = random_parts(mesh, for_parts, neumann, robin)
        h = 0.0
        if chosen and flux_max:
            h = fields.boundary_field(mesh, boundary_length * extent, flux_max / extent, for_h)
        k = coefficient(mesh, source_length * extent, contrast, for_k, phases)
        return cls(
            fields.GaussianField.draw(mesh, source_length * extent, source_std / extent**2, for_f),
            k,
            {REST: g},
            {name: h for name, kind in chosen.items() if kind == "neumann"},
            {name: (1 / extent, h) for name, kind in chosen.items() if kind == "robin"},
        )


def balanced(
    load: Float[np.ndarray, " n"], mean: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The load of a pure Neumann problem, less the constant by which quadrature unbalances it.

    Raises:
        ValueError: ∫ f dx + ∫ g ds is not zero, to 0.1 % of the integral of the parts.
    """
    total, size = float(load.sum()), float(np.abs(load).sum())
    if abs(total) > 1e-3 * size:
        raise ValueError(
            "a pure Neumann problem needs ∫ f dx + ∫ g ds = 0 (no part has a Dirichlet or Robin "
            f"condition), but it is {total:.6g}; subtract {total / mean.sum():.6g} from the "
            "source, or prescribe u somewhere"
        )
    if abs(total) > 1e-6 * size:
        warnings.warn(
            f"pure Neumann problem: ∫ f dx + ∫ g ds = {total:.3g} is taken as a quadrature error "
            "and spread evenly over the source",
            stacklevel=4,
        )
    return load - mean * (total / mean.sum())
