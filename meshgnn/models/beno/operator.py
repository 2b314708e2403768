"""The P1 operator of a graph, and the scale-free geometry that weights may depend on."""

from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.operators import hat_gradients, pair_sums

NODE_FEATURES, EDGE_FEATURES = 9, 3


@dataclass(frozen=True, eq=False)
class Blocks:
    """K u = Σ_j K_ij u_j, K_ij [C, C] one block a pair of nodes.

    Args:
        index: [2, E] pairs j, i with j ≠ i, sorted by i, then j.
        off: [E, C, C] K_ij.
        diagonal: [N, C, C] K_ii.
    """

    index: Int[Tensor, "2 E"]
    off: Float[Tensor, "E C C"]
    diagonal: Float[Tensor, "N C C"]


def stiffness_blocks(
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "Z n"],
    moduli: Float[Tensor, "Z m"],
    channels: int,
) -> Blocks:
    """K_ij = ∫ k ∇φ_i·∇φ_j, or ∫ λ ∂_aφ_i ∂_bφ_j + μ (δ_ab ∇φ_i·∇φ_j + ∂_bφ_i ∂_aφ_j).

    Args:
        pos: x [N, d].
        simplices: [Z, n].
        moduli: k [Z, 1], or λ and μ [Z, 2].
        channels: C, 1 for k and d for λ, μ.
    """
    hats, volume = hat_gradients(pos, simplices)
    volume = volume.abs()
    dot = torch.einsum("sid,sjd->sij", hats, hats)[..., None, None]
    eye = torch.eye(channels, dtype=pos.dtype, device=pos.device)
    weight = (volume[:, None] * moduli)[..., None, None, None, None]
    if moduli.shape[1] == 1:
        local = weight[:, 0] * dot * eye
    else:
        cross = torch.einsum("sia,sjb->sijab", hats, hats)
        local = weight[:, 0] * cross + weight[:, 1] * (dot * eye + cross.transpose(3, 4))
    index, off = pair_sums(local, simplices, len(pos))
    own = local.diagonal(dim1=1, dim2=2).movedim(-1, 1).flatten(0, 1)
    diagonal = torch.zeros_like(own[:1]).expand(len(pos), -1, -1)
    return Blocks(index, off, diagonal.index_add(0, simplices.reshape(-1), own))


def load_vector(
    nodal: Float[Tensor, "N C"],
    mean: Float[Tensor, "Z C"],
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "Z n"],
) -> Float[Tensor, "N C"]:
    """b_i = ∫ f φ_i for f = Σ_j f_j φ_j, shifted on every simplex to the mean that is known there.

    Exact for a continuous P1 source and for one that is constant on every cell.
    """
    n = simplices.shape[1]
    volume = hat_gradients(pos, simplices)[1].abs()[:, None, None]
    values = nodal[simplices]
    total = values.sum(dim=1, keepdim=True)
    parts = volume * ((values + total) / (n * (n + 1)) + (mean[:, None] - total / n) / n)
    out = torch.zeros_like(nodal)
    return out.index_add(0, simplices.reshape(-1), parts.reshape(-1, nodal.shape[1]))


