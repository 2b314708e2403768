"""The published network as `BENO(preset="paper")`: defects, parts, training, files."""

import numpy as np
import pytest
import torch

import meshgnn as mg
from meshgnn.datasets.beno import CornerCut
from meshgnn.graph import to_graph
from meshgnn.models.beno.paper import DEFECTS
from meshgnn.sample import Sample

SMALL = {"preset": "paper", "width": 16, "layers": 2}


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Lattices of 12 x 12 cells less 2 to 4 corners."""
    rng = np.random.default_rng(0)
    cuts = [CornerCut.draw(rng, corners, cells=12, sides=(2, 4)) for corners in (2, 3, 4)]
    return [cut.lattice_sample(blurred=True) for cut in cuts]


def small(**options) -> torch.nn.Module:
    torch.manual_seed(0)
    return mg.models.BENO(**SMALL, **options)


@pytest.mark.parametrize(
    ("defects", "kept"),
    [
        (None, DEFECTS),
        ([], ()),
        (["doubled_edges"], ("doubled_edges",)),
        (DEFECTS[1:], DEFECTS[1:]),
    ],
)
def test_defects_are_those_that_are_named(defects, kept) -> None:
    """None keeps all of the published code, a list those in it."""
    net = small(defects=defects).net
    switches = (net.doubled_edges, net.leaking_edges, net.zero_after_scaling, net.ordered)
    assert dict(zip(DEFECTS, switches, strict=True)) == {name: name in kept for name in DEFECTS}


def test_the_parts_add_up_with_exact_boundary_values(samples) -> None:
    """u = u_f + u_g; where g is given u_f = 0 and u_g = g exactly; inside both are network's."""
    model, graph = small(), to_graph(samples[0])
    model.fit_statistics([graph])
    with torch.no_grad():
        parts, u = model.branches(graph), model(graph)
    mask = graph.dirichlet_mask
    assert parts.shape == (len(graph.pos), 2, 1) and mask.any() and not mask.all()
    assert not parts[:, 0][mask].any()
    assert torch.equal(parts[:, 1][mask], graph.dirichlet[:, 0][mask])
    assert parts[~mask[:, 0]].all()
    torch.testing.assert_close(parts.sum(dim=1, keepdim=True), u)


@pytest.mark.parametrize("defects", [None, []], ids=["published", "repaired"])
def test_an_epoch_and_a_file(defects, samples, tmp_path) -> None:
    """Fit takes the statistics and moves every weight; a file gives the same field, g exact."""
    model = small(defects=defects)
    before = [p.detach().clone() for p in model.parameters()]
    dataset = mg.MeshDataset(samples)
    history = mg.fit(model, dataset, epochs=1, batch_size=2, lr=3e-4, progress=False)
    assert len(history.train) == 1 and np.isfinite(history.train).all()
    assert not any(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    centres = torch.cat([g.y[g.area == 0, 0] for g in dataset])
    torch.testing.assert_close(model.net.scale_out.std, centres.std(0, correction=0))
    mg.save(model, tmp_path / "paper.pt")
    again = mg.load(tmp_path / "paper.pt")
    assert again.hparams == model.hparams
    found, same = mg.predict(model, samples[2]), mg.predict(again, samples[2])
    np.testing.assert_array_equal(found.u, same.u)
    mask = samples[2].boundary.dirichlet_mask
    np.testing.assert_array_equal(found.u[0][mask], samples[2].boundary.dirichlet_values[mask])
    assert found.u.std() > 0


def test_meshes_are_refused_with_a_remedy() -> None:
    mesh = CornerCut.draw(np.random.default_rng(0), 2).mesh_sample()
    with pytest.raises(ValueError, match="takes lattice samples, .*on meshes use preset='linear'"):
        mg.predict(small(), mesh)
