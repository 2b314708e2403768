"""Several models that were trained apart, as one with error bars."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.wrappers.inner import of_inner, rebuilt, steady
from meshgnn.partition import InParts


class Ensemble(nn.Module):
    """û = mean of û_m,   σ² = Σ_m (û_m − û)² / (M − 1): a deep ensemble of M models.

    Members differ by their first weights (seeds) and the order of their data. σ says where they
    disagree: it is large where the data leave room, and blind to what all get wrong alike, so check
    its coverage on held-out samples before trusting it. Train the members one by one by `fit` and
    wrap them, or `fit` the ensemble: its loss is the mean of theirs, so that each learns as if
    alone, from batches in the same order.

    Args:
        models: M ≥ 2 steady models of one class and the same `hparams`.

    Raises:
        ValueError: fewer than two, models of different kinds, or models in time.

    Source: Lakshminarayanan, Pritzel & Blundell, Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles, NeurIPS 2017; members here predict no variance of their own.
    """

    transform = of_inner("transform")
    scale_out = of_inner("scale_out")

    def __init__(self, models: list[nn.Module]) -> None:
        super().__init__()
        if len(models) < 2:
            raise ValueError(f"Ensemble: expected at least 2 models, got {len(models)}")
        found = [steady(model, "Ensemble") for model in models]
        if any(each != found[0] for each in found):
            names = sorted({each["inner"]["model"] for each in found})
            raise ValueError(
                "Ensemble: expected models of one class with the same hparams, got "
                f"{' and '.join(names)}{'' if len(names) > 1 else ' of different hparams'}; train "
                "the same model from several seeds"
            )
        self.hparams = {**found[0], "members": len(models)}
        self.members = nn.ModuleList(models)
        self.meta = dict(getattr(models[0], "meta", {}))

    @classmethod
    def rebuild(cls, inner: dict[str, Any], members: int, **_sizes: int) -> "Ensemble":
        """From `hparams`, with new weights."""
        return cls([rebuilt(inner) for _ in range(members)])

    @property
    def inner(self) -> nn.Module:
        """The first member; all are of its kind."""
        return self.members[0]

    @property
    def hops(self) -> int | None:
        """Over how many edges a node acts on the field: as far as on any member's."""
        every = (getattr(member, "hops", None) for member in self.members)
        found = [hops for hops in every if hops is not None]
        return max(found) if len(found) == len(self.members) else None

    @staticmethod
    def loss(model: Any, graph: Data) -> Float[Tensor, ""]:
        """Mean of the losses of the members, each its own.

        Raises:
            ValueError: an ensemble that is called in parts.
        """
        model = getattr(model, "module", model)
        if isinstance(model, InParts):
            raise ValueError(
                "Ensemble: its loss is that of its members, which InParts does not call part by "
                "part; train each member by fit(InParts(member, max_nodes), ...) and wrap them, or "
                "give fit a loss of the field"
            )
        return torch.stack([member.loss(member, graph) for member in model.members]).mean()

    def fit_statistics(self, graphs: list[Data]) -> None:
        """Those of every member."""
        for member in self.members:
            member.fit_statistics(graphs)  # type: ignore[operator]

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The mean of the members; boundary values stay exact."""
        out = torch.stack([member(graph) for member in self.members]).mean(dim=0)
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet, out)

    def uncertainty(self, graph: Data) -> Float[Tensor, "N S C"]:
        """σ of the members; 0 where values are prescribed."""
        spread = torch.stack([member(graph) for member in self.members]).std(dim=0)
        return spread.masked_fill(graph.dirichlet_mask[:, None], 0.0)
