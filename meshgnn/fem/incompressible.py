"""Incompressible flow in time: BDF2 with incremental pressure correction, convection linearised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix, eye_array
from scipy.sparse.linalg import LinearOperator, cg

from meshgnn.fem.linear import solver
from meshgnn.fem.momentum import Momentum
from meshgnn.fem.taylor_hood import TaylorHood

_TIGHT = 1e-12  # relative residual of the equations of the start


@dataclass(frozen=True, eq=False)
class Flow:
    """All that the scheme needs to go on from one time.

    Args:
        time: t, s.
        velocity: u, [n, d] at the P2 degrees of freedom; the first N are the nodes of the mesh.
        pressure: p / ρ, [N], m²/s².
        rate: ∂u/∂t by the same formula as in the step, [n, d].
        step: the time step that led here; 0 at a start, where there is nothing before.
        before: u one step ago.
        potential: ψ, [N]: u - ∇ψ is free of divergence.
        potential_before: ψ one step ago.
    """

    time: float
    velocity: Float[np.ndarray, "n d"]
    pressure: Float[np.ndarray, " N"]
    rate: Float[np.ndarray, "n d"]
    step: float
    before: Float[np.ndarray, "n d"]
    potential: Float[np.ndarray, " N"]
    potential_before: Float[np.ndarray, " N"]


class PressureCorrection:
    """∂u/∂t + u·∇u = -∇p + ν Δu + f, ∇·u = 0, one time step after the other.

    With r = Δt / Δt', the ratio to the step before, w = (1 + r) u - r u' the extrapolated velocity
    and α = (1 + 2r) / (1 + r) / Δt,

        α û - β u - β' u' + w·∇û - ν Δû + ∇(p + β ψ + β' ψ') = f    (β + β' = α),
        Δψ̂ = ∇·û,    p̂ = p + α ψ̂ - ν ∇·û    (rotational form),

    ν ∂u/∂n - p n given (the natural condition) and ψ = 0 on outlets. The first step is backward
    Euler. Velocities are those that take their boundary values exactly and are free of divergence
    up to Δψ, of order Δt² in time. Second order in time for the velocity, 3/2 for the pressure (1
    with outlets). The step is not bound by stability for Stokes flow; flow through more than about
    one cell a step loses accuracy.

    Args:
        spaces: the elements.
        viscosity: ν, m²/s.
        held: [n, d] True where a component is prescribed.
        outlets: nodes of the mesh with the natural condition, K = 0 where there are none.

    Source: Guermond, Minev & Shen, An overview of projection methods for incompressible flows,
    Comput. Methods Appl. Mech. Engrg. 195 (2006) 6011: rotational incremental pressure correction.
    """

    def __init__(
        self,
        spaces: TaylorHood,
        viscosity: float,
        held: Bool[np.ndarray, "n d"],
        outlets: Int[np.ndarray, " K"],
    ) -> None:
        self.spaces, self.viscosity, self.held = spaces, viscosity, held
        self.closed = not len(outlets)
        self._inner = np.ones(spaces.mesh.num_nodes, dtype=bool)
        self._inner[outlets if len(outlets) else 0] = False
        laplace = spaces.pressure_stiffness[self._inner][:, self._inner]
        self._laplace = solver(csr_matrix(laplace), spaces.dim)
        self._smoothed = solver(spaces.pressure_mass, spaces.dim)
        self._momentum = Momentum(spaces.mass, held)
        self._weights = spaces.pressure_mass @ np.ones(spaces.mesh.num_nodes)

    def start(
        self,
        time: float,
        velocity: Float[np.ndarray, "n d"],
        values: Float[np.ndarray, "n d"],
        rates: Float[np.ndarray, "n d"],
        load: Float[np.ndarray, "n d"],
    ) -> Flow:
        """The nearest velocity with these boundary values and no divergence, and its pressure.

        Both are solutions of M a + Bᵀ λ = F, B a = 0 with a held: for the velocity, and for
        ∂u/∂t with the pressure.

        Args:
            time: t, s.
            velocity: any field.
            values: of the held components, 0 elsewhere.
            rates: ∂/∂t of them.
            load: ∫ f·v dx and the natural conditions.
        """
        spaces = self.spaces
        saddle = _Saddle(spaces, self.held, self._net)
        velocity, _ = saddle.solve(spaces.mass @ velocity, values)
        forces = load - self._stress(velocity, velocity)
        rate, pressure = saddle.solve(forces, rates)
        none = np.zeros(spaces.mesh.num_nodes)
        return Flow(time, velocity, self._gauged(pressure), rate, 0.0, velocity, none, none)

    def advance(
        self,
        flow: Flow,
        time: float,
        values: Float[np.ndarray, "n d"],
        load: Float[np.ndarray, "n d"],
    ) -> Flow:
        """The flow at a later time; arguments as in `start`, at that time.

        Raises:
            numpy.linalg.LinAlgError: the momentum equation is not solved to 1e-9, or the flow has
                grown out of all bounds.
        """
        spaces, step = self.spaces, time - flow.time
        ratio = step / flow.step if flow.step else 0.0
        alpha = (1 + 2 * ratio) / (1 + ratio) / step
        beta = (1 + ratio) / step, -(ratio**2) / (1 + ratio) / step
        wind = (1 + ratio) * flow.velocity - ratio * flow.before
        history = beta[0] * flow.velocity + beta[1] * flow.before
        push = flow.pressure + beta[0] * flow.potential + beta[1] * flow.potential_before
        entries = alpha * spaces.mass.data + self.viscosity * spaces.stiffness.data
        entries += spaces.convection(wind)
        right = load + spaces.mass @ history
        for c, gradient in enumerate(spaces.gradient):
            right[:, c] += gradient @ push
        # the parabola through u and u' with the slope ∂u/∂t: a digit nearer than w
        guess = flow.velocity + step * flow.rate
        guess += ratio**2 * (flow.before - flow.velocity + flow.step * flow.rate)
        velocity = self._momentum.solve(entries, right, values, guess)
        net = self._net(velocity)
        potential = np.zeros(len(push))
        potential[self._inner] = self._laplace(-net[self._inner])
        pressure = flow.pressure + alpha * potential - self.viscosity * self._smoothed(net)
        return Flow(
            time,
            velocity,
            self._gauged(pressure),
            alpha * velocity - history,
            step,
            flow.velocity,
            self._gauged(potential),
            flow.potential,
        )

    def force(
        self, flow: Flow, dofs: Int[np.ndarray, " K"], load: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " d"]:
        """∫ (p n - ν ∂u/∂n) ds over a part of the boundary: the force of the fluid on it over ρ.

        Evaluated as the residual of the momentum equation with the test function that is 1 on the
        part, which converges faster than the integral itself; on a part that meets others, the
        cells at their common edge count with a share. In 2D per depth.

        Args:
            flow: the state.
            dofs: the degrees of freedom on the part.
            load: ∫ f·v dx at that time.
        """
        inertia = self.spaces.mass @ flow.rate + self._stress(flow.velocity, flow.velocity) - load
        inertia -= np.stack([g @ flow.pressure for g in self.spaces.gradient], axis=1)
        return -inertia[dofs].sum(axis=0)

    def _stress(
        self, wind: Float[np.ndarray, "n d"], velocity: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n d"]:
        """∫ (w·∇u)·v + ν ∇u:∇v dx."""
        entries = self.viscosity * self.spaces.stiffness.data + self.spaces.convection(wind)
        return self.spaces.matrix(entries) @ velocity

    def _net(self, velocity: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " N"]:
        """∫ ψ_i ∇·u dx; without outlets less what interpolated boundary values leave in the sum."""
        net = self.spaces.net(velocity)
        return net - self._weights * (net.sum() / self._weights.sum()) if self.closed else net

    def _gauged(self, pressure: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """Without outlets, where only its gradient counts, the pressure has mean 0."""
        if not self.closed:
            return pressure
        return pressure - self._weights @ pressure / self._weights.sum()


class _Saddle:
    """M a - Bᵀ λ = F on free rows, B a = 0, a = g on held ones."""

    def __init__(
        self, spaces: TaylorHood, held: Bool[np.ndarray, "n d"], net: Callable[[Any], Any]
    ) -> None:
        self.spaces, self._net, self._columns = spaces, net, []
        schur = csr_matrix((spaces.mesh.num_nodes,) * 2)
        for c, divergence in enumerate(spaces.divergence):
            free = ~held[:, c]
            inner, part = spaces.mass[free][:, free], divergence[:, free]
            apply = solver(csr_matrix(inner), spaces.dim) if free.any() else np.copy
            self._columns.append((free, apply, part))
            scaled = part.multiply(1 / inner.diagonal())
            schur = csr_matrix(schur + scaled @ part.T)
        # a small shift: without outlets the constant is in the kernel
        shift = 1e-8 * schur.diagonal().max()
        self._near = solver(csr_matrix(schur + shift * eye_array(spaces.mesh.num_nodes)), 2)

    def solve(
        self, load: Float[np.ndarray, "n d"], values: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " N"]]:
        """a and λ, by conjugate gradients on B M⁻¹ Bᵀ λ = -B M⁻¹ F - B g."""
        spaces = self.spaces
        known = load - spaces.mass @ values
        field = values.copy()
        for c, (free, apply, _) in enumerate(self._columns):
            field[free, c] = apply(known[free, c])
        right = -self._net(field)

        def schur(x: np.ndarray) -> np.ndarray:
            return np.sum([p @ apply(p.T @ x) for _, apply, p in self._columns], axis=0)

        shape = (len(right), len(right))
        build: Any = LinearOperator  # its stub has the signature of a subclass
        operator, near = (build(shape, apply, dtype=np.float64) for apply in (schur, self._near))
        # the sums of B g cancel to rounding: below that there is nothing to solve
        least = float(_TIGHT * np.linalg.norm(abs(spaces.divergence[0]) @ abs(field)))
        multiplier, failed = cg(operator, right, rtol=_TIGHT, atol=least, M=near, maxiter=500)
        if failed:
            raise np.linalg.LinAlgError(
                "the initial velocity could not be made free of divergence: "
                f"{failed} iterations; look for degenerate cells or cut-off corners"
            )
        for c, (free, apply, part) in enumerate(self._columns):
            field[free, c] += apply(part.T @ multiplier)
        return field, multiplier
