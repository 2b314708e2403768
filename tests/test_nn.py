"""The shared core: each piece against its equation."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from meshgnn.nn import (
    GraphRows,
    InteractionBlock,
    KernelIntegral,
    SliceAttention,
    Standardise,
    by_rows,
    edge_vectors,
    edge_walk,
    mlp,
    reductions,
    segment_sum,
    sparse_rows,
)
from meshgnn.nn.reductions import accelerated_sum


def random_edges(nodes: int, edges: int, seed: int = 0) -> torch.Tensor:
    """[2, E], sorted by target."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(nodes, (edges,), generator=generator).sort().values
    return torch.stack([torch.randint(nodes, (edges,), generator=generator), target])


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_the_split_block_equals_the_textbook_block_and_its_gradients(context, reduce):
    torch.manual_seed(0)
    index = random_edges(30, 150)
    fast = InteractionBlock(16, 8, context=context, hidden=2, reduce=reduce).double()
    plain = InteractionBlock(16, 8, context=context, hidden=2, reduce=reduce, split=False).double()
    plain.load_state_dict(fast.state_dict())
    h, e = torch.randn(30, 16).double(), torch.randn(150, 8).double()
    c = torch.randn(30, context).double() if context else None
    results = []
    for block in (fast, plain):
        x = h.clone().requires_grad_()
        out, m = block(x, e, index, c)
        (out.square().sum() + m.sum()).backward()
        results.append([out, m, x.grad, *(p.grad for p in block.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_block_is_its_equation_edge_by_edge():
    """h_i + ψ(h_i, Σ_j φ(h_i, h_j, e_ij)), written as a loop."""
    torch.manual_seed(1)
    index, block = random_edges(6, 11), InteractionBlock(4, 3).double()
    h, e = torch.randn(6, 4).double(), torch.randn(11, 3).double()
    total = torch.zeros(6, 4).double()
    for k, (j, i) in enumerate(index.t().tolist()):
        total[i] += block.rest(block.act(block.first(torch.cat([h[i], h[j], e[k]]))))
    expected = h + block.node(torch.cat([h, total], dim=1))
    torch.testing.assert_close(block(h, e, index)[0], expected)


def test_the_mean_reduction_of_a_node_without_edges_is_zero():
    block = InteractionBlock(4, reduce="mean")
    index = torch.tensor([[1], [0]])
    h = torch.randn(3, 4)
    out, _ = block(h, torch.randn(1, 4), index)
    alone = h + block.node(torch.cat([h, torch.zeros(3, 4)], dim=1))
    torch.testing.assert_close(out[1:], alone[1:])


@pytest.mark.parametrize("split", [True, False])
def test_weights_multiply_messages_where_they_are_gathered(split: bool):
    """h_i + ψ(h_i, mean_j w_ij m_ij); the messages themselves come back without."""
    torch.manual_seed(2)
    index, block = random_edges(6, 11), InteractionBlock(4, 3, reduce="mean", split=split)
    h, e, w = torch.randn(6, 4), torch.randn(11, 3), torch.rand(11)
    plain, m = block(h, e, index)
    out, again = block(h, e, index, weight=w)
    assert torch.equal(again, m) and not torch.equal(out, plain)
    count = torch.bincount(index[1], minlength=6).clamp(min=1)[:, None]
    mean = segment_sum(w[:, None] * m, index[1], 6) / count
    torch.testing.assert_close(out, h + block.node(torch.cat([h, mean], dim=1)))
    torch.testing.assert_close(block(h, e, index, weight=torch.ones(11))[0], plain)


def test_segment_sum_equals_a_loop():
    index, m = random_edges(20, 90)[1], torch.randn(90, 5)
    expected = torch.stack([m[index == i].sum(0) for i in range(20)])
    torch.testing.assert_close(segment_sum(m, index, 20), expected)


def test_a_sparse_product_is_a_segment_sum_of_weighted_sources():
    index, w = random_edges(20, 90), torch.randn(90, 1).double()
    v = torch.randn(20, 5).double().requires_grad_()
    sums = segment_sum(w * v[index[0]], index[1], 20)
    product = sparse_rows(index, w, 20) @ v
    torch.testing.assert_close(product, sums)
    gradients = [torch.autograd.grad(x.square().sum(), v)[0] for x in (sums, product)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_sparse_product_of_blocks_equals_a_dense_product(size):
    """(W v)_ia = Σ_e Σ_b w_e,ab v_jb, with repeated edges, loops, and nodes without any edge."""
    index, w = random_edges(9, 40), torch.randn(40, size**2).double()
    index[1] = (index[1] + 1).clamp(max=7)  # nothing arrives at nodes 0 and 8
    dense = torch.zeros(9, size, 9, size).double()
    for (j, i), block in zip(index.t().tolist(), w.view(-1, size, size), strict=True):
        dense[i, :, j] += block
    v = torch.randn(9 * size, 5).double().requires_grad_()
    products = sparse_rows(index, w, 9) @ v, dense.view(9 * size, -1) @ v
    torch.testing.assert_close(*products)
    torch.testing.assert_close(*(torch.autograd.grad(p.square().sum(), v)[0] for p in products))


def test_torch_scatter_and_native_torch_agree():
    pytest.importorskip("torch_scatter")
    index, m = random_edges(50, 400)[1], torch.randn(400, 8, requires_grad=True)
    results = []
    for total in (accelerated_sum, segment_sum):
        out = total(m, index, 50)
        results += [out, torch.autograd.grad(out.square().sum(), m)[0]]
    torch.testing.assert_close(results[:2], results[2:])


def test_the_accelerator_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setattr(reductions, "segment_csr", None)
    with pytest.raises(ImportError, match="pip install --no-build-isolation torch-scatter"):
        accelerated_sum(torch.zeros(1, 1), torch.zeros(1, dtype=torch.long), 1)


def test_a_kernel_integral_with_a_constant_kernel_is_the_quadrature_of_the_mesh():
    """κ = 1 gives Σ w f over the neighbourhood: here ∫_0^1 x² dx by uneven trapezoids, O(h²)."""
    x = torch.linspace(0, 1, 201).double() ** 1.5
    gaps = x.diff()
    w = torch.zeros(201).double().index_add(0, torch.arange(200), gaps / 2)
    w = w.index_add(0, torch.arange(1, 201), gaps / 2)
    integral = KernelIntegral(1, 1, radius=1.0).double()
    torch.nn.init.zeros_(integral.kernel[-1].weight)
    torch.nn.init.ones_(integral.kernel[-1].bias)
    index = torch.stack([torch.arange(201), torch.zeros(201, dtype=torch.long)])
    out = integral((x**2)[:, None], x[:, None], w, torch.tensor([[0.3]]).double(), index)
    assert out.item() == pytest.approx(1 / 3, abs=1e-4)
    mean = KernelIntegral(1, 1, radius=1.0, normalise=True).double()
    mean.load_state_dict(integral.state_dict())
    constant = mean(torch.full((201, 1), 7.0).double(), x[:, None], w, x[:1, None], index)
    assert constant.item() == pytest.approx(7.0, abs=1e-12)


def test_a_kernel_integral_depends_on_the_query_point():
    torch.manual_seed(0)
    integral = KernelIntegral(2, 1, radius=0.5)
    pos, f, w = torch.rand(5, 2), torch.ones(5, 1), torch.ones(5)
    index = torch.stack([torch.arange(5).repeat(2), torch.arange(2).repeat_interleave(5)])
    out = integral(f, pos, w, torch.tensor([[0.0, 0.0], [1.0, 1.0]]), index)
    assert (out[0] - out[1]).abs().item() > 1e-4


def test_slice_attention_of_a_batch_equals_single_graphs_and_does_not_mix_them():
    torch.manual_seed(0)
    layer = SliceAttention(16, slices=6, heads=2).double()
    parts = [torch.randn(n, 16).double() for n in (7, 3, 12)]
    masses = [torch.rand(len(p)).double() for p in parts]
    batch = torch.repeat_interleave(torch.arange(3), torch.tensor([7, 3, 12]))
    together = layer(torch.cat(parts), torch.cat(masses), GraphRows(batch, 22))
    alone = [layer(p, m, GraphRows(None, len(p))) for p, m in zip(parts, masses, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_slice_attention_sees_mass_and_not_the_number_of_nodes():
    """A node split into two halves of its mass changes nothing: the gather is a quadrature."""
    torch.manual_seed(0)
    layer = SliceAttention(8, slices=4, heads=2).double()
    h, mass = torch.randn(5, 8).double(), torch.rand(5).double()
    split = torch.tensor([0, 0, 1, 2, 3, 4])
    halves = torch.tensor([0.5, 0.5, 1, 1, 1, 1]).double()
    fine = layer(h[split], mass[split] * halves, GraphRows(None, 6))
    torch.testing.assert_close(fine[1:], layer(h, mass, GraphRows(None, 5)))


def test_rows_pad_and_flatten_are_inverse():
    batch = torch.tensor([0, 0, 0, 1, 2, 2])
    rows, x = GraphRows(batch, 6), torch.randn(6, 3)
    block = rows.pad(x)
    assert block.shape == (3, 3, 3)
    assert block[1, 1:].abs().sum() == 0
    torch.testing.assert_close(rows.flatten(block), x)


def test_means_and_spreads_go_by_graph():
    batch, mass = torch.tensor([0, 0, 1]), torch.tensor([1.0, 3.0, 2.0])
    rows, x = GraphRows(batch, 3), torch.tensor([[4.0], [8.0], [5.0]])
    mean = rows.mean(x, mass)
    torch.testing.assert_close(mean, torch.tensor([[7.0], [5.0]]))
    torch.testing.assert_close(rows.spread(mean), torch.tensor([[7.0], [7.0], [5.0]]))


def test_slice_attention_keeps_single_precision_in_its_sums_under_autocast():
    """1,000 equal nodes: their mean is that of one node, which bfloat16 sums would miss by 1 %."""
    torch.manual_seed(0)
    layer = SliceAttention(8, slices=4, heads=2)
    h = torch.randn(1, 8).expand(1000, 8)
    with torch.autocast("cpu", torch.bfloat16):
        many = layer(h, torch.full((1000,), 1e-3), GraphRows(None, 1000))
        one = layer(h[:1], torch.ones(1), GraphRows(None, 1))
    torch.testing.assert_close(many[:1], one, rtol=1e-5, atol=1e-5)


def test_standardise_is_exact_far_from_zero_and_harmless_on_constants():
    """Mean 1e6, spread 10: E[x²] − E[x]² in single precision would give 0 or NaN."""
    torch.manual_seed(0)
    noise = torch.randn(4000, 1).double()
    x = torch.cat([1e6 + 10 * noise, torch.full((4000, 1), 0.3).double()], dim=1)
    layer = Standardise(2).double()
    layer.fit([x[:1000], x[1000:]])
    z = layer(x)
    assert z[:, 0].std().item() == pytest.approx(1, abs=1e-3)
    assert z[:, 1].abs().max().item() < 1e-12 and layer.std[1] == 1
    torch.testing.assert_close(layer.inverse(z), x)
    layer.fit([])
    assert layer.std[1] == 1


def test_a_linear_scale_keeps_zero_at_zero():
    layer = Standardise(1, centre=False)
    layer.fit([torch.tensor([[3.0], [4.0]])])
    assert layer(torch.zeros(1, 1)).item() == 0
    assert layer.std.item() == pytest.approx(12.5**0.5)


def test_edge_vectors_wrap_on_periodic_meshes_of_a_batch():
    def ring(length: float) -> Data:
        index = torch.tensor([[1, 0], [0, 1]])
        shift = torch.tensor([[-1.0], [1.0]])
        pos = torch.tensor([[0.1 * length], [0.9 * length]])
        return Data(pos=pos, edge_index=index, edge_shift=shift, period=torch.tensor([[length]]))

    single = edge_vectors(ring(1.0))
    torch.testing.assert_close(single, torch.tensor([[-0.2], [0.2]]))
    both = edge_vectors(Batch.from_data_list([ring(1.0), ring(2.0)]))
    torch.testing.assert_close(both, torch.tensor([[-0.2], [0.2], [-0.4], [0.4]]))


def test_errors_name_the_choice():
    with pytest.raises(ValueError, match="unknown activation 'sine'; choose one of"):
        mlp([2, 2, 2], "sine")
    with pytest.raises(ValueError, match="unknown reduction 'max'; choose 'sum' or 'mean'"):
        InteractionBlock(4, reduce="max")
    with pytest.raises(ValueError, match="unknown gather 'all'; choose 'messages' or 'states'"):
        InteractionBlock(4, gather="all")
    with pytest.raises(ValueError, match="width 10 must be a multiple of heads 4"):
        SliceAttention(10, heads=4)


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh"])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("gather", ["messages", "states"])
def test_a_walk_in_pieces_has_the_gradients_of_whole_tensors(
    activation, norm, recompute, gather, monkeypatch
):
    """Pieces of 3 edges, e + m as the second result, gradients of every input and weight."""
    monkeypatch.setattr(edge_walk, "_PIECE", 3 * 6)
    torch.manual_seed(3)
    kinds = {"activation": activation, "norm": norm, "hidden": 2, "gather": gather}
    walked = InteractionBlock(6, recompute=recompute, **kinds).double()
    plain = InteractionBlock(6, split=False, **kinds).double()
    plain.load_state_dict(walked.state_dict())
    index, results = random_edges(9, 31), []
    h, e = torch.randn(9, 6).double(), torch.randn(31, 6).double()
    for block in (walked, plain):
        x, y = h.clone().requires_grad_(), e.clone().requires_grad_()
        outs = block(x, y, index, residual=True)
        loss = sum((o * torch.linspace(-1, 2, o.numel()).view_as(o)).sum() for o in outs)
        results.append([*outs, *torch.autograd.grad(loss, [x, y, *block.parameters()])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("residual", [True, False])
def test_a_walk_without_gradients_equals_one_with_them(residual, monkeypatch):
    monkeypatch.setattr(edge_walk, "_PIECE", 4 * 8)
    torch.manual_seed(4)
    index, block = random_edges(12, 50), InteractionBlock(8, hidden=2, reduce="mean")
    h, e = torch.randn(12, 8), torch.randn(50, 8)
    learned = block(h, e, index, residual=residual)
    with torch.no_grad():
        plain = block(h, e.clone(), index, residual=residual)
    torch.testing.assert_close(learned, plain)


@pytest.mark.parametrize("activation", ["silu", "tanh"])
def test_a_walk_can_be_differentiated_twice(activation):
    """Finite differences of the first and of the second gradient."""
    torch.manual_seed(5)
    block = InteractionBlock(3, activation=activation).double()
    index = random_edges(4, 7)
    h, e = torch.randn(4, 3).double().requires_grad_(), torch.randn(7, 3).double().requires_grad_()

    def nodes(h: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        return block(h, e, index)[0]

    assert torch.autograd.gradcheck(nodes, (h, e))
    assert torch.autograd.gradgradcheck(nodes, (h, e))


def test_other_activations_and_half_precision_take_whole_tensors():
    torch.manual_seed(6)
    index, h, e = random_edges(5, 9), torch.randn(5, 4), torch.randn(9, 4)
    block = InteractionBlock(4, activation="gelu")
    reference = InteractionBlock(4, activation="gelu", split=False)
    reference.load_state_dict(block.state_dict())
    torch.testing.assert_close(block(h, e, index), reference(h, e, index))
    with torch.autocast("cpu", torch.bfloat16):
        m = InteractionBlock(4, norm=False)(h, e, index)[1]
    assert m.dtype == torch.bfloat16


@pytest.mark.parametrize("split", [True, False])
def test_residual_edges_are_as_wide_as_messages(split: bool):
    """e + m has no meaning otherwise, also where one would broadcast over the other."""
    torch.manual_seed(8)
    index, h = random_edges(5, 9), torch.randn(5, 4)
    for width in (1, 3):
        block, e = InteractionBlock(4, edge_width=width, split=split), torch.randn(9, width)
        assert block(h, e, index)[1].shape == (9, 4)
        with pytest.raises(ValueError, match=f"expected 4, got {width}; make the block with edge_"):
            block(h, e, index, residual=True)


def test_rows_in_pieces_are_rows_at_once():
    torch.manual_seed(7)
    layer, x = mlp([3, 8, 2], norm=True), torch.randn(23, 3)
    with torch.no_grad():
        torch.testing.assert_close(by_rows(layer, x, rows=5), layer(x))
    assert by_rows(layer, x, rows=5).requires_grad
