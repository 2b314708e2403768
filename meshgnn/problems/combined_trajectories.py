"""Whole data sets of the combined equation: many trajectories at a time, at several resolutions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.problems.combined_equation import CombinedEquation
from meshgnn.problems.combined_families import LENGTH, drawn, published
from meshgnn.sample import Sample
from meshgnn.volumes import Cells, Ring, Sines, cell_interval, columns, march, restricted


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Cell averages of n trajectories on [0, 16], periodic.

    Args:
        family: E1, E2 or E3.
        seed: trajectory i depends on (seed, i) and on the waves.
        times: [T] s.
        constants: [n, 3] α, β, γ.
        forcing: the n functions δ.
        truth: {cells: [n, T, cells]} averages of the solution on the reference grid.
        baseline: {cells: [n, T, cells]} the same method on the coarse grid itself; empty if it was
            not asked for.
    """

    family: str
    seed: int
    times: Float[np.ndarray, " T"]
    constants: Float[np.ndarray, "n 3"]
    forcing: Sines
    truth: dict[int, Float[np.ndarray, "n T _"]]
    baseline: dict[int, Float[np.ndarray, "n T _"]]

    def __len__(self) -> int:
        return len(self.constants)

    def problem(self, index: int, forcing: bool = False) -> CombinedEquation:
        """The problem of one trajectory; `forcing` as in `CombinedEquation`."""
        own = self.forcing[index : index + 1]
        alpha, beta, gamma = self.constants[index].tolist()
        return CombinedEquation(
            self.times, alpha, beta, gamma, own, own, {"left": "right"}, forcing=forcing
        )

    def samples(self, cells: int, forcing: bool = False) -> Iterator[Sample]:
        """The trajectories as samples on `volumes.cell_interval(cells, 16)`, one mesh for all.

        Raises:
            ValueError: another number of cells than was restricted to.
        """
        if cells not in self.truth:
            raise ValueError(f"cells: expected one of {list(self.truth)}, got {cells}")
        mesh = cell_interval(cells, LENGTH)
        twin = np.append(np.arange(cells), 0)
        for i, u in enumerate(self.truth[cells]):
            sample = self.problem(i, forcing).sample(mesh)
            sample.meta.update(family=self.family, seed=self.seed, index=i)
            yield sample.with_solution(u[:, twin, None].astype(np.float64))


def trajectories(
    n: int,
    family: str = "E1",
    cells: Sequence[int] = (100, 50, 40),
    reference: int = 800,
    *,
    seed: int = 0,
    waves: Sequence[int] = (1, 2),
    frames: int = 250,
    baseline: bool = False,
    dtype: type = np.float64,
) -> Trajectories:
    """Solve n random problems of a family on a fine grid and take exact means over coarse cells.

    Trajectory i is `CombinedEquation.draw(mesh, np.random.default_rng([seed, i]), family)`
    solved with `refine=reference // cells`, but for the time steps, which the fastest of those
    that are marched together decides: differences far below the error of the coarse grids.

    Args:
        n: number of trajectories.
        family: E1, E2 or E3.
        cells: numbers of coarse cells, divisors of `reference`.
        reference: number of fine cells.
        seed: non-negative.
        waves: numbers of waves that δ is drawn from; (1, 2) is what the published code does,
            (1, 2, 3) what the paper says.
        frames: number of times.
        baseline: whether to solve on the coarse grids as well: what a classical method gives there.
        dtype: of the arrays; float32 halves the memory.

    Raises:
        ValueError: an unknown family, n < 1, cells that do not divide the reference.
    """
    if n < 1 or any(reference % c for c in cells):
        raise ValueError(
            f"trajectories: expected n >= 1 and cells that divide {reference}, got n = {n} and "
            f"cells {tuple(cells)}"
        )
    times = np.linspace(0, published(family).duration, frames)
    draws = [drawn(np.random.default_rng([seed, i]), family, waves) for i in range(n)]
    constants = np.stack([each for each, _ in draws])
    forcing = Sines.stacked([own for _, own in draws])
    truth = _solved(constants, forcing, times, reference, cells, dtype)
    own = {c: _solved(constants, forcing, times, c, [c], dtype)[c] for c in cells if baseline}
    return Trajectories(family, seed, times, constants, forcing, truth, own)


def _solved(
    constants: Float[np.ndarray, "n 3"],
    forcing: Sines,
    times: Float[np.ndarray, " T"],
    fine: int,
    cells: Sequence[int],
    dtype: type,
) -> dict[int, Float[np.ndarray, "n T _"]]:
    result = {c: np.empty((len(constants), len(times), c), dtype) for c in cells}
    order = np.argsort(constants[:, 0], kind="stable")  # alike in speed, alike in steps
    grid, block = Cells(LENGTH / fine / 2, LENGTH / fine, fine + 1, 1, True), columns(fine)
    for start in range(0, len(order), block):
        rows = order[start : start + block]
        source = forcing[rows].averages(grid.centres, grid.widths)
        alpha, beta, gamma = constants[rows].T
        ring = Ring(LENGTH, alpha, beta, gamma, source)
        for k, u in enumerate(march(ring, source(float(times[0])), times)):
            for c in cells:
                result[c][rows, k] = restricted(u, c).T
    return result
