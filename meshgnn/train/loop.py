"""One epoch of training, one pass of validation."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from meshgnn.losses import Loss, one_step
from meshgnn.marching import evaluating
from meshgnn.train.history import History, Report
from meshgnn.train.plan import Plan, Share
from meshgnn.train.prepare import Graphs
from meshgnn.train.processes import together
from meshgnn.train.state import Keeper, State
from meshgnn.train.stream import Drawn


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
        self, graphs: Graphs | Drawn, epoch: int, planned: int, report: Report
    ) -> tuple[float, float]:
        """Train on every graph once, or as many of a stream; mean loss and last learning rate.

        Raises:
            ValueError: a loss or gradient that is not finite; the weights are those before it.
        """
        rank, world = self.fabric.global_rank, self.fabric.world_size
        if getattr(self.state.model, "spread", False):
            rank, world = 0, 1  # the model shares out every graph itself
        torch.manual_seed(self.plan.seed_of(epoch, rank))
        self.state.model.train()
        if (begin := getattr(self.loss, "begin_epoch", None)) is not None:
            begin(epoch)  # of a loss that changes with the epochs
        shares = list(self.plan.batches(len(graphs), epoch, rank, world))
        total, rate = 0.0, 0.0
        for number, share in enumerate(shares):
            step = epoch * len(shares) + number
            rate = self.plan.rate((step + 0.5) / (planned * len(shares)))
            if isinstance(graphs, Drawn):
                batch = graphs.draw(len(share.places))
            else:
                batch = [graphs[i] for i in share.places]
            total += self._step(batch, share, rate, epoch, number) * share.size
            if self.plan.ema is not None:
                self.state.update_average(self.plan.ema, step)
            report.part(epoch + (number + 1) / len(shares))
        return total / len(graphs), rate

    def _step(
        self, graphs: list[Data], share: Share, rate: float, epoch: int, number: int
    ) -> float:
        """One step of the optimiser; the loss of the whole batch before it."""
        fabric, optimizer = self.fabric, self.state.optimizer
        batch = Batch.from_data_list(graphs).to(fabric.device)
        if any(self.plan.spread):
            batch.u = noisy(batch.u, batch.dirichlet_mask, self.plan.spread)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        value, mean = self._of_batch(self.loss(self.state.wrapped, batch), batch, share)
        norm = math.nan
        if math.isfinite(mean):  # the same in all processes, which stay in step
            fabric.backward(value)
            norm = float(
                fabric.clip_gradients(
                    self.state.wrapped,
                    optimizer,
                    max_norm=self.plan.clip or math.inf,
                    error_if_nonfinite=False,
                )
            )
        if not math.isfinite(norm):
            raise ValueError(
                f"fit: loss {mean:g} and gradient norm {norm:g} in epoch {epoch + 1}, batch "
                f"{number + 1} are not both finite; the weights are those before it, and the last "
                f"checkpoint is untouched. Use a smaller lr (now {rate:.2g}) or gradient clipping, "
                "or look for extreme values in the data"
            )
        optimizer.step()
        return mean

    def _of_batch(self, value: Tensor, batch: Batch, share: Share) -> tuple[Tensor, float]:
        """L = Σ_p w_p L_p / Σ_p w_p over the processes p: what to descend on here, and its value.

        Gradients are averaged over the processes, so the first is world · w_p L_p / Σ w.
        """
        world = self.fabric.world_size
        if world == 1:
            return value, float(value.detach())
        weight = weight_of(self.loss, batch) * share.counts
        one = value.detach().double() * weight if share.counts else torch.zeros_like(weight)
        sums = self.fabric.all_reduce(torch.stack([one, weight]), reduce_op="sum")
        total = torch.where(sums[1] > 0, sums[1], 1.0)
        return value * (world * weight / total).to(value.dtype), float(sums[0] / total)

    def save(self, keeper: Keeper, history: History, graphs: Graphs | Drawn) -> int:
        """Write the checkpoint, in the first process; the number of epochs in it.

        Raises:
            OSError: in all processes, when the first cannot write it.
        """
        start = graphs.next_start(self.fabric) if isinstance(graphs, Drawn) else None
        together(self.fabric, lambda: keeper.store(self.state, history, start))
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


def weight_of(loss: Loss, batch: Batch) -> Tensor:
    """How much a batch counts beside another in their common loss: its graphs, or, of `one_step`,
    the volume of its free entries."""
    if loss is one_step:
        return (batch.mass[:, None] * ~batch.dirichlet_mask).sum(dtype=torch.float64)
    count = len(batch.ptr) - 1
    return torch.tensor(count, dtype=torch.float64, device=batch.pos.device)


def noisy(u: Tensor, mask: Tensor, std: tuple[float, ...]) -> Tensor:
    """u [N, K, C] + std · ξ, ξ standard normal, on the free entries only; mask [N, C]."""
    spread = torch.tensor(std, dtype=u.dtype, device=u.device)
    return u + torch.randn_like(u) * spread * ~mask[:, None]
