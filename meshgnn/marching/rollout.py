"""Marching a model in time: state by state, in memory or into a file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from meshgnn.allocator import tune_process
from meshgnn.frames import Frames
from meshgnn.graph import dirichlet_at
from meshgnn.marching.blow_up import BlownUp, check_state
from meshgnn.marching.calling import evaluating, exact, ready
from meshgnn.marching.repeated import repeated
from meshgnn.marching.start import all_known, first_graph, known_states, step_of
from meshgnn.sample import Sample
from meshgnn.vtkhdf import growing

_AT_ONCE, _WAIT = 64, 0.5  # states; s. An addition to a file costs several times a small step
State = tuple[float, Float[np.ndarray, "N C"]]  # a time, s, and the field at it


def march(
    model: nn.Module,
    sample: Sample,
    dt: float | None = None,
    limit: float = 1e6,
    known: int | None = None,
    precision: str = "32-true",
    compile: str | None = None,
) -> Iterator[State]:
    """(t_{k+1}, u_{k+1}), (t_{k+2}, u_{k+2}), ... without end: the states of a `rollout`.

    Holds the K states of one window and nothing older, however long it runs: end it with `break`,
    `itertools.islice` or `zip`. Arguments, boundary values and errors are those of `rollout`; they
    are checked when the first state is taken.
    """
    tune_process()
    start = known_states(model, sample, known)
    dt = step_of(model, sample, len(start), dt)
    last = float(sample.times[len(start) - 1])
    scale = max(np.abs(known).max() for known in (start, sample.boundary.dirichlet_values))
    graph = first_graph(model, sample, start, dt)
    history, bundle = graph.u.shape[1], graph.dirichlet.shape[1]
    done = 0
    with evaluating(model):
        graph = ready(model, graph)
    if dtype := getattr(model, "state_dtype", None):  # of a model that needs more than float32
        graph.u = all_known(model, sample, start, dt, dtype).to(graph.u.device)
    call = repeated(model, graph, compile, precision)
    while True:
        ahead = last + dt * np.arange(done + 1, done + bundle + 1)
        graph.dirichlet = dirichlet_at(sample, ahead).to(graph.pos)
        graph.time = graph.time.new_tensor([last + dt * done])
        out = call(graph)
        for state, time in zip(out.unbind(dim=1), ahead.tolist(), strict=True):
            done += 1
            field = exact(sample, state, time)
            scale = scale or np.abs(field).max()  # from rest, a source sets it
            check_state(sample, field, done, time, limit * scale)
            yield time, field
        graph.u = torch.cat([graph.u, out.to(graph.u.dtype)], dim=1)[:, -history:]
        graph.known = (graph.known + bundle).clamp(max=history)


def rollout(
    model: nn.Module,
    sample: Sample,
    steps: int,
    dt: float | None = None,
    limit: float = 1e6,
    known: int | None = None,
    path: str | Path | None = None,
    precision: str = "32-true",
    compile: str | None = None,
) -> Sample:
    """u_{k+1}, ..., u_{k+S} = model(u_{k−K+1}, ..., u_k), from the first states of the sample.

    There is no truth in it: of `sample.u` only the known states are read, so a rollout may be
    longer than any data. An unsolved sample starts from its inputs named "initial...". Boundary
    values come from `sample.boundary` at the time of each step, imposed exactly; they are linear
    between the times of the sample and constant beyond.

    Args:
        model: a time-dependent model; its `hparams` say K (`history`) and S (`bundle`).
        sample: mesh, inputs, boundary conditions, and the known states in u.
        steps: number of new states; what a last bundle has beyond them is cut off.
        dt: time step, s; the first one of `sample.times` when it is not given. It must be the one
            that the model was trained with, unless its class says `takes_dt = True`.
        limit: how many times the largest known value a state may hold before it has blown up:
            of the known states and of the boundary values at all times; where these are 0, the
            largest of the first state that is not.
        known: how many true states to start from. K, but for a model whose class says
            `starts_alone = True`: that takes 1 to K, by default as many as there are; it is given
            copies of the oldest for those that are missing, and how many are true.
        path: a .vtkhdf that grows at least every 64 states or half a second (or step) and can be
            opened meanwhile; the states are not kept in memory, so that any length fits. Ended by
            Ctrl-C or an error, it holds the states that were added.
        precision: "32-true", or "bf16-mixed": products in bfloat16, states in float32.
        compile: "inductor": the model goes through torch.compile, which takes a while at first and
            pays in long marches; "cuda-graph": its launches are recorded and repeated as one.

    Returns:
        The sample with known + steps states and their times; with a path the last K of them only,
        `Sample.load(path)` reads them all.

    Raises:
        ValueError: a steady model, too few states, no time step or another than the model's,
            dt <= 0, steps that are no integer or < 1, a graph that does not fit the model, a path
            that does not end in .vtkhdf, an unknown precision or way to compile, a CUDA graph off
            CUDA or of a model that asks the GPU for values.
        BlownUp: (a ValueError) NaN, infinity or a blow-up: the step, its time, the node and the
            component. The states before it are in the file, or in its attribute `sample`.
        OSError: the path cannot be written.
    """
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"rollout: expected steps to be an integer of at least 1, got {steps!r}")
    start = known_states(model, sample, known)
    dt = step_of(model, sample, len(start), dt)
    first = sample.times[: len(start)]
    times = np.concatenate([first, first[-1] + dt * np.arange(1, steps + 1)])
    states = march(model, sample, dt, limit, known, precision, compile)
    if path is not None:
        return _into_file(Path(path), model, sample, start, times, states)
    u = np.empty((len(times), *start.shape[1:]))
    u[: len(start)] = start
    done = len(start)
    try:
        for done in range(len(start), len(times)):
            u[done] = next(states)[1]
    except BlownUp as error:
        error.sample = _solved(sample, u[:done], times[:done])
        raise
    return _solved(sample, u, times)


def _into_file(
    path: Path,
    model: nn.Module,
    sample: Sample,
    start: Float[np.ndarray, "n N C"],
    times: Float[np.ndarray, " T"],
    states: Iterator[State],
) -> Sample:
    """As `rollout` with a path."""
    if path.suffix != ".vtkhdf":
        raise ValueError(f"rollout: expected a path ending in .vtkhdf, got {path}")
    hparams = getattr(model, "hparams", {})
    history = int(hparams["history"])
    frames = _series(_solved(sample, start, times[: len(start)]))
    recent, done = list(start), len(start)
    fresh, failure = _taken(states, len(times) - done)  # checks before any file
    with growing(path, frames) as add:
        while fresh or failure:
            if fresh:
                chosen = times[done : done + len(fresh)]
                add(chosen, _arrays(sample, frames.meta["u"], np.stack(fresh), chosen))
            if failure is not None:
                failure.path = path
                raise failure
            recent, done = [*recent, *fresh][-history:], done + len(fresh)
            fresh, failure = _taken(states, len(times) - done)
    return _solved(sample, np.stack(recent), times[-len(recent) :])


def _taken(
    states: Iterator[State], left: int
) -> tuple[list[Float[np.ndarray, "N C"]], BlownUp | None]:
    """What is written at once; of a march that blows up the states before it, and the error."""
    fresh, begin = [], perf_counter()
    try:
        while len(fresh) < min(left, _AT_ONCE) and perf_counter() < begin + _WAIT:
            fresh.append(next(states)[1])
    except BlownUp as error:
        return fresh, error
    return fresh, None


def _arrays(
    sample: Sample,
    names: list[str],
    u: Float[np.ndarray, "T N C"],
    times: Float[np.ndarray, " T"],
) -> dict[str, np.ndarray]:
    """What a file holds over time: the components, and boundary values that change."""
    arrays = dict(zip(names, np.moveaxis(u, -1, 0), strict=True))
    if sample.boundary.dirichlet_values.ndim == 3:
        arrays["dirichlet_values"] = np.stack([sample.dirichlet_at(t) for t in times.tolist()])
    return arrays


def _solved(
    sample: Sample, u: Float[np.ndarray, "T N C"], times: Float[np.ndarray, " T"]
) -> Sample:
    """The sample with these states, and its boundary values at their times."""
    boundary = sample.boundary
    if boundary.dirichlet_values.ndim == 3:
        values = np.stack([sample.dirichlet_at(float(t)) for t in times])
        boundary = replace(boundary, dirichlet_values=values)
    return replace(sample, u=u, times=times, boundary=boundary, label_error=None)


def _series(sample: Sample) -> Frames:
    """The sample as a file holds it, over time even where there is one state yet."""
    frames = sample.frames()
    if frames.times is not None:
        return frames
    u = frames.meta["u"]
    point = {name: a[None] if name in u else a for name, a in frames.point.items()}
    return replace(frames, times=sample.times, point=point)
