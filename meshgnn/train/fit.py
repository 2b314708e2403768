"""One training loop for every model: what differs is the loss."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from meshgnn.losses import Loss
from meshgnn.train.history import History, Report, reporting
from meshgnn.train.loop import Graphs, Loop
from meshgnn.train.plan import Plan
from meshgnn.train.prepare import begin, loss_of, open_fabric, prepared, target
from meshgnn.train.state import Keeper, set_up


def fit(
    model: nn.Module,
    dataset: Graphs,
    *,
    epochs: int,
    batch_size: int = 8,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    schedule: str = "one-cycle",
    loss: Loss | None = None,
    noise: float | Sequence[float] = 0.0,
    clip: float | None = 1.0,
    ema: float | None = None,
    seed: int = 0,
    keep_statistics: bool = False,
    validation: Graphs | None = None,
    checkpoint: str | Path | None = None,
    save_every: int = 10,
    resume: bool = True,
    time_limit_s: float | None = None,
    accelerator: str = "auto",
    devices: int | str | list[int] = 1,
    precision: str = "32-true",
    callback: Callable[[History], bool | None] | None = None,
    progress: bool = True,
) -> History:
    """min over weights of the mean of loss(model, graph) over the graphs, by AdamW.

    Before the first epoch `model.fit_statistics` sees up to 512 clean graphs spread over the data
    set. Order, noise and dropout of an epoch follow from (seed, epoch) alone, so a resumed run
    gives the history of an uninterrupted one: bit for bit on the CPU of the same machine, to
    rounding on GPUs, whose sums over edges add in no fixed order. Random numbers are expected from
    torch, whose global state is left as it was.

    Args:
        model: any module with forward(graph); trained in place, in evaluation mode after.
        dataset: graphs to train on; `model.transform` is applied to each once.
        epochs: passes over the data set.
        batch_size: graphs in a step, over all devices together.
        lr: largest learning rate; 1e-3 for message passing, 3e-3 for small models.
        weight_decay: of AdamW.
        schedule: "one-cycle" (warm up, then down to 0 at the end) or "constant".
        loss: (model, graph) -> scalar; `model.loss` when it is not given.
        noise: standard deviation, in the unit of u, of what is added to the known states, one
            number or one per component; new in every step, none on prescribed entries.
        clip: largest norm of the gradient; None for no limit.
        ema: decay of a running average of the weights, such as 0.999; it is the average that is
            validated and kept at the end.
        seed: of everything random.
        keep_statistics: leave the normalisation (and what a model fits before training) as it is,
            to go on training a model on other data, with another loss or for longer.
        validation: graphs for the validation loss after every epoch.
        checkpoint: file, or folder for `training.pt`, written every `save_every` epochs and at the
            end; `load` reads it as a model if its class is in `MODELS`.
        save_every: epochs between two checkpoints.
        resume: continue from the checkpoint if there is one; else start again.
        time_limit_s: fewer epochs are done, with the schedule shortened to them, where these many
            seconds would be exceeded. A run that is cut so depends on the speed of the machine.
        accelerator, devices: as Lightning Fabric takes them. Several devices run the calling
            script once each (distributed data parallel).
        precision: "32-true" or "bf16-mixed".
        callback: called with the history after every epoch; training ends when it returns True.
        progress: a bar on a terminal, some lines elsewhere; False for silence.

    Raises:
        ValueError: settings that make no sense; graphs that do not fit the model, or of different
            time steps; a model that no checkpoint can hold; a checkpoint of another run; a loss or
            gradient that is not finite (epoch and batch).
    """
    clock = Clock(time_limit_s)
    plan = Plan(epochs, batch_size, lr, weight_decay, schedule, noise, clip, ema, seed)
    fabric = open_fabric(accelerator, devices, precision)
    graphs = prepared(model, dataset, plan)
    held_out = None if validation is None else prepared(model, validation, plan)
    identity = plan.identity() | {"graphs": len(dataset)}
    keeper = Keeper(target(checkpoint), save_every, resume, identity)
    if keeper.found is None:
        begin(model, dataset, None if keep_statistics else graphs)
    loop = Loop(fabric, set_up(fabric, model, plan), plan, loss_of(model, loss))
    with _generators_kept(fabric.device), reporting(epochs, progress, fabric) as report:
        history = _run(loop, graphs, held_out, clock, report, keeper, callback)
    model.eval()
    return history


def _run(
    loop: Loop,
    graphs: Graphs,
    held_out: Graphs | None,
    clock: "Clock",
    report: Report,
    keeper: Keeper,
    callback: Callable[[History], bool | None] | None,
) -> History:
    """Epoch after epoch, until there are enough, the time is up or the callback says so."""
    history, stop = keeper.restore(loop.state), False
    first = saved = len(history)
    while not stop:
        done = len(history)
        planned = loop.fabric.broadcast(clock.planned(loop.plan.epochs, history, done - first))
        if done >= planned:
            break
        start = perf_counter()
        train, rate = loop.epoch(graphs, done, planned, report)
        value = None if held_out is None else loop.validate(held_out)
        history = history.then(train, value, rate, perf_counter() - start)
        report.epoch(history, planned)
        stop = bool(callback is not None and callback(history))
        if len(history) % keeper.every == 0:
            saved = loop.save(keeper, history)
    if len(history) > saved:
        loop.save(keeper, history)
    if len(history) < loop.plan.epochs and not stop:
        warnings.warn(
            f"fit: time_limit_s={clock.limit:g} s allowed {len(history)} of {loop.plan.epochs} "
            "epochs; the schedule was shortened to them",
            stacklevel=3,
        )
    loop.state.exchange()  # what stays in the model is the average, when there is one
    return history


class Clock:
    """How many epochs fit into a limit of wall time, counted from when it is made."""

    def __init__(self, limit: float | None) -> None:
        self.limit, self.begin = limit, perf_counter()

    def planned(self, epochs: int, history: History, here: int) -> int:
        """Epochs in all, as the `here` epochs since the start predict; at least one is tried."""
        if self.limit is None or here == 0:
            return epochs
        left = self.limit - (perf_counter() - self.begin)
        each = sum(history.seconds[-here:]) / here
        return min(epochs, len(history) + max(0, int(left / each)))


@contextmanager
def _generators_kept(device: torch.device) -> Iterator[None]:
    """torch's random numbers go on after the block as if it had not been."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        yield
