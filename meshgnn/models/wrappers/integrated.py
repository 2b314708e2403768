"""A model as the right-hand side of u̇ = f(u), integrated by a Runge–Kutta scheme."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.models.wrappers.inner import described, of_inner, rebuilt

# Where each stage is taken, in steps along the rate of the stage before, and its weight.
_SCHEMES = {
    "euler": ((0.0,), (1.0,)),
    "rk2": ((0.0, 0.5), (0.0, 1.0)),
    "heun": ((0.0, 1.0), (0.5, 0.5)),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


class Integrated(nn.Module):
    """û(t + dt) by a Runge–Kutta scheme from u̇ = f(u) = (inner(u) − u) / τ, for any dt.

    The inner model is one of this package, which gives the next state as the last one and a change:
    the change over a fixed step τ, that of the training, is read as the rate of change. With the
    Euler scheme, one substep and dt = τ the wrapper is the inner model; higher orders leave the
    error of the time step to the scheme, and dt may be chosen when it marches. The network sees τ
    as its time step, whatever dt is.

    Boundary values are linear in time within a step: f is their slope where they are prescribed,
    the stages hold their values at the times of the stages, and the result equals the prescribed
    next ones exactly. The inner model gets as its next boundary values what that slope makes of
    them after τ.

    Train it through the scheme (its `loss`, that of the inner model) or on rates of change by
    `losses.derivative`, one call of the network whatever the scheme.

    Args:
        model: the inner model, with history = 1 and bundle = 1.
        scheme: "euler", "rk2" (midpoint), "heun" or "rk4".
        substeps: steps of the scheme within dt.

    Raises:
        ValueError: another history or bundle, an unknown scheme, substeps below 1.

    Source: Zhou & Farimani, Predicting Change, Not States: An Alternate Framework for Neural PDE
    Surrogates, 2024.
    """

    takes_dt = True
    loss = of_inner("loss", one_step)  # through the scheme
    transform = of_inner("transform")
    scale_out = of_inner("scale_out")  # of the change over τ
    unit: Tensor

    def __init__(self, model: nn.Module, scheme: str = "rk4", substeps: int = 1) -> None:
        super().__init__()
        self.hparams = described(model, "Integrated")
        history, bundle = self.hparams["history"], self.hparams.get("bundle", 1)
        if history != 1 or bundle != 1:
            raise ValueError(
                "Integrated: expected an inner model with history=1 and bundle=1, since a rate "
                f"belongs to one state, got history={history}, bundle={bundle}"
            )
        if scheme not in _SCHEMES or substeps < 1:
            raise ValueError(
                f"Integrated: expected a scheme of {', '.join(_SCHEMES)} and substeps of at least "
                f"1, got {scheme!r} and {substeps}"
            )
        self.hparams |= {"bundle": 1, "scheme": scheme, "substeps": substeps}
        self.inner, self.scheme, self.substeps = model, scheme, substeps
        self.register_buffer("unit", torch.ones(()))

    @property
    def hops(self) -> int | None:
        """Over how many edges a node acts on the state: those of all calls, one after another."""
        hops, calls = getattr(self.inner, "hops", None), len(_SCHEMES[self.scheme][0])
        return None if hops is None else hops * calls * self.substeps

    @classmethod
    def rebuild(
        cls, inner: dict[str, Any], scheme: str, substeps: int, **_sizes: int
    ) -> "Integrated":
        """From `hparams`, with new weights."""
        return cls(rebuilt(inner), scheme, substeps)

    def fit_statistics(self, graphs: list[Data]) -> None:
        """τ is the mean step of the graphs; the inner model is fitted to changes over τ."""
        self.unit.copy_(torch.cat([g.dt for g in graphs]).double().mean())
        fit = getattr(self.inner, "fit_statistics", None)
        if fit is not None:
            fit([self._over_unit(g) for g in graphs])

    def forward(self, graph: Data) -> Float[Tensor, "N 1 C"]:
        """The state after `graph.dt`."""
        (nodes, weights), parts = _SCHEMES[self.scheme], self.substeps
        state, slope, h = graph.u[:, -1], self._slope(graph), _step(graph) / parts
        for part in range(parts):
            rates: list[Tensor] = []
            for node in nodes:
                stage = state + node * h * rates[-1] if node else state
                rates.append(self._rate(graph, stage, slope, (part + node) / parts))
            state = state + h * sum(w * rate for w, rate in zip(weights, rates, strict=True) if w)
        return torch.where(graph.dirichlet_mask, graph.dirichlet[:, 0], state)[:, None]

    def derivative(self, graph: Data) -> Float[Tensor, "N C"]:
        """u̇ at the last known state; the slope of the boundary values where they are prescribed."""
        return self._rate(graph, graph.u[:, -1], self._slope(graph), 0.0)

    def _rate(
        self, graph: Data, state: Float[Tensor, "N C"], slope: Float[Tensor, "N C"], part: float
    ) -> Float[Tensor, "N C"]:
        stage = self._with_unit(graph, state, slope)
        if "time" in graph:
            stage.time = graph.time + part * graph.dt
        rate = (self.inner(stage)[:, 0] - state) / self.unit
        return torch.where(graph.dirichlet_mask, slope, rate)

    def _with_unit(self, graph: Data, state: Tensor, slope: Tensor) -> Data:
        """The graph of a step τ from a state whose boundary values change by the slope."""
        part, mask = copy.copy(graph), graph.dirichlet_mask
        part.u, part.dt = state[:, None], self.unit.to(graph.dt).expand_as(graph.dt)
        part.dirichlet = torch.where(mask, state + self.unit * slope, 0.0)[:, None]
        return part

    def _over_unit(self, graph: Data) -> Data:
        part = self._with_unit(graph, graph.u[:, -1], self._slope(graph))
        change = (graph.y[:, 0] - graph.u[:, -1]) * (self.unit / _step(graph))
        part.y = (graph.u[:, -1] + change)[:, None]
        return part

    def _slope(self, graph: Data) -> Float[Tensor, "N C"]:
        """Slope in time of the boundary values, 0 where free."""
        gap = graph.dirichlet[:, 0] - graph.u[:, -1]
        return torch.where(graph.dirichlet_mask, gap / _step(graph), 0.0)


def _step(graph: Data) -> Tensor:
    """dt of every node [N, 1], or of all [1]."""
    batch = graph.get("batch")
    return graph.dt if batch is None else graph.dt[batch][:, None]
