"""The stepper of our own preset: pair forces that keep momentum, from states of a graph network."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.models.giorom.particles import Particles
from meshgnn.nn import InteractionBlock, SliceAttention, Standardise, mlp

_KINDS, _WALL = 4, 5


class ParticleNet(nn.Module):
    """a_i = R [Σ_j m_j / M_ij s_ij x̂_ij + Σ_w γ_iw (p_iw n_w + q_iw t_iw)],  x̂ = x_ij / |x_ij|.

    s_ij = s_ji is a scalar of a pair: the forces between points are opposite and along the line
    that joins them, so momentum and angular momentum of a body that touches nothing are kept to
    rounding, whatever the network has learned. M_ij is the mean of the masses near i and near j.
    p and q press and rub at walls w nearer than R (γ = 0 from there on), t being the motion along.

    States h_i come from layers of messages, damped with the distance, before and after attention
    between learned slices of the body. Inputs are scalars that neither moving nor turning the scene
    changes, lengths in R: distances now and in the reference, speeds of approach over the known
    states, gaps to walls, types and parameters. The last layers start at 0, and so does a.

    Args:
        dim: d.
        history: K.
        params: P.
        width: H.
        layers: of messages; half of them before the attention.
        slices: of the attention; 0 for none.
    """

    def __init__(
        self, dim: int, history: int, params: int, width: int, layers: int, slices: int
    ) -> None:
        super().__init__()
        self.dim, self.layers = dim, layers
        features = 2 + 1 + 2 * history
        self.scale_velocity = Standardise(1, centre=False)  # R a frame
        self.scale_edge = Standardise(features)
        self.encode = mlp([_KINDS + 3 + params, width, width], norm=True)
        self.encode_wall = mlp([_WALL, width, width])
        self.encode_edge = mlp([features, width, width], norm=True)
        self.blocks = nn.ModuleList(InteractionBlock(width, reduce="mean") for _ in range(layers))
        self.globals = SliceAttention(width, slices) if slices else None
        self.pair = mlp([3 * width, width, 1], zero=True)
        self.press = mlp([width + _WALL, width, 2], zero=True)

    @torch.no_grad()
    def fit(self, particles: list[Particles]) -> None:
        """Scales of speeds and of what edges see."""
        self.scale_velocity.fit(
            (p.velocity / p.radius[:, None, None]).reshape(-1, 1) for p in particles
        )
        self.scale_edge.fit(self._edge_features(p) for p in particles)

    def forward(self, particles: Particles, theta: Float[Tensor, "B P"]) -> Float[Tensor, "n d"]:
        """The acceleration beyond gravity, in R and units of its spread."""
        p = particles
        features = self._edge_features(p)
        e = self.encode_edge(self.scale_edge(features))
        damping = 1 / (1 + features[:, 0])
        touching, wall = self._walls(p)
        h = self._nodes(p, damping, theta[p.graph])
        gate = wall[:, :1]
        h = h.index_add(0, touching[0], (self.encode_wall(wall) * gate).to(h.dtype))
        for i, block in enumerate(self.blocks):
            if i == self.layers // 2 and self.globals is not None:
                h = self.globals(h, p.mass, p.rows)
            h, m = block(h, e, p.edge_index, weight=damping)
            e = e + m
        return self._pairs(p, h, e) + self._pressed(p, h, touching, wall)

    def _edge_features(self, p: Particles) -> Float[Tensor, "E features"]:
        """|x_ij| / R, |X_ij| / R, their difference; speeds of approach, and sizes of those."""
        source, target = p.edge_index
        x, radius = p.position, p.radius[target, None]
        now, before = x[source] - x[target], p.reference[source] - p.reference[target]
        length, rest = now.norm(dim=1, keepdim=True), before.norm(dim=1, keepdim=True)
        unit = now / length.clamp(min=1e-12)
        motion = torch.cat([p.velocity, p.drift[:, None]], dim=1)
        motion = motion / (p.radius[:, None, None] * self.scale_velocity.std)
        relative = motion[source] - motion[target]
        along = (relative * unit[:, None]).sum(dim=2)
        parts = [length / radius, rest / radius, (length - rest) / radius]
        return torch.cat([*parts, along, relative.norm(dim=2)], dim=1)

    def _nodes(self, p: Particles, damping: Tensor, theta: Tensor) -> Float[Tensor, "n H"]:
        """States before the first message: type, parameters, crowding, nearness of a surface."""
        source, target = p.edge_index
        x = p.position
        towards = torch.nn.functional.normalize(x[source] - x[target], dim=1) * damping[:, None]
        total = x.new_zeros(len(x), self.dim + 1)
        total = total.index_add(0, target, torch.cat([towards, damping[:, None]], dim=1))
        volume = p.radius**self.dim
        near = p.mass + x.new_zeros(len(x)).index_add(0, target, p.mass[source])
        one_sided = total[:, :-1].norm(dim=1) / total[:, -1].clamp(min=1e-6)
        shape = torch.stack([p.mass / volume, near / volume, one_sided], dim=1)
        kind = nn.functional.one_hot(p.kind, _KINDS).to(x.dtype)
        return self.encode(torch.cat([kind, shape, theta], dim=1))

    def _walls(self, p: Particles) -> tuple[Int[Tensor, "2 T"], Float[Tensor, "T 5"]]:
        """Points and walls (lo x, lo y, ..., hi x, ...) nearer than R now or in a frame; features.

        Nearness 1 − gap / R (the gate, 0 at R), gap now and in a frame, approach, motion along.
        """
        x, ahead = p.position, p.drift
        gap = torch.cat([x - p.lo, p.hi - x], dim=1) / p.radius[:, None]
        normal = torch.cat([ahead, -ahead], dim=1)
        then = gap + normal / p.radius[:, None]
        near = torch.relu(1 - torch.minimum(gap, then))
        touching = torch.nonzero((near > 0) & torch.isfinite(near)).t()
        node, wall = touching
        speed = self.scale_velocity.std * p.radius[:, None]
        along = self._along(ahead / speed, node, wall).norm(dim=1)
        columns = [f[node, wall] for f in (near, gap, then, normal / speed)]
        return touching, torch.stack([*columns, along], dim=1)

    def _along(self, motion: Tensor, node: Tensor, wall: Tensor) -> Float[Tensor, "T d"]:
        """The part of the motion of some points along some walls."""
        across = nn.functional.one_hot(wall % self.dim, self.dim).to(torch.bool)
        return motion[node].masked_fill(across, 0.0)

    def _pairs(self, p: Particles, h: Tensor, e: Tensor) -> Float[Tensor, "n d"]:
        """Forces of pairs over masses; every pair once."""
        source, target = p.edge_index
        count = len(h)
        key = target * count + source  # ascending, as edges are sorted
        half = torch.nonzero(source < target)[:, 0]
        i, j = target[half], source[half]
        back = torch.searchsorted(key, j * count + i)
        both = torch.cat([h[i] + h[j], (h[i] - h[j]).abs(), e[half] + e[back]], dim=1)
        x = p.position
        near = p.mass + x.new_zeros(count).index_add(0, target, p.mass[source])
        unit = nn.functional.normalize(x[j] - x[i], dim=1)
        force = self.pair(both) * unit * (2 / (near[i] + near[j]))[:, None]
        total = x.new_zeros(count, self.dim).index_add(0, i, force * p.mass[j, None])
        return total.index_add(0, j, -force * p.mass[i, None])

    def _pressed(
        self, p: Particles, h: Tensor, touching: Tensor, wall: Tensor
    ) -> Float[Tensor, "n d"]:
        """What walls give to the points near them."""
        node, side = touching
        push = self.press(torch.cat([h[node], wall], dim=1)) * wall[:, :1]
        sign = torch.where(side < self.dim, 1.0, -1.0)[:, None]
        normal = nn.functional.one_hot(side % self.dim, self.dim) * sign
        speed = self.scale_velocity.std * p.radius[:, None]
        along = self._along(p.drift / speed, node, side)
        return wall.new_zeros(len(h), self.dim).index_add(
            0, node, push[:, :1] * normal + push[:, 1:] * along
        )
