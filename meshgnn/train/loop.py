"""One epoch of training, one pass of validation."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from meshgnn.losses import Loss
from meshgnn.marching import evaluating
from meshgnn.train.history import History, Report
from meshgnn.train.plan import Plan
from meshgnn.train.prepare import Graphs
from meshgnn.train.state import Keeper, State


@dataclass(frozen=True)
class Loop:
    """What every step needs.

    Args:
        fabric: Lightning Fabric: devices, processes, precision.
        state: model and optimiser.
        plan: settings.
        loss: (model, graph) -> scalar.
    """

    fabric: Any
    state: State
    plan: Plan
    loss: Loss

    def epoch(
        self, graphs: Graphs, epoch: int, planned: int, report: Report
    ) -> tuple[float, float]:
        """Train on every graph once; mean loss and last learning rate.

        Raises:
            ValueError: a loss or gradient that is not finite; the weights are those before it.
        """
        rank, world = self.fabric.global_rank, self.fabric.world_size
        torch.manual_seed(self.plan.seed_of(epoch, rank))
        self.state.model.train()
        if (begin := getattr(self.loss, "begin_epoch", None)) is not None:
            begin(epoch)  # of a loss that changes with the epochs
        batches = list(self.plan.batches(len(graphs), epoch, rank, world))
        total, count, rate = 0.0, 0, 0.0
        for number, batch in enumerate(batches):
            step = epoch * len(batches) + number
            rate = self.plan.rate((step + 0.5) / (planned * len(batches)))
            total += self._step([graphs[i] for i in batch], rate, epoch, number) * len(batch)
            count += len(batch)
            if self.plan.ema is not None:
                self.state.update_average(self.plan.ema, step)
            report.part(epoch + (number + 1) / len(batches))
        return total / count, rate

    def _step(self, graphs: list[Data], rate: float, epoch: int, number: int) -> float:
        """One step of the optimiser; the loss before it, mean over the processes."""
        fabric, optimizer = self.fabric, self.state.optimizer
        batch = Batch.from_data_list(graphs).to(fabric.device)
        if any(self.plan.spread):
            batch.u = noisy(batch.u, batch.dirichlet_mask, self.plan.spread)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        value = self.loss(self.state.wrapped, batch)
        fabric.backward(value)
        norm = fabric.clip_gradients(
            self.state.wrapped,
            optimizer,
            max_norm=self.plan.clip or math.inf,
            error_if_nonfinite=False,
        )
        mean = float(fabric.all_reduce(value.detach(), reduce_op="mean"))
        if not math.isfinite(mean) or not math.isfinite(float(norm)):
            raise ValueError(
                f"fit: loss {mean:g} and gradient norm {float(norm):g} in epoch {epoch + 1}, batch "
                f"{number + 1} are not both finite; the weights are those before it, and the last "
                f"checkpoint is untouched. Use a smaller lr (now {rate:.2g}) or gradient clipping, "
                "or look for extreme values in the data"
            )
        optimizer.step()
        return mean

    def save(self, keeper: Keeper, history: History) -> int:
        """Write the checkpoint, in the first process; the number of epochs in it."""
        if self.fabric.is_global_zero:
            keeper.store(self.state, history)
        return len(history)

    def validate(self, graphs: Graphs) -> float:
        """Mean loss over graphs, in evaluation mode, with the averaged weights if there are any."""
        total, size = 0.0, self.plan.batch_size
        with self.state.averaged(), evaluating(self.state.model):
            for start in range(0, len(graphs), size):
                part = [graphs[i] for i in range(start, min(start + size, len(graphs)))]
                batch = Batch.from_data_list(part).to(self.fabric.device)
                total += float(self.loss(self.state.wrapped, batch)) * len(part)
        return total / len(graphs)


def noisy(u: Tensor, mask: Tensor, std: tuple[float, ...]) -> Tensor:
    """u [N, K, C] + std · ξ, ξ standard normal, on the free entries only; mask [N, C]."""
    spread = torch.tensor(std, dtype=u.dtype, device=u.device)
    return u + torch.randn_like(u) * spread * ~mask[:, None]
