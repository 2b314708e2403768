"""Marching a model in time, and how any model is called outside training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch_geometric.data import Data

from meshgnn.allocator import tune_process
from meshgnn.graph import Classes, check_graph, dirichlet_at, mesh_attributes, same_step
from meshgnn.sample import Sample


def rollout(
    model: nn.Module, sample: Sample, steps: int, dt: float | None = None, limit: float = 1e6
) -> Sample:
    """u_{k+1}, ..., u_{k+S} = model(u_{k−K+1}, ..., u_k), from the first K states of the sample.

    There is no truth in it: of `sample.u` only the first K states are read, so a rollout may be
    longer than any data. An unsolved sample starts from its inputs named "initial..." (K = 1).
    Boundary values come from `sample.boundary` at the time of each step, imposed exactly; they are
    linear between the times of the sample and constant beyond.

    Args:
        model: a time-dependent model; its `hparams` say K (`history`) and S (`bundle`).
        sample: mesh, inputs, boundary conditions, and at least K states in u.
        steps: number of new states; what a last bundle has beyond them is cut off.
        dt: time step, s; the first one of `sample.times` when it is not given. It must be the one
            that the model was trained with, unless its class says `takes_dt = True`.
        limit: how many times the largest known value a state may hold before it has blown up;
            where all known values are 0, the largest of the first state that is not.

    Returns:
        The sample with K + steps states and their times.

    Raises:
        ValueError: a steady model, fewer than K states, no time step or another than the model's,
            dt <= 0, steps that are no integer or < 1, a graph that does not fit the model; NaN,
            infinity or a blow-up (the step and its time).
    """
    tune_process()
    hparams = getattr(model, "hparams", {})
    history, bundle = int(hparams.get("history", 0)), int(hparams.get("bundle", 1))
    _check(model, sample, history, steps, dt)
    dt = float(sample.times[1] - sample.times[0]) if dt is None else dt
    _check_step(model, sample.times[:history], dt)
    known = _known(sample, history)
    times = np.concatenate(
        [sample.times[:history], sample.times[history - 1] + dt * np.arange(1, steps + 1)]
    )
    states = list(known)
    scale = np.abs(np.stack([*states, sample.dirichlet_at(times[0])])).max()
    graph = _first_graph(sample, known, bundle, dt)
    with evaluating(model):
        graph = ready(model, graph)
        while len(states) < len(times):
            ahead = times[history - 1] + dt * np.arange(bundle) + dt * (len(states) - history + 1)
            graph.dirichlet = dirichlet_at(sample, ahead).to(graph.pos.device)
            graph.time = graph.time.new_tensor([ahead[0] - dt])
            out = model(graph)
            wanted = len(times) - len(states)  # the last bundle may hold more
            for state, time in zip(out.unbind(dim=1)[:wanted], ahead[:wanted], strict=True):
                states.append(exact(sample, state, float(time)))
                scale = scale or np.abs(states[-1]).max()  # from rest, a source sets it
                _check_state(states[-1], len(states) - history, float(time), limit * scale)
            graph.u = torch.cat([graph.u, out.to(graph.u.dtype)], dim=1)[:, -history:]
    boundary = sample.boundary
    if boundary.dirichlet_values.ndim == 3:
        values = np.stack([sample.dirichlet_at(float(t)) for t in times])
        boundary = replace(boundary, dirichlet_values=values)
    return replace(sample, u=np.stack(states), times=times, boundary=boundary, label_error=None)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No gradients and evaluation mode inside; the model's own mode again after."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():  # not inference mode: a model may take gradients in its forward
            yield
    finally:
        model.train(training)


def ready(model: nn.Module, graph: Data) -> Data:
    """The graph as the model takes it: checked, with `model.transform` applied, on its device."""
    check_graph(graph, model)
    transform = getattr(model, "transform", None)
    graph = graph if transform is None else transform(graph)
    tensors = chain(model.parameters(), model.buffers(), [torch.zeros(())])
    return graph.to(next(tensors).device)


def check_names(model: nn.Module, sample: Sample) -> None:
    """Whether the columns of a sample are those that the model was trained with, by name.

    Raises:
        ValueError: other names (both lists). Names that one side does not give are not compared.
    """
    trained = getattr(model, "meta", {}).get("names", {})
    for kind in ("inputs", "cell_inputs", "u", "params"):
        expected, got = trained.get(kind), sample.names.get(kind)
        if expected and got and expected != got:
            raise ValueError(
                f"{type(model).__name__} was trained with {kind} {expected}, the sample has {got}; "
                "give it samples of the same problem, columns in this order"
            )


def exact(
    sample: Sample, state: Float[torch.Tensor, "N C"], time: float
) -> Float[np.ndarray, "N C"]:
    """A state in float64 with the boundary values of that time, to the last digit."""
    field = Classes.of(sample).spread(state.double().cpu().numpy())
    return np.where(sample.boundary.dirichlet_mask, sample.dirichlet_at(time), field)


def _known(sample: Sample, history: int) -> Float[np.ndarray, "K N C"]:
    """The first K states: those of u, or the inputs whose names begin with "initial"."""
    if sample.u is not None:
        return sample.u[:history]
    names = sample.names.get("inputs", [])
    columns = [i for i, name in enumerate(names) if name.startswith("initial")]
    if history != 1 or len(columns) != sample.channels:
        return np.zeros((0, sample.mesh.num_nodes, sample.channels))
    time = float(sample.times[0])
    state = sample.inputs[:, columns]
    return np.where(sample.boundary.dirichlet_mask, sample.dirichlet_at(time), state)[None]


def _first_graph(sample: Sample, known: Float[np.ndarray, "K N C"], bundle: int, dt: float) -> Data:
    ahead = sample.times[len(known) - 1] + dt * np.arange(1, bundle + 1)
    return Data(
        **mesh_attributes(sample),
        u=torch.from_numpy(Classes.of(sample).pick(known.swapaxes(0, 1)).astype(np.float32)),
        dirichlet=dirichlet_at(sample, ahead),
        dt=torch.tensor([dt]),
        time=torch.tensor([sample.times[len(known) - 1]], dtype=torch.float32),
    )


def _check(model: nn.Module, sample: Sample, history: int, steps: object, dt: float | None) -> None:
    name = type(model).__name__
    if history < 1:
        raise ValueError(
            f"rollout: {name} has no known states as input (history={history}), it solves steady "
            "problems; use predict, or a model made with history=1"
        )
    known = len(_known(sample, history))
    if known < history:
        raise ValueError(
            f"rollout: {name} starts from {history} known states, the sample has {known}; give the "
            "initial states in u"
        )
    check_names(model, sample)
    if dt is None and len(sample.times) < 2:
        raise ValueError("rollout: the sample has one time only; pass the time step dt")
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"rollout: expected steps to be an integer of at least 1, got {steps!r}")


def _check_step(model: nn.Module, known: Float[np.ndarray, " K"], dt: float) -> None:
    """Whether the known states are dt > 0 apart, and dt is the time step that the model is for."""
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


def _check_state(state: np.ndarray, step: int, time: float, bound: float) -> None:
    largest = np.abs(state).max()
    if not (np.isfinite(largest) and largest <= bound):
        what = f"reaches {largest:.3g}" if np.isfinite(largest) else "holds NaN or infinity"
        raise ValueError(
            f"rollout: the state of step {step} (t = {time:g} s) {what}: the march has blown up; "
            "train with noise or losses.pushforward, or take fewer steps"
        )
