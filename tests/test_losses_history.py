"""Graphs that are given fewer known states than the model takes."""

import pytest
import torch
from interval_graphs import wave
from learning_builders import Recorder
from torch_geometric.data import Batch

from meshgnn.losses import one_step, pushforward, short_history


def batch_of(count: int, history: int = 4, ahead: int = 2) -> Batch:
    graphs = [wave(history, ahead, cells=6 + i) for i in range(3)]
    return Batch.from_data_list([graphs[i % 3] for i in range(count)])


def test_older_states_repeat_the_oldest_that_is_left() -> None:
    """u = (s_k, ..., s_k, s_k+1, ..., s_K) with n = K − k + 1 states, for every graph its own n."""
    torch.manual_seed(0)
    batch, model = batch_of(300), Recorder()
    before = batch.u.clone()
    short_history(one_step, probability=0.6)(model, batch)
    seen = model.seen[0]
    for node in range(0, len(batch.u), 5):
        n = int(seen.known[batch.batch[node]])
        expected = torch.cat([before[node, 4 - n].expand(4 - n, 1), before[node, 4 - n :]])
        assert torch.equal(seen.u[node], expected)
    counts = torch.bincount(seen.known.long(), minlength=5) / 300
    assert counts[0] == 0 and counts[1:4].sum().item() == pytest.approx(0.6, abs=0.1)
    assert (counts[1:4] > 0.1).all()
    assert torch.equal(batch.u, before) and "known" not in batch


def test_graphs_stay_as_they_are_where_nothing_is_to_be_drawn() -> None:
    """In validation, for K = 1, with probability 0."""
    batch, model = batch_of(3), Recorder()
    with torch.no_grad():
        short_history()(model, batch)
    short_history()(model, batch_of(2, history=1))
    short_history(probability=0.0)(model, batch)
    assert model.seen[0] is batch and model.seen[1].u.shape[1] == 1
    assert torch.equal(model.seen[2].u, batch.u) and (model.seen[2].known == 4).all()


def test_a_march_goes_on_from_there() -> None:
    """K = 2, S = 2, one known state: then both."""
    graph, model = wave(2, 4), Recorder()
    short_history(pushforward(2), probability=1.0)(model, graph)
    assert [int(seen.known) for seen in model.seen] == [1, 1, 2]
    assert torch.equal(model.seen[-1].u, graph.y[:, :2])
    assert torch.equal(model.seen[0].u[:, 0], graph.u[:, 1])


def test_a_probability_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"expected a probability in \[0, 1\], got 1.5"):
        short_history(probability=1.5)
