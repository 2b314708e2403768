"""One self-contained file per model, and the use of a model: mesh in, field out.

A checkpoint holds the name of the model in `MODELS`, its constructor arguments, its weights and
buffers (normalisation included) and what it was trained on. It is read with weights only: loading
a file never runs code from it.
"""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.allocator import tune_process
from meshgnn.atomic import replacing
from meshgnn.graph import Classes, far_apart, local_order, renumbered, to_graph
from meshgnn.lazy import LazyMapping
from meshgnn.marching import check_names, evaluating, exact, ready
from meshgnn.models import MODELS
from meshgnn.partition import InParts
from meshgnn.sample import Boundary, Sample

FORMAT = 1
_WEIGHTS = Path(str(files("meshgnn"))) / "weights"
# Networks that give no field and so are no models: what they are for imports them, not this module.
_OTHERS = LazyMapping({"LearnedIC": "meshgnn.preconditioner.network:LearnedIC"})


def save(model: nn.Module, path: str | Path) -> None:
    """Write a model to one file that `load` can rebuild it from, whole or not at all.

    Args:
        model: a model of `meshgnn.models.MODELS`, or a `LearnedIC`; what it was trained on goes
            along when it has `model.meta` (names, units and so on, set by `fit`). Of an `InParts`
            the model inside.
        path: the file; an existing one is replaced once the new one is complete.

    Raises:
        ValueError: a model that is not in MODELS, or around one that is not; `hparams` that are not
            plain data.
        OSError: a folder that does not exist or cannot be written to.
    """
    model = _inside(model)
    part: nn.Module | None = model
    while part is not None:
        name = type(part).__name__
        if _class_of(name) is not type(part):
            raise ValueError(
                f"save: {name} is not in meshgnn.models.MODELS, so nothing could load it again; "
                f"what can be is {', '.join([*MODELS, *_OTHERS])}. Add the class with one line in "
                "meshgnn/models/__init__.py"
            )
        part = getattr(part, "inner", None)  # that of a wrapper
    write(path, describe(model))


def _inside(model: nn.Module) -> nn.Module:
    """The model that is called part by part, or the model itself."""
    return model.model if isinstance(model, InParts) else model


def _class_of(name: str) -> type | None:
    """The class that a checkpoint names; None for an unknown one."""
    return next((names[name] for names in (MODELS, _OTHERS) if name in names), None)


def describe(model: nn.Module) -> dict[str, Any]:
    """What a checkpoint holds about a model. Raises: ValueError: hparams that are not plain."""
    name, hparams = type(model).__name__, getattr(model, "hparams", None)
    try:
        plain = isinstance(hparams, dict) and json.loads(json.dumps(hparams)) == hparams
    except TypeError:
        plain = False
    if not plain:
        raise ValueError(
            f"save: expected {name}.hparams to be its constructor arguments as a dict of numbers, "
            f"strings and lists, got {hparams!r}; set self.hparams in __init__"
        )
    state = {k: v.detach().clone().cpu() for k, v in model.state_dict().items()}
    meta = getattr(model, "meta", {})
    return {"format": FORMAT, "model": name, "hparams": hparams, "state": state, "meta": meta}


def write(path: str | Path, content: dict[str, Any]) -> None:
    """Write the content of a checkpoint aside, then rename it. Raises: OSError."""
    with replacing(path) as aside:
        torch.save(content, aside)


def load(name: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """The model of a checkpoint, in evaluation mode: a path, or the name of packaged weights.

    Args:
        name: a file that `save` or `fit` wrote, or the name of weights that come with the package
            (the error for an unknown name lists them), such as "ic_poisson".
        device: where to put it.

    Raises:
        FileNotFoundError: neither a file nor a packaged name (lists those there are).
        ValueError: no checkpoint, a damaged one, one of another format, of an unknown model, or
            whose weights do not fit its model.
    """
    content = read(name)
    cls = _class_of(content["model"])
    if cls is None:
        raise ValueError(
            f"load: {name} holds a model {content['model']!r}, which this version does not know; "
            f"it knows {', '.join([*MODELS, *_OTHERS])}"
        )
    try:
        make = getattr(cls, "rebuild", cls)  # a wrapper is made around the model inside
        model = make(**content["hparams"])
        model.load_state_dict(content["state"])
    except (TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"load: {name} does not fit the {content['model']} of this meshgnn: {reason}; "
            "train it again, or install the version that wrote it"
        ) from error
    object.__setattr__(model, "meta", content["meta"])
    return model.to(device).eval()


def read(name: str | Path) -> dict[str, Any]:
    """The content of a checkpoint of this format. Raises as `load` does."""
    path = Path(name)
    if not path.is_file():
        packaged = sorted(p.stem for p in _WEIGHTS.glob("*.pt"))
        if str(name) not in packaged:
            raise FileNotFoundError(
                f"load: {name} is neither a file nor the name of packaged weights; there are "
                f"{', '.join(packaged) or 'none in this installation'}. Train one with fit and save"
            )
        path = _WEIGHTS / f"{name}.pt"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # damaged bytes raise whatever the unpickler trips over
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"load: {path} is not a meshgnn checkpoint, or is damaged: {reason}"
        ) from error
    keys = {"format", "model", "hparams", "state", "meta"}
    if not isinstance(content, dict) or not keys <= content.keys():
        raise ValueError(f"load: {path} is not a meshgnn checkpoint; expected a file save wrote")
    if content["format"] != FORMAT:
        raise ValueError(
            f"load: {path} has checkpoint format {content['format']}, this meshgnn reads "
            f"format {FORMAT}; install the version that wrote it, or save the model again"
        )
    return content


