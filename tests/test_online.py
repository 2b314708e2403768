"""Training on samples that come meanwhile: none too often, none twice, as good as a data set."""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inline_workers import InlineEngine
from learning_builders import Tiny

from meshgnn import checkpoint
from meshgnn.geometry.domains import FAMILIES
from meshgnn.losses import relative_l2_loss
from meshgnn.online import Reservoir, Simulations, fit_online
from meshgnn.online.simulations import Rules, Source
from meshgnn.simulate import draw_sample, workers
from meshgnn.train import fit

RESULTS = Path(__file__).parents[1] / "scripts" / "benchmarks" / "results" / "online.json"
POISSON = ("Poisson", "interval")
QUIET: dict[str, Any] = {"accelerator": "cpu", "progress": False, "loss": relative_l2_loss}
SMALL: dict[str, Any] = {"epochs": 2, "steps": 5, "batch_size": 4, "threshold": 8, "size": 0.1}


@pytest.fixture
def inline(monkeypatch) -> type[InlineEngine]:
    """Workers are computed here, those of even numbers die once."""

    class Some(InlineEngine):
        dying = frozenset(range(0, 12, 2))

    monkeypatch.setattr(workers, "LokyEngine", Some)
    return Some


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[int, int]]:
    """(sample, window) of every graph that is trained on, in order."""
    seen: list[tuple[int, int]] = []
    real = Reservoir.draw

    def draw(self: Reservoir, count: int) -> list[Any]:
        items = real(self, count)
        seen.extend((dataset.samples[0].meta["index"], place) for dataset, place in items)
        return items

    monkeypatch.setattr(Reservoir, "draw", draw)
    return seen


def tiny(seed: int = 0, **sizes: int) -> Tiny:
    torch.manual_seed(seed)
    return Tiny(**{"dim": 1} | sizes)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_no_item_is_drawn_more_often_than_said_and_none_unseen_is_dropped() -> None:
    """After many puts and draws: 1 to k draws of all that have left, 0 to k − 1 of those inside."""
    reservoir = Reservoir(10, 3, np.random.default_rng(0))
    draws: Counter[int] = Counter()
    for i in range(200):
        if reservoir.room:
            assert reservoir.put(i, i)
        if len(reservoir) >= 4 and i % 3:
            items = reservoir.draw(4 if i % 2 else 1)
            assert len(set(items)) == len(items)
            draws.update(items)
        assert len(reservoir) <= 10
    assert max(draws.values()) == 3 and reservoir.evicted > 0
    put = 200 - sum(1 for i in range(200) if i not in reservoir._known)
    left = sum(1 for i in reservoir._known if i in draws)
    assert put - left <= len(reservoir)


def test_a_key_is_taken_in_once_and_what_is_new_is_kept() -> None:
    reservoir = Reservoir(2, 1, np.random.default_rng(0))
    assert reservoir.put("a", 1) and not reservoir.put("a", 2) and reservoir.put("b", 3)
    with pytest.raises(ValueError, match="all 2 items wait to be drawn for the first time"):
        reservoir.put("c", 4)
    assert sorted(reservoir.draw(2)) == [1, 3] and len(reservoir) == 0
    assert not reservoir.put("a", 1)  # it was drawn as often as it may be
    with pytest.raises(ValueError, match="asked for 1 items, there are 0"):
        reservoir.draw(1)
    with pytest.raises(ValueError, match="capacity and repeats of at least 1, got 0, 1"):
        Reservoir(0, 1, np.random.default_rng(0))


@pytest.mark.parametrize("fresh", [None, 0.5, 3.0])
def test_graphs_are_trained_on_at_most_so_often(inline, drawn, fresh) -> None:
    """Also where half of the workers die: every sample comes once, by its own number."""
    history = fit_online(tiny(), *POISSON, repeats=2, capacity=12, fresh=fresh, **SMALL, **QUIET)
    counts = Counter(drawn)
    assert len(history) == 2 and len(drawn) == 2 * 5 * 4
    assert max(counts.values()) <= 2
    assert {place for _, place in counts} == {0}


