"""Error bars of one network by leaving out parts of it at random."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.models.wrappers.inner import of_inner, rebuilt, steady
from meshgnn.nn import InteractionBlock, SliceAttention

_PLACES = (InteractionBlock, SliceAttention)


class Dropout(nn.Module):
    """û with all units;   σ² = variance of û over K draws of which units are left out.

    Behind every `InteractionBlock` and `SliceAttention` of the network a unit of the node states is
    set to 0 with probability p, the others are divided by 1 − p, in training and in the draws of
    `uncertainty`. The draws follow from the seed, so that a band repeats itself. σ is the spread of
    a variational approximation whose width p is chosen, not learned: check its coverage.

    Args:
        model: a steady model with such blocks, as `MeshGraphNet`.
        rate: p; 0.05 to 0.2.
        draws: K.
        seed: of the draws.

    Raises:
        ValueError: a rate outside of (0, 1), fewer than 2 draws, a model in time or without blocks.

    Source: Gal & Ghahramani, Dropout as a Bayesian Approximation, ICML 2016.
    """

    loss = of_inner("loss", one_step)
    transform = of_inner("transform")
    scale_out = of_inner("scale_out")
    differs_in_parts = (
        "which units it leaves out is drawn anew for every part, also at nodes that several parts "
        "share, so that training and error bars are not those of the whole graph; without error "
        "bars its field is that of the model inside: take `model.inner`"
    )

    def __init__(self, model: nn.Module, rate: float = 0.1, draws: int = 20, seed: int = 0) -> None:
        super().__init__()
        if not 0 < rate < 1 or draws < 2:
            raise ValueError(
                "Dropout: expected a rate between 0 and 1 and at least 2 draws, got "
                f"{rate:g} and {draws}"
            )
        self.hparams = {**steady(model, "Dropout"), "rate": rate, "draws": draws, "seed": seed}
        self.inner, self.rate, self.draws, self.seed = model, rate, draws, seed
        self.meta = dict(getattr(model, "meta", {}))
        self._drawing = False
        blocks = [part for part in model.modules() if isinstance(part, _PLACES)]
        if not blocks:
            raise ValueError(
                f"Dropout: {type(model).__name__} has no InteractionBlock or SliceAttention to "
                "leave units out behind; use an Ensemble"
            )
        for block in blocks:
            block.register_forward_hook(self._left_out)

    @classmethod
    def rebuild(
        cls, inner: dict[str, Any], rate: float, draws: int, seed: int, **_sizes: int
    ) -> "Dropout":
        """From `hparams`, with new weights."""
        return cls(rebuilt(inner), rate, draws, seed)

    def _left_out(self, _block: nn.Module, _given: Any, out: Any) -> Any:
        if not (self.training or self._drawing):
            return out
        h, *rest = out if isinstance(out, tuple) else (out,)
        h = nn.functional.dropout(h, self.rate)
        return (h, *rest) if rest else h

    def fit_statistics(self, graphs: list[Data]) -> None:
        """Those of the inner model."""
        self.inner.fit_statistics(graphs)  # type: ignore[operator]

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The inner model, with all units outside of training."""
        return self.inner(graph)

    def uncertainty(self, graph: Data) -> Float[Tensor, "N S C"]:
        """σ of the draws; 0 where values are prescribed. torch's random numbers are left as are."""
        devices = [] if graph.pos.device.type == "cpu" else [graph.pos.device]
        self._drawing = True
        try:
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(self.seed)
                fields = torch.stack([self.inner(graph) for _ in range(self.draws)])
        finally:
            self._drawing = False
        return fields.std(dim=0).masked_fill(graph.dirichlet_mask[:, None], 0.0)
