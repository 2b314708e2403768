"""An experiment from a TOML file: data, model, training, errors; its folder is named by it."""

import copy
import hashlib
import inspect
import json
import math
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshgnn.cli.bodies import ballistic, is_body
from meshgnn.cli.problem_file import read_toml
from meshgnn.cli.settings import checked, families, held_out

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from meshgnn.graph import MeshDataset
    from meshgnn.losses import Loss
    from meshgnn.sample import Sample
    from meshgnn.train import History

_STATISTICS = 64  # graphs that the normalisation of the untrained network is computed from


def run(path: str | Path) -> Path:
    """Simulate, train, and compare on held-out samples, as the file says:

        [data]                  # simulated once: the folder is reused
        problem = "Poisson"
        families = ["cut_square", "l_shape"]
        samples = 300
        test = 0.1              # the last tenth is held out
        folder = "data/poisson"
        [data.options]          # of the problem's `draw`
        [model]
        name = "MeshGraphNet"   # other entries go to its constructor
        [fit]                   # arguments of `meshgnn.fit`
        epochs = 20
        stride = 4              # states between the starts of two windows, in time; 1
        [loss]                  # of a model in time; one step when it is left out
        name = "unrolled"       # or pushforward, RandomPushforward
        depth = 2               # calls of the model
        [[then]]                # goes on with the weights and the normalisation; any number
        epochs = 2              # and what else [fit] takes
        loss = {name = "unrolled", depth = 10}

    Results go to out/<file>-<hash of its content>: model.pt, history.json, errors.csv, where the
    row "untrained" is the same network before the first step. When they are there nothing is done
    again; an interrupted training goes on from its checkpoint. What the model refuses is said
    before the data are made.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an entry that is unknown, missing or of another type, and whatever simulate,
            model and fit refuse.
    """
    settings = checked(read_toml(path), str(path))
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    folder = Path("out") / f"{Path(path).stem}-{digest.hexdigest()[:8]}"
    if (folder / "errors.csv").is_file():
        print(f"{folder} is there already; remove it to run the experiment again")
        return folder
    model = _built(settings)
    folder.mkdir(parents=True, exist_ok=True)
    train, test = _data(settings["data"])
    untrained = _trained(model, settings, train, folder)
    _errors({"learned": model, "untrained": untrained}, train, test, folder)
    return folder


def _built(settings: dict[str, Any]) -> "nn.Module":
    """The network with random weights, in the sizes of the first sample of the run."""
    import torch

    from meshgnn.models import MODELS
    from meshgnn.simulate import draw_sample

    data, own = settings["data"], dict(settings["model"])
    first = draw_sample(
        data["problem"],
        families(data)[0],
        data.get("seed", 0),
        0,
        data.get("size"),
        **data.get("options", {}),
    )
    shape = {
        "dim": first.mesh.points.shape[1],
        "channels": first.channels,
        "inputs": first.inputs.shape[1],
    }
    kind = MODELS[own.pop("name")]
    if "params" in inspect.signature(kind).parameters:
        shape["params"] = len(first.params)
    torch.manual_seed(settings["fit"].get("seed", 0))
    return kind(**shape | own)


def _data(settings: dict[str, Any]) -> "tuple[list[Sample], list[Sample]]":
    from meshgnn.sample import Sample
    from meshgnn.simulate import simulate

    chosen = {key: settings[key] for key in ("seed", "jobs", "size") if key in settings}
    paths = simulate(
        settings["problem"],
        families(settings),
        settings["samples"],
        settings["folder"],
        **chosen,
        **settings.get("options", {}),
    )
    samples = [Sample.load(path) for path in paths]
    count = held_out(settings)
    return samples[:-count], samples[-count:]


def _trained(
    model: "nn.Module", settings: dict[str, Any], train: "list[Sample]", folder: Path
) -> "nn.Module":
    """Train the model and write it; what it was before."""
    from meshgnn import checkpoint
    from meshgnn.atomic import replacing
    from meshgnn.graph import MeshDataset
    from meshgnn.train import History, fit

    own = getattr(model, "hparams", {})  # its defaults included
    window = {key: own[key] for key in ("history", "bundle") if key in own}
    untrained = _normalised(copy.deepcopy(model), MeshDataset(train, **window))
    first = settings["fit"] | ({"loss": settings["loss"]} if "loss" in settings else {})
    stages, history = [first, *settings.get("then", [])], History()
    for number, stage in enumerate(stages):
        options = dict(stage)
        windows, loss = window | {"stride": options.pop("stride", 1)}, options.pop("loss", None)
        if loss is not None:
            windows["bundle"] = loss["depth"] * window.get("bundle", 1)
            loss = _loss(model, **loss)
        if number:
            print(f"stage {number + 1} of {len(stages)}")
            options["keep_statistics"] = True
        state = folder / ("training.pt" if not number else f"training_{number + 1}.pt")
        data = MeshDataset(train, **windows)
        history = _joined(history, fit(model, data, loss=loss, checkpoint=state, **options))
    checkpoint.save(model, folder / "model.pt")
    with replacing(folder / "history.json") as aside:
        aside.write_text(json.dumps(asdict(history)))
    return untrained


def _loss(model: "nn.Module", name: str, **options: int) -> "Loss":
    """A loss of several calls, each of which is judged as the model judges one."""
    from meshgnn import losses

    one = getattr(model, "loss", losses.one_step)
    return getattr(losses, name)(loss=one, **options)


def _joined(one: "History", other: "History") -> "History":
    """One stage after another."""
    parts = {f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(one)}
    return type(one)(**parts)


def _normalised(model: "nn.Module", dataset: "MeshDataset") -> "nn.Module":
    """The model with the statistics of some graphs, where it wants any."""
    fit_statistics = getattr(model, "fit_statistics", None)
    if fit_statistics is not None:
        some = dataset[:: -(-len(dataset) // _STATISTICS)]
        transform = getattr(model, "transform", None)
        fit_statistics(list(some if transform is None else some.transformed(transform)))
    return model.eval()


def _errors(
    models: "dict[str, nn.Module]", train: "list[Sample]", test: "list[Sample]", folder: Path
) -> None:
    from meshgnn import checkpoint, marching, metrics

    history = getattr(models["learned"], "hparams", {}).get("history", 0)

    def of(name: str) -> "Callable[[Sample], Sample]":
        model = models[name]
        if not history:
            return lambda sample: checkpoint.predict(model, sample)
        limit = math.inf if name == "untrained" else 1e6  # its blow-up is a figure too
        return lambda sample: marching.rollout(
            model, sample, len(sample.times) - history, limit=limit
        )

    predictors: dict[str, Callable[[Sample], Sample | np.ndarray]] = {
        **{name: of(name) for name in models},
        "zero": metrics.zero,
        "mean": metrics.mean_value(train),
        "IDW": metrics.inverse_distance,
        "nearest sample": metrics.nearest_sample(train),
    }
    if history:
        predictors["persistence"] = metrics.persistence
    if is_body(test[0]):
        predictors["ballistic"] = ballistic
    table = metrics.evaluate(test, predictors)
    table.show(f"mean over {len(test)} held-out samples")
    table.to_csv(folder / "errors.csv")
