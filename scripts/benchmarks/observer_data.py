"""The data of `observer.py`: what is blown into a channel past a disc, made once and kept.

Set 0 is for training, 1 for validation, 2 for tests.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sets import files

from meshgnn.geometry.channel import channel
from meshgnn.mesh import Mesh
from meshgnn.problems import AdvectionDiffusion
from meshgnn.problems.advection_draws import Fraction, seepage
from meshgnn.problems.fields import GaussianField
from meshgnn.sample import Sample

FOLDER = Path(__file__).resolve().parent / "data" / "observer"
SPAN, FRAMES, DIFFUSIVITY, LENGTH = 2.0, 40, 2e-3, 0.25


@dataclass(frozen=True)
class Blown:
    """c(x, t) = v(x − t e_x): what comes in is what lay before the channel."""

    fraction: Fraction

    def __call__(self, x: np.ndarray, t: float) -> np.ndarray:
        return self.fraction(x - t * np.eye(x.shape[-1])[0])


def mesh() -> Mesh:
    """[0, 2] × [0, 1] less a disc of diameter 0.3; some 1,200 nodes."""
    return channel("circle", (0.6, 0.5), 0.3, 2.0, 1.0, h=0.045, h_obstacle=0.04, h_wake=0.045)


def samples(seed: int, count: int) -> list[Sample]:
    """Trajectories of two seconds, a frame every 0.05 s; the input is the velocity alone."""
    paths = files(FOLDER / str(seed), count, lambda i, path: _write(seed, i, path))
    return [Sample.load(path) for path in paths]


def thinned(sample: Sample, start: int = 0) -> Sample:
    """Every second frame from a start, which is all that training and predictions see."""
    held = replace(
        sample.boundary, dirichlet_values=sample.boundary.dirichlet_values[start::2].copy()
    )
    assert sample.u is not None
    return replace(sample, times=sample.times[start::2], u=sample.u[start::2], boundary=held)


def _write(seed: int, i: int, path: Path) -> None:
    rng, where = np.random.default_rng([seed, i]), mesh()
    # the field covers the channel and as much before it as is blown in
    room = where.moved(where.points * [2.0, 1.0] - [2.0, 0.0])
    field = GaussianField.draw(room, LENGTH, 1.0, rng)
    blown = Blown(Fraction(field, 0.0, 0.8))
    solved = AdvectionDiffusion(
        np.linspace(0, SPAN, FRAMES + 1),
        velocity=seepage(where, "inlet", "outlet"),
        initial=blown.fraction,
        diffusivity=DIFFUSIVITY,
        dirichlet={"inlet": blown},
        neumann={"*": 0.0},
        substeps=2,
    ).solve(where)
    names = solved.names | {"inputs": solved.names["inputs"][1:]}
    replace(solved, inputs=solved.inputs[:, 1:].copy(), names=names).save(path)
