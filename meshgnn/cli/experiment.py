"""An experiment from a TOML file: data, model, training, errors; its folder is named by it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshgnn.cli.problem_file import read_toml
from meshgnn.cli.settings import checked, held_out

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from meshgnn.sample import Sample


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

    Results go to out/<file>-<hash of its content>: model.pt, history.json, errors.csv. When they
    are there nothing is done again; an interrupted training goes on from its checkpoint.

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
    folder.mkdir(parents=True, exist_ok=True)
    train, test = _data(settings["data"])
    model = _trained(settings, train, folder)
    _errors(model, train, test, folder)
    return folder


def _data(settings: dict[str, Any]) -> "tuple[list[Sample], list[Sample]]":
    from meshgnn.sample import Sample
    from meshgnn.simulate import simulate

    chosen = {key: settings[key] for key in ("seed", "jobs", "size") if key in settings}
    paths = simulate(
        settings["problem"],
        settings["families"],
        settings["samples"],
        settings["folder"],
        **chosen,
        **settings.get("options", {}),
    )
    samples = [Sample.load(path) for path in paths]
    count = held_out(settings)
    return samples[:-count], samples[-count:]


def _trained(settings: dict[str, Any], train: "list[Sample]", folder: Path) -> "nn.Module":
    import torch

    from meshgnn import checkpoint
    from meshgnn.atomic import replacing
    from meshgnn.graph import MeshDataset
    from meshgnn.models import MODELS
    from meshgnn.train import fit

    own = dict(settings["model"])
    cls, first = MODELS[own.pop("name")], train[0]
    shape = {
        "dim": first.mesh.points.shape[1],
        "channels": first.channels,
        "inputs": first.inputs.shape[1],
    }
    window = {key: own[key] for key in ("history", "bundle") if key in own}
    torch.manual_seed(settings["fit"].get("seed", 0))
    model = cls(**shape | own)
    history = fit(
        model, MeshDataset(train, **window), checkpoint=folder / "training.pt", **settings["fit"]
    )
    checkpoint.save(model, folder / "model.pt")
    with replacing(folder / "history.json") as aside:
        aside.write_text(json.dumps(asdict(history)))
    return model


def _errors(model: "nn.Module", train: "list[Sample]", test: "list[Sample]", folder: Path) -> None:
    from meshgnn import checkpoint, marching, metrics

    history = getattr(model, "hparams", {}).get("history", 0)

    def learned(sample: "Sample") -> "Sample":
        if history:
            return marching.rollout(model, sample, len(sample.times) - history)
        return checkpoint.predict(model, sample)

    predictors: dict[str, Callable[[Sample], Sample | np.ndarray]] = {
        "learned": learned,
        "zero": metrics.zero,
        "mean": metrics.mean_value(train),
        "IDW": metrics.inverse_distance,
        "nearest sample": metrics.nearest_sample(train),
    }
    if history:
        predictors["persistence"] = metrics.persistence
    table = metrics.evaluate(test, predictors)
    table.show(f"mean over {len(test)} held-out samples")
    table.to_csv(folder / "errors.csv")
