"""The fluxes of a block in one walk over its edges, a few at a time, as `edge_walk` does it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.nn.edge_chain import Walk

_PIECE = 1 << 18  # numbers in one tensor of a piece, see `edge_walk`


class Flux(NamedTuple):
    """φ after its first layer, and how many of the first channels are symmetric."""

    walk: Walk
    even: int


def signs(m: Float[Tensor, "P H"], even: int) -> Float[Tensor, " H"]:
    """What turns a message into that of the other end: 1 for symmetric channels, −1 for others."""
    return torch.where(torch.arange(m.shape[1], device=m.device) < even, 1.0, -1.0).to(m.dtype)


def walk_fluxes(
    flux: Flux,
    pairs: Int[Tensor, "2 P"],
    e: Float[Tensor, "P H"],
    p: Float[Tensor, "N H"],
    dx: Float[Tensor, "P d"],
    params: list[Tensor],
) -> tuple[Float[Tensor, "N H"], Float[Tensor, "P H"]]:
    """Σ m at both ends, and e + g; the equations are those of `FluxBlock`.

    Without gradients e + g is written over e. Can be differentiated twice.

    Args:
        flux: what φ does after its first layer, and the form of the messages.
        pairs: both ends of every edge, sorted by the second.
        e: edge states.
        p: P h.
        dx: from the second end to the first.
        params: V, W, b, and weight and bias of each further layer.
    """
    if torch.is_grad_enabled() and any(x.requires_grad for x in (e, p, dx, *params)):
        return _FluxWalk.apply(flux, pairs, e, p, dx, *params)  # type: ignore[return-value]
    return _walk(flux, pairs, [e, p, dx, *params], e, None)


def _walk(
    flux: Flux,
    pairs: Tensor,
    inputs: Sequence[Tensor],
    out: Tensor,
    pieces: list[Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """The walk forward into `out`; fills `pieces` with what the gradient needs of each piece."""
    e, p = inputs[:2]
    total, even = torch.zeros_like(p), flux.even
    for part in _pieces(e):
        kept: list[Tensor] | None = None if pieces is None else []
        o, g = _piece(flux.walk, pairs, part, inputs, kept)
        torch.add(e[part], g, out=out[part])
        if kept is None:
            m = g
            m[:, even:] *= o[:, even:]
        else:
            m = g.clone()
            m[:, even:] *= o[:, even:]
        total.index_add_(0, pairs[1, part], m)
        m[:, even:].neg_()
        total.index_add_(0, pairs[0, part], m)
        if pieces is not None and kept is not None:
            pieces += [o, g, *kept]
    return total, out


class _FluxWalk(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flux: Flux, pairs: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        pieces: list[Tensor] = []
        keep = pieces if flux.walk.keep else None
        results = _walk(flux, pairs, inputs, torch.empty_like(inputs[0]), keep)
        ctx.set_materialize_grads(False)
        ctx.flux, ctx.count = flux, len(inputs)
        ctx.save_for_backward(pairs, *inputs, *pieces)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        g_total, g_out = gradients
        pairs, *saved = ctx.saved_tensors
        inputs, pieces = saved[: ctx.count], saved[ctx.count :]
        if g_total is None and g_out is None:
            return None, None, *(None for _ in inputs)
        if torch.is_grad_enabled():  # the gradient of this gradient is asked for
            return None, None, *_again(ctx.flux, pairs, inputs, [g_total, g_out])
        grads = [torch.zeros_like(x) for x in inputs]
        parts = _pieces(inputs[0])
        size = len(pieces) // max(len(parts), 1)
        for place, part in enumerate(parts):
            kept = list(pieces[place * size :][:size])
            if not kept:
                o, g = _piece(ctx.flux.walk, pairs, part, inputs, kept)
                kept = [o, g, *kept]
            _back(ctx.flux, pairs[:, part], part, inputs, kept, (g_total, g_out), grads)
        return None, None, *grads


def _back(
    flux: Flux,
    pairs: Tensor,
    part: slice,
    inputs: Sequence[Tensor],
    kept: list[Tensor],
    outer: tuple[Tensor | None, Tensor | None],
    grads: list[Tensor],
) -> None:
    """Adds to the gradients what comes from one piece."""
    o, g, *kept = kept
    even, (g_total, g_out) = flux.even, outer
    if g_total is None:
        state = g_out[part]  # type: ignore[index]  # one of them is there
        g_o = torch.zeros_like(state)
    else:
        state = g_total.index_select(0, pairs[0])
        state[:, even:].neg_()
        state += g_total.index_select(0, pairs[1])
        g_o = state * g
        g_o[:, :even] = 0
        state[:, even:] *= o[:, even:]
        state = state if g_out is None else state.add_(g_out[part])
    g_z = flux.walk.backward(state, inputs[6:], kept, grads[6:])
    g_o.addcmul_(g_z, o.sign())
    e, _, dx, vector, weight, _ = inputs[:6]
    torch.mm(g_z, weight, out=grads[0][part])
    if g_out is not None:
        grads[0][part] += g_out[part]
    if dx.requires_grad:
        grads[2][part] = g_o @ vector
    grads[3].addmm_(g_o.t(), dx[part])
    grads[4].addmm_(g_z.t(), e[part])
    grads[5] += g_z.sum(0)
    grads[1].index_add_(0, pairs[0], g_z + g_o)
    grads[1].index_add_(0, pairs[1], g_z.sub_(g_o))


def _pieces(e: Tensor) -> list[slice]:
    rows = max(1, _PIECE // e.shape[1])
    return [slice(start, start + rows) for start in range(0, len(e), rows)]


def _piece(
    walk: Walk, pairs: Tensor, part: slice, inputs: Sequence[Tensor], kept: list[Tensor] | None
) -> tuple[Tensor, Tensor]:
    """o and g of a piece."""
    e, p, dx, vector, weight, bias = inputs[:6]
    first, second = p.index_select(0, pairs[0, part]), p.index_select(0, pairs[1, part])
    z = torch.addmm(bias, e[part], weight.t())
    z += first
    z += second
    o = first.sub_(second).addmm_(dx[part], vector.t())
    torch.abs(o, out=second)
    z += second
    return o, walk.forward(z, inputs[6:], kept)


def _again(
    flux: Flux, pairs: Tensor, inputs: Sequence[Tensor], grads: list[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """The gradients once more from operations that can themselves be differentiated."""
    e, p, dx, vector, weight, bias, *params = inputs
    first, second = p.index_select(0, pairs[0]), p.index_select(0, pairs[1])
    o = first - second + dx @ vector.t()
    z = torch.addmm(bias, e, weight.t()) + (first + second) + o.abs()
    g = flux.walk.differentiable(z, params)
    m = torch.cat([g[:, : flux.even], g[:, flux.even :] * o[:, flux.even :]], dim=1)
    total = torch.zeros_like(p).index_add(0, pairs[1], m)
    total = total.index_add(0, pairs[0], m * signs(m, flux.even))
    results = [(total, grads[0]), (e + g, grads[1])]
    outputs, weights = zip(*((y, g) for y, g in results if g is not None), strict=True)
    wanted = [x for x in inputs if x.requires_grad]
    found = iter(
        torch.autograd.grad(outputs, wanted, weights, create_graph=True, allow_unused=True)
    )
    return tuple(next(found) if x.requires_grad else None for x in inputs)
