"""Kernels for GPUs: all of φ on the edges of some nodes, their sums, and the gradient of both.

A program takes some targets after the other and walks the edges between their two pointers, a tile
at a time: edges are sorted by target, so that every sum belongs to one program and is added in one
order. Nothing is atomic; the same input gives the same bits.
"""
# pyright: basic, reportMissingImports=false

import os
from typing import no_type_check  # kernels are compiled, not called

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
@no_type_check
def _act(z, ACT: tl.constexpr):
    if ACT == "relu":
        y = tl.where(z < 0, 0.0, z)
    elif ACT == "tanh":
        y = 2 * tl.sigmoid(2 * z) - 1
    else:
        y = z * tl.sigmoid(z)
    return y


@triton.jit
@no_type_check
def _act_back(g, z, ACT: tl.constexpr):
    if ACT == "relu":
        g = tl.where(z > 0, g, 0.0)
    elif ACT == "tanh":
        y = 2 * tl.sigmoid(2 * z) - 1
        g = g * (1 - y * y)
    else:
        s = tl.sigmoid(z)
        g = g * s * (1 + z * (1 - s))
    return g


@triton.jit
@no_type_check
def _product(x, w, PRECISION: tl.constexpr):
    """x w in the number format of w, added up in float32."""
    x = x.to(w.dtype)
    if INTERPRETED:  # it has no products of bfloat16; those of the same numbers are the same
        x, w = x.to(tl.float32), w.to(tl.float32)
    return tl.dot(x, w, input_precision=PRECISION)


@triton.jit
@no_type_check
def _first(
    e, p, q, source, target, rows, inside, w, b, cols, H: tl.constexpr, PRECISION: tl.constexpr
):
    """e of a tile, its targets, and z = W e + b + p_target + q_source."""
    column = cols[None, :]
    x = tl.load(e + rows.to(tl.int64)[:, None] * H + column, mask=inside[:, None], other=0.0)
    to = tl.load(target + rows, mask=inside, other=-1)
    fro = tl.load(source + rows, mask=inside, other=0)
    z = _product(x, tl.trans(w), PRECISION) + tl.load(b + cols)[None, :]
    z += tl.load(p + to[:, None] * H + column, mask=inside[:, None], other=0.0).to(tl.float32)
    z += tl.load(q + fro[:, None] * H + column, mask=inside[:, None], other=0.0).to(tl.float32)
    return x.to(tl.float32), to, z


@triton.jit
@no_type_check
def _normal(z, eps, H: tl.constexpr):
    """(z − mean) / std of every row, and 1 / std."""
    z = z - (tl.sum(z, axis=1) / H)[:, None]
    scale = tl.rsqrt(tl.sum(z * z, axis=1) / H + eps)
    return z * scale[:, None], scale


@triton.jit
@no_type_check
def _to_nodes(nodes, to, x, PARTS: tl.constexpr):
    """Σ over the rows of x that go to each node, by zeros and ones times its parts of 8 digits."""
    chosen = (nodes[:, None] == to[None, :]).to(tl.float32).to(tl.bfloat16)
    part = x.to(tl.bfloat16)
    added = _product(chosen, part, "tf32")
    for _ in tl.static_range(PARTS - 1):
        x = x - part.to(tl.float32)
        part = x.to(tl.bfloat16)
        added += _product(chosen, part, "tf32")
    return added


@triton.jit
@no_type_check
def _add_rows(place, x):
    """The sum of the rows to what this program has at that place: registers are short."""
    tl.store(place, tl.load(place) + tl.sum(x, axis=0))


@triton.jit
@no_type_check
def _incoming(
    g_out, place, mask, g_total, to, cols, H: tl.constexpr, OUT: tl.constexpr, TOTAL: tl.constexpr
):
    """The gradient of the messages of a tile, from themselves and from their sums."""
    g = tl.zeros(place.shape, tl.float32)
    if OUT:
        g += tl.load(g_out + place, mask=mask, other=0.0).to(tl.float32)
    if TOTAL:
        near = tl.load(g_total + to[:, None] * H + cols[None, :], mask=mask, other=0.0)
        g += near.to(tl.float32)
    return g


