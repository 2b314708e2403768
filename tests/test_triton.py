"""The kernels for GPUs against the plain path in double precision.

Without a GPU they run in Triton's interpreter, on one with CUDA as they are compiled there.
"""

from dataclasses import replace

import pytest
import torch
from learning_builders import decaying

from meshgnn.graph import MeshDataset
from meshgnn.models import MeshGraphNet
from meshgnn.nn import InteractionBlock, mlp
from meshgnn.nn.edge_chain import Walk
from meshgnn.nn.edge_walk import walk_edges
from meshgnn.nn.layers import activate
from meshgnn.nn.triton_walk import _RUNS, Runs, fused_edges, fused_fits, kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton", reason="Triton is not installed")
TIGHT, HALF = 5e-6, 3e-2  # of the largest value; bfloat16 has 8 binary digits: 1/256 a product


def graph(nodes: int, edges: int, isolated: bool = False) -> torch.Tensor:
    """Edges sorted by target; with `isolated` only every third node has any."""
    generator = torch.Generator().manual_seed(nodes + edges)
    index = torch.randint(0, max(nodes, 1), (2, edges), generator=generator)
    index = index // 3 * 3 if isolated else index
    return index[:, index[1].argsort(stable=True)].to(DEVICE)


def chain(width: int, hidden: int, act: str, norm: bool, **options) -> tuple[Walk, list]:
    walk, modules = Walk.of([activate(act), *mlp([width] * (hidden + 1), act, norm)])
    first = [torch.randn(width, width) / width**0.5, torch.randn(width)]
    weights = [p.detach() + 0.1 * torch.randn_like(p) for m in modules for p in m.parameters()]
    return replace(walk, **options), [*first, *weights]


def results(run, walk, index, tensors, given, dtype) -> list[torch.Tensor]:
    """Sums, messages or states, and the gradients of everything."""
    inputs = [x.to(DEVICE, dtype, copy=True).requires_grad_() for x in tensors]
    outputs = run(walk, index, *inputs[:3], inputs[3:])
    kept = [(y, g.to(DEVICE, dtype)) for y, g in zip(outputs, given, strict=True) if g is not None]
    outs, grads = zip(*kept, strict=True)
    return [*outputs, *torch.autograd.grad(outs, inputs, grads)]


def compare(walk, params, nodes, index, dtype, bound, given=(True, True)) -> None:
    width, edges = len(params[1]), index.shape[1]
    tensors = [torch.randn(n, width) for n in (edges, nodes, nodes)] + params
    g = [torch.randn(n, width) if on else None for n, on in zip((nodes, edges), given, strict=True)]
    exact = results(walk_edges, walk, index, tensors, g, torch.float64)
    for a, b in zip(results(fused_edges, walk, index, tensors, g, dtype), exact, strict=True):
        assert a.shape == b.shape and a.dtype == dtype
        scale = float(b.detach().abs().max()) if b.numel() else 1.0
        torch.testing.assert_close(a.double(), b, rtol=0, atol=bound * max(scale, 1e-9))


@pytest.mark.parametrize(
    ("nodes", "edges", "isolated"),
    [(37, 121, False), (30, 50, True), (19, 1, False), (1, 40, False)],
)
def test_sums_states_and_all_gradients_are_those_of_the_plain_path(nodes, edges, isolated):
    """Odd sizes, nodes without edges, one edge, one node with more edges than a tile holds."""
    torch.manual_seed(0)
    walk, params = chain(16, 2, "silu", True, residual=True)
    index = graph(nodes, edges, isolated)
    assert index.shape == (2, edges)
    compare(walk, params, nodes, index, torch.float32, TIGHT)


@pytest.mark.parametrize(
    ("hidden", "act", "norm", "residual", "states"),
    [
        (1, "relu", True, True, True),
        (1, "tanh", False, False, False),
        (2, "tanh", True, True, True),
        (2, "relu", False, True, False),
        (2, "silu", True, False, False),
    ],
)
def test_every_form_of_a_block(hidden, act, norm, residual, states):
    torch.manual_seed(1)
    walk, params = chain(16, hidden, act, norm, residual=residual, states=states)
    assert len(params) == 2 + 2 * hidden + 2 * norm
    compare(walk, params, 7, graph(7, 20), torch.float32, TIGHT)


@pytest.mark.parametrize("given", [(True, False), (False, True)])
def test_gradients_of_one_result_alone(given):
    torch.manual_seed(2)
    walk, params = chain(16, 2, "silu", True, residual=True, states=True)
    index = graph(11, 40)
    assert Runs.of(index, 11) is Runs.of(index, 11)
    compare(walk, params, 11, index, torch.float32, TIGHT, given)


def test_where_edges_are_is_kept_until_the_edges_change_or_go():
    index = graph(9, 30)
    before, kept = Runs.of(index, 9), len(_RUNS)
    index[0] = index[0].flip(0)
    after = Runs.of(index, 9)
    assert torch.equal(after.source, before.source.flip(0)) and len(_RUNS) == kept
    assert after.pointer.tolist()[-1] == after.out_pointer.tolist()[-1] == 30
    del index
    assert len(_RUNS) == kept - 1


