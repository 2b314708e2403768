"""How the preset "paper" is trained: Adam on collocation points, then the last layer alone."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data

from meshgnn.models.dmm.paper import owner
from meshgnn.operators import interpolate, track

_POINTS, _SIDE = 120, 30
_WEIGHTS = (1.0, 1000.0, 1.0)


def collocation_loss(model: Any, graph: Data) -> Float[Tensor, ""]:
    """L = ⟨(m(x) det(I + H ψ) / ⟨m⟩ − 1)²⟩ + 1000 ⟨(∂ψ/∂n)²⟩ + ⟨Σ_a min(0, 1 + ψ_aa)²⟩.

    The first and the last at 120 nodes of each mesh, drawn with probability ∝ m · lumped mass; the
    middle one at 30 points on each side. m is that of physical coordinates at x(ξ) = ξ + ∇ψ. (The
    published code takes the gradient of u in computational coordinates: another equation.)
    """
    nodes = drawn_nodes(model, graph)
    which, code = owner(graph)[nodes], model.net.code(graph)
    xi = graph.xi[nodes].requires_grad_()
    step = model.net.displacement(xi, code, which)
    rows = [torch.autograd.grad(s.sum(), xi, create_graph=True)[0] for s in step.unbind(dim=1)]
    sides, normals, side_of = side_points(graph)
    flux = (model.net.displacement(sides, code, side_of) * normals).sum(dim=1)
    return _combined(graph, nodes, step, torch.stack(rows, dim=1), flux)


def drawn_nodes(model: Any, graph: Data) -> Int[Tensor, " P"]:
    """120 nodes of each mesh; puts m into `graph.density`."""
    if graph.get("density") is None:
        graph.density = model.density(graph)
    chance, which = graph.density * graph.mass, owner(graph)
    graphs = range(len(graph.theta))
    return torch.cat([torch.multinomial(chance * (which == k), _POINTS, True) for k in graphs])


def side_points(graph: Data) -> tuple[Tensor, Tensor, Tensor]:
    """ξ, outward normals and graphs of 30 points on each side of each unit square."""
    graphs = len(graph.theta)
    line = torch.linspace(0, 1, _SIDE, device=graph.pos.device, dtype=graph.pos.dtype)
    zero, one = torch.zeros_like(line), torch.ones_like(line)
    pairs = ((zero, line), (one, line), (line, zero), (line, one))
    points = torch.cat([torch.stack(pair, dim=1) for pair in pairs])
    axis = torch.tensor([[-1.0, 0], [1, 0], [0, -1], [0, 1]], device=line.device, dtype=line.dtype)
    normals = axis.repeat_interleave(_SIDE, dim=0)
    which = torch.arange(graphs, device=line.device).repeat_interleave(len(points))
    return points.repeat(graphs, 1), normals.repeat(graphs, 1), which


def _combined(
    graph: Data,
    nodes: Int[Tensor, " P"],
    step: Float[Tensor, "P 2"],
    hessian: Float[Tensor, "P 2 2"],
    flux: Float[Tensor, " Q"],
) -> Float[Tensor, ""]:
    """The three terms from ∇ψ and Hψ at the nodes and ∂ψ/∂n at the points of the sides."""
    which = owner(graph)
    zero = graph.mass.new_zeros(len(graph.theta))
    mean = zero.index_add(0, which, graph.density * graph.mass) / zero.index_add(
        0, which, graph.mass
    )
    m = _density_at(graph, nodes, graph.pos[nodes] + step) / mean[which[nodes]]
    diagonal = 1 + hessian.diagonal(dim1=1, dim2=2)
    det = diagonal.prod(dim=1) - hessian[:, 0, 1] * hessian[:, 1, 0]
    terms = (
        ((m * det - 1) ** 2).mean(),
        (flux**2).mean(),
        (diagonal.clamp(max=0) ** 2).sum(dim=1).mean(),
    )
    return sum((w * term for w, term in zip(_WEIGHTS, terms, strict=True)), det.new_zeros(()))


def _density_at(
    graph: Data, nodes: Int[Tensor, " P"], x: Float[Tensor, "P 2"]
) -> Float[Tensor, " P"]:
    """m(x) of P1 at the places where the given nodes have moved, a node as often as it is drawn."""
    places, back = nodes.unique(return_inverse=True)
    first = torch.zeros_like(places).scatter(0, back, torch.arange(len(nodes), device=x.device))
    simplices = graph.simplex_index.t().contiguous()
    points = graph.pos.index_copy(0, places, x[first])
    found = track(points, graph.pos, simplices, graph.cell_steps, owner(graph))
    return interpolate(graph.density[:, None], simplices, found)[nodes, 0]


def fit_last_layer(model: Any, graphs: Sequence[Data], steps: int = 100, seed: int = 0) -> float:
    """Quasi-Newton (L-BFGS, strong Wolfe) on the weights of the last layer; the loss at the end.

    ψ is linear in them, so ∇ and H of the features at the points are computed once, and a step
    costs two small products.

    Args:
        model: a `DMM` of the preset "paper", trained before.
        graphs: transformed graphs of the fields to fit on.
        steps: at most so many.
        seed: of the choice of points.
    """
    graph = Batch.from_data_list(list(graphs))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nodes = drawn_nodes(model, graph)
    with torch.no_grad():
        code = model.net.code(graph)
    sides, normals, side_of = side_points(graph)
    slopes, curls = _derivatives(model.net, graph.xi[nodes], code, owner(graph)[nodes])
    side_slopes, _ = _derivatives(model.net, sides, code, side_of)
    fluxes = torch.einsum("pha,pa->ph", side_slopes, normals)
    weight = model.net.head[2].weight
    optimizer = torch.optim.LBFGS([weight], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        w = weight[0]
        step, hessian = torch.einsum("pha,h->pa", slopes, w), torch.einsum("phab,h->pab", curls, w)
        loss = _combined(graph, nodes, step, hessian, fluxes @ w)
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    weight.grad = None
    with torch.enable_grad():
        return float(closure().detach())


def _derivatives(net: Any, xi: Tensor, code: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """The first and second derivatives of the features [P, H, 2], [P, H, 2, 2], by hand.

    φ = tanh(z), z = c + W tanh(A ξ + a): ∇φ = φ' ∇z, Hφ = φ' Hz + φ'' ∇z ∇zᵀ.
    """
    with torch.no_grad():
        inner, outer = net.trunk[0], net.trunk[2]
        across = net.head[0].weight[:, -outer.out_features :] @ outer.weight
        t = torch.tanh(inner(xi))
        first = (1 - t**2)[:, :, None] * inner.weight
        second = (-2 * t * (1 - t**2))[:, :, None, None] * (
            inner.weight[:, :, None] * inner.weight[:, None]
        )
        slope = torch.einsum("hk,pka->pha", across, first)
        curl = torch.einsum("hk,pkab->phab", across, second)
        phi = net.features(xi, code, which)[:, :, None]
        rate = 1 - phi**2
        bent = rate[..., None] * (curl - 2 * phi[..., None] * slope[..., None] * slope[:, :, None])
        return rate * slope, bent
