"""The linear system of a stage: assembled on edges, solved by conjugate gradients."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

_RIDGE = 1e-4


class Layout:
    """Which edge every pair of corners of a simplex adds to, and which graph a node is of.

    Args:
        simplices: [S, n].
        graph: with `coarse_space`; may be a batch.
    """

    def __init__(self, simplices: Int[Tensor, "S n"], graph: Data) -> None:
        self.nodes, n = len(graph.pos), simplices.shape[1]
        pairs = simplices[:, :, None] * self.nodes + simplices[:, None, :]
        off = ~torch.eye(n, dtype=torch.bool, device=simplices.device)
        keys, self.place = torch.unique(pairs[:, off].reshape(-1), return_inverse=True)
        self.off, self.simplices = off, simplices
        self.target, self.source = keys // self.nodes, keys % self.nodes
        batch = graph.get("batch")
        self.batch = torch.zeros_like(graph.coarse_slot[:, 0]) if batch is None else batch
        self.graphs, self.size = len(graph.coarse_size), int(graph.coarse_size.max())
        self.slot, self.weight = graph.coarse_slot, graph.coarse_weight

    def sums(self, v: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
        """Σ over the nodes of every graph."""
        return v.new_zeros(self.graphs).index_add(0, self.batch, v)


class System:
    """H = Σ_s local_s on the allowed motions T v, with its preconditioner.

    P = T D⁻¹ T + T W (Wᵀ T H T W)⁻¹ Wᵀ T: blocks on the diagonal, and a coarse space W ⊗ I.

    Args:
        local: [S, n, n, d, d] symmetric positive blocks of the corners of each simplex.
        tangents: T [N, d, d].
        layout: of the graph.
    """

    def __init__(
        self,
        local: Float[Tensor, "S n n d d"],
        tangents: Float[Tensor, "N d d"],
        layout: Layout,
    ) -> None:
        self.t, self.layout = tangents, layout
        d = tangents.shape[1]
        edge = local[:, layout.off].flatten(0, 1)
        edge = edge.new_zeros(len(layout.target), d, d).index_add(0, layout.place, edge)
        own = local.diagonal(dim1=1, dim2=2).movedim(-1, 1).flatten(0, 1)
        own = own.new_zeros(layout.nodes, d, d).index_add(0, layout.simplices.reshape(-1), own)
        self.edge = tangents[layout.target] @ edge @ tangents[layout.source]
        self.own = tangents @ own @ tangents
        eye = torch.eye(d, dtype=local.dtype, device=local.device)
        trace = own.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None] / d
        blocked = (1 + _RIDGE) * self.own + trace * (eye - tangents)
        self.inverse = tangents @ torch.linalg.inv(blocked) @ tangents
        self.factor = self._coarse()

    def _coarse(self) -> Float[Tensor, "B Q Q"]:
        """The Cholesky factor of Wᵀ H W of every graph; of I where no node may move.

        Raises:
            ValueError: a matrix that is not positive definite, such as of weights that are NaN.
        """
        layout, d = self.layout, self.t.shape[1]
        rows = torch.cat([layout.target, torch.arange(layout.nodes, device=self.t.device)])
        columns = torch.cat([layout.source, rows[len(layout.target) :]])
        blocks, q = torch.cat([self.edge, self.own]), layout.size
        pair = layout.slot[rows][:, :, None] * q + layout.slot[columns][:, None, :]
        pair = pair + (layout.batch[rows] * q * q)[:, None, None]
        weight = layout.weight[rows][:, :, None] * layout.weight[columns][:, None, :]
        values = weight[..., None, None] * blocks[:, None, None]
        matrix = values.new_zeros(layout.graphs * q * q, d, d)
        matrix = matrix.index_add(0, pair.reshape(-1), values.reshape(-1, d, d))
        matrix = matrix.view(layout.graphs, q, q, d, d).transpose(2, 3).flatten(3).flatten(1, 2)
        diagonal = matrix.view(layout.graphs, q * d, q * d).diagonal(dim1=1, dim2=2)
        level = diagonal.amax(dim=1, keepdim=True)
        level = torch.where(level == 0, 1.0, level)
        ridge = _RIDGE * diagonal + 1e-6 * level + level * (diagonal <= 1e-6 * level)
        matrix = matrix.view(layout.graphs, q * d, q * d)
        factor, failed = torch.linalg.cholesky_ex(matrix + torch.diag_embed(ridge))
        if failed.any():
            raise ValueError(
                "DMM: a step has no positive definite system in graphs "
                f"{torch.nonzero(failed)[:, 0].tolist()} of the batch; weights of the model or the "
                f"monitor are NaN or beyond {matrix.dtype}: load other weights, train with a lower "
                "lr, or take a larger scale of the monitor"
            )
        return factor

    def apply(self, v: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
        """T H T v."""
        layout = self.layout
        flow = (self.edge @ v[layout.source][..., None])[..., 0]
        return (self.own @ v[..., None])[..., 0].index_add(0, layout.target, flow)

    def precondition(self, r: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
        """P r."""
        layout, d = self.layout, r.shape[1]
        slots = layout.slot + (layout.batch * layout.size)[:, None]
        spread = (layout.weight[..., None] * r[:, None]).reshape(-1, d)
        coarse = r.new_zeros(layout.graphs * layout.size, d)
        coarse = coarse.index_add(0, slots.reshape(-1), spread)
        y = torch.cholesky_solve(coarse.view(layout.graphs, -1, 1), self.factor).view(-1, d)
        y = (layout.weight[..., None] * y[slots]).sum(dim=1)
        return ((self.inverse @ r[..., None]) + self.t @ y[..., None])[..., 0]

    def solve(self, b: Float[Tensor, "N d"], steps: int) -> Float[Tensor, "N d"]:
        """So many steps of preconditioned conjugate gradients for T H T v = T b."""
        return conjugate_gradients(
            self.apply,
            self.precondition,
            (self.t @ b[..., None])[..., 0],
            steps,
            lambda v, w: self.layout.sums((v * w).sum(dim=1))[self.layout.batch][:, None],
        )


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    steps: int,
    dot: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """A fixed number of steps from 0; differentiable. 0 for b = 0."""
    x, r = torch.zeros_like(b), b
    z = precondition(r)
    p, rz = z, dot(r, z)
    for step in range(steps):
        image = apply(p)
        rate = _ratio(rz, dot(p, image))
        x = x + rate * p
        if step + 1 == steps:
            break
        r = r - rate * image
        z = precondition(r)
        new = dot(r, z)
        p, rz = z + _ratio(new, rz) * p, new
    return x


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, 0 where b is 0."""
    there = b.abs() > torch.finfo(b.dtype).tiny
    return torch.where(there, a / torch.where(there, b, 1.0), 0.0)