@pytest.mark.parametrize(("nodes", "edges"), [(5, 0), (0, 0)])
def test_graphs_without_edges_and_without_nodes(nodes, edges):
    torch.manual_seed(3)
    walk, params = chain(16, 1, "silu", True, residual=True)
    index = graph(nodes, edges)
    assert index.shape[1] == 0
    compare(walk, params, nodes, index, torch.float32, TIGHT)


def test_bfloat16_is_as_near_as_its_digits():
    torch.manual_seed(4)
    walk, params = chain(32, 2, "silu", True, residual=True)
    index = graph(40, 90)
    assert index.shape == (2, 90)
    compare(walk, params, 40, index, torch.bfloat16, HALF)


def test_the_same_input_gives_the_same_bits():
    torch.manual_seed(5)
    walk, params = chain(16, 2, "relu", True, residual=True)
    tensors = [*(torch.randn(n, 16) for n in (30, 18, 18)), *params]
    given = [torch.randn(18, 16), None]
    runs = [
        results(fused_edges, walk, graph(18, 30), tensors, given, torch.float32) for _ in range(2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_a_block_uses_the_kernels_where_they_are_asked_for(reduce, monkeypatch):
    torch.manual_seed(6)
    block = InteractionBlock(16, hidden=2, reduce=reduce).to(DEVICE)
    index = graph(12, 45)
    h, e = torch.randn(12, 16, device=DEVICE), torch.randn(45, 16, device=DEVICE)
    plain = block(h, e.clone(), index, residual=True)
    calls = []
    monkeypatch.setattr(
        "meshgnn.nn.interaction.fused_edges", lambda *a: calls.append(1) or fused_edges(*a)
    )
    with kernels("triton"):
        fused = block(h, e.clone(), index, residual=True)
        with torch.no_grad():  # e is written over
            given = e.clone()
            again = block(h, given, index, residual=True)
    assert len(calls) == 2 and again[1].data_ptr() == given.data_ptr()
    for a, b, c in zip(plain, fused, again, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-5)
        torch.testing.assert_close(c, a, rtol=0, atol=1e-5)
    monkeypatch.setenv("MESHGNN_KERNELS", "triton")
    block(h, e.clone(), index)
    with kernels("plain"):
        block(h, e.clone(), index)
    assert len(calls) == 3


def test_second_gradients_are_those_of_whole_tensors():
    """d/dh |d Σ h'³/dh|² with and without the kernels."""
    torch.manual_seed(7)
    block, index = InteractionBlock(16).to(DEVICE), graph(6, 14)
    e, found = torch.randn(14, 16, device=DEVICE), []
    for name in ("plain", "triton"):
        h = torch.linspace(-1, 1, 96, device=DEVICE).view(6, 16).requires_grad_()
        with kernels(name):
            out = block(h, e, index)[0].pow(3).sum()
            first = torch.autograd.grad(out, h, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), h)[0])
    scale = found[0].abs().max()
    torch.testing.assert_close(found[1] / scale, found[0] / scale, rtol=0, atol=1e-5)


def test_a_model_trains_alike_under_autocast():
    """One step of MeshGraphNet in bfloat16: loss and gradients near those in float32."""
    batch = MeshDataset([decaying()], history=1)[0].to(DEVICE)
    torch.manual_seed(8)
    model = MeshGraphNet(channels=2, inputs=0, history=1, width=16, blocks=1).to(DEVICE)
    found = []
    for name, half in (("plain", False), ("triton", False), ("triton", True)):
        model.zero_grad()
        with kernels(name), torch.autocast(DEVICE, torch.bfloat16, enabled=half):
            model(batch).square().mean().backward()
        found.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    assert (found[1] - found[0]).norm() < 1e-5 * found[0].norm()
    assert 0 < (found[2] - found[0]).norm() < HALF * found[0].norm()


@pytest.mark.parametrize(
    ("width", "hidden", "dtype", "reason"),
    [
        (12, 1, torch.float32, r"widths 12 \(nodes\) and 12 \(edges\) are not one of"),
        (16, 3, torch.float32, "3 hidden layers are not 1 or 2"),
        (16, 1, torch.float64, "torch.float64 is not float32 or bfloat16"),
    ],
)
def test_what_does_not_fit_takes_the_plain_path_and_says_so(width, hidden, dtype, reason):
    block = InteractionBlock(width, hidden=hidden).to(DEVICE, dtype)
    h, e = (torch.randn(n, width, device=DEVICE, dtype=dtype) for n in (4, 6))
    plain = block(h, e, graph(4, 6))
    with kernels("triton"), pytest.warns(UserWarning, match=reason):
        found = block(h, e, graph(4, 6))
    assert all(torch.equal(a, b) for a, b in zip(plain, found, strict=True))


def test_choices(monkeypatch):
    walk, _ = chain(16, 1, "silu", True)
    x = torch.randn(3, 16, device=DEVICE)
    monkeypatch.delenv("MESHGNN_KERNELS", raising=False)
    assert not fused_fits(walk, x, x)  # not unless it is asked for
    monkeypatch.setenv("MESHGNN_KERNELS", "cutlass")
    with pytest.raises(ValueError, match=r"expected plain or triton \(MESHGNN_KERNELS\), got cut"):
        fused_fits(walk, x, x)
    monkeypatch.setattr("meshgnn.nn.triton_walk.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="'triton' was asked for .* pip install triton"):
        kernels("triton").__enter__()