@triton.jit
@no_type_check
def edge_forward(
    e, p, q, source, target, pointer, w0, b0, w1, b1, w2, b2, gamma, beta,
    out, total, num_nodes, eps,
    H: tl.constexpr, NODES: tl.constexpr, EDGES: tl.constexpr, LAYERS: tl.constexpr,
    ACT: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr, STATES: tl.constexpr,
    PRECISION: tl.constexpr, PARTS: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """out = m or e + m (over e, if it is the same tensor), total = Σ m or Σ (e + m)."""
    cols = tl.arange(0, H)
    square = cols[:, None] * H + cols[None, :]
    if KEEP:
        first = tl.load(w0 + square)
        second = tl.load(w1 + square)
    for start in range(tl.program_id(0) * NODES, num_nodes, tl.num_programs(0) * NODES):
        nodes = start + tl.arange(0, NODES)
        stop = tl.load(pointer + tl.minimum(start + NODES, num_nodes))
        added = tl.zeros([NODES, H], tl.float32)
        for begin in range(tl.load(pointer + start), stop, EDGES):
            rows = begin + tl.arange(0, EDGES)
            inside = rows < stop
            if not KEEP:
                first = tl.load(w0 + square)
            x, to, z = _first(e, p, q, source, target, rows, inside, first, b0, cols, H, PRECISION)
            if not KEEP:
                second = tl.load(w1 + square)
            z = _product(_act(z, ACT), tl.trans(second), PRECISION) + tl.load(b1 + cols)[None, :]
            if LAYERS == 2:
                third = tl.load(w2 + square)
                z = _product(_act(z, ACT), tl.trans(third), PRECISION) + tl.load(b2 + cols)[None, :]
            if NORM:
                z, _ = _normal(z, eps, H)
                z = z * tl.load(gamma + cols)[None, :] + tl.load(beta + cols)[None, :]
            state = x + z if RESIDUAL else z
            place = rows.to(tl.int64)[:, None] * H + cols[None, :]
            tl.store(out + place, state, mask=inside[:, None])
            added += _to_nodes(nodes, to, state if STATES else z, PARTS)
        place = nodes.to(tl.int64)[:, None] * H + cols[None, :]
        tl.store(total + place, added, mask=(nodes < num_nodes)[:, None])


@triton.jit
@no_type_check
def edge_backward(
    e, p, q, source, target, pointer, w0, b0, w1, b1, w2, b2, gamma,
    g_out, g_total, g_e, g_p, x1, x2, g0, g1, g2, sums, num_nodes, eps,
    H: tl.constexpr, NODES: tl.constexpr, EDGES: tl.constexpr, LAYERS: tl.constexpr,
    ACT: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr, STATES: tl.constexpr,
    PRECISION: tl.constexpr, PARTS: tl.constexpr, KEEP: tl.constexpr,
    HAS_OUT: tl.constexpr, HAS_TOTAL: tl.constexpr,
):  # fmt: skip
    """Gradients of e and p; x and g of every layer, whose products are those of its weights.

    Activations are computed again. `sums` [programs, 5, H] receives what each program has of the
    gradients of the three biases, of γ and of β.
    """
    cols = tl.arange(0, H)
    square = cols[:, None] * H + cols[None, :]
    if KEEP:
        first = tl.load(w0 + square)
        second = tl.load(w1 + square)
    sums += tl.program_id(0) * 5 * H + cols
    for start in range(tl.program_id(0) * NODES, num_nodes, tl.num_programs(0) * NODES):
        nodes = start + tl.arange(0, NODES)
        stop = tl.load(pointer + tl.minimum(start + NODES, num_nodes))
        added = tl.zeros([NODES, H], tl.float32)
        for begin in range(tl.load(pointer + start), stop, EDGES):
            rows = begin + tl.arange(0, EDGES)
            inside = rows < stop
            place = rows.to(tl.int64)[:, None] * H + cols[None, :]
            mask = inside[:, None]
            if not KEEP:
                first = tl.load(w0 + square)
            _, to, z0 = _first(e, p, q, source, target, rows, inside, first, b0, cols, H, PRECISION)
            y = _act(z0, ACT)
            tl.store(x1 + place, y, mask=mask)
            if not KEEP:
                second = tl.load(w1 + square)
            z1 = _product(y, tl.trans(second), PRECISION) + tl.load(b1 + cols)[None, :]
            z = z1
            if LAYERS == 2:
                third = tl.load(w2 + square)
                y = _act(z1, ACT)
                tl.store(x2 + place, y, mask=mask)
                z = _product(y, tl.trans(third), PRECISION) + tl.load(b2 + cols)[None, :]
            g = _incoming(g_out, place, mask, g_total, to, cols, H, HAS_OUT, HAS_TOTAL)
            if NORM:
                z, scale = _normal(z, eps, H)
                _add_rows(sums + 3 * H, g * z)
                _add_rows(sums + 4 * H, g)
                g = g * tl.load(gamma + cols)[None, :]
                part = tl.sum(g * z, axis=1) / H
                g = (g - (tl.sum(g, axis=1) / H)[:, None] - z * part[:, None]) * scale[:, None]
            if LAYERS == 2:
                tl.store(g2 + place, g, mask=mask)
                _add_rows(sums + 2 * H, g)
                g = _act_back(_product(g, third, PRECISION), z1, ACT)
            tl.store(g1 + place, g, mask=mask)
            _add_rows(sums + H, g)
            if not KEEP:
                second = tl.load(w1 + square)
            g = _act_back(_product(g, second, PRECISION), z0, ACT)
            tl.store(g0 + place, g, mask=mask)
            _add_rows(sums, g)
            added += _to_nodes(nodes, to, g, PARTS)
            if not KEEP:
                first = tl.load(w0 + square)
            g = _product(g, first, PRECISION)
            if RESIDUAL:  # loaded again: registers are short
                g += _incoming(
                    g_out, place, mask, g_total, to, cols, H, HAS_OUT, STATES and HAS_TOTAL
                )
            tl.store(g_e + place, g, mask=mask)
            tl.debug_barrier()  # before the next tile adds to the same sums
        place = nodes.to(tl.int64)[:, None] * H + cols[None, :]
        tl.store(g_p + place, added, mask=(nodes < num_nodes)[:, None])


@triton.jit
@no_type_check
def rows_to_nodes(x, order, pointer, total, H: tl.constexpr, ROWS: tl.constexpr):
    """total_i = Σ of the rows x[order[k]] for k between two pointers; a program a node."""
    node = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, H)
    stop = tl.load(pointer + node + 1)
    added = tl.zeros([H], tl.float32)
    for begin in range(tl.load(pointer + node), stop, ROWS):
        places = begin + tl.arange(0, ROWS)
        inside = places < stop
        rows = tl.load(order + places, mask=inside, other=0)
        tile = tl.load(x + rows[:, None] * H + cols[None, :], mask=inside[:, None], other=0.0)
        added += tl.sum(tile.to(tl.float32), axis=0)
    tl.store(total + node * H + cols, added)
