"""How many calls a random pushforward makes, and when."""

import numpy as np
import torch
from learning_builders import Recorder, decaying

from meshgnn.graph import MeshDataset
from meshgnn.losses import RandomPushforward
from meshgnn.models import MODELS
from meshgnn.train import fit


def test_calls_are_drawn_for_each_batch_after_a_warm_up() -> None:
    """N = 0 in the first 2 epochs, {0, 1} in the next 2, then {0, 1, 2}; the seed decides."""
    graph, loss = MeshDataset([decaying()], history=1, bundle=3)[0], RandomPushforward(3, warm_up=2)

    def drawn(epoch: int, batches: int = 60) -> list[int]:
        torch.manual_seed(epoch)
        loss.begin_epoch(epoch)
        counts = []
        for _ in range(batches):
            model = Recorder()
            loss(model, graph)
            counts.append(len(model.seen) - 1)
        return counts

    assert set(drawn(0)) == set(drawn(1)) == {0}
    assert set(drawn(2)) == set(drawn(3)) == {0, 1}
    assert set(drawn(4)) == set(drawn(100)) == {0, 1, 2}
    share = np.bincount(drawn(7, 400)) / 400
    assert abs(share - 1 / 3).max() < 0.1
    assert drawn(5) == drawn(5)


def test_validation_is_always_the_longest_march() -> None:
    graph, model = MeshDataset([decaying()], history=1, bundle=3)[0], Recorder()
    with torch.no_grad():
        for _ in range(5):
            RandomPushforward(3)(model, graph)
    assert len(model.seen) == 15


def test_fit_tells_the_epoch_also_to_a_resumed_run(tmp_path) -> None:
    """N grows with the epochs; stopped after 2 of 4 epochs and continued: equal losses."""
    data = MeshDataset([decaying(times=10)], history=1, bundle=3)
    options = {"epochs": 4, "schedule": "constant", "seed": 3, "progress": False}

    def run(**more: object) -> tuple[tuple[float, ...], int | None]:
        torch.manual_seed(0)
        model = MODELS["MeshGraphNet"](channels=2, inputs=0, history=1, width=8, blocks=1)
        loss = RandomPushforward(3)
        return fit(model, data, loss=loss, **options, **more).train, loss.epoch

    whole, last = run()
    part, _ = run(checkpoint=tmp_path / "run.pt", callback=lambda history: len(history) == 2)
    continued, end = run(checkpoint=tmp_path / "run.pt")
    assert continued == whole and part == whole[:2] and last == end == 3
