"""`LinearElasticity`: small deformations of an isotropic solid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import LinearSystem, Space, means, rigid_motions, values
from meshgnn.fem.values import CellValue, VectorValue
from meshgnn.mesh import Mesh
from meshgnn.problems import fields
from meshgnn.problems.conditions import REST, Conditions, check_parts
from meshgnn.problems.draws import between, coefficient, random_parts
from meshgnn.sample import Sample

MODES = ("plane strain", "plane stress", "3d")


@dataclass(frozen=True, eq=False)
class LinearElasticity:
    """-∇·σ = b, σ = λ tr(ε) I + 2μ ε, ε = (∇u + ∇uᵀ) / 2, with u = g or σ n = t on named parts.

    Plane strain and 3D: λ = E ν / ((1 + ν)(1 - 2ν)); plane stress: λ = E ν / (1 - ν²); both
    μ = E / (2 (1 + ν)). u in m, E and σ in Pa, b in N/m³, t in Pa (any consistent set does).
    Not covered: large strain, anisotropy, contact; ν above about 0.45 locks at order 1.

    Vectors are C = d numbers, a sequence of one value per component, a function
    x[..., d] -> [..., C], or an array [N, C]; parts as in `Poisson`.

    Args:
        young: E > 0; constant, function, array over nodes or cells, or {region: constant}.
        poisson: ν, -1 < ν < 1/2, likewise.
        mode: "plane strain", "plane stress" or "3d"; None is plane strain in 2D and 3d in 3D.
        body: b.
        dirichlet: {part: u}; in a sequence None leaves a component free (a sliding support).
        traction: {part: t}; a free surface is said as 0.0.

    Raises:
        ValueError: an unknown mode; conditions that are no dict of the form above.
    """

    young: CellValue = 1.0
    poisson: CellValue = 0.3
    mode: str | None = None
    body: VectorValue = 0.0
    dirichlet: Mapping[str, Any] = field(default_factory=dict)
    traction: Mapping[str, VectorValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_parts(dirichlet=self.dirichlet, traction=self.traction)
        if self.mode is not None and self.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {self.mode!r}")

    def _mode(self, mesh: Mesh) -> str:
        d = mesh.points.shape[1]
        mode = self.mode or ("3d" if d == 3 else "plane strain")
        if mesh.dim != d or d != (3 if mode == "3d" else 2):
            raise ValueError(
                f"LinearElasticity with mode {mode!r} needs a mesh of {3 if mode == '3d' else 2}D "
                f"cells in {3 if mode == '3d' else 2}D space, got {mesh.dim}D cells in {d}D; "
                "bars and shells are not covered"
            )
        return mode

    def moduli(self, mesh: Mesh) -> tuple[CellValue, CellValue]:
        """λ and μ as constants, or over the cells or nodes as E and ν are given."""
        mode = self._mode(mesh)
        young, nu = (
            _data(value, mesh, name)
            for value, name in ((self.young, "young"), (self.poisson, "poisson"))
        )
        if young.ndim and nu.ndim and type(young) is not type(nu):
            raise ValueError(
                "young and poisson: expected both over the nodes (functions are taken there) or "
                f"both over the cells, got {len(young)} and {len(nu)} values"
            )
        if nu.min() <= -1 or nu.max() >= 0.5:
            raise ValueError(
                f"poisson: expected -1 < ν < 1/2, got values from {nu.min():g} to {nu.max():g}"
            )
        if young.min() <= 0:
            raise ValueError(f"young: expected positive values, the smallest is {young.min():g}")
        squeeze = 1 - nu if mode == "plane stress" else 1 - 2 * nu
        lame, shear = young * nu / ((1 + nu) * squeeze), young / (2 * (1 + nu))
        return (lame if lame.ndim else float(lame)), (shear if shear.ndim else float(shear))

    def conditions(self, mesh: Mesh) -> Conditions:
        """The boundary conditions on this mesh. Raises: ValueError: see `Conditions`."""
        flux = {name: (0.0, t) for name, t in self.traction.items()}
        return Conditions(mesh, mesh.points.shape[1], self.dirichlet, flux)

    def system(self, mesh: Mesh, order: int = 1) -> LinearSystem:
        """∫ σ(u) : ε(v) dx = ∫ b·v dx + ∫ t·v ds for all v; dof = node · d + component.

        Args:
            mesh: the mesh.
            order: 1, or 2 for P2 on simplices; see `fem.Space`.

        Raises:
            ValueError: as `Poisson.system`; a mesh that does not fit the mode; supports that leave
                a rigid motion free.
        """
        return self._system(Space(mesh, order), self.conditions(mesh))

    def _system(self, space: Space, conditions: Conditions) -> LinearSystem:
        space.mesh.check()
        matrix = space.elasticity(*self.moduli(space.mesh))
        body = space.load(self.body, "body", channels=conditions.channels)
        mask, prescribed = conditions.prescribed(space)
        free, modes = ~mask.ravel(), rigid_motions(space.points)
        held = np.linalg.matrix_rank(modes[~free]) if mask.any() else 0
        if held < modes.shape[1]:
            raise ValueError(
                f"the supports leave {modes.shape[1] - held} of {modes.shape[1]} rigid motions "
                "free; prescribe u on a part, or single components on several"
            )
        return LinearSystem(
            matrix,
            body + conditions.load(space),
            free,
            prescribed.ravel(),
            space.points,
            conditions.channels,
            modes,
        )

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved.

        Inputs are b, E and ν at the nodes, and the means of b, λ and μ over the cells.
        """
        return self._sample(self.conditions(mesh))

    def _sample(self, conditions: Conditions) -> Sample:
        mesh, axes = conditions.mesh, "xyz"[: conditions.channels]
        space = Space(mesh)
        body = space.interpolate(self.body, "body", channels=conditions.channels)
        moduli = [
            space.interpolate(_data(value, mesh, name), name)
            for value, name in ((self.young, "young"), (self.poisson, "poisson"))
        ]
        lame, shear = self.moduli(mesh)
        over_cells = [
            means(space, self.body, "body", conditions.channels),
            means(space, lame, "Lamé modulus"),
            means(space, shear, "shear modulus"),
        ]
        forces = [f"b{a}" for a in axes]
        return Sample(
            mesh=mesh,
            boundary=conditions.boundary(),
            inputs=np.column_stack([body, *moduli]),
            names={
                "u": [f"u{a}" for a in axes],
                "inputs": [*forces, "young", "poisson"],
                "cell_inputs": [*forces, "lame", "shear"],
            },
            meta={"problem": "LinearElasticity", "mode": self._mode(mesh)},
            cell_inputs=np.hstack(over_cells),
        )

    def solve(self, mesh: Mesh, order: int = 1) -> Sample:
        """The sample with its finite-element displacement at the nodes of the mesh, u [1, N, d].

        Raises:
            ValueError: see `system`.
            numpy.linalg.LinAlgError: the residual stays above 1e-8.
        """
        conditions = self.conditions(mesh)
        u = self._system(Space(mesh, order), conditions).solve()
        u = u.reshape(1, -1, conditions.channels)[:, : mesh.num_nodes]
        return self._sample(conditions).with_solution(u)

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        body_length: float = 0.31,
        body_std: float = 0.034,
        boundary_length: float = 0.31,
        boundary_max: float = 0.02,
        traction: float = 0.0,
        traction_max: float = 0.02,
        contrast: float = 1.0,
        poisson_range: tuple[float, float] = (0.3, 0.3),
    ) -> "LinearElasticity":
        """A random problem, E = 1, ν = 0.3: smooth b, smooth displacements of the whole boundary.

        Every component is a field as in `Poisson.draw`, lengths in units of the largest side L of
        the bounding box, b in E / L, displacements in L, tractions in E. Some group always keeps
        its displacements.

        Args:
            mesh: the mesh.
            rng: random numbers.
            body_length: correlation length of b.
            body_std: standard deviation of its components.
            boundary_length: correlation length of u on the boundary.
            boundary_max: largest value of a component of u there.
            traction: chance that a boundary group has a smooth traction in place of u.
            traction_max: its largest component; 0 leaves such groups free.
            contrast: max E / min E bound; above 1, log E is a bounded smooth random field.
            poisson_range: ν, a smooth random field between the two.

        Raises:
            ValueError: a contrast below 1; a range that descends, or not within (-1, 1/2).
        """
        if not all(-1 < nu < 0.5 for nu in poisson_range):
            raise ValueError(f"poisson_range: expected values in (-1, 0.5), got {poisson_range}")
        extent = float(np.ptp(mesh.points, axis=0).max())
        body, edge = [], []
        for _ in range(mesh.points.shape[1]):
            for_b, for_u = rng.spawn(2)
            scale = body_length * extent
            body.append(fields.GaussianField.draw(mesh, scale, body_std / extent, for_b))
            scale, largest = boundary_length * extent, boundary_max * extent
            edge.append(fields.boundary_field(mesh, scale, largest, for_u))
        for_parts, for_t, for_e, for_nu = rng.spawn(4)
        scale, largest = boundary_length * extent, traction_max
        load: VectorValue = 0.0
        parts = random_parts(mesh, for_parts, traction)
        if parts and largest:
            fresh = for_t.spawn(len(edge))
            load = tuple(fields.boundary_field(mesh, scale, largest, child) for child in fresh)
        return cls(
            coefficient(mesh, body_length * extent, contrast, for_e),
            between(mesh, body_length * extent, poisson_range, for_nu, "poisson_range"),
            body=tuple(body),
            dirichlet={REST: tuple(edge)},
            traction=dict.fromkeys(parts, load),
        )


def _data(value: CellValue, mesh: Mesh, what: str) -> Float[np.ndarray, "*R"]:
    """A coefficient: one number, or an array over cells or nodes (functions: at the nodes)."""
    data = values.coefficient(value, mesh, what)
    if callable(data):
        return Space(mesh).interpolate(data, what)
    return values.finite(np.asanyarray(data, dtype=np.float64), what)
