"""BENO learns from samples what helps on others: shapes and data that it was not trained on."""

import numpy as np
import pytest
import torch

from meshgnn.geometry import domains
from meshgnn.graph import MeshDataset
from meshgnn.losses import relative_l2_loss
from meshgnn.models import MODELS
from meshgnn.problems import LinearElasticity, Poisson
from meshgnn.sample import Sample
from meshgnn.train import fit


def drawn(equation: str, family: str, seed: int, size: float) -> Sample:
    mesh, rng = domains.draw(family, seed, size), np.random.default_rng(seed)
    if equation == "elasticity":
        return LinearElasticity.draw(mesh, rng, traction=0.6).solve(mesh)
    return Poisson.draw(mesh, rng).solve(mesh)


def error(model: torch.nn.Module, samples: list[Sample]) -> float:
    graphs = MeshDataset(samples).transformed(model.transform)
    with torch.no_grad():
        return float(np.mean([relative_l2_loss(model, graph).item() for graph in graphs]))


# families, edge length, number of samples to train on; family and edge length of the unseen; epochs
CASES = {
    "diffusion": (["polygon", "l_shape"], 0.15, 24, ("annulus", 0.12), 4),
    "elasticity": (["plate_with_holes"], 0.2, 16, ("plate_with_holes", 0.2), 6),
}


@pytest.mark.parametrize("equation", list(CASES))
def test_training_helps_on_what_was_not_seen(equation: str) -> None:
    """At least three times below the untrained network, which is a two-level method already."""
    families, size, count, (other, other_size), epochs = CASES[equation]
    data = [drawn(equation, families[i % len(families)], i, size) for i in range(count)]
    unseen = [drawn(equation, other, 100 + i, other_size) for i in range(3)]
    torch.manual_seed(0)
    model = MODELS["BENO"](equation=equation, width=16, layers=4)
    before = error(model, unseen)
    fit(model, MeshDataset(data), epochs=epochs, batch_size=4, lr=1e-2, progress=False)
    assert error(model, unseen) < before / 3
