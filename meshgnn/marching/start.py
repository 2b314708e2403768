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
    bundle = int(getattr(model, "hparams", {}).get("bundle", 1))
    last = float(sample.times[len(known) - 1])
    u = all_known(model, sample, known, dt, torch.float32)
    true = u.shape[1] if _velocity(sample, len(known)) is not None else len(known)
    return Data(
        **mesh_attributes(sample),
        u=u,
        dirichlet=dirichlet_at(sample, last + dt * np.arange(1, bundle + 1)),
        dt=torch.tensor([dt]),
        time=torch.tensor([last], dtype=torch.float32),
        known=torch.tensor([true], dtype=torch.float32),
    )


def all_known(
    model: nn.Module,
    sample: Sample,
    known: Float[np.ndarray, "n N C"],
    dt: float,
    dtype: torch.dtype,
) -> Float[torch.Tensor, "nodes K C"]:
    """The K states of the first call, oldest first.

    Where one is known, and the sample says how fast it changes at first (inputs initial_vx, ...),
    those before it are u_{−k} = u_0 − k Δt v_0 + (k Δt)² g / 2, as if nothing but gravity had acted
    so far. Otherwise the oldest is repeated.
    """
    missing = int(getattr(model, "hparams", {})["history"]) - len(known)
    older = np.repeat(known[:1], missing, axis=0)
    velocity = _velocity(sample, len(known))
    if velocity is not None:
        back = -dt * np.arange(missing, 0, -1)[:, None, None]
        free = ~sample.boundary.dirichlet_mask
        older = older + free * (back * velocity + back**2 / 2 * _gravity(sample))
    states = np.concatenate([older, known])
    return torch.from_numpy(Classes.of(sample).pick(states.swapaxes(0, 1)).copy()).to(dtype)


def _columns(sample: Sample, kind: str) -> list[int]:
    """The inputs initial_<kind>x, initial_<kind>y, ..., one a component; none where one lacks."""
    names = sample.names.get("inputs", [])
    wanted = [f"initial_{kind}{axis}" for axis in "xyz"[: sample.channels]]
    return [names.index(name) for name in wanted] if set(wanted) <= set(names) else []


def _initial(sample: Sample) -> Float[np.ndarray, "n N C"]:
    """The initial state of an unsolved sample, with the boundary values; none where it has none."""
    names = sample.names.get("inputs", [])
    columns = [i for i, name in enumerate(names) if name.startswith("initial")]
    columns = columns if len(columns) == sample.channels else _columns(sample, "u")
    if not columns:
        return np.zeros((0, sample.mesh.num_nodes, sample.channels))
    time = float(sample.times[0])
    state = sample.inputs[:, columns]
    return np.where(sample.boundary.dirichlet_mask, sample.dirichlet_at(time), state)[None]


def _velocity(sample: Sample, known: int) -> Float[np.ndarray, "N C"] | None:
    """How fast the one known state changes; None where it is not said, or more are known."""
    columns = _columns(sample, "v")
    return sample.inputs[:, columns] if columns and known == 1 else None


def _gravity(sample: Sample) -> Float[np.ndarray, " C"]:
    """What all that is free gains in a second; 0 where nothing is said."""
    names = sample.names.get("params", [])
    wanted = [f"gravity_{axis}" for axis in "xyz"[: sample.channels]]
    if not set(wanted) <= set(names):
        return np.zeros(sample.channels)
    return sample.params[[names.index(name) for name in wanted]]
