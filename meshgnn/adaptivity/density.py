"""m(x) and ∇m(x) at moving points: of a function, or of nodal values on the mesh given."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int

from meshgnn.fem.values import at_points
from meshgnn.mesh import Mesh
from meshgnn.operators import hat_gradients, locate, neighbour_steps

_CONTRAST = 1e12
_DIFFERENCE = 1e-6  # of the size of the domain
_WALK, _TOLERANCE, _FAR = 200, 1e-9, 1e-2


@runtime_checkable
class Density(Protocol):
    """[Q, d] -> m [Q] and ∇m [Q, d]; the same Q points every time, moved a little."""

    def __call__(
        self, x: Float[np.ndarray, "Q d"]
    ) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, "Q d"]]: ...


def as_density(
    mesh: Mesh, m: Callable[..., Any] | Float[np.ndarray, " N"], start: Int[np.ndarray, " Q"]
) -> Density:
    """A function m(x), with ∇m by central differences, or nodal values as their P1 field.

    Args:
        mesh: the mesh of the nodal values.
        m: x[..., d] -> m[...], or [N].
        start: the simplices that the points are in at first.

    Raises:
        ValueError: nodal values that are not over the nodes; with any m, values that are not
            positive, finite and within a factor of 1e12.
    """
    if callable(m):
        step = _DIFFERENCE * float(np.ptp(mesh.points, axis=0).max())
        return lambda x: _differences(m, x, step)
    if m.shape != (mesh.num_nodes,):
        raise ValueError(f"density: expected m [{mesh.num_nodes}] over the nodes, got {m.shape}")
    return _Nodal(mesh, _positive(m), start)


def _positive(m: Float[np.ndarray, " Q"]) -> Float[np.ndarray, " Q"]:
    bad = np.flatnonzero(~((m > m.max() / _CONTRAST) & (m < np.inf)))
    if len(bad):
        raise ValueError(
            f"density: expected m > 0, finite and of a contrast below {_CONTRAST:g}, got "
            f"{m[bad[0]]:g} at point {bad[0]}, {len(bad)} of {len(m)} such values, the largest "
            f"{m.max():g}; a monitor that overflows or vanishes moves no mesh"
        )
    return m


def _differences(
    m: Callable[..., Any], x: Float[np.ndarray, "Q d"], step: float
) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, "Q d"]]:
    value = _positive(at_points(m, x, "density"))
    slopes = [
        (at_points(m, x + e, "density") - at_points(m, x - e, "density")) / (2 * step)
        for e in step * np.eye(x.shape[1])
    ]
    return value, np.stack(slopes, axis=1)


class _Nodal:
    """P1 on the mesh given, constant along the way out of it; points are found by a walk from cell
    to cell from where they were last."""

    def __init__(self, mesh: Mesh, m: Float[np.ndarray, " N"], start: Int[np.ndarray, " Q"]):
        self.points, self.simplices, self.m = mesh.points, mesh.simplices, m
        pos, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
        self.hats = hat_gradients(pos, simplices)[0].numpy()
        self.slopes = np.einsum("sn,snd->sd", m[self.simplices], self.hats)
        self.steps = neighbour_steps(simplices, mesh.num_nodes).numpy()
        self.last = start

    def __call__(
        self, x: Float[np.ndarray, "Q d"]
    ) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, "Q d"]]:
        cell = self._walk(x)
        weights = self._weights(x, cell)
        far = np.flatnonzero(weights.min(axis=1) < -_FAR)
        if len(far):
            pos, simplices = torch.tensor(self.points), torch.tensor(self.simplices)
            place = locate(torch.tensor(x[far]), pos, simplices)
            cell[far], weights[far] = place.simplex.numpy(), place.weights.numpy()
        self.last = cell
        weights = np.maximum(weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        return (weights * self.m[self.simplices[cell]]).sum(axis=1), self.slopes[cell]

    def _weights(
        self, x: Float[np.ndarray, "Q d"], cell: Int[np.ndarray, " Q"]
    ) -> Float[np.ndarray, "Q n"]:
        out = x - self.points[self.simplices[cell, 0]]
        weights = np.einsum("qnd,qd->qn", self.hats[cell], out)
        weights[:, 0] += 1
        return weights

    def _walk(self, x: Float[np.ndarray, "Q d"]) -> Int[np.ndarray, " Q"]:
        """Through the facet of the most negative λ that has a cell behind it."""
        cell, left = self.last.copy(), np.arange(len(x))
        for _ in range(_WALK):
            weights, steps = self._weights(x[left], cell[left]), self.steps[cell[left]]
            weights = np.where(steps != 0, weights, 1.0)
            facet = weights.argmin(axis=1)[:, None]
            go = np.take_along_axis(weights, facet, 1)[:, 0] < -_TOLERANCE
            left = left[go]
            if not len(left):
                break
            cell[left] += np.take_along_axis(steps, facet, 1)[go, 0]
        return cell
