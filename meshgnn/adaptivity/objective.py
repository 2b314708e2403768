"""The discrete Monge-Ampère residual of a moved mesh, its distortion, and their derivatives."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix

from meshgnn.adaptivity.density import Density
from meshgnn.fem.elements import SIMPLICES, rule
from meshgnn.mesh import Mesh
from meshgnn.operators import hat_gradients

_STEEP = 3.0
_DEGREE = 2  # of the quadrature of m in a cell: a rule at the corners can not see fronts inside


@dataclass(frozen=True, eq=False)
class State:
    """One moved mesh.

    Args:
        x: [N, d] points.
        hats: ∇_x φ_i [S, n, d] on the moved cells.
        det: det J_K = |K(x)| / |K(ξ)| [S].
        slopes: ∂ log w_K / ∂ x_i [S, n, d], w_K = ∫_K(x) m^power dx / |K(ξ)|.
        residual: r_K = log(w_K / θ) [S], of mean 0.
        shape: P = J / det J^(1/d) [S, d, d].
        distortion: D = |P|² / d - 1 >= 0 [S]; 0 where J is a rotation times a number.
        value: F, what is minimised.
        cv: std w / mean w, of m itself, cells weighted by |K(ξ)|.
    """

    x: Float[np.ndarray, "N d"]
    hats: Float[np.ndarray, "S n d"]
    det: Float[np.ndarray, " S"]
    slopes: Float[np.ndarray, "S n d"]
    residual: Float[np.ndarray, " S"]
    shape: Float[np.ndarray, "S d d"]
    distortion: Float[np.ndarray, " S"]
    value: float
    cv: float


@dataclass(frozen=True, eq=False)
class Objective:
    """F(x) = Σ_K s_K (ψ(r_K) + ε (D_K + D_K³)), s_K = |K| / |Ω| with the volumes given.

    r = log(m det J / θ), J = ∂x/∂ξ, is the Monge-Ampère residual, ψ = r² / 2 for r < 0 and
    eʳ − 1 − r above: a few cells that get far too much of m are not traded for many that get a
    little less. D is what keeps the angles: any change of size is free, a stretch costs ε D, and
    without bound where a cell flattens.

    Args:
        mesh: ξ, of simplices, upright.
        stiffness: ε.
    """

    mesh: Mesh
    stiffness: float

    @cached_property
    def table(self) -> tuple[Float[np.ndarray, "Q n"], Float[np.ndarray, " Q"]]:
        """Barycentric points of the quadrature, and weights of sum 1."""
        points, weights = rule(SIMPLICES[self.mesh.dim], _DEGREE)
        return np.column_stack([1 - points.sum(axis=0), *points]), weights / weights.sum()

    @cached_property
    def share(self) -> Float[np.ndarray, " S"]:
        """s_K."""
        return self.mesh.simplex_volumes / self.mesh.simplex_volumes.sum()

    @cached_property
    def reference(self) -> Float[np.ndarray, "S n d"]:
        """∇_ξ φ_i."""
        return self._hats(self.mesh.points)[0]

    def _hats(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hats, volume = hat_gradients(torch.tensor(x), torch.tensor(self.mesh.simplices))
        return hats.numpy(), volume.numpy()

    def at(self, x: Float[np.ndarray, "N d"], density: Density, power: float) -> State | None:
        """F at x with m^power; None where a cell is folded."""
        d, s = x.shape[1], self.mesh.simplices
        hats, volume = self._hats(x)
        if not (volume > 0).all():
            return None
        corners, quadrature = self.table
        points = np.einsum("qn,snd->sqd", corners, x[s])
        m, slope = density(points.reshape(-1, d))
        m, slope = m.reshape(points.shape[:2]), slope.reshape(points.shape)
        det = volume / self.mesh.simplex_volumes
        raised = m**power
        mean = raised @ quadrature
        chain = power * (raised / m)[:, :, None] * slope
        slopes = hats + np.einsum("q,qn,sqd->snd", quadrature, corners, chain) / mean[:, None, None]
        residual = np.log(mean * det)
        residual -= self.share @ residual
        shape = np.einsum("sna,snb->sab", x[s], self.reference) / det[:, None, None] ** (1 / d)
        bend = (shape**2).sum(axis=(1, 2)) / d - 1
        value = self.share @ (_penalty(residual)[0] + self.stiffness * (bend + bend**3))
        w = (m @ quadrature) * det
        w = w / (self.share @ w)
        cv = np.sqrt(self.share @ (w - 1) ** 2)
        return State(x, hats, det, slopes, residual, shape, bend, float(value), float(cv))

    def model(self, state: State) -> tuple[Float[np.ndarray, " _"], csr_matrix, csr_matrix]:
        """∇F [N d], a Gauss-Newton matrix of F, and the metric ∫ ∇_x v : ∇_x v of the steps v."""
        hats, d = state.hats, state.x.shape[1]
        count, size, eye = len(hats), hats.shape[1] * d, np.eye(d)
        slopes = state.slopes.reshape(count, size)
        root = state.det[:, None, None, None, None] ** (1 / d)
        turn = np.einsum("ac,sib->sabic", eye, self.reference) / root
        turn -= state.shape[:, :, :, None, None] * hats[:, None, None] / d
        turn = turn.reshape(count, d * d, size)
        bend = 2 / d * np.einsum("spi,sp->si", turn, state.shape.reshape(count, -1))
        first = self.stiffness * (1 + 3 * state.distortion**2)
        _, push, weight = _penalty(state.residual)
        push = push - self.share @ push  # the mean of r is taken out
        gradient = push[:, None] * slopes + first[:, None] * bend
        matrix = weight[:, None, None] * slopes[:, :, None] * slopes[:, None]
        matrix += 2 / d * first[:, None, None] * np.einsum("spi,spj->sij", turn, turn)
        matrix += (
            6 * self.stiffness * state.distortion[:, None, None] * bend[:, :, None] * bend[:, None]
        )
        share = self.share[:, None, None]
        metric = np.einsum("sid,sjd,ab->siajb", hats, hats, eye).reshape(count, size, size)
        columns = (self.mesh.simplices[:, :, None] * d + np.arange(d)).reshape(-1)
        total = np.bincount(columns, (share[:, 0] * gradient).reshape(-1), state.x.size)
        moved = share * state.det[:, None, None]
        return total, self._assembled(share * matrix), self._assembled(moved * metric)

    def _assembled(self, local: Float[np.ndarray, "S k k"]) -> csr_matrix:
        d, count, size = self.mesh.dim, *local.shape[:2]
        columns = (self.mesh.simplices[:, :, None] * d + np.arange(d)).reshape(count, size)
        places = np.repeat(columns, size, axis=1), np.tile(columns, (1, size))
        shape = (self.mesh.num_nodes * d,) * 2
        return csr_matrix((local.reshape(-1), [place.reshape(-1) for place in places]), shape=shape)


def _penalty(r: Float[np.ndarray, " S"]) -> list[Float[np.ndarray, " S"]]:
    """ψ, ψ' and ψ'' at r; beyond r = 3 its Taylor polynomial of degree 2 there."""
    near = np.clip(r, 0, _STEEP)
    weight, beyond = np.exp(near), np.maximum(r - _STEEP, 0)
    value = weight - 1 - near + (weight - 1) * beyond + weight * beyond**2 / 2
    slope = weight - 1 + weight * beyond
    pairs = ((r**2 / 2, value), (r, slope), (np.ones_like(r), weight))
    return [np.where(r < 0, left, right) for left, right in pairs]
