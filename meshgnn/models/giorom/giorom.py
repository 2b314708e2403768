"""`GIOROM`: bodies in large motion by few of their points."""

import copy
import zlib
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.giorom.options import DEFAULTS, checked
from meshgnn.models.giorom.paper import PaperStepper
from meshgnn.models.giorom.particle_net import ParticleNet
from meshgnn.models.giorom.particles import Particles
from meshgnn.models.giorom.solid import SolidNet
from meshgnn.models.giorom.sparse import chosen_points, decoded, with_sources
from meshgnn.models.giorom.strains import Strains
from meshgnn.nn import Standardise


class GIOROM(nn.Module):
    """Few points are marched from state to state, and all others follow from them:

        x_i = X_i + Σ_j W_ij u_j,  W of a continuous cubic `decoders.local_rbf`, found once.

    The state is the displacement u of every node of a body (`Elastodynamics`, `MaterialPoints`). Of
    the N nodes n are marched: chosen when a graph is transformed, with the mass of the nodes around
    each. What lies beyond a wall is put on it, held and driven parts are where they are prescribed,
    and the others follow by one sparse product. Free flight is exact: a body falls as a stone does.

    - "mesh", solid=True: `SolidNet`, an elastic solid of which the law is learned, in patches of
      the body with the strains that W says. For what keeps its shape.
    - "mesh", solid=False: `ParticleNet`, messages between points within R of each other as they lie
      now (k-d tree in every step), attention between slices, pair forces; semi-implicit Euler. For
      fluids and grains, which forget their shape.
    - "paper": the published stepper with 2.39 million parameters in 3D; see `PaperStepper` for what
      is mended in it. It keeps no momentum and does not turn with the scene.

    The first two keep momentum and angular momentum to rounding; shifting, turning (with gravity
    and walls) or scaling the scene does the same to the motion (a solid's stiffness over density is
    one of its own, and scales with the square of lengths).

    Training: one step first (`fit` alone), then `losses.unrolled(10, model.loss)` or more, which is
    what makes long marches right. A march may begin from known states, or from the first
    displacement and velocity of an unsolved sample alone. A solid goes on with the velocity that it
    had: its forward sets `graph.march_state` and `graph.march_velocity`, which are used where that
    state comes back as the last known one, so that many waves may pass in a frame.

    A mesh of several pieces holds several bodies: no force and no weight leads from one to the
    other. Parameters that are components of gravity are left out of θ by `fit_statistics`, as
    gravity acts anyway and a turned scene has others.

    Not covered: contact of bodies with themselves or each other but through `ParticleNet`, walls
    that are not across an axis, drag, time steps other than the trained one.

    Args:
        preset: one of the above.
        dim: d, 2 or 3.
        channels: d; there is no other.
        inputs: any number; none is used.
        params: P, columns of θ.
        history: K, known states; 3 (paper: 6).
        bundle: 1; there is no other.
        points: n, or n / N below 1; d + 2 of every body at least.
        sampling: "farthest" or "random".
        seed: of the choice; None for another one for every motion (from its first states), so that
            in training no set is learned by heart.
        reach: R in mean spacings of the points, at least; the unit of errors, and of what
            `ParticleNet` sees. Forces in a solid do not know it.
        noise: standard deviation of what is added to known states in one-step training, in that of
            the velocities, m a frame; a solid has none.
        solid: True ("mesh" only, as the following).
        width: of states and messages of `ParticleNet`; 32. A solid has no use for it, nor for the
            following two.
        layers: of its messages, half before the attention; 2.
        slices: of its attention; 8.
        query_point, raw, dropout, domain: of the paper preset, see `PaperStepper`.

    Raises:
        ValueError: an unknown preset, sampling or domain, an option of another preset, a size below
            its least value, a dim, channels or bundle other than 2 or 3, d and 1, points that are
            neither a share nor a whole number; when transforming: fewer than d + 2 points of a
            body, a set without patches for a solid.

    Source: Viswanath et al., Reduced-Order Neural Operators: Learning Lagrangian Dynamics on Highly
    Sparse Graphs, 2024.
    """

    starts_alone = True
    state_dtype = torch.float64  # differences of positions are what moves

    def __init__(
        self,
        preset: str = "mesh",
        dim: int = 2,
        channels: int | None = None,
        inputs: int = 0,
        params: int = 0,
        history: int | None = None,
        bundle: int = 1,
        points: float | int = 0.1,
        sampling: str = "farthest",
        seed: int | None = 0,
        reach: float = 2.5,
        noise: float = 0.1,
        width: int | None = None,
        layers: int | None = None,
        slices: int | None = None,
        solid: bool | None = None,
        query_point: bool | None = None,
        raw: bool | None = None,
        dropout: float | None = None,
        domain: str | None = None,
    ) -> None:
        super().__init__()
        given = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.hparams = h = checked(given)
        self.scale_out = Standardise(1, centre=False)  # R a frame²
        self.scale_theta = Standardise(params)
        self.net: ParticleNet | PaperStepper | None = None
        self.solid: SolidNet | None = None
        if preset == "paper":
            own = {name: h[name] for name in DEFAULTS["paper"]}
            self.net = PaperStepper(dim, **own)
        elif h["solid"]:
            self.solid = SolidNet(params)
        else:
            sizes = [h[name] for name in ("history", "params", "width", "layers", "slices")]
            self.net = ParticleNet(dim, *sizes)

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with its sparse set, radius and decoder."""
        if "march_state" in graph:  # marched before: it begins anew
            graph = copy.copy(graph)
            del graph.march_state, graph.march_velocity
        if "source_index" in graph:  # transformed before, or given a set of one's own
            if self.solid is not None and "strain_index" not in graph:
                raise ValueError(
                    "GIOROM: expected patches for a solid, got a graph with a sparse set that was "
                    "made without; transform the graph that it was made of, or make the set with "
                    "with_sources(..., patches=True)"
                )
            return graph
        h = self.hparams
        seed = zlib.crc32(graph.u.numpy().tobytes()) if h["seed"] is None else h["seed"]
        chosen = chosen_points(graph, h["points"], h["sampling"], seed)
        return with_sources(graph.clone(), chosen, h["reach"], patches=self.solid is not None)

    @torch.no_grad()
    def fit_statistics(self, graphs: list[Data]) -> None:
        """Normalisation from transformed graphs with their first targets."""
        some = [Particles.of(graph, near=self.solid is None) for graph in graphs]
        self.scale_theta.fit(p.theta for p in some)
        self.scale_theta.std[_of_gravity(graphs)] = torch.inf
        beyond = [_beyond(graph, p) for graph, p in zip(graphs, some, strict=True)]
        if self.solid is not None:
            patches = [Strains.of(g, p) for g, p in zip(graphs, some, strict=True)]
            pulls = [a * p.radius[:, None] for a, p in zip(beyond, some, strict=True)]
            self.solid.fit(list(zip(some, patches, pulls, strict=True)))
        elif isinstance(self.net, PaperStepper):
            self.net.fit([p.velocity for p in some])
        elif self.net is not None:
            self.net.fit(some)
        self.scale_out.fit(a[~p.held][:, None] for a, p in zip(beyond, some, strict=True))

    def forward(self, graph: Data) -> Float[Tensor, "N 1 d"]:
        """The next displacement of all nodes, m, in the precision of the known ones."""
        p = Particles.of(graph, near=self.solid is None)
        theta = self.scale_theta(p.theta)
        if self.solid is not None:
            u, graph.march_velocity = self.solid(p, theta, graph)
            graph.march_state = u
        else:
            u = self._stepped(graph, p, theta)
        whole = _between_walls(graph, decoded(graph, u))
        return torch.where(graph.dirichlet_mask, graph.dirichlet[:, 0], whole)[:, None]

    def _stepped(self, graph: Data, p: Particles, theta: Tensor) -> Float[Tensor, "n d"]:
        """By accelerations of a network, semi-implicit Euler."""
        assert self.net is not None
        a = self.net(p) if isinstance(self.net, PaperStepper) else self.net(p, theta)
        a = self.scale_out.inverse(a) * p.radius[:, None] + p.gravity
        known = p.u
        u = 2 * known[:, -1] - known[:, -2] + a
        place = torch.minimum(torch.maximum(p.reference + u, p.lo), p.hi)
        return torch.where(p.held, p.ahead, place - p.reference)

    def loss(self, model: Any, graph: Data) -> Float[Tensor, ""]:
        """Σ_i m_i |x̂_i − x_i|² / (d R² σ² Σ_i m_i) over the sparse set, σ R the spread of a.

        Where gradients are on, known states have the noise that `noise` says; the target has none,
        so that what differs from point to point without order is damped.
        """
        chosen = graph.source_index
        if self.net is not None and self.hparams["noise"] and torch.is_grad_enabled():
            noise = self.hparams["noise"] * self.net.scale_velocity.std.mean()
            graph, by_radius = copy.copy(graph), isinstance(self.net, ParticleNet)
            size = noise * (graph.radius if by_radius else torch.ones_like(graph.radius))
            size = size[_owner(graph)]
            shaken = torch.randn_like(graph.u) * size[:, None, None]
            graph.u = graph.u + shaken * ~graph.dirichlet_mask[:, None]
        error = (model(graph) - graph.y)[chosen, 0]
        error = error / (graph.radius[_owner(graph)[chosen], None] * self.scale_out.std)
        weight = graph.source_mass[:, None] * ~graph.dirichlet_mask[chosen]
        total = weight.sum()
        return (weight * error.square()).sum() / torch.where(total > 0, total, 1.0)


def _owner(graph: Data) -> Tensor:
    batch = getattr(graph, "batch", None)
    return graph.source_index.new_zeros(len(graph.pos)) if batch is None else batch


def _between_walls(graph: Data, u: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
    """Displacements of all nodes, those that would pass a wall to where it is."""
    walls = graph.get("walls")
    if walls is None:
        return u
    lo, hi = walls[_owner(graph)].to(u.dtype).chunk(2, dim=1)
    return torch.minimum(torch.maximum(u, lo - graph.pos), hi - graph.pos)


def _of_gravity(graphs: list[Data]) -> Bool[Tensor, " P"]:
    """Which parameters are a component of gravity in all of the graphs."""
    same = [
        g.theta[0, :, None] == g.get("gravity", g.theta.new_full((1, 1), torch.nan)) for g in graphs
    ]
    return torch.stack(same).all(dim=0).any(dim=1)


def _beyond(graph: Data, p: Particles) -> Float[Tensor, "n d"]:
    """What moves the points beyond inertia and gravity, in R a frame²."""
    a = graph.y[graph.source_index, 0] - p.u[:, -1] - p.velocity[:, -1] - p.gravity
    return a / p.radius[:, None]