def test_the_same_numbers_give_the_same_weights(inline, drawn) -> None:
    """With `fresh`, whatever the order that answers come in; the stream is that of `simulate`."""
    results, orders = [], []
    for dying in (frozenset(), frozenset({0, 3, 4, 9})):
        inline.dying = dying
        drawn.clear()
        model = tiny()
        fit_online(model, *POISSON, repeats=3, fresh=1.5, **SMALL, **QUIET)
        results.append(weights(model))
        orders.append(list(drawn))
    assert torch.equal(*results) and orders[0] == orders[1]
    source = Source("Poisson", ["interval"], size=0.1)
    with Simulations(source, Rules(4, 5, 12, 8, 2, 1.0)) as stream:
        first = stream.begin(0, 1, 0)
    for i, sample in enumerate(first.samples):
        np.testing.assert_array_equal(sample.u, draw_sample(*POISSON, 0, i, 0.1).u)


def test_processes_that_train_have_samples_of_their_own(inline) -> None:
    """Process r of w takes the numbers start + r, start + r + w, ..."""
    numbers = []
    for rank in range(2):
        with Simulations(Source("Poisson", ["interval"]), Rules(2, 5, 8, 4, 1, 1.0)) as stream:
            first = stream.begin(rank, 2, 10)
            numbers.append([sample.meta["index"] for sample in first.samples])
            assert stream.position() > max(numbers[-1])
    assert numbers == [[10, 12, 14, 16], [11, 13, 15, 17]]


def test_a_run_that_goes_on_takes_new_samples(inline, drawn, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "MODELS", {"Tiny": Tiny})
    path, options = tmp_path / "run.pt", SMALL | {"schedule": "constant", "fresh": 1.0}
    fit_online(tiny(), *POISSON, checkpoint=path, **options, **QUIET)
    before = {index for index, _ in drawn}
    drawn.clear()
    model = tiny(1)
    longer = fit_online(model, *POISSON, checkpoint=path, **options | {"epochs": 4}, **QUIET)
    assert len(longer) == 4 and len(drawn) == 2 * 5 * 4
    assert not before & {index for index, _ in drawn}
    with pytest.raises(ValueError, match="other settings .*data_seed: 0 there, 1 here"):
        fit_online(model, *POISSON, checkpoint=path, data_seed=1, **options, **QUIET)


def used(root: Path, monkeypatch, steps: int, **more: Any) -> tuple[set[str], dict[str, int]]:
    """Run in folders below the root: files at any draw, and the bytes of each at the end.

    In the folder of the checkpoint, that for temporary files and the one that the run is called in.
    """
    for name in ("run", "temporary", "here"):
        (root / name).mkdir(parents=True)
    real, between = Reservoir.draw, set()

    def draw(self: Reservoir, count: int) -> list[Any]:
        between.update(files(root))
        return real(self, count)

    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(root / "temporary"))
        patch.setattr(tempfile, "tempdir", str(root / "temporary"))
        patch.chdir(root / "here")
        patch.setattr(checkpoint, "MODELS", {"Tiny": Tiny})
        patch.setattr(Reservoir, "draw", draw)
        options = SMALL | {"steps": steps, "save_every": 1, **more}
        fit_online(tiny(), *POISSON, checkpoint=root / "run" / "run.pt", **options, **QUIET)
    return between, files(root)


def test_disk_use_does_not_grow_with_the_steps(inline, tmp_path, monkeypatch) -> None:
    """10 and 30 steps in two epochs: the checkpoint, of the same size, and nothing else."""
    sizes = []
    for steps in (5, 15):
        between, end = used(tmp_path / str(steps), monkeypatch, steps)
        assert between == {*end} == {"run/run.pt"}
        sizes.append(end["run/run.pt"])
    assert 0 < sizes[1] <= 1.02 * sizes[0]


