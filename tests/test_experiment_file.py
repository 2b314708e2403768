"""Experiments from TOML: what is wrong with one is said before anything is simulated."""

import csv
import inspect
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.checkpoint import load
from meshgnn.cli.experiment import run
from meshgnn.cli.problem_file import read_toml
from meshgnn.cli.settings import checked, families
from meshgnn.geometry.domains import FAMILIES
from meshgnn.models import MODELS
from meshgnn.problems import PROBLEMS
from meshgnn.problems.elastic_draws import random_motion
from meshgnn.train import fit

GOOD = {
    "data": {"problem": "Heat", "families": ["interval"], "samples": 4, "folder": "d"},
    "model": {"name": "MeshGraphNet", "history": 1},
    "fit": {"epochs": 1},
}


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("data", {"samples": "four"}, r"\[data\]: expected samples of type int, got 'four'"),
        ("data", {"families": [1]}, r"\[data\]: expected families of type str | list"),
        ("data", {"families": []}, "families: expected at least one, got none"),
        ("data", {"families": ["disk"]}, r"families: expected one of .*, got 'disk'"),
        (
            "data",
            {"problem": "Poisson"},
            "Poisson is a steady .* = 1 marches .* BENO or .*Me",
        ),
        (
            "model",
            {"name": "MPPDE", "history": 0},
            "MPPDE with history = 0 solves steady .*; give",
        ),
        ("model", {"history": 0}, "MeshGraphNet with history = 0 solves steady .*; give history"),
        ("data", {"mesh": 1}, r"\[data\] has no entry 'mesh'; it takes problem, families, sam"),
        ("data", {"problem": "Stokes"}, r"problem: expected one of Poisson, .*, got 'Stokes'"),
        ("data", {"test": 2}, "a share between 0 and 1"),
        ("data", {"samples": 1}, "test = 0.1 of samples = 1 leaves no sample to train on"),
        ("data", {"test": 0.9}, "test = 0.9 of samples = 4 leaves no sample to train on"),
        ("data", {"options": {"colour": 1}}, r"\[data.options\] has no entry 'colour'; .* steps"),
        ("data", {"options": {"steps": 1.5}}, "expected steps of type int, got 1.5"),
        ("model", {"name": "MLP"}, "name: expected one of BENO, .*MeshGraphNet.*, got 'MLP'"),
        ("model", {"widht": 8}, r"\[model\] of MeshGraphNet has no entry 'widht'; it takes dim"),
        ("model", {"width": True}, "expected width of type int, got True"),
        ("fit", {"epochs": "x"}, r"\[fit\]: expected epochs of type int, got 'x'"),
        ("fit", {"checkpoint": "x"}, r"\[fit\] has no entry 'checkpoint'; it takes epochs, batch"),
        ("loss", {"depth": 2}, r"\[loss\]: expected a section with name and depth, got"),
        ("loss", {"name": "mean", "depth": 2}, "name: expected one of unrolled, .*, got 'mean'"),
        ("loss", {"name": "unrolled", "depth": 2, "warm_up": 1}, "no entry 'warm_up'; .* depth"),
        ("fit", {"noise": ["a"]}, "expected noise of type float | .*Sequence"),
    ],
)
def test_entries_that_do_not_fit_are_named(section, entry, message):
    settings: dict[str, Any] = deepcopy(GOOD)
    assert checked(settings, "e.toml") == GOOD
    settings[section] = settings.get(section, {}) | entry
    with pytest.raises(ValueError, match=f"e.toml: .*{message}"):
        checked(settings, "e.toml")


def test_what_can_be_named_is_what_settings_can_make():
    """Models around another one and movers are no models of a file; every other one is, for the
    problems that it is for: steady where it has no history, or none unless asked for."""
    for name, kind in MODELS.items():
        settings: dict[str, Any] = deepcopy(GOOD)
        settings["model"] = {"name": name}
        given = inspect.signature(kind).parameters
        if {"model", "models", "mover"} & set(given) or name == "DMM":
            with pytest.raises(ValueError, match=f"one of BENO, .*MeshGraphNet.*, got '{name}'"):
                checked(settings, "e.toml")
            continue
        in_time = "history" in given and given["history"].default != 0  # None: of the preset
        settings["data"]["problem"] = "Burgers" if in_time else "Poisson"
        assert checked(settings, "e.toml") is settings
        settings["data"]["problem"] = "Poisson" if in_time else "Burgers"
        with pytest.raises(ValueError, match="is a steady problem" if in_time else "in time"):
            checked(settings, "e.toml")


