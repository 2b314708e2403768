"""Wrappers of local models part by part: which are exact there, and why the others are refused."""

import numpy as np
import pytest
import torch
from learning_builders import decaying, steady
from test_partition import doubled, small_net

from meshgnn.checkpoint import load, predict, save
from meshgnn.graph import to_graph
from meshgnn.losses import one_step
from meshgnn.models import MODELS
from meshgnn.partition import InParts, hops_of
from meshgnn.partition.halo import Neighbours
from meshgnn.train import fit


def nets(count: int = 3, **sizes: int) -> list[torch.nn.Module]:
    found = [small_net(2, **sizes) for _ in range(count)]
    for seed, model in enumerate(found):
        torch.manual_seed(seed)
        for p in model.parameters():
            p.data += 0.1 * torch.randn_like(p)
    return found


def test_an_ensemble_in_parts_is_the_ensemble():
    """Mean, spread and gradients of a loss of the field, in double precision."""
    graph, model = doubled(to_graph(steady(n=15))), MODELS["Ensemble"](nets())
    wrapped = InParts(model, 150, "bisection")
    assert hops_of(model) == 2 and len(wrapped.parts(graph)) > 1
    gradients = []
    for any_model in (model, wrapped):
        model.zero_grad()
        one_step(any_model, graph).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(wrapped(graph), model(graph))
        torch.testing.assert_close(wrapped.uncertainty(graph), model.uncertainty(graph))
    assert not hasattr(InParts(nets()[0], 150), "uncertainty")


def test_error_bars_come_in_parts(tmp_path, monkeypatch):
    """`predict` with max_nodes and uncertainty: equal bands, and never the whole graph at once."""
    sample, members = steady(n=15), [model.float() for model in nets()]
    model = MODELS["Ensemble"](members)
    expected, seen = predict(model, sample, uncertainty=True), []
    real = type(members[0]).forward

    def forward(self, graph):
        seen.append(len(graph.pos))
        return real(self, graph)

    monkeypatch.setattr(type(members[0]), "forward", forward)
    found = predict(model, sample, uncertainty=True, max_nodes=150)
    assert found.names["u"] == ["u", "u_std"] and max(seen) <= 150
    np.testing.assert_allclose(found.u, expected.u, rtol=1e-4, atol=1e-5)
    save(InParts(model, 150), tmp_path / "net.pt")
    assert hops_of(load(tmp_path / "net.pt")) == 2


@pytest.mark.parametrize(("scheme", "calls"), [("euler", 2), ("heun", 4), ("rk4", 8)])
def test_the_stages_of_a_scheme_reach_further(scheme: str, calls: int):
    """Two substeps of a network of one block: the gradient of the state at a node says how far."""
    inner = small_net(1, channels=2, inputs=0, history=1)
    model = MODELS["Integrated"](inner, scheme, substeps=2).double()
    model.unit.fill_(0.01)  # large rates, so that what comes from far away is not rounded to 0
    graph = doubled(to_graph(decaying(n=24), history=1))
    middle = int((graph.pos**2).sum(dim=1).argmin())
    graph.u.requires_grad_()
    (reach,) = torch.autograd.grad(model(graph)[middle].sum(), graph.u)
    near = Neighbours(graph.edge_index.numpy(), len(graph.pos)).around(np.array([middle]), calls)
    np.testing.assert_array_equal(np.flatnonzero(reach.abs().sum((1, 2))), near)
    assert hops_of(model) == calls and len(near) < len(graph.pos)
    wrapped = InParts(model, 500, "bisection")
    assert len(wrapped.parts(graph)) > 1
    torch.testing.assert_close(wrapped(graph), model(graph), rtol=1e-12, atol=1e-12)


def test_what_differs_in_parts_says_why():
    ensemble = MODELS["Ensemble"](nets(slices=2))
    with pytest.raises(ValueError, match="Ensemble of MeshGraphNet has no `hops`.*attention"):
        InParts(ensemble, 100)
    dropout = MODELS["Dropout"](nets(1)[0])
    with pytest.raises(ValueError, match="Dropout has no `hops`: which units .* `model.inner`"):
        InParts(dropout, 100)
    with pytest.raises(ValueError, match="anew for every part"):
        predict(dropout.float(), steady(n=4), max_nodes=100)
    inner = small_net(1, channels=2, inputs=2, params=1, history=1)
    with pytest.raises(ValueError, match="Refined has no `hops`: its noise is drawn anew"):
        InParts(MODELS["Refined"](inner), 100)
    with pytest.raises(ValueError, match="MeanConserving of MeshGraphNet has no `hops`.*means"):
        InParts(MODELS["MeanConserving"](inner), 100)


def test_members_of_an_ensemble_are_trained_one_by_one_in_parts():
    graph, model = to_graph(steady(n=9)), MODELS["Ensemble"]([m.float() for m in nets(2)])
    quiet = {"epochs": 1, "batch_size": 1, "progress": False, "accelerator": "cpu"}
    with pytest.raises(ValueError, match=r"train each member by fit\(InParts\(member, max_nodes"):
        fit(InParts(model, 80), [graph], **quiet)
    assert len(fit(InParts(model, 80), [graph], loss=one_step, **quiet)) == 1
