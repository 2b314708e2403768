"""The boundary as a set of tokens that nodes attend to: any number of loops, in any order."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.beno.operator import farthest_points
from meshgnn.nn import GraphRows, mlp

TOKEN_FEATURES = 5


def add_tokens(graph: Data, largest: int) -> Data:
    """A shallow copy of one graph with its boundary as T tokens.

    A token stands for one boundary node, or, on boundaries of more than `largest` nodes, for those
    that are nearest to it of `largest` spread evenly; of those equally near and far, as on evenly
    divided sides, the one with the largest mass, which the mesh inside tells apart. Adds
    `token_index [T]` (its node), `wall_index [P]` (boundary nodes), `owner_index [P]` (the node of
    the token each belongs to), `token_normal [T, d]` (mean outward normal), `token_area [T]` and
    `token_kind [T, 5]` (conditions, one-hot, averaged; log(1 + α L / k)).
    """
    wall = torch.nonzero(graph.area > 0)[:, 0]
    owner = chosen = torch.arange(len(wall), device=wall.device)
    pos, area = graph.pos[wall].double(), graph.area[wall].double()
    if len(wall) > largest:
        mass = graph.mass[wall].double()
        chosen = farthest_points(pos, mass, largest)
        owner = torch.cat([_nearest(p, pos[chosen], mass[chosen]) for p in pos.split(4096)])

    def mean(values: Tensor) -> Tensor:
        total = values.new_zeros(len(chosen), values.shape[1]).index_add(0, owner, values)
        return total.float()

    out = Data(**graph.to_dict())
    out.wall_index, out.token_index, out.owner_index = wall, wall[chosen], wall[chosen][owner]
    weight = area[:, None]
    out.token_area = mean(weight)[:, 0]
    normal = mean(weight * graph.normal[wall])
    out.token_normal = normal / normal.norm(dim=1, keepdim=True).clamp(min=1e-12)
    biot = graph.robin[wall].mean(dim=1) * graph.extent.double() / graph.modulus[wall]
    kind = torch.cat([graph.bc[wall], torch.log1p(biot)[:, None]], dim=1)
    out.token_kind = mean(weight * kind) / out.token_area[:, None]
    return out


def _nearest(
    pos: Float[Tensor, "P d"], centres: Float[Tensor, "T d"], mass: Float[Tensor, " T"]
) -> Int[Tensor, " P"]:
    """The nearest centre; of those equally near, to 1e-3, the one with the largest mass."""
    gap = torch.cdist(pos, centres)
    near = gap <= (1 + 1e-3) * gap.amin(dim=1, keepdim=True) + 1e-6 * gap.max()
    return torch.where(near, mass, -1.0).argmax(dim=1)


class BoundaryAttention(nn.Module):
    """a_ip = softmax_p(log w_p − β log(r² + h²) + φ(r / L, r / h, cos, kind)),  r = |x_p − x_i|,

    c_i = Σ_p a_ip t_p (context) and G_ic = Σ_p a_ip g_pc / Σ_p a_ip (extension, over the tokens p
    where component c is prescribed), several heads; w_p is the boundary measure of a token, so
    that sums are integrals over the boundary. a and t depend on the geometry alone: G is linear in
    g. Training starts at φ = 0, where G is a mean of inverse-distance weightings with powers 2β,
    β from 0.5 to 1.5.

    Args:
        width: of the context.
        heads: number of heads.
        hidden: hidden size of φ.
    """

    def __init__(self, width: int, heads: int = 2, hidden: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.pair = nn.Linear(3, hidden)
        self.kind = nn.Linear(TOKEN_FEATURES, hidden)
        self.logits = mlp([hidden, 2 * heads], zero=True)
        self.power = nn.Parameter(torch.linspace(0.5, 1.5, 2 * heads))
        self.value = mlp([TOKEN_FEATURES, hidden, hidden])
        self.out = nn.Linear(heads * (hidden + 3), width)

    def forward(
        self, graph: Data, rows: GraphRows
    ) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N C"]]:
        """The context of every node, and the extension of the boundary values to it."""
        index, values = graph.token_index, graph.dirichlet[:, 0]
        if not index.shape[0]:
            context = self.out.bias.expand(values.shape[0], -1)
            return context, torch.zeros_like(values)
        batch = getattr(graph, "batch", None)
        slots = GraphRows(None if batch is None else batch[index], index.shape[0], rows.graphs)
        attention, features = self._attention(graph, rows, slots)
        there = slots.pad(self.value(graph.token_kind))
        heads = attention[..., : self.heads]
        context = torch.einsum("bnth,btv->bnhv", heads, there)
        seen = torch.einsum("bnth,bntf->bnhf", heads, features)
        context = rows.flatten(torch.cat([context, seen], dim=-1).flatten(2))
        known, prescribed = self._token_values(graph, values)
        spread = attention[..., self.heads :].mean(dim=-1)
        total = spread @ slots.pad(prescribed)
        extension = (spread @ slots.pad(known)) / total.clamp(min=1e-9)
        return self.out(context), rows.flatten(extension)

    def _attention(
        self, graph: Data, rows: GraphRows, slots: GraphRows
    ) -> tuple[Float[Tensor, "B n T H"], Float[Tensor, "B n T 3"]]:
        index = graph.token_index
        place, normal = slots.pad(graph.pos[index]), slots.pad(graph.token_normal)
        x = rows.pad(graph.pos)
        exact = "donot_use_mm_for_euclid_dist"
        r = torch.cdist(x, place, compute_mode=exact)
        facing = (place * normal).sum(dim=2)[:, None] - x @ normal.transpose(1, 2)
        size = graph.extent[:, None, None]
        h = rows.pad(graph.spacing[:, None])
        cosine = facing / (r + 1e-6 * size)
        features = torch.stack([r / size, torch.log1p(r / (h + 1e-6 * size)), cosine], dim=-1)
        hidden = self.pair(features) + slots.pad(self.kind(graph.token_kind))[:, None]
        logits = self.logits(nn.functional.silu(hidden))
        near = torch.log((r**2 + h**2) / size**2 + 1e-12)[..., None]
        boundary = size[..., None] ** (len(graph.simplex_index) - 2)
        measure = slots.pad(graph.token_area[:, None])[:, None] / boundary
        logits = logits - self.power * near + torch.log(measure + 1e-30)  # padding weighs nothing
        return torch.softmax(logits, dim=2) * (measure > 0), features  # a graph may have no token

    def _token_values(
        self, graph: Data, values: Float[Tensor, "N C"]
    ) -> tuple[Float[Tensor, "T C"], Float[Tensor, "T C"]]:
        """Mean boundary values of each token times, and the measure of, what is prescribed."""
        wall = graph.wall_index
        weight = graph.area[wall, None] * graph.dirichlet_mask[wall]
        share = torch.zeros_like(values).index_add(0, graph.owner_index, weight)
        total = torch.zeros_like(values).index_add(0, graph.owner_index, weight * values[wall])
        area = graph.token_area[:, None]
        index = graph.token_index
        return total[index] / area, share[index] / area