def add_operator(graph: Data, channels: int, slices: int) -> Data:
    """A shallow copy of one graph with the discrete problem K u = b and its geometry.

    Adds `stencil_index [2, E]` and `stencil [E, CC]` (K_ij), `diagonal` and `inverse [N, CC]`
    (K_ii and the inverse of its free part), `source_load` and `edge_load [N, C]` (b of the source
    and of the fluxes), `node_geometry`, `edge_geometry`, `centre_index [M]`, `extent [1]` (domain
    size L), `ridge [1]` (the scale below which a coarse function counts as zero) and
    `floating [1]` (1 where no condition fixes the constant, else 0), `spacing [N]` (local edge
    length h) and `modulus [N]` (k or μ). Assembled in float64.

    Args:
        graph: one graph (no batch) of the schema; `cell_a` holds the C components of the source,
            then the moduli.
        channels: C.
        slices: M.
    """
    pos, simplices = graph.pos.double(), graph.simplex_index.t().contiguous()
    cells = graph.cell_a.double()
    moduli = cells[:, channels:]
    blocks = stiffness_blocks(pos, simplices, moduli, channels)
    diagonal = blocks.diagonal + torch.diag_embed(graph.robin_load.double())
    out = Data(**graph.to_dict())
    out.stencil_index = blocks.index
    out.stencil, out.diagonal = _rows(blocks.off), _rows(diagonal)
    out.inverse = _rows(free_inverse(diagonal, ~graph.dirichlet_mask))
    source = load_vector(graph.a[:, :channels].double(), cells[:, :channels], pos, simplices)
    out.source_load, out.edge_load = source.float(), graph.flux_load
    mass, dim = graph.mass.double(), simplices.shape[1] - 1
    size, spacing = mass.sum() ** (1 / dim), mass ** (1 / dim)
    strength = blocks.diagonal.diagonal(dim1=1, dim2=2).mean(dim=1)
    scale, ratio = moduli[:, -1:], moduli[:, :1] / moduli[:, -1:]
    at_nodes = to_nodes(torch.cat([torch.log(scale), ratio - 1], dim=1), graph)
    out.spacing, out.modulus = spacing.float(), torch.exp(at_nodes[:, 0]).float()
    out.node_geometry = node_geometry(graph, spacing, size, strength, at_nodes)
    i, j = blocks.index[1], blocks.index[0]
    length = (pos[j] - pos[i]).norm(dim=1) / (spacing[i] * spacing[j]).sqrt()
    trace = diagonal.diagonal(dim1=1, dim2=2).mean(dim=1)
    coupling = -blocks.off.diagonal(dim1=1, dim2=2).mean(dim=1) / (trace[i] * trace[j]).sqrt()
    fixed = graph.dirichlet_mask.double().mean(dim=1)[i]
    out.edge_geometry = torch.stack([length - 1, coupling, fixed], dim=1).float()
    out.centre_index = farthest_points(pos, mass, slices)
    out.extent, out.ridge = size.float()[None], (1e-3 * trace.mean()).float()[None]
    held = graph.dirichlet_mask.any() | (graph.robin_load > 0).any()
    out.floating = (~held).float()[None]
    return out


def free_inverse(diagonal: Float[Tensor, "N C C"], free: Tensor) -> Float[Tensor, "N C C"]:
    """The inverse of each block over its free components, 0 in the rows and columns of others."""
    keep = free.to(diagonal.dtype)
    both = keep[:, :, None] * keep[:, None, :]
    filled = both * diagonal + torch.diag_embed(1 - keep)
    return both * torch.linalg.inv(filled)


def to_nodes(values: Float[Tensor, "Z m"], graph: Data) -> Float[Tensor, "N m"]:
    """Means over the simplices around each node."""
    nodes = len(graph.pos)
    total, count = values.new_zeros(nodes, values.shape[1]), values.new_zeros(nodes, 1)
    for corner in graph.simplex_index:
        total = total.index_add(0, corner, values)
        count = count.index_add(0, corner, torch.ones_like(values[:, :1]))
    return total / count


def node_geometry(
    graph: Data,
    spacing: Float[Tensor, " N"],
    size: Float[Tensor, ""],
    strength: Float[Tensor, " N"],
    moduli: Float[Tensor, "N 2"],
) -> Float[Tensor, "N 9"]:
    """Boundary type, distance to the boundary in L and in h, operator strength, moduli.

    `moduli` are log k and 0, or log μ and λ / μ − 1.
    """
    distance = boundary_distance(graph.pos.double(), graph.area > 0)
    dim = graph.simplex_index.shape[0] - 1
    scale, ratio = moduli.unbind(dim=1)
    mean = (graph.mass.double() * scale).sum() / graph.mass.double().sum()
    strength = torch.log(strength / (torch.exp(scale) * spacing ** (dim - 2) * 2 * dim))
    features = [distance / size, torch.log1p(distance / spacing), strength, scale - mean, ratio]
    return torch.cat([graph.bc.double(), torch.stack(features, dim=1)], dim=1).float()


def boundary_distance(
    pos: Float[Tensor, "N d"], boundary: Tensor, chunk: int = 4096
) -> Float[Tensor, " N"]:
    """Distance of every node to the nearest boundary node, in the mesh's unit; memory bounded."""
    if not boundary.any():
        return pos.new_zeros(len(pos))
    wall = pos[boundary]
    return torch.cat([torch.cdist(part, wall).amin(dim=1) for part in pos.split(chunk)])


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


def rotations(offset: Float[Tensor, "*R d"]) -> Float[Tensor, "*R d q"]:
    """x_a e_b − x_b e_a for all a < b: the infinitesimal rotations at an offset x."""
    d = offset.shape[-1]
    columns = []
    for a, b in combinations(range(d), 2):
        column = torch.zeros_like(offset)
        column[..., b], column[..., a] = offset[..., a], -offset[..., b]
        columns.append(column)
    return torch.stack(columns, dim=-1)


def _rows(blocks: Float[Tensor, "R C C"]) -> Float[Tensor, "R CC"]:
    return blocks.flatten(1).float()
