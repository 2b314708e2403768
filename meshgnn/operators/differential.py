"""Gradient, mass and stiffness of P1 elements on simplices."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def hat_gradients(
    pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]
) -> tuple[Float[Tensor, "S n d"], Float[Tensor, " S"]]:
    """∇φ_i and |s|: constant gradients of the hat functions of each simplex, and its measure.

    With the sides s_i = x_i - x_0 the ∇φ_i (i ≥ 1) are their dual basis, ∇φ_i · s_j = δ_ij within
    the span of the sides, and ∇φ_0 = -Σ ∇φ_i. So segments and triangles in a space of more
    dimensions work as well, with the tangential gradient. Degenerate simplices give infinities.

    Args:
        pos: x [N, d] node positions, d = 1, 2, 3; any length unit L.
        simplices: [S, n] nodes of the segments (n = 2), triangles (3) or tetrahedra (4).

    Returns:
        ∇φ [S, n, d] in 1/L, and the measure [S] in L^(n-1): signed where n - 1 = d, else positive.

    Raises:
        ValueError: simplices that do not have 2 to 4 corners, or more than fit into d dimensions.
    """
    corners, d = simplices.shape[1], pos.shape[1]
    if not (2 <= corners <= d + 1 <= 4):
        raise ValueError(
            f"P1 operators: expected simplices of 2 to d + 1 corners in d = 1, 2, 3 dimensions, "
            f"got {corners} corners in {d}; pass the simplices [S, dim + 1] of the mesh"
        )
    sides = torch.nn.functional.pad(pos[simplices[:, 1:]] - pos[simplices[:, :1]], (0, 3 - d))
    # cross products in 3D serve every case and, unlike the Gram matrix, keep slivers accurate
    if corners == 2:
        square = (sides**2).sum(dim=2, keepdim=True)
        dual = sides / square
        volume = sides[:, 0, 0] if d == 1 else square[:, 0, 0].sqrt()
    elif corners == 3:
        a, b = sides.unbind(dim=1)
        normal = torch.linalg.cross(a, b)
        square = (normal**2).sum(dim=1)
        dual = torch.stack([torch.linalg.cross(b, normal), torch.linalg.cross(normal, a)], dim=1)
        dual = dual / square[:, None, None]
        volume = (normal[:, 2] if d == 2 else square.sqrt()) / 2
    else:
        a, b, c = sides.unbind(dim=1)
        dual = torch.stack([torch.linalg.cross(*p) for p in ((b, c), (c, a), (a, b))], dim=1)
        volume = (a * dual[:, 0]).sum(dim=1)
        dual, volume = dual / volume[:, None, None], volume / 6
    dual = dual[..., :d]
    return torch.cat([-dual.sum(dim=1, keepdim=True), dual], dim=1), volume


def gradient(
    u: Float[Tensor, "N C"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]
) -> Float[Tensor, "S C d"]:
    """(∇u_c)_s = Σ_i u_c(x_i) ∇φ_i, constant on each simplex; exact for linear u.

    Args:
        u: [N, C] nodal values.
        pos: x [N, d] node positions.
        simplices: [S, n].
    """
    hats, _ = hat_gradients(pos, simplices)
    return torch.einsum("snc,snd->scd", u[simplices], hats)


def lumped_mass(pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]) -> Float[Tensor, " N"]:
    """m_i = ∫ φ_i = Σ_{s ∋ i} |s| / n: the row sums of the mass matrix; Σ_i m_i is the volume."""
    share = hat_gradients(pos, simplices)[1].abs() / simplices.shape[1]
    return _to_nodes(share[:, None].expand(simplices.shape), simplices, len(pos))


def recovered_gradient(
    u: Float[Tensor, "N C"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]
) -> Float[Tensor, "N C d"]:
    """G u(x_i) = Σ_{s ∋ i} |s| (∇u)_s / Σ_{s ∋ i} |s|, the lumped L2 projection of ∇u to the nodes.

    Exact for linear u; second order inside meshes that are locally symmetric, first order at the
    boundary. `quadratic_fit` is second order everywhere and costs more. 0 at nodes of no simplex.

    Source: Zienkiewicz & Zhu, Int. J. Numer. Meth. Eng. 24 (1987) 337-357, eq. (11), lumped.
    """
    hats, volume = hat_gradients(pos, simplices)
    volume = volume.abs()
    slope = torch.einsum("snc,snd->scd", u[simplices], hats) * volume[:, None, None]
    total = _to_nodes(
        slope[:, None].expand(*simplices.shape, *slope.shape[1:]), simplices, len(pos)
    )
    weight = _to_nodes(volume[:, None].expand(simplices.shape), simplices, len(pos))
    return total / torch.where(weight > 0, weight, 1.0)[:, None, None]


def stiffness(
    u: Float[Tensor, "N C"],
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "S n"],
    diffusivity: Float[Tensor, " S"] | None = None,
) -> Float[Tensor, "N C"]:
    """(A u)_i = Σ_s k_s |s| ∇φ_i · (∇u)_s = ∫ k ∇φ_i · ∇u, without forming A.

    Args:
        u: [N, C] nodal values.
        pos: x [N, d] node positions.
        simplices: [S, n].
        diffusivity: k [S] per simplex; 1 where it is not given.
    """
    hats, volume = hat_gradients(pos, simplices)
    weight = volume.abs() if diffusivity is None else volume.abs() * diffusivity
    flux = torch.einsum("s,snc,snd->scd", weight, u[simplices], hats)
    return _to_nodes(torch.einsum("snd,scd->snc", hats, flux), simplices, len(pos))


def stiffness_weights(
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "S n"],
    diffusivity: Float[Tensor, " S"] | None = None,
) -> tuple[Int[Tensor, "2 E"], Float[Tensor, " E"]]:
    """w_ij = -∫ k ∇φ_i · ∇φ_j on the edges, so that (A u)_i = Σ_j w_ij (u_i - u_j).

    For triangles these are the cotangent weights (cot α + cot β) / 2. Positive on Delaunay meshes.

    Returns:
        edge_index [2, E]: both directions of every side of a simplex, row 0 = j, row 1 = i, sorted
        by i, then j; and w [E]. A split quadrilateral has its diagonal among them, with weight.
    """
    hats, volume = hat_gradients(pos, simplices)
    weight = volume.abs() if diffusivity is None else volume.abs() * diffusivity
    local = -torch.einsum("s,sid,sjd->sij", weight, hats, hats)
    return pair_sums(local, simplices, len(pos))


def pair_sums(
    local: Float[Tensor, "S n n *C"], simplices: Int[Tensor, "S n"], nodes: int
) -> tuple[Int[Tensor, "2 E"], Float[Tensor, " E *C"]]:
    """Σ_s l_s,ij over the simplices of every pair of different nodes: how a matrix is assembled.

    Args:
        local: [S, n, n] or [S, n, n, C, C] one value or block for each pair of corners i, j.
        simplices: [S, n].
        nodes: N.

    Returns:
        edge_index [2, E], row 0 = j, row 1 = i, sorted by i, then j; and the sums [E] or [E, C, C].
    """
    off = ~torch.eye(simplices.shape[1], dtype=torch.bool, device=local.device)
    keys = (simplices[:, :, None] * nodes + simplices[:, None, :])[:, off].reshape(-1)
    keys, place = torch.unique(keys, return_inverse=True)
    values = local[:, off].flatten(0, 1)
    sums = values.new_zeros(len(keys), *values.shape[1:]).index_add(0, place, values)
    return torch.stack([keys % nodes, keys // nodes]), sums


def stiffness_matrix(
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "S n"],
    diffusivity: Float[Tensor, " S"] | None = None,
) -> Float[Tensor, "N N"]:
    """A_ij = ∫ k ∇φ_i · ∇φ_j as a sparse (COO, coalesced) matrix; its rows sum to zero.

    Symmetric, without any boundary condition. Block diagonal over a disjoint union of meshes.
    """
    (source, target), weight = stiffness_weights(pos, simplices, diffusivity)
    nodes = torch.arange(len(pos), device=pos.device)
    diagonal = weight.new_zeros(len(pos)).index_add(0, target, weight)
    rows, columns = torch.cat([target, nodes]), torch.cat([source, nodes])
    values = torch.cat([-weight, diagonal])
    shape = (len(pos), len(pos))
    matrix = torch.sparse_coo_tensor(
        torch.stack([rows, columns]), values, shape, check_invariants=False
    )
    return matrix.coalesce()


def _to_nodes(
    values: Float[Tensor, "S n *C"], simplices: Int[Tensor, "S n"], nodes: int
) -> Float[Tensor, " N *C"]:
    """Sum of the values of all simplex corners at each node."""
    sums = values.new_zeros(nodes, *values.shape[2:])
    return sums.index_add(0, simplices.reshape(-1), values.reshape(-1, *values.shape[2:]))
