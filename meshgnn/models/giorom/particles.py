"""The sparse set of material points that a stepper marches."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.graph.radius import radius_edges
from meshgnn.nn import GraphRows


@dataclass(frozen=True, eq=False)
class Particles:
    """n material points of one graph, or of all graphs of a batch, one after the other.

    Args:
        reference: X [n, d], less the mean of the body's nodes.
        u: the last K displacements [n, K, d], oldest first, in single or double precision.
        mass: volume that each point stands for in the reference configuration [n].
        kind: type of the point [n]: 0 inside or free, 1 held or driven, 2, 3 of a loaded part.
        held: which components are prescribed [n, d].
        ahead: prescribed displacement of the next state [n, d], 0 where free.
        gravity: g Δt², what a free point gains in a frame [n, d], m.
        lo, hi: walls across the axes [n, d], less the same mean; ±inf where open.
        theta: parameters, one row a graph [B, P].
        radius: R of the point's graph [n].
        edge_index: source j and target i with |x_i − x_j| ≤ R, sorted by target.
        rows: the graphs of the batch.
        graph: number of the point's graph [n].
    """

    reference: Float[Tensor, "n d"]
    u: Float[Tensor, "n K d"]
    mass: Float[Tensor, " n"]
    kind: Int[Tensor, " n"]
    held: Bool[Tensor, "n d"]
    ahead: Float[Tensor, "n d"]
    gravity: Float[Tensor, "n d"]
    lo: Float[Tensor, "n d"]
    hi: Float[Tensor, "n d"]
    theta: Float[Tensor, "B P"]
    radius: Float[Tensor, " n"]
    edge_index: Int[Tensor, "2 E"]
    rows: GraphRows
    graph: Int[Tensor, " n"]

    @property
    def position(self) -> Float[Tensor, "n d"]:
        """x at the last known state, in the precision of X."""
        return (self.reference + self.u[:, -1]).to(self.reference.dtype)

    @property
    def velocity(self) -> Float[Tensor, "n W d"]:
        """Displacements between the last K states, W = K − 1, m a frame, oldest first."""
        return (self.u[:, 1:] - self.u[:, :-1]).to(self.reference.dtype)

    @property
    def drift(self) -> Float[Tensor, "n d"]:
        """What a point moves in the next frame under gravity alone, or as prescribed, m."""
        given = (self.ahead - self.u[:, -1]).to(self.reference.dtype)
        return torch.where(self.held, given, self.velocity[:, -1] + self.gravity)

    @classmethod
    def of(cls, graph: Data, near: bool = True) -> "Particles":
        """The points that `graph.source_index` names; `near`: with edges as they lie now."""
        chosen, count = graph.source_index, len(graph.theta)
        batch = getattr(graph, "batch", None)
        owner = chosen.new_zeros(len(chosen)) if batch is None else batch[chosen]
        u, dim = graph.u[chosen], graph.pos.shape[1]
        walls = graph.get("walls")
        if walls is None:
            walls = graph.pos.new_tensor([-torch.inf] * dim + [torch.inf] * dim).expand(count, -1)
        gravity = graph.get("gravity")
        gravity = graph.pos.new_zeros(count, dim) if gravity is None else gravity
        reference, radius = graph.pos[chosen], graph.radius[owner]
        edges = chosen.new_zeros(2, 0)
        if near:
            edges = near_edges((reference + u[:, -1]).to(reference.dtype), radius, owner)
        return cls(
            reference=reference,
            u=u,
            mass=graph.source_mass,
            kind=graph.bc[chosen].argmax(dim=1),
            held=graph.dirichlet_mask[chosen],
            ahead=graph.dirichlet[chosen, 0],
            gravity=(gravity * graph.dt[:, None] ** 2)[owner],
            lo=walls[owner, :dim],
            hi=walls[owner, dim:],
            theta=graph.theta,
            radius=radius,
            edge_index=edges,
            rows=GraphRows(None if batch is None else owner, len(chosen), count),
            graph=owner,
        )


def among(index: Int[Tensor, "*K"], chosen: Int[Tensor, " n"], num_nodes: int) -> Int[Tensor, "*K"]:
    """The places of nodes in the list of the chosen ones."""
    place = chosen.new_empty(num_nodes)
    place[chosen] = torch.arange(len(chosen), device=chosen.device)
    return place[index]


@torch.no_grad()
def near_edges(
    x: Float[Tensor, "n d"], radius: Float[Tensor, " n"], owner: Int[Tensor, " n"]
) -> Int[Tensor, "2 E"]:
    """`radius_edges` within every graph, each with its radius: one k-d tree for the whole batch.

    Points that are NaN or infinite (a march that blows up) have no edges; the march says so.
    """
    place = (x / radius[:, None]).double().cpu().numpy()
    fine = np.flatnonzero(np.isfinite(place).all(axis=1))
    # graphs lie far apart along one more axis
    layer = 4.0 * owner.cpu().numpy()[:, None]
    if not len(fine):
        return owner.new_zeros(2, 0)
    edges = fine[radius_edges(np.hstack([place, layer])[fine], 1.0)]
    return torch.from_numpy(edges).to(x.device)