def test_a_steady_problem_has_no_loss_of_several_calls():
    settings: dict[str, Any] = deepcopy(GOOD) | {"model": {"name": "BENO"}}
    settings["data"]["problem"] = "Poisson"
    settings["loss"] = {"name": "pushforward", "depth": 2}
    with pytest.raises(ValueError, match=r"\[loss\]: Poisson is a steady problem, .*; leave it"):
        checked(settings, "e.toml")


def test_what_a_model_refuses_is_said_before_anything_is_simulated(tmp_path, monkeypatch):
    """A steady model for a problem in time, with one that can; what only a constructor knows."""
    monkeypatch.chdir(tmp_path)
    text = '[data]\nproblem = "{}"\nfamilies = "polygon"\nsize = 0.5\nsamples = 4\nfolder = "d"\n'
    text += '[fit]\nepochs = 1\n[model]\nname = "BENO"\n'
    for problem, entry, message in (
        (
            "Heat",
            "",
            "Heat is a problem in time and BENO solves .*; take .*MPPDE or Mesh.* = 1",
        ),
        ("Poisson", 'preset = "deep"', "expected a preset of linear, nonlinear, paper, got 'deep'"),
        ("LinearElasticity", "", "diffusion in 2D has 1 components, got channels=2; give "),
    ):
        (tmp_path / "e.toml").write_text(text.format(problem) + entry)
        with pytest.raises(ValueError, match=message):
            run("e.toml")
        assert [path.name for path in tmp_path.iterdir()] == ["e.toml"]


@pytest.mark.parametrize("problem", ["Poisson", "Heat"])
def test_the_untrained_row_is_the_network_before_the_first_step(problem, tmp_path, monkeypatch):
    """With a learning rate of 1e-12 training changes nothing, so both rows agree to rounding; the
    statistics of the data are in both, and a march that grows without bound gives a figure."""
    monkeypatch.chdir(tmp_path)
    history, steps = ("history = 1\n", "steps = 2") if problem == "Heat" else ("", "")
    (tmp_path / "e.toml").write_text(
        f'[data]\nproblem = "{problem}"\nfamilies = ["interval"]\nsamples = 4\njobs = 1\n'
        f'folder = "d"\nsize = 0.1\n[data.options]\n{steps}\n'
        f'[model]\nname = "MeshGraphNet"\nwidth = 8\nblocks = 1\n{history}'
        "[fit]\nepochs = 1\nlr = 1e-12\nseed = 3\nprogress = false\n"
    )
    with (run("e.toml") / "errors.csv").open() as file:
        rows = {row.pop("predictor"): row for row in csv.DictReader(file)}
    learned, untrained = (float(rows[name]["relative_l2"]) for name in ("learned", "untrained"))
    assert untrained == pytest.approx(learned, rel=1e-4) and untrained > 0


def test_stages_that_do_not_fit_are_named():
    """[[then]] takes what [fit] takes and a loss; the normalisation is kept, always."""
    stage = {"epochs": 1, "stride": 2, "loss": {"name": "unrolled", "depth": 2}}
    settings: dict[str, Any] = deepcopy(GOOD) | {"then": [stage]}
    assert checked(settings, "e.toml") is settings
    for then, message in (
        (stage, r"\[\[then\]\]: expected sections \[\[then\]\], in two brackets"),
        ([{"lr": 1e-3}], r"\[\[then\]\] needs epochs"),
        ([stage | {"stride": 0.5}], "expected stride of type int, got 0.5"),
        (
            [stage | {"keep_statistics": False}],
            "no entry 'keep_statistics'; it takes epochs, .*stride, loss",
        ),
        ([stage | {"loss": {"name": "mean", "depth": 2}}], "loss name: expected one of unrolled"),
    ):
        with pytest.raises(ValueError, match=f"e.toml: .*{message}"):
            checked(settings | {"then": then}, "e.toml")


