"""A coarse space on a cloud of nodes: smooth functions around some of them."""

import torch
from jaxtyping import Float
from torch import Tensor

_NEAR = 4  # functions that a node belongs to


def coarse_space(pos: Float[Tensor, "N d"]) -> dict[str, Tensor]:
    """Centres spread over the nodes, and the weights of the nearest few at each node.

        w_im = (1 − |x_i − c_m| / ρ_i)² / Σ_m …,   ρ_i the distance of the first centre left out:

    a partition of unity that is continuous in x. About 3 √N centres, farthest point after farthest
    point, the first of them farthest from the middle, so that nothing depends on the numbering or
    the direction of the axes, but for ties.

    Returns:
        coarse_slot [N, p] the numbers of the centres within the mesh, coarse_weight [N, p] and
        coarse_size [1] how many there are.
    """
    count = min(len(pos), max(_NEAR + 1, int(3 * len(pos) ** 0.5)))
    distance = (pos - pos.mean(dim=0)).norm(dim=1)
    centres = [distance.argmax()]
    distance = (pos - pos[centres[0]]).norm(dim=1)
    for _ in range(count - 1):
        centres.append(distance.argmax())
        distance = torch.minimum(distance, (pos - pos[centres[-1]]).norm(dim=1))
    middle = pos[torch.stack(centres)]
    near = min(_NEAR, count - 1)
    parts = [torch.cdist(x, middle).topk(near + 1, largest=False) for x in pos.split(4096)]
    gap = torch.cat([part.values for part in parts])
    slot = torch.cat([part.indices for part in parts])[:, :near]
    weight = (1 - gap[:, :near] / gap[:, near:]) ** 2 + 1e-6
    return {
        "coarse_slot": slot,
        "coarse_weight": weight / weight.sum(dim=1, keepdim=True),
        "coarse_size": torch.tensor([count], device=pos.device),
    }
