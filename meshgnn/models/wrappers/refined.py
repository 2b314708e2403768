"""A model that refines its own prediction by removing noise from it, at ever lower levels."""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import Model, one_step
from meshgnn.models.wrappers.inner import described, of_inner, rebuilt
from meshgnn.nn import Standardise

_SIZES = (("channels", 1), ("bundle", 1), ("inputs", 0), ("params", 0))


class Refined(nn.Module):
    """r_0 = z(0, 0);   r_k = r̃ − σ_k z(r̃, k),  r̃ = r_{k−1} + σ_k ε,  σ_k = σ_min^(k/K),  k = 1..K.

    û = u_k + s r_K, where s is the spread of the change over a call and z the network: it predicts
    the change from nothing (k = 0), then the noise that was added to an estimate of it. At small
    noise it must get the weak, short-wave parts of the field right, which a mean square of the
    whole does not see and which decide how long a march stays right. It costs K + 1 calls.

    The inner model is one of this package with S · C inputs and one parameter more than the data:
    behind the inputs `a` of a node stands the estimate r̃ of its S states (in units of s, 0 at
    first, true on Dirichlet nodes), behind θ the stage k / K. Its output is read as u_k + s z.

    An `MPPDE` inside is best made with library=False: noise follows no equation.

    The noise of inference is drawn from the seed and the number of the step (by `graph.time`), so
    that a rollout repeats itself exactly; it is drawn node by node, and another numbering of the
    nodes changes the result within the noise level.

    Args:
        model: the inner model.
        steps: K, refinements.
        min_noise: σ_min, standard deviation of the last noise in units of s. The published values
            are as low as 4e-7 where states are smooth to rounding; below about 1e-6 float32 does
            not carry it, and there is nothing to gain below the error of the labels.
        seed: of the noise at inference.

    Raises:
        ValueError: an inner model without these inputs and this parameter, steps below 1, noise
            that is not between 0 and 1.

    Source: Lippe et al., PDE-Refiner: Achieving Accurate Long Rollouts with Neural PDE Solvers,
    NeurIPS 2023, sec. 3 (prediction of the noise, exponential schedule).
    """

    differs_in_parts = (
        "its noise is drawn anew for every part, also at nodes that several parts share; use it on "
        "the whole graph"
    )
    transform = of_inner("transform")
    takes_dt = of_inner("takes_dt", False)
    starts_alone = of_inner("starts_alone", False)

    def __init__(
        self, model: nn.Module, steps: int = 3, min_noise: float = 1e-3, seed: int = 0
    ) -> None:
        super().__init__()
        inner = described(model, "Refined")
        sizes = [int(inner.get(n, least)) for n, least in _SIZES]
        channels, self.bundle, inputs, params = sizes
        extra = self.bundle * channels
        if inputs < extra or params < 1:
            raise ValueError(
                f"Refined: expected an inner model with {extra} inputs (bundle · channels) and 1 "
                f"parameter more than the data, got inputs={inputs}, params={params}"
            )
        if steps < 1 or not 0 < min_noise < 1:
            raise ValueError(
                "Refined: expected steps of at least 1 and min_noise between 0 and 1, got "
                f"{steps} and {min_noise:g}"
            )
        own = {"inputs": inputs - extra, "params": params - 1}
        options = {"steps": steps, "min_noise": min_noise, "seed": seed}
        self.hparams = {**inner, **own, **options}
        self.inner, self.steps, self.min_noise, self.seed = model, steps, min_noise, seed
        self.scale_out = Standardise(channels, centre=False)

    @classmethod
    def rebuild(
        cls, inner: dict[str, Any], steps: int, min_noise: float, seed: int, **_sizes: int
    ) -> "Refined":
        """From `hparams`, with new weights."""
        return cls(rebuilt(inner), steps, min_noise, seed)

    @staticmethod
    def loss(model: Model, graph: Data) -> Float[Tensor, ""]:
        """Mean square of z − (change or noise) at a random stage k a graph, over the free entries.

        Mass-weighted as in `one_step`. In evaluation mode it is `one_step` of the refined states:
        the error that counts, of another size than the loss of training.
        """
        if not getattr(model, "training", True):
            return one_step(model, graph)
        part = copy.copy(graph)
        part.refine = "draw"
        error = model(part) ** 2
        weight = graph.mass[:, None] * ~graph.dirichlet_mask
        total = weight.sum() * error.shape[1]
        return (error * weight[:, None]).sum() / torch.where(total > 0, total, 1.0)

    def fit_statistics(self, graphs: list[Data]) -> None:
        """s from the changes; the inner model is fitted to changes and to noise, of all stages."""
        free = [~g.dirichlet_mask.any(dim=1) for g in graphs]
        changes = ((g.y - g.u[:, -1:])[f].flatten(0, 1) for g, f in zip(graphs, free, strict=True))
        self.scale_out.fit(changes)
        fit = getattr(self.inner, "fit_statistics", None)
        if fit is None:
            return
        generator, stages = torch.Generator().manual_seed(self.seed), []
        for i, graph in enumerate(graphs):
            for k in (0, 1 + i % self.steps):
                noise = torch.randn(graph.y.shape, generator=generator)
                part, goal = self._stage(graph, torch.tensor([k]), noise)
                part.y = graph.u[:, -1:] + self.scale_out.inverse(goal)
                part.y = torch.where(graph.dirichlet_mask[:, None], graph.y, part.y)
                stages.append(part)
        fit(stages)

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The refined states; z less its goal at a random stage where `loss` asks for it."""
        if "refine" in graph:
            k = torch.randint(0, self.steps + 1, (len(graph.theta),), device=graph.pos.device)
            part, goal = self._stage(graph, k, torch.randn_like(graph.y))
            return self._z(part) - goal
        mask = graph.dirichlet_mask[:, None]
        exact = self.scale_out(graph.dirichlet - graph.u[:, -1:])
        draws = self._draws(graph, exact)
        stage = torch.zeros(len(graph.theta), dtype=torch.int64, device=graph.pos.device)
        r = torch.where(mask, exact, self._z(self._with(graph, torch.zeros_like(exact), stage)))
        for k in range(1, self.steps + 1):
            sigma = self.min_noise ** (k / self.steps)
            noised = torch.where(mask, exact, r + sigma * draws[k - 1])
            r = noised - sigma * self._z(self._with(graph, noised, stage + k))
            r = torch.where(mask, exact, r)
        out = graph.u[:, -1:] + self.scale_out.inverse(r)
        return torch.where(mask, graph.dirichlet, out)

    def _z(self, part: Data) -> Float[Tensor, "N S C"]:
        return self.scale_out(self.inner(part) - part.u[:, -1:])

    def _stage(
        self, graph: Data, k: Int[Tensor, " B"], noise: Float[Tensor, "N S C"]
    ) -> tuple[Data, Float[Tensor, "N S C"]]:
        """The graph of stage k with the true change noised, and what z should be."""
        change = self.scale_out(graph.y - graph.u[:, -1:])
        batch = graph.get("batch")
        each = (k if batch is None else k[batch])[:, None, None]
        noised = change + self.min_noise ** (each / self.steps) * noise
        noised = torch.where(graph.dirichlet_mask[:, None], change, noised)
        first = each == 0
        part = self._with(graph, torch.where(first, 0.0, noised), k)
        return part, torch.where(first, change, noise)

    def _with(self, graph: Data, estimate: Tensor, k: Int[Tensor, " B"]) -> Data:
        """The graph of a call of the inner model."""
        part = copy.copy(graph)
        part.a = torch.cat([graph.a, estimate.flatten(1).to(graph.a.dtype)], dim=1)
        stage = (k / self.steps).to(graph.theta.dtype)[:, None]
        part.theta = torch.cat([graph.theta, stage], dim=1)
        return part

    def _draws(self, graph: Data, like: Tensor) -> Float[Tensor, "K N S C"]:
        """Noise of all stages; every graph of a batch has its own, for each step of its march."""
        batch, parts = graph.get("batch"), []
        counts = [len(like)] if batch is None else torch.bincount(batch).tolist()
        for i, nodes in enumerate(counts):
            seed = self.seed * 1_000_003
            if "time" in graph and graph.dt[i] > 0:
                seed += round(float(graph.time[i] / graph.dt[i]))
            generator = torch.Generator(like.device).manual_seed(seed)
            shape = (self.steps, nodes, *like.shape[1:])
            parts.append(torch.randn(shape, generator=generator, device=like.device))
        return torch.cat(parts, dim=1)
