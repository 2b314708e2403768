"""One training loop for every model: what differs is the loss."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from meshgnn.losses import Loss
from meshgnn.train.closed import fit_closed, is_closed
from meshgnn.train.history import History, Report, reporting
from meshgnn.train.loop import Graphs, Loop
from meshgnn.train.plan import Plan
from meshgnn.train.prepare import begin, loss_of, prepared, target
from meshgnn.train.processes import open_fabric, same_buffers, together, watched
from meshgnn.train.state import Keeper, found, set_up
from meshgnn.train.stream import Drawn, Stream


def fit(
    model: nn.Module,
    dataset: Graphs | Stream,
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
    hosts: int = 1,
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
        dataset: graphs to train on; `model.transform` is applied to each once. Or a stream of them,
            see `meshgnn.online`.
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
        accelerator, devices, hosts: as Lightning Fabric takes them. Several devices run the calling
            script once each (distributed data parallel); torchrun may do it as well. Every batch is
            shared between them; losses are means over the graphs of a batch (`one_step`: over the
            volume), and so are those of one process.
        precision: "32-true" or "bf16-mixed".
        callback: called with the history after every epoch; training ends when it returns True.
        progress: a bar on a terminal, some lines elsewhere; False for silence.

    Raises:
        ValueError: settings that make no sense; graphs that do not fit the model, or of different
            time steps; a model that no checkpoint can hold; a checkpoint of another run; a loss or
            gradient that is not finite (epoch and batch), in any process: all of them say so.
        OSError: a checkpoint that cannot be written; in all processes.
        RuntimeError: another process has ended.
    """
    clock = Clock(time_limit_s)
    plan = Plan(epochs, batch_size, lr, weight_decay, schedule, noise, clip, ema, seed)
    fabric = open_fabric(accelerator, devices, precision, hosts)
    with watched(fabric), _generators_kept(fabric.device):
        closed, path = is_closed(model), together(fabric, lambda: target(checkpoint))
        content = None if closed else together(fabric, lambda: found(path, resume))
        first = _first_graphs(dataset, fabric, content)
        graphs = prepared(model, first, plan)
        held_out = None if validation is None else prepared(model, validation, plan)
        chosen = loss_of(model, loss)
        identity = plan.identity() | {"graphs": len(dataset)}
        identity |= dataset.identity() if isinstance(dataset, Stream) else {}
        keeper = Keeper(path, save_every, identity)
        if closed:
            model.eval()
            return fit_closed(model, first, graphs, held_out, chosen, keeper, fabric)
        if content is None:
            begin(model, first, None if keep_statistics else graphs)
            same_buffers(fabric, model)
        state = set_up(fabric, model, plan)
        history = keeper.restore(state, content)
        loop = Loop(fabric, state, plan, chosen)
        source = Drawn(dataset, model) if isinstance(dataset, Stream) else graphs
        with reporting(epochs, progress, fabric) as report:
            history = _run(loop, source, held_out, clock, report, keeper, callback, history)
    model.eval()
    return history


def _first_graphs(dataset: Any, fabric: Any, content: dict[str, Any] | None) -> Any:
    """The data set itself, or the first graphs of a stream, none of which was trained on."""
    if not isinstance(dataset, Stream):
        return dataset
    start = 0 if content is None else content["training"]["start"]
    return dataset.begin(fabric.global_rank, fabric.world_size, start)


def _run(
    loop: Loop,
    graphs: Graphs | Drawn,
    held_out: Graphs | None,
    clock: "Clock",
    report: Report,
    keeper: Keeper,
    callback: Callable[[History], bool | None] | None,
    history: History,
) -> History:
    """Epoch after epoch, until there are enough, the time is up or the callback says so."""
    stop, fabric = False, loop.fabric
    first = saved = len(history)
    while not stop:
        done = len(history)
        planned = fabric.broadcast(clock.planned(loop.plan.epochs, history, done - first))
        if done >= planned:
            break
        start = perf_counter()
        train, rate = loop.epoch(graphs, done, planned, report)
        value = None if held_out is None else loop.validate(held_out)
        history = history.then(train, value, rate, perf_counter() - start)
        report.epoch(history, planned)
        stop = fabric.broadcast(bool(callback is not None and callback(history)))
        if len(history) % keeper.every == 0:
            saved = loop.save(keeper, history, graphs)
    if len(history) > saved:
        loop.save(keeper, history, graphs)
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
