"""The published MP-PDE: its sizes, its neighbourhoods, its symmetries, its update rule."""

import pytest
import torch
from interval_graphs import permuted, square_wave, wave
from torch_geometric.data import Batch, Data

from meshgnn.graph import check_graph
from meshgnn.models.mp_pde.paper import PaperNet, kernels, published_loss
from meshgnn.nn import GraphRows, InstanceNorm, edge_vectors

SMALL = {"width": 64, "layers": 2}


def made(seed: int = 0, **options: object) -> PaperNet:
    torch.manual_seed(seed)
    return PaperNet(**{**SMALL, "length": 4.0, "duration": 5.0, **options})


def changed(one: torch.Tensor, other: torch.Tensor, graph: Data) -> float:
    """Relative distance of two outputs, in terms of what was added to the last state."""
    return float(((one - other).norm() / (one - graph.u[:, -1:]).norm()).detach())


def test_parameters_of_the_published_network():
    """K = 25, H = 128, θ = t / T: encoder 20,096, six layers of 102,400, decoder 249."""
    net = PaperNet()

    def count(*parts: torch.nn.Module) -> int:
        return sum(p.numel() for part in parts for p in part.parameters())

    assert count(net.encode) == 27 * 128 + 128 + 128 * 128 + 128 == 20_096
    assert count(net.blocks) == 6 * 102_400
    assert count(net.decode) == 8 * 16 + 8 + 8 * 14 + 1 == 249
    assert count(net) == 634_745
    each = 128 * (1 + 6 * 2)  # a parameter enters the encoder, φ and ψ
    assert count(PaperNet(params=3)) == 634_745 + 3 * each
    assert count(PaperNet(params=3, conditioned=False)) == 634_745


@pytest.mark.parametrize(
    ("window", "first", "between"), [(20, (15, 4), 29), (25, (16, 3), 38), (50, (12, 2), 59)]
)
def test_lengths_of_the_published_decoders(window: int, first: tuple, between: int):
    """128 → 38 → 25, 128 → 29 → 20, 128 → 59 → 50."""
    net = PaperNet(window, layers=1)
    kernel, stride, last = kernels(window, 128)
    assert (kernel, stride) == first and last == {20: 10, 25: 14, 50: 10}[window]
    middle = net.decode[0](torch.zeros(1, 1, 128))
    assert middle.shape == (1, 8, between)
    assert net.decode(torch.zeros(1, 1, 128)).shape == (1, 1, window)
    assert PaperNet(window, width=80, layers=1).decode(torch.zeros(1, 1, 80)).shape[2] == window


def test_nothing_is_added_where_the_last_convolution_is_zero():
    """û = u_last exactly; with bias b: u_last + l Δt b."""
    net, graph = made(), wave()
    torch.nn.init.zeros_(net.decode[-1].weight)
    torch.nn.init.zeros_(net.decode[-1].bias)
    last = graph.u[:, -1:].expand(-1, 25, -1)
    assert torch.equal(net(net.transform(graph)), last)
    torch.nn.init.constant_(net.decode[-1].bias, 0.5)
    line = last + 0.5 * 0.1 * torch.arange(1, 26)[:, None]
    torch.testing.assert_close(net(net.transform(graph)), line)


def test_the_split_layer_equals_the_plain_one():
    plain, fast, graph = made(split=False), made(split=True), wave()
    graph = plain.transform(graph)
    torch.testing.assert_close(plain(graph), fast(graph), rtol=1e-5, atol=1e-6)


def test_one_layer_by_hand():
    """h + S(V S(ψ[h_i, mean m, θ_i])), m = S(W S(φ[h_i, h_j, u_i − u_j, (x_i − x_j)/L, θ_i]))."""
    net, graph = made(layers=1), wave(cells=8)
    graph = net.transform(graph)
    block, u = net.blocks[0], graph.u.flatten(1)
    theta = (graph.time / 5.0).expand(len(u), 1)
    h = net.encode(torch.cat([u, graph.pos / 4.0, theta], dim=1))
    silu, delta = torch.nn.functional.silu, edge_vectors(graph)
    rows = []
    for i in range(len(u)):
        messages = []
        for e in torch.nonzero(graph.edge_index[1] == i)[:, 0]:
            j = graph.edge_index[0, e]
            inputs = [h[i], h[j], u[i] - u[j], -delta[e] / 4.0, theta[i]]
            messages.append(silu(block.rest[0](silu(block.first(torch.cat(inputs))))))
        inputs = torch.cat([h[i], torch.stack(messages).mean(0), theta[i]])
        rows.append(h[i] + silu(block.node[2](silu(block.node[0](inputs)))))
    assert len(messages) == 6
    h = torch.stack(rows)
    h = (h - h.mean(0)) / torch.sqrt(h.var(0, correction=0) + 1e-5)
    change = net.decode(h[:, None]).transpose(1, 2)
    expected = graph.u[:, -1:] + 0.1 * torch.arange(1, 26)[:, None] * change
    torch.testing.assert_close(net(graph), expected, rtol=1e-5, atol=1e-5)


def test_instance_norm_is_over_the_nodes_of_each_graph():
    """Equal to torch's for one graph, to the single ones in a batch."""
    torch.manual_seed(0)
    norm, h = InstanceNorm(), 3 + 2 * torch.randn(7, 4)
    expected = torch.nn.functional.instance_norm(h.T[None])[0].T
    torch.testing.assert_close(norm(h, GraphRows(None, 7)), expected)
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    both = norm(h, GraphRows(batch, 7))
    for part in (slice(0, 3), slice(3, 7)):
        alone = norm(h[part], GraphRows(None, len(h[part])))
        torch.testing.assert_close(both[part], alone, rtol=1e-5, atol=1e-6)
    assert (
        list(norm.parameters()) == [] and norm(h.bfloat16(), GraphRows(batch, 7)).isfinite().all()
    )


