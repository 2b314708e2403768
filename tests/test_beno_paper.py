"""The published BENO: its sizes, its graph, its defects and their repair."""

import pytest
import torch
from lattice_graphs import CUTS, lattice
from torch_geometric.data import Batch, Data

from meshgnn.models.beno.boundary_transformer import BoundaryTransformers, position_code
from meshgnn.models.beno.paper import DEFECTS, PaperNet
from meshgnn.models.beno.paper_geometry import boundary_list

SMALL = {"width": 16, "layers": 3, "hidden": 1, "boundary_layers": 1, "feed_forward": 4}
REPAIRED = dict.fromkeys(DEFECTS, False)


def made(**options: object) -> tuple[PaperNet, list[Data]]:
    """A small network with statistics, and two transformed graphs of different boundary lengths."""
    torch.manual_seed(0)
    net = PaperNet(**(SMALL | options))
    graphs = [lattice(9, CUTS[0], seed=1), lattice(7, CUTS[1], seed=2)]
    net.fit_statistics(graphs)
    return net, [net.transform(g) for g in graphs]


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(((one - other).norm() / one.norm()).detach())


def test_parameters_of_the_published_network():
    """S1: GN part 4,266,242 = 3,962,880 + 204,032 + 99,330; Transformers 20 × 213,808."""
    net = PaperNet()

    def count(*parts: torch.nn.Module) -> int:
        return sum(p.numel() for part in parts for p in part.parameters() if p.requires_grad)

    assert count(net.blocks) == 3_962_880
    assert count(net.encode_node, net.encode_edge) == 204_032
    assert count(net.decode) == 99_330
    assert count(net.boundary) == 20 * 213_808
    assert count(net) == 8_542_402
    assert count(PaperNet(**REPAIRED)) == 8_542_402


@pytest.mark.parametrize("leaking", [False, True])
def test_branches_share_nothing_unless_edges_leak(leaking: bool):
    """S3: ∂u₂/∂f = 0 and ∂u₁/∂g = 0 exactly; with the published edges, u₂ depends on f."""
    net, (graph, _) = made(leaking_edges=leaking)
    graph.a.requires_grad_()
    graph.dirichlet.requires_grad_()
    source, boundary = net(graph).unbind(dim=1)
    (by_f,) = torch.autograd.grad(boundary.sum(), graph.a, retain_graph=True)
    (by_g,) = torch.autograd.grad(source.sum(), graph.dirichlet, allow_unused=True)
    assert by_g is None or not by_g.any()
    assert bool(by_f.any()) == leaking
    with torch.no_grad():
        graph.a[:, 0] += 0.01 * torch.randn(len(graph.a))
        change = relative(boundary, net(graph)[:, 1])
    assert (change > 1e-4) == leaking


def test_zero_before_and_after_scaling():
    """f = 0 enters as 0 (published: mean f) or as −mean/σ, which is what f = 0 itself gives."""
    for after in (True, False):
        net, (graph, _) = made(zero_after_scaling=after, leaking_edges=False)
        expected = torch.zeros(4) if after else -net.scale_f.mean / net.scale_f.std
        inside = graph.area == 0
        edges = (inside.cumsum(0) - 1)[graph.cloud_index]
        (node, _), (other, hidden) = net._features(graph, inside, edges)
        assert (node[:, :2] == other[:, :2]).all() and (node[:, 6:] == other[:, 6:]).all()
        torch.testing.assert_close(other[:, 2:6], expected.expand(len(other), 4))
        torch.testing.assert_close(hidden[:, 4:6], expected[0].expand(len(hidden), 2))


@pytest.mark.parametrize("doubled", [False, True])
def test_edge_latents(doubled: bool):
    """S4: the norm grows by less than 20 over the layers; by exactly 2 a layer as published."""
    net, (graph, _) = made(doubled_edges=doubled, layers=10)
    seen = []
    for block in net.blocks[:10]:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1].detach()))
    net(graph)
    ratio = [float(b.norm() / a.norm()) for a, b in zip(seen, seen[1:], strict=False)]
    if doubled:
        assert ratio == pytest.approx([2.0] * 9)
    else:
        assert seen[-1].norm() / seen[0].norm() < 20
        assert all(relative(a, b) > 1e-3 for a, b in zip(seen, seen[1:], strict=False))


