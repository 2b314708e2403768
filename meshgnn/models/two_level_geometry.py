"""What `TwoLevelNet` needs of a graph: the P1 operator, scale-free geometry, slice centres."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.operators import hat_gradients, stiffness_weights


def add_operator(graph: Data, source: int, diffusivity: int, slices: int) -> Data:
    """A shallow copy of one graph with the discrete problem A u = b and its geometry.

    A_ij = ∫ k ∇φ_i·∇φ_j + δ_ij ∫_R α φ_i,   b_i = ∫ f_h φ_i + ∫_N g φ_i  (boundary parts lumped).

    Adds `stencil_index [2, E]` and `stencil [E]` (−A_ij, sorted by i), `diagonal [N]`,
    `load [N, 1]`, `node_geometry [N, 8]`, `edge_geometry [E, 3]`, `centre_index [M]`, `extent [1]`
    (domain size L), `ridge [1]` (the scale below which a coarse function counts as zero) and
    `floating [1]` (1 where no condition fixes the constant, else 0). Assembled in float64.

    Args:
        graph: one graph (no batch) of the schema, with `simplex_index`.
        source: column of f in `a`.
        diffusivity: column of k in `a`.
        slices: M.
    """
    pos, simplices = graph.pos.double(), graph.simplex_index.t().contiguous()
    k = graph.a[:, diffusivity].double()
    index, weight = stiffness_weights(pos, simplices, k[simplices].mean(dim=1))
    row_sum = weight.new_zeros(len(pos)).index_add(0, index[1], weight)
    diagonal = row_sum + graph.robin_load[:, 0].double()
    load = consistent_load(graph.a[:, source].double(), pos, simplices)
    load = load + graph.flux_load[:, 0].double()
    out = Data(**graph.to_dict())
    out.stencil_index, out.stencil = index, weight.float()
    out.diagonal, out.load = diagonal.float(), load.float()[:, None]
    mass, dim = graph.mass.double(), simplices.shape[1] - 1
    size, spacing = mass.sum() ** (1 / dim), mass ** (1 / dim)
    mean_k = (mass * k).sum() / mass.sum()
    out.node_geometry = node_geometry(graph, spacing, size, row_sum, k / mean_k).float()
    length = (pos[index[0]] - pos[index[1]]).norm(dim=1)
    h = (spacing[index[0]] * spacing[index[1]]).sqrt()
    coupling = weight / (diagonal[index[0]] * diagonal[index[1]]).sqrt()
    fixed = graph.dirichlet_mask.any(dim=1)[index[0]].double()
    out.edge_geometry = torch.stack([length / h - 1, coupling, fixed], dim=1).float()
    out.centre_index = farthest_points(pos, mass, slices)
    out.extent = size.float()[None]
    held = graph.dirichlet_mask.any() | (graph.robin_load > 0).any()
    out.floating = (~held).float()[None]
    out.ridge = (1e-3 * diagonal.mean()).float()[None]
    return out


def node_geometry(
    graph: Data,
    spacing: Float[Tensor, " N"],
    size: Float[Tensor, ""],
    row_sum: Float[Tensor, " N"],
    k: Float[Tensor, " N"],
) -> Float[Tensor, "N 8"]:
    """Boundary type, distance to the boundary in L and in h, operator strength, log k."""
    distance = boundary_distance(graph.pos.double(), graph.area > 0)
    dim = graph.simplex_index.shape[0] - 1
    strength = row_sum / (k * spacing ** (dim - 2)) / (2 * dim) - 1
    features = [distance / size, torch.log1p(distance / spacing), strength, torch.log(k)]
    return torch.cat([graph.bc.double(), torch.stack(features, dim=1)], dim=1)


def boundary_distance(
    pos: Float[Tensor, "N d"], boundary: Tensor, chunk: int = 4096
) -> Float[Tensor, " N"]:
    """Distance of every node to the nearest boundary node, in the mesh's unit; memory bounded."""
    if not boundary.any():
        return pos.new_zeros(len(pos))
    wall = pos[boundary]
    return torch.cat([torch.cdist(part, wall).amin(dim=1) for part in pos.split(chunk)])


def consistent_load(
    f: Float[Tensor, " N"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]
) -> Float[Tensor, " N"]:
    """b_i = ∫ f_h φ_i = Σ_s |s| (f_i + Σ_{j ∈ s} f_j) / (n (n + 1)) for f_h = Σ f_j φ_j."""
    n = simplices.shape[1]
    share = hat_gradients(pos, simplices)[1].abs()[:, None] / (n * (n + 1))
    values = f[simplices]
    parts = share * (values + values.sum(dim=1, keepdim=True))
    return f.new_zeros(len(pos)).index_add(0, simplices.reshape(-1), parts.reshape(-1))


def farthest_points(
    pos: Float[Tensor, "N d"], mass: Float[Tensor, " N"], count: int
) -> Int[Tensor, " M"]:
    """Greedy farthest-point sample, started at the node nearest to the centroid.

    Of nodes that are equally far, to 1e-3, the one with the largest mass is taken, so that neither
    rounding nor the numbering decides. With fewer nodes than `count` the last ones repeat.

    Source: Gonzalez 1985.
    """
    start = ((pos - mass @ pos / mass.sum()) ** 2).sum(dim=1).argmin()
    chosen = [start]
    gap = ((pos - pos[start]) ** 2).sum(dim=1)
    for _ in range(count - 1):
        chosen.append(torch.where(gap >= (1 - 1e-3) * gap.max(), mass, -1.0).argmax())
        gap = torch.minimum(gap, ((pos - pos[chosen[-1]]) ** 2).sum(dim=1))
    return torch.stack(chosen)
