"""The published time stepper of GIOROM, with its defects behind switches."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.models.giorom.paper_grid import DOMAINS, grid_nodes, grid_pairs, unit_positions
from meshgnn.models.giorom.paper_layers import BallMean, InteractionOperator, published_start
from meshgnn.models.giorom.paper_operator import OperatorTransformer
from meshgnn.models.giorom.particles import Particles
from meshgnn.nn import GraphRows, Standardise, mlp

_LEAST = {"dim": 1, "history": 2, "width": 1, "layers": 0, "types": 4, "grid": 2}
_LEAST |= {"operator_width": 1, "heads": 1, "blocks": 0, "experts": 1}
_EMBEDDING, _TOKEN = 16, 64


class PaperStepper(nn.Module):
    """The acceleration of every particle, in units that are the caller's, from its last K states:

        h = enc(type, W velocities, clip((x − lo) / R, ±1), clip((hi − x) / R, ±1)),   W = K − 1;
        e = enc((x_j − x_i) / R, |x_j − x_i| / R), on all pairs within R and from each to itself;
        `layers` times: `InteractionOperator`;
        z_g = mean_{|ξ_i − g| ≤ r} κ(g, ξ_i, h_i) on a grid of the unit box;
        o = mean_{|ξ_i − g| ≤ r} κ'(ξ_i, g) ⊙ transformer(z)_g;   h ← h + W o + b;
        `layers` times: `InteractionOperator`;   a = dec(h).

    2,387,669 parameters with the published sizes (giorom3d_T) and `query_point=False`, 2,387,861
    with the default. The last layer is `head[-1]`: zero it for a ballistic start.

    Differences that are no switch: the grid is searched within each graph (published: particles of
    all graphs of a batch share one grid and its means); a grid node without particles has z = 0
    (published, on a CPU: NaN everywhere); a particle that sees no node is refused (published: it
    gets a constant); the spectral term is written as the linear map that it is. Wall distances are
    1 where a wall is open. Published particle types are one number for all but 2D scenes; here the
    type is `Particles.kind`.

    Does not know of prescribed motion ahead, gravity, parameters or masses, as published; the
    means weigh all particles alike, so uneven samples weigh uneven. Not covariant with rotations.

    Args:
        dim: d.
        history: K, known states.
        width: of h and e.
        layers: interaction layers before and after the grid.
        types: number of particle types.
        grid: nodes of the latent grid along an axis.
        reach: r, in the unit box; half the diagonal of a cell and more.
        operator_width: of the transformer.
        heads: of its attention.
        blocks: of it.
        experts: in every block.
        dropout: of the transformer while training; published 0.3, as here.
        query_point: the kernels see the point at which the mean is taken and fade towards the edge
            of the ball, see `BallMean`; False as published.
        raw: True for velocities in m a frame as published; False divides them by
            `scale_velocity`, see `fit`.
        domain: what the unit box is of the scene, see `unit_positions`: "walls", "body", or the
            ends of a fixed box; published (0, 1), in coordinates that do not count from the body.

    Raises:
        ValueError: a size below its least value; a reach that is not positive; an unknown or empty
            domain; heads that do not divide the width.

    Source: Viswanath et al., Reduced-Order Neural Operators: Learning Lagrangian Dynamics on Highly
    Sparse Graphs, arXiv 2407.03925; its code.
    """

    def __init__(
        self,
        dim: int = 3,
        history: int = 6,
        width: int = 128,
        layers: int = 2,
        types: int = 9,
        grid: int = 16,
        reach: float = 0.125,
        operator_width: int = 256,
        heads: int = 4,
        blocks: int = 1,
        experts: int = 2,
        dropout: float = 0.3,
        query_point: bool = True,
        raw: bool = False,
        domain: str | tuple[float, float] = "walls",
    ) -> None:
        super().__init__()
        for name, least in _LEAST.items():
            if (size := locals()[name]) < least:
                raise ValueError(f"PaperStepper: expected {name} of at least {least}, got {size}")
        if not reach > 0:
            raise ValueError(f"PaperStepper: expected a positive reach, got {reach}")
        _check_domain(domain)
        self.dim, self.history, self.grid, self.reach = dim, history, grid, reach
        self.raw, self.domain = raw, domain
        self.scale_velocity = Standardise(dim, centre=False)
        self.embed = nn.Embedding(types, _EMBEDDING)
        nn.init.xavier_uniform_(self.embed.weight)
        hidden = [width] * 3
        self.encode_node = _published([_EMBEDDING + (history + 1) * dim, *hidden])
        self.encode_edge = _published([dim + 1, *hidden])
        self.before = nn.ModuleList(InteractionOperator(width) for _ in range(layers))
        self.to_grid = BallMean(dim, width, _TOKEN, reach, True, query_point)
        self.operator = OperatorTransformer(
            dim, _TOKEN, width, operator_width, heads, blocks, experts, dropout
        )
        self.from_grid = BallMean(dim, width, width, reach, False, query_point)
        self.project = nn.Linear(width, width)
        self.after = nn.ModuleList(InteractionOperator(width) for _ in range(layers))
        self.head = _published([*hidden, dim], norm=False)

    def fit(self, velocities: Iterable[Float[Tensor, "*rows d"]]) -> None:
        """Set the spread of velocities, m a frame, from those of the training states.

        About zero, not about their mean, so that rest is rest. No effect with `raw`.
        """
        self.scale_velocity.fit(v.reshape(-1, self.dim) for v in velocities)

    def forward(self, particles: Particles) -> Float[Tensor, "n d"]:
        """The normalised acceleration of every particle.

        Raises:
            ValueError: another number of states or dimension; particles that see no grid node.
        """
        if particles.u.shape[1:] != (self.history, self.dim):
            raise ValueError(
                f"PaperStepper: expected {self.history} known states in {self.dim}D, got "
                f"{particles.u.shape[1]} in {particles.u.shape[2]}D; build graphs with "
                f"history={self.history}, or give the stepper history and dim"
            )
        edges = _with_loops(particles.edge_index, len(particles.u))
        h = self.encode_node(self._states(particles))
        x, radius = particles.position, particles.radius[:, None]
        source, target = edges
        gap = (x[source] - x[target]) / radius[target]
        length = gap.norm(dim=1, keepdim=True)
        e = self.encode_edge(torch.cat([gap, length], dim=1))
        damping = 1 / (1 + length[:, 0])
        for layer in self.before:
            h, e = layer(h, e, edges, damping)
        h = self.project(self._operator_path(h, particles)) + h
        for layer in self.after:
            h, e = layer(h, e, edges, damping)
        return self.head(h).to(x.dtype)

    def _states(self, particles: Particles) -> Float[Tensor, "n F"]:
        """What the node encoder sees."""
        x, radius = particles.position, particles.radius[:, None]
        velocity = particles.velocity if self.raw else self.scale_velocity(particles.velocity)
        walls = torch.cat([x - particles.lo, particles.hi - x], dim=1) / radius
        return torch.cat([self.embed(particles.kind), velocity.flatten(1), walls.clamp(-1, 1)], 1)

    def _operator_path(self, h: Float[Tensor, "n H"], particles: Particles) -> Float[Tensor, "n H"]:
        """Particles → grid → transformer → particles."""
        xi = unit_positions(particles, self.domain)
        near = grid_pairs(xi, particles.graph, self.grid, self.reach)
        order = near.by_node
        z = self.to_grid(h, xi, near.place, near.particle[order], near.node[order])
        rows = GraphRows(near.owner, len(near.owner), particles.rows.graphs)
        nodes = grid_nodes(self.grid, self.dim, xi)
        latent = self.operator(z.to(xi.dtype), nodes, rows)
        return self.from_grid(latent, near.place, xi, near.node, near.particle)


def _published(sizes: list[int], norm: bool = True) -> nn.Module:
    return published_start(mlp(sizes, "relu", norm))


def _with_loops(edge_index: Int[Tensor, "2 E"], count: int) -> Int[Tensor, "2 F"]:
    """The edges and one from every particle to itself, sorted by target."""
    own = torch.arange(count, device=edge_index.device).expand(2, -1)
    both = torch.cat([edge_index, own], dim=1)
    return both[:, both[1].argsort(stable=True)]


def _check_domain(domain: str | tuple[float, float]) -> None:
    if isinstance(domain, str):
        if domain not in DOMAINS:
            raise ValueError(
                f"PaperStepper: unknown domain {domain!r}; choose {', '.join(DOMAINS)} or the two "
                "ends of a fixed box"
            )
    elif not domain[0] < domain[1]:
        raise ValueError(f"PaperStepper: expected a domain of increasing ends, got {domain}")