@pytest.mark.many
def test_processes_that_simulate_write_nothing(tmp_path, monkeypatch) -> None:
    between, end = used(tmp_path, monkeypatch, 5, jobs=1)
    assert between == {*end} == {"run/run.pt"}


def files(root: Path) -> dict[str, int]:
    """Bytes of all files below a folder, also of those whose names begin with a dot."""
    found = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in found}


def test_steps_are_those_of_fit(inline, monkeypatch) -> None:
    """The batches of an online run, given to `fit` as a data set in that order: equal weights."""
    batches, real, online = [], Simulations.draw, tiny()

    def draw(self: Simulations, count: int) -> list[Any]:
        batches.extend(real(self, count))
        return [graph.clone() for graph in batches[-count:]]

    monkeypatch.setattr(Simulations, "draw", draw)
    options = {"lr": 1e-2, "schedule": "constant", "keep_statistics": True} | QUIET
    fit_online(online, *POISSON, fresh=1.0, **SMALL | {"epochs": 1}, **options)
    offline = tiny()
    monkeypatch.setattr(torch, "randperm", lambda n, generator: torch.arange(n))
    fit(offline, batches, epochs=1, batch_size=4, **options)
    assert len(batches) == 20 and torch.equal(weights(online), weights(offline))


def test_measured_online_is_as_good_as_a_data_set_of_equal_steps() -> None:
    """`scripts/benchmarks/online.py`: held-out errors after as many steps, from equal weights."""
    rows = json.loads(RESULTS.read_text())
    online = rows.pop("online")
    assert online["samples"] > max(row["samples"] for row in rows.values())
    assert online["held_out"] <= min(row["held_out"] for row in rows.values())


def test_states_in_time_come_as_windows(inline, drawn) -> None:
    """A sample of 4 states gives 3 graphs with one known state each; every one counts by itself."""
    sample = draw_sample("Heat", "interval", 0, 0, 0.2, steps=3)
    model = tiny(history=1, inputs=sample.inputs.shape[1], params=len(sample.params))
    options = SMALL | {"options": {"steps": 3}, "size": 0.2}
    fit_online(model, "Heat", "interval", repeats=1, **options, **QUIET)
    assert {place for _, place in drawn} == {0, 1, 2} and max(Counter(drawn).values()) == 1
    with pytest.raises(ValueError, match="a sample gives 3 graphs, which does not go into"):
        fit_online(model, "Heat", "interval", capacity=9, **options, **QUIET)


def test_draws_that_gave_no_sample_are_told(inline) -> None:
    def sometimes(rng: np.random.Generator, **size: float) -> Any:
        mesh = FAMILIES["interval"](rng, size=0.2)
        return mesh.moved(0 * mesh.points) if rng.random() < 0.5 else mesh

    with pytest.warns(UserWarning, match=r"online: \d+ draws gave no valid sample"):
        fit_online(tiny(), "Poisson", sometimes, **SMALL, **QUIET)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size, steps and repeats of at least 1, got 0, 5 and 4"),
        ({"threshold": 3}, "batch_size <= threshold <= capacity, got 4, 3, 256"),
        ({"fresh": 0.0}, "expected fresh > 0 samples a step, or None, got 0.0"),
        ({"jobs": 0}, "expected jobs of at least 1, got 0"),
        ({"engine": "mpi"}, "unknown engine 'mpi'; choose one of joblib, ray"),
    ],
)
def test_numbers_that_do_not_go_together(inline, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit_online(tiny(), *POISSON, **SMALL | change, **QUIET)


def test_the_order_of_calls_is_checked(inline) -> None:
    with (
        Simulations(Source("Poisson", ["interval"]), Rules(2, 5, 8, 4, 1)) as stream,
        pytest.raises(ValueError, match="call begin before draw"),
    ):
        stream.draw(1)
    with pytest.raises(ValueError, match="fit_online: expected n|unknown problem 'Sudoku'"):
        fit_online(tiny(), "Sudoku", "interval", **SMALL, **QUIET)
