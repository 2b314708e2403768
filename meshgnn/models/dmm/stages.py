"""The network of the preset "mesh": Gauss–Newton steps with learned weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.dmm.problem import FEATURES, Problem, State
from meshgnn.models.dmm.solve import System
from meshgnn.nn import mlp

_STIFFNESS, _SHAPE = 0.2, 0.03  # α and μ before training
_FLAT = 3.0  # distortion from which on E grows with its fifth power
_MOST = 30.0  # beyond, the steps are heavy enough
_LEARNED = 4  # g, c, α, μ


class Stages(nn.Module):
    """x ← x + τ_t v with H v = −F on the motions that the walls allow, t = 1..T, from x = ξ.

    H and F are those of `Problem.newton`, with factors g, c, α, μ in every cell from a network on
    the state of the cell and of the cells around; untrained, they are 1, exp(r / 2), 0.2 and
    0.03 (1 + (Q / 3)⁴).

    Args:
        stages: T.
        solves: steps of conjugate gradients in each.
        width: of the network.
    """

    def __init__(self, stages: int, solves: int, width: int) -> None:
        super().__init__()
        self.stages, self.solves = stages, solves
        self.encode = mlp([FEATURES + stages, width, width])
        self.mix = mlp([2 * width, width, width])
        self.weigh = mlp([2 * width, width, _LEARNED], zero=True)
        self.step = nn.Parameter(torch.zeros(stages))

    def forward(self, graph: Data, m: Float[Tensor, " N"]) -> Float[Tensor, "N d"]:
        """Moved positions in the unit of `graph.pos`, in its precision under autocast too."""
        with torch.autocast(graph.pos.device.type, enabled=False):
            return self._moved(graph, m)

    def _moved(self, graph: Data, m: Float[Tensor, " N"]) -> Float[Tensor, "N d"]:
        problem = Problem(graph, m)
        x = problem.pos
        for stage in range(self.stages):
            state = problem.state(x)
            local, force = problem.newton(state, *self._weights(problem, state, stage))
            system = System(local, problem.slides.tangents, problem.layout)
            v = system.solve(-force, self.solves) * torch.exp(self.step[stage])
            x = problem.advance(x, v, state.volume)
        return torch.where(problem.uniform[:, None], graph.pos, x * problem.unit)

    def _weights(self, problem: Problem, state: State, stage: int) -> list[Tensor]:
        """g, c, α and μ of each cell, at most e² and at least e⁻² times what they are untrained."""
        which = torch.zeros_like(state.features[:, :1]).repeat(1, self.stages)
        which[:, stage] = 1
        h = nn.functional.silu(self.encode(torch.cat([state.features, which], dim=1)))
        around = problem.around(h)
        around = problem.around(self.mix(torch.cat([h, around], dim=1)))
        out = self.weigh(torch.cat([h, around], dim=1))
        gain, weight, stiffness, shape = torch.exp(2 * torch.tanh(out / 2)).unbind(dim=1)
        heavy = torch.exp(state.residual.clamp(-4, 4) / 2)  # large cells count more than in log
        flat = 1 + (state.distortion / _FLAT).clamp(max=_MOST) ** 4
        return [gain, weight * heavy, _STIFFNESS * stiffness, _SHAPE * shape * flat]