def test_a_body_is_trained_in_two_stages(tmp_path, monkeypatch):
    """One step, then two on its own output with the same normalisation: the history has the epochs
    of both, each has its checkpoint, and the table says where free flight would have led."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.toml").write_text(
        '[data]\nproblem = "Elastodynamics"\nfamilies = "cut_square"\nsamples = 2\njobs = 1\n'
        'folder = "d"\nsize = 0.2\n[data.options]\nkind = "drop"\nframes = 9\nduration = 0.3\n'
        '[model]\nname = "GIOROM"\npoints = 12\nwidth = 4\n'
        "[fit]\nepochs = 2\nstride = 2\nprogress = false\n"
        "[[then]]\nepochs = 1\nstride = 2\nprogress = false\n"
        'loss = {name = "unrolled", depth = 2}\n'
    )
    folder = run("e.toml")
    assert {"training.pt", "training_2.pt"} <= {path.name for path in folder.iterdir()}
    assert len(json.loads((folder / "history.json").read_text())["train"]) == 3
    with (folder / "errors.csv").open() as file:
        rows = {row.pop("predictor"): row for row in csv.DictReader(file)}
    assert float(rows["ballistic"]["relative_l2"]) > 0 and {"learned", "persistence"} <= set(rows)
    model: Any = load(folder / "model.pt")
    assert model.hparams["points"] == 12 and model.meta["dt"] == pytest.approx(0.3 / 8 / 9.81**0.5)


def test_the_calls_of_a_loss_are_judged_as_the_model_judges_one():
    """`unrolled` of a model with a loss of its own takes that; of others one step."""
    from meshgnn.cli.experiment import _loss

    class Judged:
        def __call__(self, graph: Data) -> Tensor:
            return graph.u[:, -1:] * 2

        @staticmethod
        def loss(model: Any, graph: Data) -> Tensor:
            return 7 * model(graph).sum()

    graph = Data(
        u=torch.ones(3, 1, 1),
        y=torch.zeros(3, 2, 1),
        dirichlet=torch.zeros(3, 2, 1),
        dt=torch.ones(1),
        time=torch.zeros(1),
        known=torch.ones(1),
    )
    loss = _loss(Judged(), name="unrolled", depth=2)  # pyright: ignore[reportArgumentType]
    assert loss(Judged(), graph) == 7 * 3 * (2 + 4) / 2


def test_types_that_fit():
    """An int is a float; one or several; what Heat passes on to Poisson."""
    settings: dict[str, Any] = deepcopy(GOOD)
    settings["fit"] |= {"lr": 1, "noise": [1, 0.5], "clip": 2.0, "progress": False}
    settings["data"] |= {"families": "interval", "options": {"neumann": 1, "steps": 3}}
    assert checked(settings, "e.toml") is settings


def test_files_that_are_no_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "e.toml"
    data = '[data]\nproblem = "Poisson"\nfamilies = ["interval"]\nsamples = 2\nfolder = "d"\n'
    for text, message in (
        ("", r"\[data\] needs families, folder, problem, samples"),
        (data, r"\[model\] needs name"),
        (data + "[model]\nname = 'x'\n", r"\[fit\] needs epochs"),
        ("fit = 1\n" + data + "[model]\nname = 'x'\n", r"expected a section \[fit\], got 1"),
        ("[training]\n", "an experiment has no entry 'training'; it takes data, model, fit"),
        ("[data", "is not a valid TOML file"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            run(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "scripts/experiments").glob("*.toml")), ids=str
)
def test_experiments_fit_the_package(path):
    """Every entry of the shipped experiments is an argument of what it goes to."""
    settings = checked(read_toml(path), str(path))
    data, model = settings["data"], dict(settings["model"])
    assert data["problem"] in PROBLEMS and set(families(data)) <= set(FAMILIES)
    drawn = PROBLEMS[data["problem"]].draw
    if data["problem"] == "Elastodynamics":  # whose draw passes all but the kind on
        drawn = random_motion
    assert data.get("options", {}).keys() <= inspect.signature(drawn).parameters.keys()
    MODELS[model.pop("name")](**model)
    known = {*inspect.signature(fit).parameters, "stride", "loss"}
    assert all(stage.keys() <= known for stage in (settings["fit"], *settings.get("then", [])))


def test_a_model_in_time_gets_the_sizes_of_the_data(tmp_path, monkeypatch):
    """Components, inputs and parameters of the equation, on a mesh that is periodic."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.toml").write_text(
        '[data]\nproblem = "Burgers"\nfamilies = "periodic_square"\nsamples = 2\njobs = 1\n'
        'folder = "d"\nsize = 0.25\n[data.options]\nframes = 4\ndt = 0.02\nviscosity = 0.1\n'
        '[model]\nname = "MPPDE"\nwidth = 4\nlayers = 1\n[fit]\nepochs = 1\nprogress = false\n'
        '[loss]\nname = "RandomPushforward"\ndepth = 2\nwarm_up = 0\n'
    )
    model: Any = load(run("e.toml") / "model.pt")
    hparams = model.hparams
    assert [hparams[key] for key in ("dim", "channels", "inputs", "params")] == [2, 2, 2, 1]
