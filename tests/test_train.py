"""Training: reproducible, resumable to the same history, honest about what goes wrong."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from learning_builders import Tiny, decaying, steady

from meshgnn import checkpoint
from meshgnn.checkpoint import load, save
from meshgnn.graph import MeshDataset
from meshgnn.losses import one_step, pushforward, relative_l2_loss
from meshgnn.marching import rollout
from meshgnn.models import MODELS
from meshgnn.train import History, fit, one_cycle
from meshgnn.train.loop import noisy
from meshgnn.train.plan import Plan

QUIET = {"progress": False}


@pytest.fixture(autouse=True)
def known_models(monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "MODELS", {"Tiny": Tiny, **dict.fromkeys(MODELS)})


@pytest.fixture(scope="module")
def dataset() -> MeshDataset:
    return MeshDataset([steady(i, n=3) for i in range(7)])


def marching_data() -> MeshDataset:
    return MeshDataset([decaying(i, n=3) for i in range(2)], history=1)


def tiny(**sizes) -> Tiny:
    torch.manual_seed(0)
    return Tiny(**sizes)


def numbers(history: History) -> tuple:
    """All that must be equal in equal runs."""
    return history.train, history.validation, history.learning_rate


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_lowers_the_loss(dataset: MeshDataset) -> None:
    model = tiny()
    history = fit(model, dataset, epochs=30, lr=1e-2, validation=dataset[:2], **QUIET)
    assert len(history) == 30 and len(history.validation) == 30
    assert history.train[-1] < 0.5 * history.train[0]
    assert history.validation[-1] < 0.5 * history.validation[0]
    assert min(history.seconds) > 0 and not model.training


def test_same_seed_same_history_other_seed_another(dataset: MeshDataset) -> None:
    runs = [
        fit(tiny(dropout=0.2), dataset, epochs=3, batch_size=2, seed=seed, **QUIET)
        for seed in (4, 4, 5)
    ]
    assert numbers(runs[0]) == numbers(runs[1]) and runs[0].train != runs[2].train


def test_a_resumed_run_gives_the_same_history_bit_for_bit(tmp_path: Path) -> None:
    """Stopped after 3 of 7 epochs and continued: equal losses and weights, with dropout, noise,
    clipping, a running average and validation all on."""
    data = marching_data()
    settings = {
        **{"epochs": 7, "batch_size": 3, "noise": 0.01, "ema": 0.9, "clip": 0.5},
        **{"validation": data[:3], "save_every": 3, **QUIET},
    }
    sizes = {"channels": 2, "inputs": 0, "history": 1, "dropout": 0.3}
    whole = tiny(**sizes)
    expected = fit(whole, data, **settings)

    first = tiny(**sizes)
    part = fit(first, data, checkpoint=tmp_path, callback=lambda h: len(h) == 3, **settings)
    assert len(part) == 3 and (tmp_path / "training.pt").is_file()
    torch.manual_seed(99)
    second = Tiny(**sizes)  # other initial weights: all must come from the file
    resumed = fit(second, data, checkpoint=tmp_path, **settings)
    assert numbers(resumed) == numbers(expected)
    assert torch.equal(weights(second), weights(whole))
    assert torch.equal(second.scale, whole.scale)
    assert second.meta == whole.meta == load(tmp_path / "training.pt").meta


def test_a_killed_run_goes_on_from_its_last_checkpoint(dataset, tmp_path: Path) -> None:
    expected = fit(tiny(), dataset, epochs=6, **QUIET)

    def killed(history: History) -> None:
        if len(history) == 5:
            raise KeyboardInterrupt

    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(), dataset, epochs=6, checkpoint=path, save_every=2, callback=killed, **QUIET)
    resumed = fit(tiny(), dataset, epochs=6, checkpoint=path, save_every=2, **QUIET)
    assert numbers(resumed) == numbers(expected)
    # a finished run returns at once, with its weights
    model = tiny(width=8)
    again = fit(model, dataset, epochs=6, checkpoint=path, save_every=2, **QUIET)
    assert again == resumed


def test_a_checkpoint_of_training_is_a_model(dataset: MeshDataset, tmp_path: Path) -> None:
    model = tiny()
    fit(model, dataset, epochs=2, ema=0.5, checkpoint=tmp_path / "run.pt", **QUIET)
    again = load(tmp_path / "run.pt")
    assert torch.equal(weights(again), weights(model))
    assert again.meta == {
        "graphs": 7,
        "names": {name: ["source", "diffusivity"] for name in ("inputs", "cell_inputs")}
        | {"u": ["u"]},
        "units": {},
        "problem": "Poisson",
    }


def test_the_time_step_goes_into_the_model(tmp_path: Path) -> None:
    data, path = marching_data(), tmp_path / "run.pt"
    model = tiny(channels=2, inputs=0, history=1)
    fit(model, data, epochs=1, checkpoint=path, **QUIET)
    assert model.meta["dt"] == pytest.approx(0.1) and load(path).meta == model.meta
    with pytest.raises(ValueError, match="trained with time steps of 0.1 s"):
        rollout(load(path), data.samples[0], steps=1, dt=5.0)


def test_graphs_of_several_time_steps_need_a_model_that_takes_them() -> None:
    class Stepped(Tiny):
        takes_dt = True

    sizes = {"channels": 2, "inputs": 0, "history": 1}
    graphs = list(marching_data())
    graphs[3].dt = 5 * graphs[3].dt
    with pytest.raises(ValueError, match=r"dt = 0.1 s, in all graphs, got 0.5 s in graph 3; Tiny"):
        fit(tiny(**sizes), graphs, epochs=1, **QUIET)
    assert len(fit(Stepped(**sizes), graphs, epochs=1, **QUIET)) == 1


def test_a_model_no_checkpoint_can_hold_is_refused_before_training(dataset, tmp_path) -> None:
    model = tiny()
    model.hparams = {"activation": torch.tanh}

    def never(history: History) -> None:
        raise AssertionError("an epoch was trained")

    with pytest.raises(ValueError, match="expected Tiny.hparams to be its constructor arguments"):
        fit(model, dataset, epochs=1, checkpoint=tmp_path, callback=never, **QUIET)
    assert not list(tmp_path.iterdir())
    assert len(fit(model, dataset, epochs=1, **QUIET)) == 1  # without a checkpoint it may train


def test_solutions_of_zero_do_not_end_training(dataset: MeshDataset) -> None:
    graphs = list(dataset)
    graphs[2].y.zero_()
    graphs[2].dirichlet.zero_()
    graphs[4].dirichlet_mask[:] = True
    graphs[4].dirichlet = graphs[4].y.clone()
    for loss in (one_step, relative_l2_loss):
        history = fit(tiny(), graphs, epochs=2, batch_size=1, loss=loss, **QUIET)
        assert torch.isfinite(torch.tensor(history.train)).all()


def test_resume_false_starts_again(dataset: MeshDataset, tmp_path: Path) -> None:
    a = fit(tiny(), dataset, epochs=2, checkpoint=tmp_path, **QUIET)
    b = fit(tiny(), dataset, epochs=2, checkpoint=tmp_path, resume=False, **QUIET)
    assert numbers(a) == numbers(b)


def test_a_constant_schedule_can_be_prolonged(dataset: MeshDataset, tmp_path: Path) -> None:
    run = {"schedule": "constant", "lr": 2e-3, **QUIET}
    fit(tiny(), dataset, epochs=2, checkpoint=tmp_path, **run)
    longer = fit(tiny(), dataset, epochs=4, checkpoint=tmp_path, **run)
    assert numbers(longer) == numbers(fit(tiny(), dataset, epochs=4, **run))
    assert longer.learning_rate == (2e-3,) * 4


def test_checkpoints_of_other_runs_are_refused(dataset: MeshDataset, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    fit(tiny(), dataset, epochs=2, checkpoint=path, **QUIET)
    with pytest.raises(ValueError, match=r"lr: 0.001 there, 0.01 here\); use those of the file"):
        fit(tiny(), dataset, epochs=2, lr=1e-2, checkpoint=path, **QUIET)
    with pytest.raises(ValueError, match="epochs: 2 there, 3 here"):
        fit(tiny(), dataset, epochs=3, checkpoint=path, **QUIET)
    with pytest.raises(ValueError, match="graphs: 7 there, 5 here"):
        fit(tiny(), dataset[:5], epochs=2, checkpoint=path, **QUIET)
    with pytest.raises(ValueError, match="hparams: .*'width': 8.* there, .*'width': 9.* here"):
        fit(tiny(width=9), dataset, epochs=2, checkpoint=path, **QUIET)
    save(tiny(), path)
    with pytest.raises(ValueError, match="holds a model but no training to resume"):
        fit(tiny(), dataset, epochs=2, checkpoint=path, **QUIET)
    with pytest.raises(OSError, match="cannot be written: .* is no folder that exists"):
        fit(tiny(), dataset, epochs=2, checkpoint=tmp_path / "no" / "run.pt", **QUIET)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(dataset, tmp_path) -> None:
    model, path = tiny(), tmp_path / "run.pt"
    count = 0

    def breaks(model, graph):
        nonlocal count
        count += 1
        return one_step(model, graph) * (float("nan") if count == 6 else 1.0)

    with pytest.raises(ValueError, match="loss nan and gradient norm nan in epoch 3, batch 2"):
        fit(
            model,
            dataset,
            epochs=9,
            batch_size=4,
            loss=breaks,
            checkpoint=path,
            save_every=2,
            **QUIET,
        )
    assert torch.isfinite(weights(model)).all()
    kept = torch.load(path, weights_only=True)
    assert len(kept["training"]["history"]["train"]) == 2
    assert all(torch.isfinite(value).all() for value in kept["state"].values())


def test_a_gradient_that_is_not_finite_stops_as_well(dataset: MeshDataset) -> None:
    def steep(model, graph):
        return torch.sqrt((model(graph) * 0.0).sum())  # 0, with an infinite slope

    model = tiny()
    before = weights(model)
    with pytest.raises(ValueError, match=r"loss 0 and gradient norm nan in epoch 1, batch 1"):
        fit(model, dataset, epochs=1, loss=steep, **QUIET)
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "expected epochs >= 1, got 0"),
        ({"batch_size": 0}, "expected batch_size >= 1, got 0"),
        ({"seed": -1}, "expected seed >= 0, got -1"),
        ({"lr": 0.0}, "expected lr > 0, noise >= 0 and clip > 0"),
        ({"clip": 0.0}, "expected lr > 0, noise >= 0 and clip > 0"),
        ({"schedule": "steps"}, "unknown schedule 'steps'; expected one of one-cycle, constant"),
        ({"noise": 0.1}, "is for known states, but these graphs have none"),
        ({"precision": "16-true"}, "expected precision 32-true or bf16-mixed, got '16-true'"),
    ],
)
def test_settings_that_make_no_sense(dataset, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(tiny(), dataset, **{"epochs": 1, **settings, **QUIET})


def test_data_that_do_not_fit_are_refused(dataset: MeshDataset) -> None:
    with pytest.raises(ValueError, match="expected at least one graph, got an empty data set"):
        fit(tiny(), dataset[:0], epochs=1, **QUIET)
    with pytest.raises(ValueError, match="inputs per node: 3"):
        fit(tiny(inputs=3), dataset, epochs=1, **QUIET)
    with pytest.raises(ValueError, match=r"one number or 2 \(one per component\) in noise"):
        model = tiny(channels=2, inputs=0, history=1)
        fit(model, marching_data(), epochs=1, noise=(0.1, 0.1, 0.1), **QUIET)
    graphs = [dataset[0], dataset[1]]
    graphs[1].a = graphs[1].a * float("nan")
    with pytest.raises(ValueError, match="graph.a: 40 values are NaN"):
        fit(tiny(), graphs, epochs=1, **QUIET)
    model = tiny()
    model.loss = None
    with pytest.raises(ValueError, match="Tiny has no attribute loss; pass loss="):
        fit(model, dataset, epochs=1, **QUIET)


def test_folders_and_samples_belong_into_a_data_set(dataset: MeshDataset, tmp_path: Path) -> None:
    unchecked = fit.__wrapped__  # as users call it, without the types checked
    for given, what in (
        ("folder", "str"),
        (tmp_path, "PosixPath"),
        (dataset.samples, "Sample in the list"),
        (dataset.samples[0], "Sample"),
        (dataset[0], "Data"),
    ):
        message = rf"expected a MeshDataset or a list of graphs, got {what}; pass MeshDataset\("
        with pytest.raises(ValueError, match=message):
            unchecked(Tiny(), given, epochs=1, progress=False)
        with pytest.raises(ValueError, match=message):
            unchecked(Tiny(), dataset, epochs=1, validation=given, progress=False)


def test_graphs_of_ones_own_are_trained_on_and_left_alone() -> None:
    data = marching_data()
    graphs = [data[i] for i in range(4)]
    a = fit(tiny(channels=2, inputs=0, history=1), graphs, epochs=2, noise=0.1, **QUIET)
    for i, graph in enumerate(graphs):
        assert torch.equal(graph.u, data[i].u)
    b = fit(tiny(channels=2, inputs=0, history=1), data[:4], epochs=2, noise=0.1, **QUIET)
    assert numbers(a) == numbers(b)


def test_the_transform_of_a_model_reaches_every_graph(dataset: MeshDataset) -> None:
    class Marked(Tiny):
        def transform(self, graph):
            graph.mark_index = torch.zeros(1, dtype=torch.long)
            return graph

        def forward(self, graph):
            assert graph.mark_index.shape == (graph.num_graphs,)
            return super().forward(graph)

    for data in (dataset, [dataset[0], dataset[1]]):
        fit(Marked(), data, epochs=1, validation=data, **QUIET)


def test_pushforward_trains_with_the_statistics_of_one_call() -> None:
    data = MeshDataset([decaying(i, n=3, times=8) for i in range(2)], history=1, bundle=3)
    seen = []

    class Watching(Tiny):
        def fit_statistics(self, graphs):
            seen.extend(g.y.shape[1] for g in graphs)
            super().fit_statistics(graphs)

    model = Watching(channels=2, inputs=0, history=1)
    history = fit(model, data, epochs=2, loss=pushforward(3), **QUIET)
    assert len(history) == 2 and seen == [1] * len(data)


def test_training_can_go_on_with_the_statistics_there_are(dataset: MeshDataset) -> None:
    model, other = Tiny(), MeshDataset([steady(i, n=3) for i in (7, 8)])
    fit(model, dataset, epochs=1, **QUIET)
    first = {n: b.clone() for n, b in model.named_buffers()}
    fit(model, other, epochs=1, keep_statistics=True, **QUIET)
    assert first and all(torch.equal(b, first[n]) for n, b in model.named_buffers())
    fit(model, other, epochs=1, **QUIET)
    assert any(not torch.equal(b, first[n]) for n, b in model.named_buffers())


def test_random_numbers_of_the_caller_go_on_as_before(dataset: MeshDataset) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    fit(tiny_without_seed(), dataset, epochs=1, **QUIET)
    assert torch.equal(torch.rand(2), expected)


def tiny_without_seed() -> Tiny:
    state = torch.random.get_rng_state()
    model = Tiny(dropout=0.5)
    torch.random.set_rng_state(state)
    return model


def test_a_time_limit_shortens_run_and_schedule(dataset: MeshDataset) -> None:
    """The learning rate ends near 0 although only part of the epochs are done."""
    with pytest.warns(UserWarning, match=r"time_limit_s=1 s allowed \d+ of 100000 epochs"):
        history = fit(tiny(), dataset, epochs=100_000, time_limit_s=1.0, **QUIET)
    assert 1 <= len(history) < 100_000 and sum(history.seconds) < 3
    assert history.learning_rate[-1] < 0.2 * max(history.learning_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert len(fit(tiny(), dataset, epochs=2, time_limit_s=1000.0, **QUIET)) == 2


def test_one_cycle_goes_up_and_down() -> None:
    assert one_cycle(0.0) == pytest.approx(1 / 25)
    assert one_cycle(0.3) == pytest.approx(1) and one_cycle(1.0) == pytest.approx(0)
    up, down = (
        [one_cycle(0.3 * i / 9) for i in range(10)],
        [one_cycle(0.3 + i / 13) for i in range(9)],
    )
    assert up == sorted(up) and down == sorted(down, reverse=True)


@pytest.mark.parametrize(("count", "size", "world"), [(10, 4, 1), (10, 4, 2), (5, 3, 4), (1, 8, 2)])
def test_every_graph_is_seen_once_an_epoch_and_processes_stay_in_step(count, size, world) -> None:
    plan = Plan(1, size, 1e-3, 0.0, "constant", (0.0,), None, None, 0)
    parts = [list(plan.batches(count, 3, rank, world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1 and all(s.places for p in parts for s in p)
    assert all(len({share.size for share in step}) == 1 for step in zip(*parts, strict=True))
    seen = [i for part in parts for share in part if share.counts for i in share.places]
    assert sorted(seen) == list(range(count))
    assert parts[0] != list(plan.batches(count, 4, 0, world)) or count == 1


def test_noise_has_its_spread_per_component_on_free_entries_only() -> None:
    torch.manual_seed(0)
    u, mask = torch.ones(4000, 2, 2), torch.zeros(4000, 2, dtype=torch.bool)
    mask[:1000, 1] = True
    change = noisy(u, mask, (0.5, 2.0)) - u
    assert (change[:1000, :, 1] == 0).all()
    assert change[..., 0].std().item() == pytest.approx(0.5, rel=0.05)
    assert change[1000:, :, 1].std().item() == pytest.approx(2.0, rel=0.05)
    assert not torch.equal(change[:, 0], change[:, 1])


def test_progress_is_some_lines_where_there_is_no_terminal(dataset, capsys) -> None:
    fit(tiny(), dataset, epochs=60, validation=dataset[:1])
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 20 and lines[-1].startswith("epoch 60/60  train ")
    assert "validation" in lines[0]
    fit(tiny(), dataset, epochs=2, progress=False)
    assert capsys.readouterr().out == ""


def test_progress_is_a_bar_on_a_terminal(dataset, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    fit(tiny(), dataset, epochs=2)
    assert "━" in capsys.readouterr().out


def test_half_precision_trains_and_keeps_boundary_values(dataset: MeshDataset) -> None:
    model = tiny()
    history = fit(model, dataset, epochs=20, lr=1e-2, precision="bf16-mixed", **QUIET)
    assert history.train[-1] < 0.7 * history.train[0]
    assert all(p.dtype == torch.float32 for p in model.parameters())
    graph = dataset[0]
    fixed = graph.dirichlet_mask[:, None]
    assert torch.equal(model(graph)[fixed], graph.dirichlet[fixed])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_training_on_a_gpu(dataset: MeshDataset) -> None:
    model = tiny()
    history = fit(model, dataset, epochs=20, lr=1e-2, **QUIET)
    assert next(model.parameters()).device.type != "cpu"
    assert history.train[-1] < 0.7 * history.train[0]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Gradients averaged over two halves of each batch are those of the batch, for a loss that
    is a mean over graphs, so weights agree to rounding."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from learning_builders import Tiny, steady
from meshgnn.graph import MeshDataset
from meshgnn.losses import relative_l2_loss
from meshgnn.train import fit
data = MeshDataset([steady(i, n=3) for i in range(8)])
torch.manual_seed(0)
model = Tiny()
options = dict(accelerator="cpu", devices=int(sys.argv[1]), loss=relative_l2_loss)
history = fit(model, data, epochs=3, batch_size=4, progress=False, **options)
import os
if int(os.environ.get("LOCAL_RANK", 0)) == 0:
    torch.save([history.train, [p.detach() for p in model.parameters()]], sys.argv[2])
"""
    script = tmp_path / "run.py"
    script.write_text(program)
    results = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.pt"
        command = [sys.executable, str(script), str(processes), str(out)]
        done = subprocess.run(command, timeout=240, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        results.append(torch.load(out))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
