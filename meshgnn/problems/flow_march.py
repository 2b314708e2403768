"""`FlowMarch`: an incompressible flow under given conditions, from frame to frame."""

from collections.abc import Callable, Iterator
from functools import cached_property
from math import ceil

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import ThreadpoolController

from meshgnn.fem.incompressible import Flow, PressureCorrection
from meshgnn.fem.taylor_hood import TaylorHood
from meshgnn.fem.values import VectorValue
from meshgnn.mesh import Mesh
from meshgnn.problems.conditions import Conditions
from meshgnn.problems.transient import frozen, varies
from meshgnn.sample import Sample

_LEAK = 1e-3  # of the flux through a closed boundary, which interpolation may leave


class FlowMarch:
    """The data of one flow problem on one mesh, handed to the scheme step by step.

    Args:
        mesh: the mesh.
        viscosity: ν.
        conditions: t -> the conditions at that time.
        source: f, may be a function of (x, t).
        moving: whether the Dirichlet values change with time.
    """

    def __init__(
        self,
        mesh: Mesh,
        viscosity: float,
        conditions: Callable[[float], Conditions],
        source: VectorValue,
        moving: bool,
    ) -> None:
        mesh.check()
        self.mesh, self.viscosity, self.source, self.moving = mesh, viscosity, source, moving
        self.spaces, self._conditions = TaylorHood(mesh), conditions
        self._pools = ThreadpoolController()
        self._values: np.ndarray | None = None
        self._load: np.ndarray | None = None
        self._tractions: np.ndarray | None = None

    def values(self, time: float) -> Float[np.ndarray, "n d"]:
        """Prescribed velocities at the P2 degrees of freedom, 0 elsewhere.

        Raises:
            ValueError: a closed domain into which more flows than out of it.
        """
        if self._values is None or self.moving:
            _, self._values = self._conditions(time).prescribed(self.spaces.space)
            through = self.spaces.net(self._values)
            leak, scale = through.sum(), np.abs(through).sum()
            if self.scheme.closed and abs(leak) > _LEAK * scale:
                raise ValueError(
                    f"the prescribed velocities let a net volume of {-leak:.6g} per second into "
                    f"the domain at t = {time:g} s, which has no outlet; name one "
                    "(neumann={'outlet': 0.0}) or balance them"
                )
        return self._values

    def load(self, time: float) -> Float[np.ndarray, "n d"]:
        """∫ f·v dx and the tractions."""
        if self._tractions is None:
            load = self._conditions(time).load(self.spaces.space)
            self._tractions = load.reshape(-1, self.spaces.dim)
        if self._load is None or varies(self.source):
            self._load = self._tractions + self.spaces.load(frozen(self.source, time))
        return self._load

    @cached_property
    def scheme(self) -> PressureCorrection:
        """The scheme with its matrices factorised."""
        first = self._conditions(0.0)
        held, _ = first.prescribed(self.spaces.space)
        return PressureCorrection(self.spaces, self.viscosity, held, self._outlets(first, held))

    def _outlets(self, conditions: Conditions, held: np.ndarray) -> Int[np.ndarray, " K"]:
        """Nodes of the facets with a flux condition of which no component is prescribed."""
        facets = [np.zeros(0, np.int64), *conditions.flux_facets.values()]
        nodes = [np.zeros(0, np.int64)]
        for block in self.spaces.space.quadratures(2, np.sort(np.concatenate(facets))):
            free = ~np.any(held[block.dofs].all(axis=1), axis=-1)
            nodes.append(block.vertices[free].ravel())
        return np.unique(np.concatenate(nodes))

    def start(self, initial: VectorValue | Sample | Flow | None, time: float, step: float) -> Flow:
        """The first state. Raises: ValueError: a state of another mesh, or a sample unsolved."""
        space, d = self.spaces.space, self.spaces.dim
        if isinstance(initial, Flow):
            if initial.velocity.shape != (self.spaces.size, d):
                raise ValueError(
                    f"initial: expected a flow with velocity {(self.spaces.size, d)}, got "
                    f"{initial.velocity.shape}; a march goes on on the mesh it began on"
                )
            return initial
        if isinstance(initial, Sample):
            if initial.u is None or initial.u.shape[1:] != (self.mesh.num_nodes, d + 1):
                raise ValueError(
                    f"initial: expected a sample with u [T, {self.mesh.num_nodes}, {d + 1}], got "
                    f"{initial!r}; transfer it to this mesh first"
                )
            initial = initial.u[-1, :, :d]
        given = 0.0 if initial is None else initial
        velocity = space.interpolate(given, "initial", channels=d)
        tiny = step / 100
        now, soon, later = (self.values(time + k * tiny) for k in range(3))
        rates = (4 * soon - 3 * now - later) / (2 * tiny)
        return self.scheme.start(time, velocity, self.values(time), rates, self.load(time))

    def states(
        self, flow: Flow, times: Float[np.ndarray, " T"], longest: float, substeps: int
    ) -> Iterator[Flow]:
        """The flow at each of the times, from a state at the first or before.

        Args:
            flow: where to begin.
            times: increasing.
            longest: Δt at most.
            substeps: at least so many steps from one time to the next.
        """
        begin = flow.time
        for end in times.tolist():
            gap = end - begin
            # a gap of n steps and rounding takes n steps
            count = 0 if gap <= 0 else max(substeps, ceil(gap / longest * (1 - 1e-9)))
            for step in range(count):
                time = begin + gap * (step + 1) / count
                # products of a step are small: threads of BLAS would only wait for each other
                with self._pools.limit(limits=1, user_api="blas"):
                    flow = self.scheme.advance(flow, time, self.values(time), self.load(time))
            yield flow
            begin = end

    def nodal(self, flow: Flow) -> Float[np.ndarray, "N C"]:
        """Velocity and pressure at the nodes of the mesh."""
        return np.column_stack([flow.velocity[: self.mesh.num_nodes], flow.pressure])

    def force(self, flow: Flow, group: str) -> Float[np.ndarray, " d"]:
        """The force on a group of the boundary over the density. Raises: ValueError: no group."""
        self.mesh.facets_of(group)
        dofs = self.spaces.space.dofs_on(self.mesh.groups[group].cells)
        with self._pools.limit(limits=1, user_api="blas"):
            return self.scheme.force(flow, dofs, self.load(flow.time))
