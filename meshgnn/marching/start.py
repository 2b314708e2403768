"""Where a march begins: its known states, its first graph, and whether they are the model's."""

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch_geometric.data import Data

from meshgnn.graph import Classes, dirichlet_at, mesh_attributes, same_step
from meshgnn.marching.calling import check_names
from meshgnn.sample import Sample


def known_states(model: nn.Module, sample: Sample, known: int | None) -> Float[np.ndarray, "n N C"]:
    """The true states that a march starts from: those of u, or the inputs named "initial...".

    Raises:
        ValueError: a steady model; fewer states than the model starts from, or than asked for.
    """
    name, history = type(model).__name__, int(getattr(model, "hparams", {}).get("history", 0))
    if history < 1:
        raise ValueError(
            f"rollout: {name} has no known states as input (history={history}), it solves steady "
            "problems; use predict, or a model made with history=1"
        )
    check_names(model, sample)
    states = _initial(sample) if sample.u is None else sample.u
    alone = getattr(model, "starts_alone", False)
    count = (min(history, len(states)) if alone else history) if known is None else known
    if not (1 if alone else history) <= count <= history:
        least = f"1 to {history}" if alone else f"{history}"
        raise ValueError(f"rollout: {name} starts from {least} known states, got known={count}")
    if len(states) < count:
        raise ValueError(
            f"rollout: {name} starts from {count} known states, the sample has {len(states)}; give "
            "the initial states in u"
        )
    return states[:count]


def step_of(model: nn.Module, sample: Sample, count: int, dt: float | None) -> float:
    """The time step, s: dt or that of the sample.

    Raises:
        ValueError: none; one that is not positive, not that between the known states, or not the
            one that the model is for.
    """
    if dt is None and len(sample.times) < 2:
        raise ValueError("rollout: the sample has one time only; pass the time step dt")
    dt = float(sample.times[1] - sample.times[0]) if dt is None else dt
    known = sample.times[:count]
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"rollout: expected a positive, finite time step dt, got {dt:g} s")
    if not same_step(np.diff(known), dt):
        raise ValueError(
            f"rollout: expected known states dt = {dt:g} s apart, got times {known.tolist()}; "
            "resample, or take the dt of the sample"
        )
    trained = None if getattr(model, "takes_dt", False) else getattr(model, "meta", {}).get("dt")
    if trained is not None and not same_step(np.array([dt]), trained):
        raise ValueError(
            f"rollout: {type(model).__name__} was trained with time steps of {trained:g} s and "
            f"does not take dt as an input, got dt = {dt:g} s; pass dt={trained:g} (and states so "
            "far apart), or train a model with the other step"
        )
    return dt


def first_graph(
    model: nn.Module, sample: Sample, known: Float[np.ndarray, "n N C"], dt: float
) -> Data:
    """The graph of the first call: where fewer than K states are known, the oldest is repeated."""
    hparams = getattr(model, "hparams", {})
    history, bundle = int(hparams["history"]), int(hparams.get("bundle", 1))
    last = float(sample.times[len(known) - 1])
    states = np.concatenate([np.repeat(known[:1], history - len(known), axis=0), known])
    return Data(
        **mesh_attributes(sample),
        u=torch.from_numpy(Classes.of(sample).pick(states.swapaxes(0, 1)).astype(np.float32)),
        dirichlet=dirichlet_at(sample, last + dt * np.arange(1, bundle + 1)),
        dt=torch.tensor([dt]),
        time=torch.tensor([last], dtype=torch.float32),
        known=torch.tensor([len(known)], dtype=torch.float32),
    )


def _initial(sample: Sample) -> Float[np.ndarray, "n N C"]:
    """The initial state of an unsolved sample, with the boundary values; none where it has none."""
    names = sample.names.get("inputs", [])
    columns = [i for i, name in enumerate(names) if name.startswith("initial")]
    if len(columns) != sample.channels:
        return np.zeros((0, sample.mesh.num_nodes, sample.channels))
    time = float(sample.times[0])
    state = sample.inputs[:, columns]
    return np.where(sample.boundary.dirichlet_mask, sample.dirichlet_at(time), state)[None]
