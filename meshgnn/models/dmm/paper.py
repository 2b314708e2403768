"""The network of the preset "paper": a potential on the unit square from a field on a grid."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.nn import mlp
from meshgnn.operators import locate

CODE = 512  # of the field, and of a point


class PaperPotential(nn.Module):
    """ψ(ξ; u) = head(branch(u), trunk(ξ)) and x = ξ + ∇ψ, on the unit square.

    - branch: u on a grid of `resolution`² points through convolutions 1 → 8 → 16 → 8 → 1 of 5 × 5
      (the first and the last with stride 2, the third with the first added), tanh, and
      (resolution / 4)² → 1024 → 512;
    - trunk: ξ through 2 → 32 → 512;
    - head: both side by side through 1024 → 512 → 1.

    tanh everywhere but after the last layers, so that ψ has second derivatives. 1,222,418
    parameters at resolution 48; the published count, 1,222,738, has 320 more that no output depends
    on. The values of u on the grid are those of P1, so any mesh of the unit square will do.

    Args:
        resolution: grid points in each direction, a multiple of 4.

    Raises:
        ValueError: another resolution.
    """

    def __init__(self, resolution: int = 48) -> None:
        super().__init__()
        if resolution < 4 or resolution % 4:
            raise ValueError(f"DMM: expected a multiple of 4 as resolution, got {resolution}")
        self.resolution = resolution
        self.wide = nn.Conv2d(1, 8, 5, stride=2, padding=2)
        self.middle = nn.ModuleList(
            [nn.Conv2d(8, 16, 5, padding=2), nn.Conv2d(16, 8, 5, padding=2)]
        )
        self.narrow = nn.Conv2d(8, 1, 5, stride=2, padding=2)
        self.branch = mlp([(resolution // 4) ** 2, 1024, CODE], "tanh")
        self.trunk = mlp([2, 32, CODE], "tanh")
        self.head = mlp([2 * CODE, CODE, 1], "tanh")

    def transform(self, graph: Data) -> dict[str, Tensor]:
        """Where the grid points are on the mesh, and ξ of the nodes.

        Raises:
            ValueError: a mesh that is not of the unit square.
        """
        low = graph.pos.amin(dim=0)
        xi, area = graph.pos - low, float(graph.mass.sum())
        if xi.shape[1] != 2 or abs(area - 1) > 1e-3 or (xi.amax(dim=0) - 1).abs().max() > 1e-3:
            raise ValueError(
                f"DMM: the paper preset is for the unit square, got a mesh of extent "
                f"{[round(v, 4) for v in xi.amax(dim=0).tolist()]} and volume {area:.4g}; use the "
                "preset 'mesh'"
            )
        line = torch.linspace(0, 1, self.resolution, device=xi.device)
        points = torch.cartesian_prod(line, line)  # the first axis of the grid is the first of x
        simplices = graph.simplex_index.t()
        place = locate(points, xi, simplices)
        return {
            "xi": xi.clamp(0, 1),
            "grid_index": simplices[place.simplex].t().contiguous(),
            "grid_weights": place.weights.to(xi.dtype),
        }

    def code(self, graph: Data) -> Float[Tensor, "B H"]:
        """branch(u) of every graph."""
        u = graph.u[:, -1, :1]
        grid = torch.einsum("qn,nq->q", graph.grid_weights, u[graph.grid_index, 0])
        grid = grid.view(-1, 1, self.resolution, self.resolution)
        first = self.wide(grid)
        h = torch.tanh(self.middle[0](torch.tanh(first)))
        h = torch.tanh(self.middle[1](h) + first)
        return self.branch(torch.tanh(self.narrow(h)).flatten(1))

    def features(
        self, xi: Float[Tensor, "P 2"], code: Float[Tensor, "B H"], which: Int[Tensor, " P"]
    ) -> Float[Tensor, "P H"]:
        """What the last layer combines linearly, at points of graph `which`."""
        hidden = self.head[0](torch.cat([code[which], self.trunk(xi)], dim=1))
        return self.head[1](hidden)

    def potential(
        self, xi: Float[Tensor, "P 2"], code: Float[Tensor, "B H"], which: Int[Tensor, " P"]
    ) -> Float[Tensor, " P"]:
        """ψ(ξ)."""
        return self.head[2](self.features(xi, code, which))[:, 0]

    def displacement(
        self, xi: Float[Tensor, "P 2"], code: Float[Tensor, "B H"], which: Int[Tensor, " P"]
    ) -> Float[Tensor, "P 2"]:
        """∇ψ(ξ), differentiable; needs xi.requires_grad for second derivatives."""
        with torch.enable_grad():
            xi = xi if xi.requires_grad else xi.detach().requires_grad_()
            psi = self.potential(xi, code, which)
            return torch.autograd.grad(psi.sum(), xi, create_graph=True)[0]

    def forward(self, graph: Data) -> Float[Tensor, "N 2"]:
        """x = ξ + ∇ψ at the nodes, in the coordinates of `graph.pos`."""
        moved = graph.pos + self.displacement(graph.xi, self.code(graph), owner(graph))
        return moved if torch.is_grad_enabled() else moved.detach()


def owner(graph: Data) -> Int[Tensor, " N"]:
    """The graph of every node."""
    batch = graph.get("batch")
    return graph.simplex_index.new_zeros(len(graph.pos)) if batch is None else batch
