"""A model whose states keep the mean over the domain."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.models.wrappers.inner import described, of_inner, rebuilt


class MeanConserving(nn.Module):
    """û ← û − (⟨û⟩ − ⟨u_k⟩),   ⟨v⟩ = Σ_i m_i v_i / Σ_i m_i: the projection that keeps the mean.

    For equations in conservation form on domains that nothing enters or leaves. Of a graph, a
    component is corrected where it has no Dirichlet node and no flux ≠ 0 (nor a Robin condition):
    elsewhere its mean changes, and it is left as the inner model gives it. Whether a source in the
    inputs changes the mean the wrapper cannot know: choose the components. Exact to the rounding of
    the states (sums are in float64), for any weights, in training as well.

    Args:
        model: the inner model.
        components: those whose mean is kept; all where none are given.

    Raises:
        ValueError: a component that the model does not have.
    """

    loss = of_inner("loss", one_step)
    transform = of_inner("transform")
    scale_out = of_inner("scale_out")
    takes_dt = of_inner("takes_dt", False)
    starts_alone = of_inner("starts_alone", False)

    def __init__(self, model: nn.Module, components: list[int] | None = None) -> None:
        super().__init__()
        self.hparams = {**described(model, "MeanConserving"), "components": components}
        count = self.hparams.get("channels")
        wrong = [c for c in components or () if c < 0 or (count is not None and c >= count)]
        if wrong:
            raise ValueError(
                f"MeanConserving: expected components from 0 to {(count or 1) - 1}, got {wrong}"
            )
        self.inner, self.components = model, components

    @classmethod
    def rebuild(
        cls, inner: dict[str, Any], components: list[int] | None, **_sizes: int
    ) -> "MeanConserving":
        """From `hparams`, with new weights."""
        return cls(rebuilt(inner), components)

    def fit_statistics(self, graphs: list[Data]) -> None:
        """Those of the inner model."""
        fit = getattr(self.inner, "fit_statistics", None)
        if fit is not None:
            fit(graphs)

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The states of the inner model, with the mean of the last known one."""
        out = self.inner(graph)
        batch = graph.get("batch")
        batch = graph.mass.new_zeros(len(graph.mass), dtype=torch.int64) if batch is None else batch
        gap = _means(graph, batch, out) - _means(graph, batch, graph.u[:, -1:])
        gap = gap * self._closed(graph, batch)[:, None]
        return (out.double() - gap[batch]).to(out.dtype)

    def _closed(self, graph: Data, batch: Tensor) -> Bool[Tensor, "B C"]:
        """Which component of which graph is to be corrected."""
        acts = graph.dirichlet_mask | (graph.flux_load != 0) | (graph.robin_load != 0)
        count = graph.mass.new_zeros(len(graph.theta), acts.shape[1])
        closed = count.index_add(0, batch, acts.to(count.dtype)) == 0
        if self.components is not None:
            chosen = torch.zeros_like(closed)
            chosen[:, self.components] = True
            closed = closed & chosen
        return closed


def _means(graph: Data, batch: Tensor, v: Float[Tensor, "N S C"]) -> Float[Tensor, "B S C"]:
    """Mass-weighted means over every graph, in float64."""
    mass = graph.mass.double()
    total = mass.new_zeros(len(graph.theta)).index_add(0, batch, mass)
    sums = mass.new_zeros(len(graph.theta), *v.shape[1:])
    sums = sums.index_add(0, batch, mass[:, None, None] * v.double())
    return sums / total[:, None, None]
