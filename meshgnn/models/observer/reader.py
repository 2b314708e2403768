"""Attention of query points over the sources around them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshgnn.models.observer.sources import View
from meshgnn.nn import mlp

_LEAST = 0.05  # spread of the values around a point below which it counts as that, in units of σ


class Reader(nn.Module):
    """r(x) = a(x) [s(x) dec(Σ_j α_j V p_j) + Σ_j w_j β(p_j) (v_j − û(x)) / σ],
    p_j = silu(W z_j + G(place of j seen from x) + D (v_j − û(x)) / σ),
    α_j = w_j exp(q · p_j) / Σ w exp(q · p).

    The sum is over the k sources j around x, so the cost is linear in the number of points. w is
    the window in which a source fades before it leaves, and a = 0 at the sources: r is continuous
    in x and leaves their values as they are. s² = Σ_j w_j (v_j − û)² / (σ² Σ_j w_j) (or a small
    number): where the sources say the same, little can be added, which keeps what was learned from
    few sensors in bounds. dec and β start at 0.

    Args:
        dim: d.
        channels: C.
        width: of the states z.
        hidden: of p.
        heads: of the attention; divides `hidden`.
    """

    def __init__(self, dim: int, channels: int, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.state = nn.Linear(width, hidden)
        self.place = mlp([dim + 5, hidden, hidden])
        self.jump = nn.Linear(channels, hidden, bias=False)
        self.score = nn.Linear(hidden, heads, bias=False)
        self.value = nn.Linear(hidden, hidden)
        self.mix = mlp([hidden, channels], zero=True)
        self.decode = mlp([hidden, hidden, channels], zero=True)

    def forward(
        self,
        view: View,
        states: Float[Tensor, "T n H"],
        jumps: Float[Tensor, "T Q k C"],
        place: Float[Tensor, "Q k g"],
    ) -> Float[Tensor, "T Q C"]:
        """What is to be added, in units of σ.

        Args:
            view: the sources of every point.
            states: z at every time.
            jumps: (v_j − û) / σ.
            place: geometry of the pairs, lengths in units of the training set.
        """
        p = self.state(states)[:, view.index] + self.place(place) + self.jump(jumps)
        p = nn.functional.silu(p)
        score = torch.softmax(self.score(p).to(jumps.dtype) + view.window[..., None], dim=2)
        shape = (*p.shape[:3], self.heads, -1)
        heard = (score[..., None] * self.value(p).view(shape)).sum(dim=2).flatten(2)
        weight = view.window.exp()[..., None] * self.mix(p).to(jumps.dtype)
        share = torch.softmax(view.window, dim=1)[..., None]
        spread = ((share * jumps**2).sum(dim=2) + _LEAST**2).sqrt()
        found = spread * self.decode(heard.to(p.dtype)) + (weight * jumps).sum(dim=2)
        return view.aside[:, None] * found
