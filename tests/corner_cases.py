"""Corner-cut problems of every kind on 16 x 16 cells, for the tests of the data set."""

import numpy as np

from meshgnn.datasets.beno import CornerCut


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


CASES = [
    CornerCut.draw(rng(10 * k + mixed), k, bool(mixed), cells=16, sides=(2, 7))
    for k in range(5)
    for mixed in (0, 1)
]