def predict(
    model: nn.Module,
    sample: Sample,
    uncertainty: bool = False,
    max_nodes: int | None = None,
    precision: str = "32-true",
) -> Sample:
    """u = model(mesh, inputs, boundary conditions): a steady field on a mesh.

    Boundary values are exact to the last digit. Runs on the device of the model, without gradients.
    Needs neither gmsh nor PyVista nor a display. Large meshes whose neighbours are far apart in
    memory go through local models in another order; the field has that of the sample.

    Args:
        model: a trained steady model (`load`, or after `fit`); `model.double()` computes in float64
            from a graph whose numbers are those of float32.
        sample: mesh, inputs and boundary conditions (`problem.sample(mesh)`); its u is not read.
        uncertainty: also give the standard deviation of every component, as further components
            named `<name>_std`, free of conditions; for models with a method
            `uncertainty(graph) -> [N, 1, C]`.
        max_nodes: of one part of the mesh, for local models (`InParts`): less memory, same field.
        precision: "32-true", or "bf16-mixed": products in bfloat16, fields in float32.

    Raises:
        ValueError: no model of fields; a mesh, inputs or components other than the model's; a mesh
            in several pieces, or with inverted cells (`Mesh.check`); a time-dependent model or
            sample; a model without uncertainty; max_nodes for a model that is not local, or too
            small for the halo; weights in half precision; NaN in the prediction.
    """
    tune_process()
    _check_use(model, sample, uncertainty)
    used = model if max_nodes is None else InParts(_inside(model), max_nodes)
    deviation = getattr(used, "uncertainty", None) if uncertainty else None
    graph, back = _ordered(used, to_graph(replace(sample, u=None)))
    with evaluating(model, precision):
        graph = ready(used, graph)
        out = exact(sample, used(graph)[back, 0], float(sample.times[0]))
        names = getattr(model, "meta", {}).get("names", {}).get("u", [])
        names = sample.names.get("u") or names
        if deviation is not None:
            std = Classes.of(sample).spread(deviation(graph)[back, 0].double().cpu().numpy())
            names = [*names, *(f"{name}_std" for name in names)]
            out = np.concatenate([out, std], axis=1)
            sample = replace(sample, boundary=_with_free(sample.boundary), u=None)
    bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
    if len(bad):
        raise ValueError(
            f"predict: {type(model).__name__} gave NaN or infinity at {len(bad)} nodes, the first "
            f"{bad[:5].tolist()}; its inputs are far from what it was trained on, or it was never "
            "trained"
        )
    return replace(sample, u=out[None], names={**sample.names, "u": names}, label_error=None)


def _ordered(model: nn.Module, graph: Data) -> tuple[Data, Tensor | slice]:
    """The graph in an order that suits the model, and what takes fields of it back."""
    if getattr(model, "hops", None) is None or not far_apart(graph):
        return graph, slice(None)
    order = local_order(graph.edge_index, len(graph.pos))
    return renumbered(graph, order), torch.argsort(order)


def _with_free(boundary: Boundary) -> Boundary:
    """The conditions with as many further components again, on which there are none."""
    arrays = {k: v for k, v in vars(boundary).items() if k not in ("facets", "twin")}
    twice = {name: np.concatenate([a, np.zeros_like(a)], axis=-1) for name, a in arrays.items()}
    return replace(boundary, **twice)


def _check_use(model: nn.Module, sample: Sample, uncertainty: bool) -> None:
    name = type(model).__name__
    if name in _OTHERS:
        raise ValueError(
            f"predict: {name} gives no field but a preconditioner, see certify(...).polish; load a "
            f"model of {', '.join(MODELS)}"
        )
    history = getattr(model, "hparams", {}).get("history", 0)
    if history or len(sample.times) != 1:
        raise ValueError(
            f"predict: expected a steady model and a sample of one time, got {name} with "
            f"history={history} and {len(sample.times)} times; use rollout for problems in time"
        )
    if uncertainty and not hasattr(model, "uncertainty"):
        raise ValueError(
            f"predict: {name} gives no uncertainty (it has no method uncertainty); call predict "
            "without it, or put several models trained with other seeds into an Ensemble, or it "
            "into a Dropout before training; MMGP brings its own"
        )
    check_names(model, sample)
    sample.mesh.check()
