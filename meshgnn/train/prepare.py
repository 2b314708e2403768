"""What happens before the first epoch."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch_geometric.data import Data

from meshgnn.graph import MeshDataset, check_graph, same_step
from meshgnn.losses import Loss
from meshgnn.train.plan import Plan

Graphs = MeshDataset | Sequence[Data]
_STATISTICS = 512  # graphs that the normalisation is computed from, spread over the data set


def prepared(model: nn.Module, dataset: Any, plan: Plan) -> Graphs:
    """Checked and transformed graphs; every access gives one that may be changed."""
    first = _first(dataset)
    mask, known = first.get("dirichlet_mask"), first.get("u")
    channels = 0 if mask is None else mask.shape[1]
    history = 0 if known is None else known.shape[1]
    if any(plan.spread) and not history:
        raise ValueError(
            f"fit: noise={plan.noise} is for known states, but these graphs have none (steady); "
            "leave it out, or build the data set with history=1"
        )
    if len(plan.spread) not in (1, channels):
        raise ValueError(
            f"fit: expected one number or {channels} (one per component) in noise, got {plan.noise}"
        )
    transform = getattr(model, "transform", None)
    own = getattr(model, "check_graph", None)  # of a model that takes other graphs than of meshes
    if own is not None:
        for graph in dataset:
            own(graph)
    elif isinstance(dataset, MeshDataset):
        check_graph(first, model)  # the others were checked when the data set was made
        return dataset if transform is None else dataset.transformed(transform)
    else:
        for i, graph in enumerate(dataset):
            check_graph(graph, model)
            _check_step(i, graph, first, model)
    return dataset if transform is None else [transform(graph.clone()) for graph in dataset]


def _first(dataset: Any) -> Data:
    listed = hasattr(dataset, "__getitem__") and not isinstance(dataset, str | Data)
    if listed and not len(dataset):
        raise ValueError("fit: expected at least one graph, got an empty data set")
    first = dataset[0] if listed else dataset
    if not listed or not isinstance(first, Data):
        raise ValueError(
            f"fit: expected a MeshDataset or a list of graphs, got {type(first).__name__}"
            f"{' in the list' if listed else ''}; pass MeshDataset(...) of the folder or samples "
            "(with history=1 for problems in time)"
        )
    return first


def begin(
    model: nn.Module, dataset: Graphs, graphs: Graphs | None, most: int = _STATISTICS
) -> None:
    """Normalisation from the clean data if there are any; what the model remembers about them."""
    fit_statistics = getattr(model, "fit_statistics", None)
    if fit_statistics is not None and graphs is not None:
        places = np.linspace(0, len(graphs) - 1, min(len(graphs), most)).round().astype(int)
        bundle = getattr(model, "hparams", {}).get("bundle")
        chosen = [graphs[int(i)] for i in places]
        # of graphs that hold several calls of the model (pushforward) it takes the first
        fit_statistics([_first_call(graph, bundle) for graph in chosen])
    meta: dict[str, Any] = {"graphs": len(dataset)}
    if dt := float(dataset[0].get("dt", 0.0)):  # 0 when steady
        meta["dt"] = dt
    if isinstance(dataset, MeshDataset):
        problem = dataset.samples[0].meta.get("problem")
        meta |= {"names": dataset.names, "units": dataset.units, "problem": problem}
    object.__setattr__(model, "meta", meta)


def _check_step(position: int, graph: Data, first: Data, model: nn.Module) -> None:
    """One time step in all graphs, but for a model that takes it as an input (`takes_dt`)."""
    dt, expected = float(graph.dt), float(first.dt)
    if not getattr(model, "takes_dt", False) and not same_step(np.array([dt]), expected):
        raise ValueError(
            f"fit: expected the time step of graph 0, dt = {expected:g} s, in all graphs, "
            f"got {dt:g} s in graph {position}; {type(model).__name__} does not take "
            "dt as an input: train one model for each time step"
        )


def _first_call(graph: Data, bundle: int | None) -> Data:
    graph = copy.copy(graph)
    if bundle is not None:
        graph.dirichlet = graph.dirichlet[:, :bundle]
        if "y" in graph:
            graph.y = graph.y[:, :bundle]
    return graph


def loss_of(model: nn.Module, loss: Loss | None) -> Loss:
    loss = loss or getattr(model, "loss", None)
    if loss is None:
        raise ValueError(f"fit: {type(model).__name__} has no attribute loss; pass loss=...")
    return loss


def target(checkpoint: str | Path | None) -> Path | None:
    """The file of a checkpoint argument: itself, or training.pt in a folder, which is made."""
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    if path.is_dir() or not path.suffix:
        path.mkdir(parents=True, exist_ok=True)
        path = path / "training.pt"
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise OSError(
            f"fit: the checkpoint {path} cannot be written: {path.parent} is no folder that exists "
            "and may be written to; create it, or choose another"
        )
    return path
