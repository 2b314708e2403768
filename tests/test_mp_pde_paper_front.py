"""The published MP-PDE as a model: fitted, kept in a file, marched along a wave."""

import numpy as np
import torch
from interval_graphs import wave_sample

from meshgnn import checkpoint
from meshgnn.graph import MeshDataset
from meshgnn.losses import RandomPushforward
from meshgnn.marching import rollout
from meshgnn.models import MODELS
from meshgnn.models.mp_pde.paper import published_loss
from meshgnn.train import fit


def test_a_wave_is_learned_kept_and_marched(tmp_path) -> None:
    """Bundles of 25 of the 1D wave: below 0.3 of persistence over 2 bundles; a file keeps it."""
    samples = [wave_sample(states=85, seed=seed) for seed in range(3)]
    data = MeshDataset(samples, history=25, bundle=50, stride=5)
    torch.manual_seed(0)
    options = {"width": 64, "layers": 2, "length": 4.0, "duration": 10.0}
    model = MODELS["MPPDE"]("paper", dim=1, history=25, bundle=25, **options)
    loss = RandomPushforward(2, published_loss, warm_up=0)
    fit(model, data, epochs=15, batch_size=4, lr=3e-3, loss=loss, clip=None, progress=False)
    checkpoint.save(model, tmp_path / "wave.pt")
    other, test = checkpoint.load(tmp_path / "wave.pt"), wave_sample(states=75, seed=9)
    marched = [rollout(m, test, 50).u for m in (model, other)]
    assert marched[0] is not None and marched[1] is not None and test.u is not None
    np.testing.assert_array_equal(*marched)
    error = ((marched[0] - test.u)[25:] ** 2).mean()
    assert error < 0.3 * ((test.u[24] - test.u[25:]) ** 2).mean()
    ring = marched[0][25:]
    np.testing.assert_array_equal(ring[:, 0], ring[:, -1])  # one point
