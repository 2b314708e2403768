"""What changes while a model is trained, and how it is kept in a file and taken up again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from meshgnn import checkpoint
from meshgnn.train.history import History
from meshgnn.train.plan import Plan


@dataclass(frozen=True)
class State:
    """A model in training.

    Args:
        model: the model itself.
        wrapped: the same for the device, precision and processes in use.
        optimizer: its optimiser.
        average: running average of the parameters (same order), or None.
    """

    model: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    average: list[Tensor] | None

    def update_average(self, decay: float, step: int) -> None:
        """ā ← β ā + (1 − β) p with β = min(decay, (1 + step) / (10 + step)): short at the start."""
        if self.average is not None:
            beta = min(decay, (1 + step) / (10 + step))
            with torch.no_grad():
                get_ema_multi_avg_fn(beta)(self.average, list(self.model.parameters()), None)

    def exchange(self) -> None:
        """Swap parameters and their average; nothing without an average."""
        with torch.no_grad():
            for parameter, mean in zip(self.model.parameters(), self.average or [], strict=False):
                kept = parameter.clone()
                parameter.copy_(mean)
                mean.copy_(kept)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model has its averaged parameters inside."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()


def set_up(fabric: Any, model: nn.Module, plan: Plan) -> State:
    """A fresh state on the devices of Lightning Fabric."""
    optimizer = torch.optim.AdamW(model.parameters(), plan.lr, weight_decay=plan.weight_decay)
    wrapped, optimizer = fabric.setup(model, optimizer)
    average = None if plan.ema is None else [p.detach().clone() for p in model.parameters()]
    return State(model, wrapped, optimizer, average)


def found(path: Path | None, resume: bool) -> dict[str, Any] | None:
    """What is in the file of an earlier run, to be continued; None without one.

    Raises:
        ValueError: a file that is no training checkpoint.
    """
    if path is None or not resume or not path.is_file():
        return None
    content = checkpoint.read(path)
    if "training" not in content:
        raise ValueError(
            f"fit: {path} holds a model but no training to resume; pass resume=False to "
            "start again, or another checkpoint"
        )
    return content


@dataclass(frozen=True)
class Keeper:
    """The checkpoint of a run.

    Args:
        path: its file; None keeps nothing.
        every: epochs between two writings.
        identity: settings that a run must share with one that it continues.
    """

    path: Path | None
    every: int
    identity: dict[str, Any]

    def store(self, state: State, history: History, start: int | None = None) -> None:
        """Write a checkpoint that `load` takes as a model and `fit` takes up again.

        Args:
            state: of the training.
            history: so far.
            start: number of the first sample that was not asked for, of a stream.
        """
        if self.path is None:
            return
        with state.averaged():
            content = checkpoint.describe(state.model)
        training = {
            "optimizer": state.optimizer.state_dict(),
            "history": asdict(history),
            "identity": self.identity,
            # the checkpoint proper holds the averaged weights, when there are any
            "weights": None if state.average is None else state.model.state_dict(),
            "start": start,
        }
        checkpoint.write(self.path, {**content, "training": training})

    def restore(self, state: State, content: dict[str, Any] | None) -> History:
        """Put an earlier run into the model and its optimiser; its history, empty without one.

        Raises:
            ValueError: a model that no checkpoint can hold; a file of a run with another model or
                other settings (each with both values).
        """
        if self.path is not None:
            checkpoint.describe(state.model)  # what it refuses is refused before any epoch
        if content is None:
            return History()
        training = content["training"]
        self._compare({**training["identity"], **content}, state.model)
        object.__setattr__(state.model, "meta", content["meta"])
        state.model.load_state_dict(content["state"])
        if state.average is not None:
            for mean, parameter in zip(state.average, state.model.parameters(), strict=True):
                mean.copy_(parameter.detach())
            state.model.load_state_dict(training["weights"])
        state.optimizer.load_state_dict(training["optimizer"])
        return History(**{k: tuple(v) for k, v in training["history"].items()})

    def _compare(self, there: dict[str, Any], model: nn.Module) -> None:
        here = {"model": type(model).__name__, "hparams": getattr(model, "hparams", None)}
        here |= self.identity
        other = [
            f"{k}: {there.get(k)} there, {here[k]} here" for k in here if there.get(k) != here[k]
        ]
        if other:
            raise ValueError(
                f"fit: {self.path} was written by a run with other settings ({'; '.join(other)}); "
                "use those of the file, pass resume=False to start again, or another checkpoint"
            )
