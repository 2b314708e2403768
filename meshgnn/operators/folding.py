"""Steps that fold no cell."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.operators.differential import hat_gradients

_HALVINGS = 12


def unfolded(
    pos: Float[Tensor, "N d"],
    x: Float[Tensor, "N d"],
    simplices: Int[Tensor, "S n"],
    share: float = 1e-2,
    onto: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Float[Tensor, "N d"], Float[Tensor, " N"]]:
    """x' = pos + t (x - pos), t_i in {1, 1/2, 1/4, ..., 0}, with |s'| / |s| >= share everywhere.

    The volumes are signed, so that no simplex of x' is folded if none of pos is. The steps of the
    corners of those that would be are halved, and theirs only, until there are none; what is left
    after 12 rounds does not move, and its neighbours as far as they need to. Where no simplex is
    in question, x' = x. Volumes are taken in float64, whatever the type of x'.

    Args:
        pos: [N, d] the points of the mesh.
        x: [N, d] where they should go.
        simplices: [S, d + 1].
        share: least signed volume, as a part of that in pos, in [0, 1).
        onto: [N, d] -> [N, d], applied to every x', for nodes that slide on curves; points that
            do not move must be its fixed points, as they are of `Walls.onto`.

    Returns:
        x' [N, d] and t [N].
    """
    volume = hat_gradients(pos.detach().double(), simplices)[1]
    step = torch.ones_like(pos[:, 0])
    keep = onto or (lambda points: points)
    rounds = 0
    while True:
        moved = torch.where(step[:, None] == 1, x, pos + step[:, None] * (x - pos))
        moved = keep(torch.where(step[:, None] > 0, moved, pos))
        found = hat_gradients(moved.detach().double(), simplices)[1] * volume.sign()
        bad = simplices[~(found >= share * volume.abs())].unique()
        if not len(bad) or not step[bad].any():
            return moved, step
        rounds += 1
        step = step.index_copy(0, bad, step[bad] / 2 if rounds < _HALVINGS else 0 * step[bad])