def test_a_batch_equals_single_graphs():
    """Graphs of 24 and 17 cells, of other times and parameters: outputs to 1e-5."""
    net = made(params=2, param_scale=[3.0, 0.4])
    graphs = [wave(params=(1.0, 0.2)), wave(cells=17, params=(2.0, 0.1), seed=1, dt=0.05)]
    graphs = [net.transform(g) for g in graphs]
    single = torch.cat([net(g) for g in graphs])
    together = net(Batch.from_data_list(graphs))
    torch.testing.assert_close(together, single, rtol=1e-5, atol=1e-5)


def test_translation_enters_through_the_absolute_position_alone():
    """x + 1: no change without x in the encoder, nor with a zero weight on it; else some."""
    graph = wave()
    moved = graph.clone()
    moved.pos = graph.pos + 1.0
    for net, seen in ((made(), True), (made(absolute=False), False), (made(), None)):
        if seen is None:
            net.encode[0].weight.data[:, 25] = 0
        one, other = (net(net.transform(g)) for g in (graph, moved))
        assert changed(one, other, graph) > 1e-3 if seen else changed(one, other, graph) < 1e-5


@pytest.mark.parametrize("periodic", [False, True])
def test_permutation_of_the_nodes(periodic: bool):
    net, graph = made(periodic=periodic), wave()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    other = permuted(graph, order)
    check_graph(other)
    one = net(net.transform(graph))
    assert changed(one[order], net(net.transform(other)), other) < 1e-5


def test_cyclic_shifts_need_the_edges_across_the_boundary():
    """u(x + 7 h) → û(x + 7 h) on the ring; the published graph, cut at the boundary, fails."""
    graph = wave()
    rolled = graph.clone()
    rolled.u = graph.u.roll(7, dims=0)
    for periodic in (True, False):
        net = made(periodic=periodic, absolute=False)
        one, other = (net(net.transform(g)) for g in (graph, rolled))
        error = changed(one.roll(7, dims=0), other, rolled)
        assert error < 1e-5 if periodic else error > 1e-3


def test_vectors_on_triangles_and_prescribed_values():
    """d = 2, C = 2, K = 20; prescribed entries are met exactly."""
    net, graph = made(window=20, dim=2, channels=2, hops=2), square_wave(20)
    graph.dirichlet_mask[:5, 1] = True
    graph.dirichlet[:5, :, 1] = 0.3
    out = net(net.transform(graph))
    assert out.shape == (len(graph.pos), 20, 2)
    assert (out[:5, :, 1] == 0.3).all() and (out[:, :, 0] != 0.3).all()


def test_parameters_act_unless_they_are_left_out():
    graphs = [wave(params=(1.0, 0.2)), wave(params=(1.0, 0.3))]
    for conditioned in (True, False):
        net = made(params=2, conditioned=conditioned)
        one, other = (net(net.transform(g)) for g in graphs)
        assert torch.equal(one, other) != conditioned


def test_scales_from_the_data_or_as_given():
    """L and T: largest extent or period, last time of a target; parameters: largest magnitude."""
    graphs = [wave(params=(-2.0, 0.0)), wave(params=(1.0, 0.0))]
    net = made(length=None, duration=None, params=2)
    net.fit_statistics(graphs)
    assert float(net.length) == 4.0 and float(net.duration) == pytest.approx(4.9)
    assert net.param_scale.tolist() == [2.0, 1.0]
    given = made(params=2, param_scale=[3.0, 0.4])
    given.fit_statistics(graphs)
    assert (float(given.length), float(given.duration)) == (4.0, 5.0)
    assert given.param_scale.tolist() == pytest.approx([3.0, 0.4])


def test_the_published_loss_is_a_norm_over_the_batch():
    """û = y + 0.5 at n free entries: L = 0.5 √n; gradient finite at û = y."""
    batch = Batch.from_data_list([wave(), wave(cells=17)])
    batch.dirichlet_mask[:3] = True
    loss = published_loss(lambda g: g.y + 0.5, batch)
    assert float(loss) == pytest.approx(0.5 * ((24 + 17 - 3) * 25) ** 0.5, rel=1e-5)
    shift = torch.zeros((), requires_grad=True)
    published_loss(lambda g: g.y + shift, batch).backward()
    assert float(shift.grad) == 0


def test_training_reaches_every_weight():
    """All parameters have a gradient; ten steps of Adam at least halve the error of no change."""
    net, graph = made(), wave()
    graph = net.transform(graph)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = net.loss(net, graph)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="window of 20, 25 or 50 states, got 10"):
        PaperNet(10)
    with pytest.raises(ValueError, match="width of at least 49 for windows of 25 states, got 48"):
        PaperNet(25, width=48)
    assert kernels(25, 49) == (16, 1, 10)
    with pytest.raises(ValueError, match="layers of at least 1, got 0"):
        PaperNet(layers=0)
    with pytest.raises(ValueError, match=r"length: expected 1 positive numbers, got \[0.0\]"):
        PaperNet(length=0.0)
    with pytest.raises(ValueError, match=r"param_scale: expected 2 positive numbers, got \[1.0\]"):
        PaperNet(params=2, param_scale=[1.0])
    graph = wave()
    del graph.time
    with pytest.raises(ValueError, match="expected graph.time, the time of the last known state"):
        made().transform(graph)
