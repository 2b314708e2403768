"""How stiff the patches of a body must be for its lowest vibrations to be those of the mesh."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csc_array, csr_array, diags_array, eye_array, hstack, vstack
from scipy.sparse.linalg import LinearOperator, eigsh, splu

from meshgnn.operators import hat_gradients

_MODES = 16
_SPARE = 4  # modes of patches beyond these, which may come in another order
_LAMES = (0.3, 3.0)  # λ / μ: what is sheared and what is pressed must both be right
_PRIOR = 0.03  # error of ω² that is as bad as a mean change of ln s by 1
_FIRM = 100.0  # of the prior for an error of 1: what does not fit is not followed
_STEP, _ROUNDS = 0.7, 6
_MOST = 1.2  # of |ln s|: one stiff patch would ask for short steps
_LARGEST = {2: 200_000, 3: 20_000}  # unknowns of a mesh of which a factor is a matter of seconds
_MOST_POINTS = {2: 5_000, 3: 1_300}  # each has some hundred neighbours: a minute for all rounds


class Vibrations(NamedTuple):
    """ω² [m] for density 1 and μ = 1, ascending, and displacements [n d, m] with φᵀ M φ = 1."""

    square: np.ndarray
    shape: np.ndarray


@dataclass(frozen=True, eq=False)
class Elastic:
    """A body of n nodes at small strains, constant in each of Q parts; equal where all numbers are.

    Displacements [n d] have those along one axis after those along another.

    Args:
        slopes: ∂/∂x_a of nodal values, d maps [Q, n].
        volume: of the parts [Q].
        mass: of the nodes [n].
        held: components that are prescribed [n, d].
        size: of the body.
    """

    slopes: list[csr_array]
    volume: Float[np.ndarray, " Q"]
    mass: Float[np.ndarray, " n"]
    held: Bool[np.ndarray, "n d"]
    size: float

    @cached_property
    def _digest(self) -> bytes:
        found = sha256()
        arrays = [self.volume, self.mass, self.held]
        for g in self.slopes:
            arrays += [g.data, g.indices, g.indptr]
        for x in arrays:
            found.update(np.ascontiguousarray(x).tobytes())
        return found.digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Elastic) and self._digest == other._digest

    @cached_property
    def strains(self) -> tuple[list[csr_array], csr_array]:
        """√V ε_ab, √2 of it for a < b, and √V tr ε as maps [Q, n d]."""
        dim, root = len(self.slopes), diags_array(np.sqrt(self.volume))
        slopes = [csr_array(root @ g) for g in self.slopes]
        strain, none = [], csr_array(slopes[0].shape)
        for a in range(dim):
            for b in range(a, dim):
                parts = [none] * dim
                parts[a] = slopes[b] if a == b else slopes[b] / np.sqrt(2)
                parts[b] = slopes[a] if a == b else slopes[a] / np.sqrt(2)
                strain.append(csr_array(hstack(parts)))
        return strain, csr_array(hstack(slopes))

    def vibrations(self, lame: float, stiffer: Float[np.ndarray, "2 Q"], count: int) -> Vibrations:
        """The lowest of Σ_q V (2 s_1 |ε|² + λ s_2 (tr ε)²) but for rigid motions, λ = `lame`."""
        dim, free = len(self.slopes), ~self.held.T.ravel()
        root = 1 / np.sqrt(np.tile(self.mass, dim)[free])
        strain, trace = self.strains
        rows = [diags_array(np.sqrt(2 * stiffer[0])) @ e for e in strain]
        rows.append(diags_array(np.sqrt(lame * stiffer[1])) @ trace)
        scaled = csc_array(vstack(rows))[:, np.flatnonzero(free)] @ diags_array(root)
        unit = (2 + lame) / self.size**2  # of waves about as long as the body
        wanted = min(count + dim * (dim + 1) // 2, len(root) - 1)
        square, vectors = _lowest(csc_array(scaled.T @ scaled), wanted, 0.1 * unit)
        some = np.flatnonzero(square > 1e-7 * unit)[:count]
        shape = np.zeros((len(free), len(some)))
        shape[free] = root[:, None] * vectors[:, some]
        return Vibrations(square[some], shape)

    def shares(self, lame: float, shape: Float[np.ndarray, " D"]) -> Float[np.ndarray, " P"]:
        """2 V |ε|² and λ V (tr ε)² of every part, P = 2 Q."""
        strain, trace = self.strains
        sheared = sum((e @ shape) ** 2 for e in strain)
        return np.concatenate([2 * sheared, lame * (trace @ shape) ** 2])


def of_mesh(
    points: Float[np.ndarray, "N d"],
    simplices: Int[np.ndarray, "Z n"],
    mass: Float[np.ndarray, " N"],
    held: Bool[np.ndarray, "N d"],
) -> Elastic:
    """P1 elements on a mesh."""
    hats, volume = hat_gradients(torch.from_numpy(points), torch.from_numpy(simplices))
    rows = np.repeat(np.arange(len(simplices)), simplices.shape[1])
    shape = len(simplices), len(points)
    entries = [(h.ravel(), (rows, simplices.ravel())) for h in hats.numpy().transpose(2, 0, 1)]
    slopes = [csr_array(e, shape) for e in entries]
    return Elastic(slopes, volume.abs().numpy(), mass, held, float(np.ptp(points, axis=0).max()))


def stiffening(
    mesh: Elastic, patches: Elastic, chosen: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "2 Q"]:
    """s of every patch, for its shape and for its volume, such that the lowest ω are the mesh's.

    min_s Σ_λ Σ_k (1 − ω_k²(s) / ω_k²)² + α² Σ_q V_q |ln s_q|² / Σ_q V_q by Gauss-Newton steps, with
    ∂ω_k² / ∂s from the mode of the patches that is most like mode k of the mesh (MAC; Allemang
    2003). Isotropic, for two ratios λ / μ: what s makes good is geometry (corners that few points
    do not see, masses in a point), so that it holds for other laws as well. 1 where no round brings
    ω nearer, where less than ten components are free, and for meshes of more than 200,000 unknowns
    in 2D, 20,000 in 3D, or more than 5,000 points in 2D, 1,300 in 3D.

    Args:
        mesh: all nodes.
        patches: the same body by n of its nodes.
        chosen: which ones.
    """
    count, dim = len(patches.volume), len(mesh.slopes)
    even = np.ones((2, count))
    wanted = min(_MODES, int((~patches.held).sum()) // 10)
    large = mesh.held.size > _LARGEST[dim] or len(chosen) > _MOST_POINTS[dim]
    if not wanted or large or len(chosen) == len(mesh.mass):
        return even
    rows = np.concatenate([chosen + axis * len(mesh.mass) for axis in range(dim)])
    found = zip(_LAMES, _of_whole(mesh, wanted), strict=True)
    aims = [(lame, Vibrations(v.square, v.shape[rows])) for lame, v in found]
    prior = np.tile(patches.volume.sum() / patches.volume, 2) / _PRIOR**2
    best, least, y = even, np.inf, np.zeros(2 * count)
    for _ in range(_ROUNDS):
        stiffer = np.exp(y)
        gains = np.array(list(_gains(patches, aims, stiffer.reshape(2, count)))) * stiffer
        missing = 1 - gains.sum(axis=1)
        if missing @ missing < least:
            best, least = stiffer.reshape(2, count), missing @ missing
        firm = 1 + missing @ missing * _FIRM
        kernel = (gains * prior) @ gains.T + firm * np.eye(len(gains))
        goal = prior * (gains.T @ np.linalg.solve(kernel, missing + gains @ y))
        y = np.clip(y + np.clip(goal - y, -_STEP, _STEP), -_MOST, _MOST)
    return best


@lru_cache(maxsize=4)  # motions of one body differ in their points
def _of_whole(mesh: Elastic, count: int) -> list[Vibrations]:
    even = np.ones((2, len(mesh.volume)))
    return [mesh.vibrations(lame, even, count) for lame in _LAMES]


def _gains(
    patches: Elastic, aims: list[tuple[float, Vibrations]], stiffer: Float[np.ndarray, "2 Q"]
) -> Iterator[Float[np.ndarray, " P"]]:
    """∂ω² / ∂s over the ω² of the mesh, a row for each of its modes."""
    mass = np.tile(patches.mass, len(patches.slopes))[:, None]
    for lame, aim in aims:
        found = patches.vibrations(lame, stiffer, len(aim.square) + _SPARE)
        alike = np.abs(found.shape.T @ (mass * aim.shape))
        for own, one in zip(*linear_sum_assignment(-alike), strict=True):
            yield patches.shares(lame, found.shape[:, own]) / aim.square[one]


def _lowest(matrix: csc_array, count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending, and vectors of a symmetric matrix that is not negative."""
    size = matrix.shape[0]  # pyright: ignore[reportOptionalSubscript]
    options = {"SymmetricMode": True}
    moved = csc_array(matrix + shift * eye_array(size))
    factor = splu(moved, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    inverse = LinearOperator((size, size), matvec=factor.solve, dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).standard_normal(size)
    values, vectors = eigsh(matrix, count, sigma=-shift, OPinv=inverse, v0=start)
    order = np.argsort(values)
    return values[order], vectors[:, order]
