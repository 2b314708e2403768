"""Gradients and Hessians of second order from nodal values: least-squares fits over patches."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

# A patch is enough when the least eigenvalue of its scaled normal matrix is above this: smaller
# patches resolve more, but a fit that hangs on one node amplifies noise.
_SOUND = 1e-3
_RINGS = 5


def quadratic_fit(
    u: Float[Tensor, "N C"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]
) -> tuple[Float[Tensor, "N C d"], Float[Tensor, "N C d d"]]:
    """min over g, H of Σ_j |u_i + g·ξ_j + ½ ξ_jᵀ H ξ_j - u_j|² / |ξ_j|², ξ_j = x_j - x_i.

    One fit per node over its neighbours j, with further rings of neighbours where these do not
    determine a quadratic (boundaries, corners). Hence exact for quadratic u at every node, the
    boundary included, on any mesh; g is second order, H first order. In components with too few
    nodes for a quadratic g is exact for linear u and H is damped. Batch-safe: no patch leaves a
    component. Differentiable in `u` and `pos`. For full-dimensional simplices (n = d + 1).

    Args:
        u: [N, C] nodal values.
        pos: x [N, d] node positions.
        simplices: [S, n].

    Returns:
        g = ∇u [N, C, d] and H = ∇²u [N, C, d, d] at the nodes; 0 at nodes of no simplex.

    Raises:
        ValueError: surfaces or curves in space, whose normal derivative no patch determines; nodes
            of a cell that coincide.

    Source: Zhang & Naga, SIAM J. Sci. Comput. 26 (2005) 1192-1213 (polynomial preserving recovery),
    here with the nodal value kept and the patches chosen by their conditioning.
    """
    nodes, d = pos.shape
    if simplices.shape[1] != d + 1:
        raise ValueError(
            f"quadratic_fit: expected simplices with d + 1 = {d + 1} corners in {d} dimensions, "
            f"got {simplices.shape[1]}; use recovered_gradient on surfaces and curves in space"
        )
    ring = _ring(simplices, nodes)
    unknowns = d + d * (d + 1) // 2
    fit, pairs = u.new_zeros(nodes, unknowns, u.shape[1]), ring
    for depth in range(_RINGS):
        if not pairs.shape[1]:
            break
        active, normal, right, size = _normal_equations(u, pos, pairs)
        sound = torch.linalg.eigvalsh(normal.detach())[:, 0] > _SOUND
        if depth == _RINGS - 1:
            faint = _SOUND * ~sound[:, None]
            curved = (torch.arange(unknowns, device=pos.device) >= d).to(pos.dtype)
            normal, sound = normal + torch.diag_embed(faint * curved), torch.ones_like(sound)
        power = torch.tensor([1] * d + [2] * (unknowns - d), device=pos.device)
        solution = torch.linalg.solve(normal[sound], right[sound])
        solution = solution / (size[sound, None] ** power)[:, :, None]
        fit = fit.index_copy(0, active[sound], solution)
        weak = torch.zeros(nodes, dtype=torch.bool, device=pos.device)
        weak[active[~sound]] = True
        pairs = _grown(pairs[:, weak[pairs[0]]], ring, nodes)
    rows, columns = torch.triu_indices(d, d, device=pos.device)
    hessian = fit.new_zeros(nodes, u.shape[1], d, d)
    hessian[..., rows, columns] = fit[:, d:].transpose(1, 2)
    hessian[..., columns, rows] = fit[:, d:].transpose(1, 2)
    return fit[:, :d].transpose(1, 2), hessian


def _normal_equations(
    u: Float[Tensor, "N C"], pos: Float[Tensor, "N d"], pairs: Int[Tensor, "2 P"]
) -> tuple[Int[Tensor, " A"], Float[Tensor, "A m m"], Float[Tensor, "A m C"], Float[Tensor, " A"]]:
    """Centre nodes of the patches, their scaled normal matrices, right sides and sizes."""
    active, local, count = torch.unique(pairs[0], return_inverse=True, return_counts=True)
    step = pos[pairs[1]] - pos[pairs[0]]
    square = (step**2).sum(dim=1)
    same = torch.nonzero(square == 0)[:, 0]
    if len(same):
        first, second = pairs[:, same[0]].tolist()
        raise ValueError(
            f"quadratic_fit: {len(same) // 2} pairs of neighbours coincide, nodes {first} and "
            f"{second} first; cells there are degenerate, see Mesh.check()"
        )
    size = (square.new_zeros(len(active)).index_add(0, local, square) / count).sqrt()
    xi = step / size[local, None]
    rows, columns = torch.triu_indices(pos.shape[1], pos.shape[1], device=pos.device)
    half = torch.where(rows == columns, 0.5, 1.0).to(pos.dtype)
    weight = 1 / (xi.norm(dim=1) * count[local].sqrt())[:, None]
    basis = torch.cat([xi, xi[:, rows] * xi[:, columns] * half], dim=1) * weight
    difference = (u[pairs[1]] - u[pairs[0]]) * weight

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(len(active), values.shape[1]).index_add(0, local, values)

    # column by column: the products of all pairs at once would be the largest array by far
    normal = torch.stack([summed(basis * column[:, None]) for column in basis.unbind(1)], dim=2)
    right = torch.stack([summed(difference * column[:, None]) for column in basis.unbind(1)], dim=1)
    return active, normal, right, size


def _ring(simplices: Int[Tensor, "S n"], nodes: int) -> Int[Tensor, "2 P"]:
    """(node, neighbour) over the sides of the simplices, both ways, sorted."""
    shape = (*simplices.shape, simplices.shape[1])
    keys = simplices[:, :, None].expand(shape) * nodes + simplices[:, None, :].expand(shape)
    keys = torch.unique(keys)
    keys = keys[keys // nodes != keys % nodes]
    return torch.stack([keys // nodes, keys % nodes])


def _grown(pairs: Int[Tensor, "2 P"], ring: Int[Tensor, "2 R"], nodes: int) -> Int[Tensor, "2 G"]:
    """The pairs (node, member of its patch) with all neighbours of the members added."""
    bounds = torch.arange(nodes + 1, device=ring.device)
    start = torch.searchsorted(ring[0].contiguous(), bounds)
    count = (start[1:] - start[:-1])[pairs[1]]
    place = torch.arange(int(count.sum()), device=ring.device)
    place = place + (start[pairs[1]] - count.cumsum(0) + count).repeat_interleave(count)
    keys = pairs[0].repeat_interleave(count) * nodes + ring[1][place]
    keys = torch.unique(torch.cat([keys, pairs[0] * nodes + pairs[1]]))
    keys = keys[keys // nodes != keys % nodes]
    return torch.stack([keys // nodes, keys % nodes])
