"""`FitzHughNagumo`: two species that react and diffuse."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from meshgnn.fem import Space
from meshgnn.fem.periodic import at_classes, prolongation
from meshgnn.fem.reaction import ReactionDiffusion
from meshgnn.fem.values import VectorValue
from meshgnn.mesh import Mesh
from meshgnn.problems.conditions import REST, Conditions, check_parts
from meshgnn.problems.fields import GaussianField
from meshgnn.problems.periodic_field import PeriodicField
from meshgnn.problems.reactions import SETTINGS, Cubic, Reaction
from meshgnn.problems.transient import (
    check_times,
    frozen,
    on_refined,
    over_times,
    varies,
    warn_of_change,
)
from meshgnn.sample import Sample

_OVERFLOW = 1e100


@dataclass(frozen=True, eq=False)
class FitzHughNagumo:
    """u_t = D_u Δu + u - u³ - v + α, v_t = D_v Δv + β (u - v) in Ω × (0, T), or other reactions.

    With (u, v) = (g_u, g_v) or D ∂/∂n (u, v) = (h_u, h_v) on named parts, or periodic sides. P1 or
    P2 elements, diffusion implicit and reaction explicit at order 2 in time (see
    `fem.reaction.ReactionDiffusion`): the step is bounded by the rates of the reaction, about 1/s
    here, not by the mesh. Fronts are about 3 sqrt(D_u) wide; a coarser mesh needs `refine`.
    Not covered: D that varies in space or between directions. D in m²/s, t in s.

    Pairs may be given as two values or as one function x[..., d] -> [..., 2]; a single number
    stands for both. Functions for g and h take (x, t) where they have two arguments without a
    default, else x.

    Args:
        times: [T] increasing, s; the first is that of the initial values.
        initial: (u, v) at times[0].
        diffusivity: (D_u, D_v), not negative.
        reaction: (u, v) -> their rates; `reactions.Cubic` as above, `reactions.GrayScott`, or any
            function of arrays. The numbers of one that is a dataclass are parameters of the sample.
        dirichlet: {part: (g_u, g_v)}; None leaves a component free.
        neumann: {part: (h_u, h_v)}; 0.0 is a closed wall.
        periodic: {group: its translate}, see `mesh.twins`.
        substeps: equal steps between two of the times.
        refine: how many times to refine the mesh for the solution, which is kept at its nodes.

    Raises:
        ValueError: times that do not increase or are fewer than two, no substep, D < 0 or not two,
            refine < 0; conditions that are no dict.
    """

    times: Float[np.ndarray, " T"]
    initial: VectorValue = 0.0
    diffusivity: tuple[float, float] = (1.0, 10.0)
    reaction: Reaction = field(default_factory=Cubic)
    dirichlet: Mapping[str, Any] = field(default_factory=dict)
    neumann: Mapping[str, VectorValue] = field(default_factory=dict)
    periodic: Mapping[str, str] = field(default_factory=dict)
    substeps: int = 1
    refine: int = 0

    def __post_init__(self) -> None:
        check_parts(dirichlet=self.dirichlet, neumann=self.neumann)
        check_times(self.times, self.substeps)
        if len(self.diffusivity) != 2 or min(self.diffusivity) < 0:
            raise ValueError(f"diffusivity: expected two numbers >= 0, got {self.diffusivity}")
        if self.refine < 0:
            raise ValueError(f"refine: expected at least 0, got {self.refine}")

    def conditions(self, mesh: Mesh, time: float) -> Conditions:
        """The boundary conditions at a time.

        Raises:
            ValueError: see `Conditions`.
        """
        flux = {name: (0.0, h) for name, h in frozen(self.neumann, time).items()}
        return Conditions(mesh, 2, frozen(self.dirichlet, time), flux, self.periodic)

    def _rates(self, state: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        with np.errstate(over="ignore", invalid="ignore"):
            rates = self.reaction(state[:, 0], state[:, 1])
        result = np.stack([np.broadcast_to(r, len(state)) for r in rates], axis=1)
        if not np.abs(result).max() < _OVERFLOW:  # NaN is not
            raise ValueError(
                "FitzHughNagumo: the reaction is NaN or overflows for states up to "
                f"{np.abs(state).max():.3g}: the step is too long for its rates, or it blows up; "
                f"take more than {self.substeps} substeps"
            )
        return result

    def steps(self, mesh: Mesh, order: int = 1) -> Iterator[Float[np.ndarray, "n 2"]]:
        """u and v at the degrees of freedom of these elements, at each of the times."""
        mesh.check()
        space, first = Space(mesh, order), self.conditions(mesh, float(self.times[0]))
        tie = prolongation(space, first.twin)
        pick = partial(at_classes, index=tie.indices)
        fixed = pick(first.prescribed(space)[0])
        system = ReactionDiffusion(
            csr_matrix(tie.T @ space.mass() @ tie),
            csr_matrix(tie.T @ space.stiffness() @ tie),
            self.diffusivity,
            self._rates,
            ~fixed,
            mesh.points.shape[1],
        )

        def at(time: float) -> tuple[np.ndarray, np.ndarray]:
            now = self.conditions(mesh, time)
            load = now.load(space).reshape(-1, 2)
            return tie.T @ load, pick(now.prescribed(space)[1])

        constant = at(float(self.times[0]))
        moving = varies([self.dirichlet, self.neumann])
        start = pick(space.interpolate(self.initial, "initial", channels=2))
        start = np.where(fixed, constant[1], start)
        drive = at if moving else lambda time: constant
        for state in system.steps(drive, start, self.times, self.substeps):
            yield tie @ state

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved; inputs are the initial u and v.

        Parameters are D_u, D_v and those of the reaction. Fluxes are kept as they are at the first
        time, with a warning if they change.
        """
        start = float(self.times[0])
        warn_of_change(self.neumann, "FitzHughNagumo.sample: a flux", start)
        boundary = self.conditions(mesh, start).boundary()
        if varies(self.dirichlet):
            boundary = over_times(boundary, partial(self.conditions, mesh), self.times)
        numbers = dict(zip(("diffusivity_u", "diffusivity_v"), self.diffusivity, strict=True))
        if is_dataclass(self.reaction):
            given = {f.name: getattr(self.reaction, f.name) for f in fields(self.reaction)}
            numbers |= {name: v for name, v in given.items() if isinstance(v, int | float)}
        name = getattr(self.reaction, "__name__", type(self.reaction).__name__)
        return Sample(
            mesh=mesh,
            boundary=boundary,
            inputs=Space(mesh).interpolate(self.initial, "initial", channels=2),
            times=self.times,
            params=np.array(list(numbers.values()), np.float64),
            names={"u": ["u", "v"], "inputs": ["initial_u", "initial_v"], "params": list(numbers)},
            meta={
                "problem": "FitzHughNagumo",
                "reaction": name,
                "substeps": self.substeps,
                "refine": self.refine,
            },
        )

    def solve(self, mesh: Mesh, order: int = 1) -> Sample:
        """The sample with (u, v) [T, N, 2] at the nodes of the mesh.

        Args:
            mesh: the mesh.
            order: of the elements, 1 or 2.

        Raises:
            ValueError: see `conditions` and `fem.Space`; a reaction that overflows.
            numpy.linalg.LinAlgError: the residual of a step stays above 1e-8.
        """
        problem, fine = on_refined(self, mesh, ["initial", "dirichlet", "neumann"])
        u = np.stack([state[: mesh.num_nodes] for state in problem.steps(fine, order)])
        return self.sample(mesh).with_solution(u)

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        kinetics: str = "fitz_hugh_nagumo",
        steps: int = 40,
        duration: float | None = None,
        length: float = 0.08,
        periodic: Mapping[str, str] | None = None,
        refine: int = 1,
    ) -> "FitzHughNagumo":
        """A random problem: smooth initial u and v, closed walls or periodic sides.

        The diffusivities scale with the domain, whose largest side L stands for 128 (D = 1 and 10)
        with Cubic and for 2.5 (D = 2e-5 and 1e-5) with GrayScott; times do not.

        Args:
            mesh: the mesh.
            rng: random numbers.
            kinetics: "fitz_hugh_nagumo": independent u and v of standard deviation 1/2; or
                "gray_scott": seeds of v in u = 1.
            steps: number of time steps.
            duration: last time, s; by default 8 and 1000.
            length: correlation length of the initial fields, in L.
            periodic: {group: its translate}; the initial fields then repeat with the bounding box.
            refine: see the class. With FitzHugh and Nagumo's reaction on 1,100 nodes the last state
                is wrong by 18 % without, 6 % with one and 1.7 % with two refinements, and by 0.8 %
                with one and `solve(order=2)`, which costs as much as two.

        Raises:
            ValueError: other kinetics.
        """
        if kinetics not in SETTINGS:
            raise ValueError(f"kinetics: expected one of {', '.join(SETTINGS)}, got {kinetics!r}")
        chosen, extent = SETTINGS[kinetics], float(np.ptp(mesh.points, axis=0).max())
        kind = PeriodicField if periodic else GaussianField
        drawn = [kind.draw(mesh, length * extent, chosen.std, r) for r in rng.spawn(2)]
        first, second = (d * (extent / chosen.side) ** 2 for d in chosen.diffusivity)
        end = chosen.duration if duration is None else duration
        return cls(
            np.linspace(0, end, steps + 1),
            chosen.initial(*drawn),
            (first, second),
            chosen.reaction,
            neumann={REST: 0.0},
            periodic=periodic or {},
            substeps=int(np.ceil(chosen.substeps * 40 / steps * end / chosen.duration)),
            refine=refine,
        )
