"""The classical mesh of a density: the Monge-Ampère equation on any mesh of simplices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import cg, splu

from meshgnn.adaptivity.constraints import Slider
from meshgnn.adaptivity.density import Density, as_density
from meshgnn.adaptivity.objective import Objective, State
from meshgnn.fem.elements import SIMPLICES
from meshgnn.mesh import Mesh
from meshgnn.operators import hat_gradients, stiffness_matrix

_LEVELS = 3  # powers 1/3, 2/3, 1 of m: full strength at once lets cells jump over a front
_WARM = 5  # iterations at the first powers
_STRAIN = 0.7  # largest |∇_x v| of a step: no cell changes by more than about its own size
_DAMPING = (1e-3, 1e9)
_GAIN = (0.1, 0.3, 0.7)  # of what was expected: refused below, damped more, damped less above
_TRIED = 8  # iterations, where the last is worse than the mesh given
_RISE = 1.1  # of the CV above its least: the iteration has left what it had found
_EVEN, _ROUNDING = 0.05, 1e-10  # CVs: what counts as equidistributed, and as constant
_DIRECT = {1: 10**6, 2: 60_000, 3: 9_000}  # unknowns up to which a factorisation pays

Path = list[tuple[float, Float[np.ndarray, "N d"]]]  # CV and points, from the mesh given on


@dataclass(frozen=True, eq=False, repr=False)
class Moved:
    """What `monge_ampere` returns.

    Args:
        mesh: the moved mesh, without a folded cell.
        residuals: CV of the w_K before the first and after every iteration.
        iterations: how many there were.
        converged: False where they ended for another reason than the tolerance.
        potential: φ [N] with mean 0 whose gradient is nearest to the displacement in L².
        kept: the iteration that gave the mesh; the last, where it was not left again.
    """

    mesh: Mesh
    residuals: list[float]
    iterations: int
    converged: bool
    potential: Float[np.ndarray, " N"]
    kept: int

    def __repr__(self) -> str:
        return (
            f"Moved(CV {self.residuals[0]:.3g} -> {self.residuals[self.kept]:.3g}, {self.kept} of "
            f"{self.iterations} "
            f"iterations, {'converged' if self.converged else 'not converged'}, {self.mesh!r})"
        )


def monge_ampere(
    mesh: Mesh,
    density: Callable[..., Any] | Float[np.ndarray, " N"],
    tol: float = 1e-2,
    max_iterations: int = 60,
    stiffness: float = 0.04,
    error: Callable[[Mesh], float] | None = None,
) -> Moved:
    """m(x(ξ)) det(∂x/∂ξ) = θ: the mesh moved so that all its cells have equal shares of ∫ m.

    With w_K = ∫_K(x) m dx / |K(ξ)| and r = log(w / θ) it minimises Σ_K |K| (ψ(r_K) + ε (D + D³)),
    ψ = r² / 2 or steeper and D >= 0 the stretch of the cell (see `objective.Objective`), by
    Gauss-Newton steps, damped by ∫ |∇_x v|² and accepted only where they lower it and fold no cell;
    at powers 1/3, 2/3 and 1 of m, each from the one before. By a potential, x = ξ + ∇φ with
    ∂φ/∂n = 0, the same equation has a
    solution that keeps the domain on boxes only, while this one treats re-entrant corners and holes
    as well; the damping makes the first steps gradients of such a φ on boxes.

    Nodes slide along the walls of the domain and the interfaces of its groups (`mesh_walls`);
    corners stay. Curves are the polygons that the mesh has. Cells keep their neighbours, so that
    fronts thinner than a cell, and contrasts of m of hundreds, are met in part only. Components of
    a mesh that hang together nowhere exchange no share.

    Args:
        mesh: ξ: segments, triangles or tetrahedra of full dimension; not changed.
        density: m > 0 as a function x[..., d] -> m[...], or its values [N] at the nodes of the
            mesh, which stay where they are: m(x) is P1 on the mesh given. The unit has no effect.
        tol: an iteration that lowers the sum by less than this part of it is the last.
        max_iterations: at full power.
        stiffness: ε >= 0: larger keeps the angles, smaller follows m.
        error: of a mesh: where it is larger at the end than for the mesh given, the best of some
            iterations between is returned, or the mesh given.

    Raises:
        ValueError: other cells; inverted cells; m that is not positive and finite, or not over the
            nodes; options out of range.
        RuntimeError: cells that were never shared out better than before; with the history of
            residuals.

    Source: the equation of Budd, Huang & Russell, Acta Numerica 18 (2009), section 4; distortion:
    the mean ratio of Liu & Joe, BIT 34 (1994) 268-287.
    """
    check_simplices(mesh)
    if not (0 <= stiffness < np.inf and 0 <= tol < np.inf and max_iterations >= 0):
        raise ValueError(
            "monge_ampere: expected tol, stiffness and max_iterations of 0 or more, got "
            f"{tol:g}, {stiffness:g} and {max_iterations}"
        )
    objective = Objective(mesh, stiffness)
    start = np.repeat(np.arange(len(mesh.simplices)), len(objective.table[1]))
    m, slider = as_density(mesh, density, start), Slider(mesh)
    state = objective.at(mesh.points, m, 1.0)
    assert state is not None  # the mesh is upright
    path, converged = [(state.cv, state.x)], True
    if state.cv > _ROUNDING:
        for level in range(1, _LEVELS + 1):
            limit = max_iterations if level == _LEVELS else min(_WARM, max_iterations)
            state, converged = _minimised(
                objective, m, level / _LEVELS, slider, state, path, tol, limit
            )
    history, best = [cv for cv, _ in path], len(path) - 1
    if history[best] > max(_RISE * min(history), _EVEN):
        best, converged = int(np.argmin(history)), False
    if best == 0 and len(history) > 1:
        trail = ", ".join(f"{value:.3g}" for value in history)
        raise RuntimeError(
            f"monge_ampere: the CV of the w_K rose in {len(history) - 1} iterations: {trail}; take "
            "a smoother or weaker monitor, or a finer mesh"
        )
    if error is not None:
        best = _least(error, mesh, path, best)
    moved = mesh.moved(path[best][1])
    found = _potential(mesh, moved.points)
    return Moved(moved, history, len(history) - 1, converged, found, best)


def _least(error: Callable[[Mesh], float], mesh: Mesh, path: Path, last: int) -> int:
    """`last` where its error is at most that of the mesh given, else the least of some before."""
    before = error(mesh)
    if error(mesh.moved(path[last][1])) <= before:
        return last
    tried = np.unique(np.linspace(0, last, _TRIED).astype(int))[1:-1]
    errors = [before, *(error(mesh.moved(path[i][1])) for i in tried)]
    return int([0, *tried][int(np.argmin(errors))])


def check_simplices(mesh: Mesh) -> None:
    """Raises: ValueError: cells that are not simplices of dimension d, or not upright."""
    if mesh.dim != mesh.points.shape[1]:
        raise ValueError(
            f"adapt: expected cells of dimension d, got {', '.join(mesh.cells)} in "
            f"{mesh.points.shape[1]}D; curves and surfaces in space can not be adapted"
        )
    if set(mesh.cells) - {"line", "triangle", "tetra"}:
        kept, name = "{k: g for k, g in mesh.groups.items() if g.dim < 2}", SIMPLICES[mesh.dim]
        raise ValueError(
            f"adapt: expected triangles or tetrahedra alone, got {', '.join(mesh.cells)}; split "
            f"the cells first, Mesh(mesh.points, {{'{name}': mesh.simplices}}, {kept})"
        )
    wrong = np.flatnonzero(~(mesh.simplex_volumes > 0))
    if len(wrong):
        raise ValueError(
            f"adapt: {len(wrong)} cells are inverted or degenerate, the first is {wrong[0]}; see "
            "Mesh.check() and Mesh.oriented()"
        )


def _minimised(
    objective: Objective,
    density: Density,
    power: float,
    slider: Slider,
    state: State,
    path: Path,
    tol: float,
    limit: int,
) -> tuple[State, bool]:
    """Levenberg-Marquardt steps from a state, and whether they got to the tolerance."""
    state, damping = objective.at(state.x, density, power) or state, 1.0  # it is upright
    for _ in range(limit):
        basis = slider.basis(state.x)
        if state.value < _ROUNDING**2 or not basis.nnz:
            return state, basis.nnz > 0
        gradient, matrix, metric = objective.model(state)
        right = basis.T @ gradient
        matrix, metric = ((basis.T @ form @ basis).tocsr() for form in (matrix, metric))
        while True:
            step = -_solved(matrix + damping * metric, right, state.x.shape[1])
            along = (basis @ step).reshape(state.x.shape)
            part = _share(state, along[objective.mesh.simplices])
            expected = -part * (right @ step + part / 2 * (step @ (matrix @ step)))
            if expected <= _ROUNDING**2 * state.value:
                return state, True
            trial = objective.at(slider.onto(state.x + part * along, state.x), density, power)
            gain = -1.0 if trial is None else (state.value - trial.value) / expected
            if trial is not None and gain > _GAIN[0]:
                break
            damping *= 4
            if damping > _DAMPING[1]:
                return state, False
        path.append((trial.cv, trial.x))
        if part == 1 and state.value - trial.value < tol * state.value:
            return trial, True
        state = trial
        if part == 1:
            easier, harder = max(damping / 4, _DAMPING[0]), damping * (1 + (gain < _GAIN[1]))
            damping = easier if gain > _GAIN[2] else harder
    return state, False


def _share(state: State, step: Float[np.ndarray, "S n d"]) -> float:
    """The part of a step whose largest |∇_x v| is `_STRAIN`; all of a smaller step."""
    strain = np.einsum("snd,sne->sde", state.hats, step)
    return float(min(1, _STRAIN / max(np.linalg.norm(strain, axis=(1, 2)).max(), _STRAIN)))


def _solved(
    matrix: csr_matrix, right: Float[np.ndarray, " n"], dim: int
) -> Float[np.ndarray, " n"]:
    """A⁻¹ b of a symmetric positive definite A; large ones to 1e-2, which is a descent as well."""
    if len(right) <= _DIRECT[dim]:
        options = {"SymmetricMode": True}
        factors = splu(
            matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
        )
        return factors.solve(right)
    scale = diags_array(1 / matrix.diagonal())
    return cg(matrix, right, rtol=1e-2, maxiter=300, M=scale)[0]


def _potential(mesh: Mesh, x: Float[np.ndarray, "N d"]) -> Float[np.ndarray, " N"]:
    """∫ ∇φ·∇v = ∫ (x - ξ)·∇v for all v, mean 0 on every component."""
    pos, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
    laplace = stiffness_matrix(pos, simplices)
    (rows, columns), values = laplace.indices().numpy(), laplace.values().numpy()
    hats = hat_gradients(pos, simplices)[0].numpy()
    mean = (x - mesh.points)[mesh.simplices].mean(axis=1)
    flux = np.einsum("s,snd,sd->sn", mesh.simplex_volumes, hats, mean)
    right = np.bincount(mesh.simplices.reshape(-1), flux.reshape(-1), mesh.num_nodes)
    mass = np.where(mesh.lumped_mass > 0, mesh.lumped_mass, 1.0)  # nodes of no cell are free
    part = mesh.components
    # a little mass holds the constants of all components
    hold = 1e-9 * float(np.abs(values).max()) / float(mass.max())
    matrix = csr_matrix((values, (rows, columns))) + csr_matrix(diags_array(hold * mass))
    phi = _solved(matrix, right, mesh.dim)
    return phi - (np.bincount(part, mass * phi) / np.bincount(part, mass))[part]