@pytest.mark.parametrize("ordered", [False, True])
def test_order_of_the_boundary_list(ordered: bool):
    """S5: start and direction of the list, a permutation: no change ≤ 1e-5 repaired, else some."""
    net, (graph, _) = made(ordered_boundary=ordered)
    expected = net(graph).detach()
    points = len(graph.wall_index)
    shifted = net(net.transform(lattice(9, CUTS[0], seed=1, start=points // 4)))
    inside = graph.area == 0
    assert (relative(expected[inside], shifted[inside]) > 1e-3) == ordered
    for order in (torch.arange(points).flip(0), torch.randperm(points)):
        other = graph.clone()
        other.wall_index = graph.wall_index[order]
        other.before_index, other.after_index = (other.wall_index.roll(s) for s in (1, -1))
        change = relative(expected, net(other).detach())
        assert change > 1e-4 if ordered else change < 1e-5


@pytest.mark.parametrize("options", [{}, REPAIRED])
def test_a_batch_equals_single_graphs(options: dict):
    """S6: boundaries of 36 and 28 points in one batch, outputs to 1e-5 of the single ones."""
    net, graphs = made(**options)
    single = torch.cat([net(g) for g in graphs])
    together = net(Batch.from_data_list([*graphs]))
    assert len(graphs[0].wall_index) != len(graphs[1].wall_index)
    torch.testing.assert_close(
        together, single, rtol=1e-5, atol=1e-5 * float(single.detach().abs().max())
    )


def test_translation():
    """S7: coordinates count from the corner of the square: moving everything changes nothing."""
    net, (graph, _) = made()
    moved = lattice(9, CUTS[0], seed=1)
    moved.pos = moved.pos + torch.tensor([3.0, -2.0])
    assert relative(net(graph), net(net.transform(moved))) < 1e-5


def test_statistics():
    """Scalars over centres (f, blur, u) and boundary points (g) of all graphs, f with its sign."""
    net, graphs = made()
    centres = torch.cat([g.y[g.area == 0, 0] for g in graphs])
    torch.testing.assert_close(net.scale_out.mean, centres.mean(0))
    torch.testing.assert_close(net.scale_out.std, centres.std(0, correction=0))
    f = torch.cat([-g.a[g.area == 0, 0] for g in graphs])
    torch.testing.assert_close(net.scale_f.mean[0], f.mean())
    g = torch.cat([g.dirichlet[boundary_list(g), 0, 0] for g in graphs])
    torch.testing.assert_close(net.scale_g.std[0], g.std(correction=0))
    assert len(g) == 36 + 28


@pytest.mark.parametrize("options", [{}, REPAIRED])
def test_training_reduces_the_loss_through_every_weight(options: dict):
    """All parameters have a gradient; a few Adam steps reduce the mean square of standardised u."""
    net, graphs = made(**options)
    batch = Batch.from_data_list([*graphs])
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = net.loss(lambda g: net(g).sum(dim=1, keepdim=True), batch)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_loss_and_boundary_nodes():
    """The loss of û = y + σ is 1 whatever the boundary; boundary nodes take their cell's value."""
    net, (graph, _) = made()
    assert float(net.loss(lambda g: g.y + net.scale_out.std, graph)) == pytest.approx(1.0)
    wrong_at_walls = torch.where(graph.area[:, None, None] > 0, 9.0, graph.y)
    assert float(net.loss(lambda g: wrong_at_walls, graph)) == 0.0
    out = net(graph)
    assert out.shape == (len(graph.pos), 2, 1)
    assert (out == out[graph.nearest_index]).all()


def test_stacked_transformers_equal_torch():
    """Two stacked Transformers equal `nn.Conv1d` and `nn.TransformerEncoderLayer` one by one."""
    torch.manual_seed(1)
    stack = BoundaryTransformers(2, 9, width=8, heads=2, layers=2, feed_forward=4)
    q = torch.randn(1, 1, 6, 3)
    taps = torch.cat([q.roll(1, 2), q, q.roll(-1, 2)], dim=-1)
    beta = stack(taps, torch.ones(1, 6, dtype=torch.bool))
    for one in range(2):
        conv = torch.nn.Conv1d(3, 8, 3, padding=1, padding_mode="circular", bias=False)
        weight = stack.embed.weight[one].view(3, 3, 8)  # tap, column, out
        conv.weight.data = weight.permute(2, 1, 0)
        x = conv(q[0].transpose(1, 2)).transpose(1, 2) + position_code(6, 8)
        for layer in stack.layers:
            encoder = torch.nn.TransformerEncoderLayer(
                8, 2, 4, dropout=0.0, activation="gelu", batch_first=True
            )
            attention = encoder.self_attn
            pairs = [
                (attention.in_proj_weight, attention.in_proj_bias, layer.qkv),
                (attention.out_proj.weight, attention.out_proj.bias, layer.out),
                (encoder.linear1.weight, encoder.linear1.bias, layer.up),
                (encoder.linear2.weight, encoder.linear2.bias, layer.down),
            ]
            for w, b, linear in pairs:
                w.data, b.data = linear.weight[one].T.contiguous(), linear.bias[one, 0]
            x = encoder(x)
        x = torch.nn.functional.layer_norm(x, (8,)).amax(dim=1)
        torch.testing.assert_close(beta[one], x, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="even width, a multiple of heads 2, got 7"):
        BoundaryTransformers(2, 9, width=7, heads=2)
