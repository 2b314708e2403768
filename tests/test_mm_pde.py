"""`MMPDE`: two branches, the moved graph, what is exact, the switches, training and files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mesh_builders import cells_of_box
from torch import nn
from torch_geometric.data import Batch, Data

from meshgnn import checkpoint
from meshgnn.checkpoint import load, save
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import one_step, pushforward, short_history, unrolled
from meshgnn.marching import rollout
from meshgnn.mesh import Group, Mesh
from meshgnn.models import MODELS
from meshgnn.models.dmm import DMM
from meshgnn.models.mm_pde import MMPDE
from meshgnn.models.mm_pde.moved_graph import moved_graph
from meshgnn.models.mp_pde import MPPDE
from meshgnn.models.wrappers import inner
from meshgnn.operators import Transfer, lumped_mass
from meshgnn.sample import Boundary, Sample
from meshgnn.train import fit

N = 7
SMALL = {"inputs": 1, "history": 2, "bundle": 2, "width": 16, "layers": 2}


class Pull(nn.Module):
    """x + s (1 + mean u) sin(2πx) / 2π along every axis: a box onto itself. s is learned."""

    def __init__(self, strength: float = 0.4, history: int = 1) -> None:
        super().__init__()
        self.hparams = {"strength": strength, "history": history}
        self.strength = nn.Parameter(torch.tensor(strength))
        self.calls: list[tuple[int, ...]] = []

    @staticmethod
    def transform(graph: Data) -> Data:
        graph = graph.clone()
        low, high = graph.pos.amin(0), graph.pos.amax(0)
        graph.place = (graph.pos - low) / (high - low)
        graph.width = (high - low).expand_as(graph.pos).contiguous()
        return graph

    def forward(self, graph: Data) -> torch.Tensor:
        self.calls.append(tuple(graph.u.shape))
        batch = graph.get("batch")
        batch = torch.zeros(len(graph.pos), dtype=torch.long) if batch is None else batch
        sums = torch.zeros(len(graph.theta)).index_add(0, batch, graph.mass * graph.u[:, 0, 0])
        size = 1 + 0.2 * torch.tanh(sums)[batch, None]
        wave = torch.sin(2 * np.pi * graph.place) / (2 * np.pi)
        return (graph.pos + self.strength * size * wave * graph.width)[:, None]


def square(n: int = N, cells: str = "triangle") -> Mesh:
    return Mesh(*cells_of_box(cells, n))


def sided(mesh: Mesh) -> tuple[Mesh, dict[str, np.ndarray]]:
    """With the groups "left", on x = 0, and "rest", and their facets."""
    facets = mesh.boundary_facets["line"]
    left = mesh.points[facets][:, :, 0].max(axis=1) == 0
    groups = {"left": Group(1, {"line": facets[left]}), "rest": Group(1, {"line": facets[~left]})}
    return Mesh(mesh.points, mesh.cells, groups), {"left": facets[left], "rest": facets[~left]}


def wave(phase: float = 0.0, frames: int = 6, n: int = N, flux: float = 0.3) -> Sample:
    """A steep wave that travels to the right; prescribed on the left, a flux on the other sides."""
    mesh, facets = sided(square(n))
    times, (x, y) = 0.02 * np.arange(frames), mesh.points.T
    u = np.stack([np.tanh(6 * (x - 0.3 - phase - t)) * (1 + 0.3 * y) for t in times])[..., None]
    mask = np.zeros((mesh.num_nodes, 1), bool)
    mask[mesh.nodes_of("left")] = True
    boundary = Boundary.none(mesh.num_nodes, 1)
    rest = facets["rest"]
    boundary = replace(
        boundary,
        dirichlet_mask=mask,
        dirichlet_values=np.where(mask, u, 0.0),
        facets=rest,
        alpha=np.zeros((len(rest), 1)),
        flux=np.full((len(rest), 1), flux),
    )
    names = {"u": ["u"], "inputs": ["height"]}
    return Sample(mesh, boundary, mesh.points[:, 1:], times, u, names=names)


def build(mover="pull", seed: int = 0, shake: float = 0.05, **options) -> MMPDE:
    torch.manual_seed(seed)
    made = MMPDE(Pull() if mover == "pull" else mover, **SMALL | options)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if not name.startswith("mover"):
                p.add_(shake * torch.randn_like(p))
    return made.eval()


def graphs(made: MMPDE, *samples: Sample) -> list[Data]:
    return [
        made.transform(to_graph(s, made.hparams["history"], made.hparams["bundle"]))
        for s in samples
    ]


def test_the_moved_graph_is_the_graph_of_the_moved_mesh():
    """Mass, normals, areas, loads, stencils, spacing: those of `Mesh.moved`, by the numerics."""
    made, sample = build(hops=2), wave()
    graph = graphs(made, sample)[0]
    x = made.points(graph)
    assert (x - graph.pos).abs().max() > 0.03
    transfer = Transfer.between(graph.pos, x, graph.simplex_index.t())
    part = moved_graph(graph, x, transfer)
    mesh = sample.mesh.moved(x.double().numpy() + sample.mesh.points.mean(axis=0))
    other = MPPDE(**SMALL, hops=2)
    expected = other.transform(to_graph(replace(sample, mesh=mesh), 2, 2))
    for name in ("mass", "normal", "area", "flux", "robin", "bc", "spacing", "grading"):
        torch.testing.assert_close(part[name], expected[name], rtol=1e-4, atol=1e-5)
    for name in ("edge_index", "stencil_index", "stencil_gradient", "stencil_laplace"):
        torch.testing.assert_close(part[name], expected[name], rtol=1e-3, atol=1e-2)
    free = ~graph.dirichlet_mask[:, 0]
    torch.testing.assert_close(part.flux_load[free], expected.flux_load[free], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(part.a[:, 0], x[:, 1] + 0.5, rtol=0, atol=1e-5)
    assert "y" not in part and "cell_a" not in part and "y" in graph


@pytest.mark.parametrize("cells", ["triangle", "quad", "tetra", "hexahedron"])
def test_normals_and_areas_of_every_kind_of_cell(cells):
    made = MMPDE(
        Pull(), dim=3 if cells in ("tetra", "hexahedron") else 2, inputs=0, width=8, layers=1
    )
    mesh = square(3, cells)
    free = Boundary.none(mesh.num_nodes, 1)
    u = np.zeros((2, mesh.num_nodes, 1))
    sample = Sample(mesh, free, np.zeros((mesh.num_nodes, 0)), np.array([0.0, 0.1]), u)
    graph = made.transform(to_graph(sample, 1, 1))
    part = moved_graph(
        graph, graph.pos, Transfer.between(graph.pos, graph.pos, graph.simplex_index.t())
    )
    torch.testing.assert_close(part.normal, graph.normal, rtol=0, atol=1e-5)
    torch.testing.assert_close(part.area, graph.area, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(part.mass, graph.mass, rtol=1e-5, atol=1e-6)


def test_the_identity_with_nothing_in_the_second_branch_is_the_first():
    made = build("identity")
    for p in made.moved.net.decode[-1].parameters():
        nn.init.zeros_(p)
    graph = graphs(made, wave())[0]
    assert torch.equal(made(graph), made.fixed(graph))
    assert MMPDE().mover is None and MMPDE(None).hparams["mover"] == "identity"


def test_a_mover_that_does_not_move_is_the_identity():
    still, none = build(lambda graph: graph.pos[:, None]), build("identity")
    none.load_state_dict(still.state_dict())
    one, two = (made(graphs(made, wave())[0]) for made in (still, none))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-4)
    moving = build()
    assert sum(p.numel() for p in none.parameters()) == sum(
        p.numel() for p in moving.parameters() if p.requires_grad
    )
    moving.load_state_dict(none.state_dict(), strict=False)
    assert (moving(graphs(moving, wave())[0]) - two).abs().max() > 1e-3


@pytest.mark.parametrize("fixed_branch", [True, False])
def test_boundary_values_are_exact(fixed_branch):
    made = build(fixed_branch=fixed_branch)
    graph = graphs(made, wave())[0]
    out, mask = made(graph), graph.dirichlet_mask[:, None].expand_as(graph.y)
    assert mask.any() and torch.equal(out[mask], graph.dirichlet[mask])
    assert (out - graph.y)[~mask].abs().max() > 1e-3


def test_only_the_moved_branch_acts_without_the_fixed_one():
    """û = u + I2[g(I1 u) − I1 u]: exactly what the transfer makes of the branch."""
    made = build(fixed_branch=False)
    assert made.fixed is None and made.gate is None and made.hparams["library"]
    graph = graphs(made, wave())[0]
    part, transfer = made._on_moved_mesh(graph)
    change = (made.moved(part) - part.u[:, -1:]).flatten(1)
    expected = graph.u[:, -1:] + transfer.to_given(change, graph.dirichlet_mask.expand(-1, 2)).view(
        -1, 2, 1
    )
    free = ~graph.dirichlet_mask[:, 0]
    torch.testing.assert_close(made(graph)[free], expected[free])


@pytest.mark.parametrize("fixed_branch", [True, False])
def test_constants_stay_and_reach_the_branch_as_they_are(fixed_branch):
    """Without terms and with last layers at 0 every constant is kept, to the last digit."""
    made = build(shake=0, library=False, fixed_branch=fixed_branch)
    sample = wave()
    values = np.full_like(sample.u, 1 / 3)
    held = replace(
        sample.boundary, dirichlet_values=np.where(sample.boundary.dirichlet_mask, values, 0)
    )
    graph = graphs(made, replace(sample, u=values, boundary=held))[0]
    part, transfer = made._on_moved_mesh(graph)
    assert transfer is not None and torch.equal(part.u, graph.u)
    assert torch.equal(part.dirichlet, graph.dirichlet)
    assert torch.equal(made(graph), graph.y)


def test_means_of_states_and_of_rates_are_kept():
    """Σ m̂ I1 u / Σ m̂ = Σ m u / Σ m for every state of the history, and the same back."""
    made, sample = build(), wave()
    free = replace(sample, boundary=Boundary.none(sample.mesh.num_nodes, 1))
    graph = graphs(made, free)[0]
    part, transfer = made._on_moved_mesh(graph)
    before, after = graph.mass @ graph.u[..., 0], part.mass @ part.u[..., 0]
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(part.mass, lumped_mass(part.pos, graph.simplex_index.t()))
    rate = torch.randn(len(graph.pos), 1)
    back = transfer.to_given(rate)
    torch.testing.assert_close(graph.mass @ back, part.mass @ rate, rtol=1e-5, atol=1e-6)
    made.conservative = False
    plain = made._on_moved_mesh(graph)[0]
    assert (plain.mass @ plain.u[..., 0] - before).abs().max() > 1e-5


def test_nodes_where_conditions_change_stay_and_no_cell_folds():
    """The ends of the Dirichlet side and their neighbours; a wild mover is shortened."""
    made = build(lambda graph: (graph.pos + 0.5 * torch.sin(7 * graph.pos.flip(1)))[:, None])
    graph = graphs(made, wave())[0]
    x, mask = made.points(graph), graph.dirichlet_mask[:, 0]
    ends = mask & (graph.pos[:, 1].abs() == graph.pos[:, 1].abs().max())
    assert graph.pinned.sum() == 4 and graph.pinned[ends].all()
    assert torch.equal(x[graph.pinned], graph.pos[graph.pinned])
    sample = wave()
    held = np.linalg.norm(sample.mesh.points - sample.mesh.points.mean(axis=0), axis=1).argmin()
    mask = sample.boundary.dirichlet_mask.copy()
    mask[held] = True
    values = np.where(mask, sample.u, 0.0)
    boundary = replace(sample.boundary, dirichlet_mask=mask, dirichlet_values=values)
    assert graphs(made, replace(sample, boundary=boundary))[0].pinned[held]
    sides = x[graph.simplex_index[1:]] - x[graph.simplex_index[:1]]
    assert (torch.linalg.det(sides.transpose(0, 1)) > 0).all()


def test_gradients_reach_both_branches_and_the_mover_when_asked():
    for train_mover in (False, True):
        made = build(train_mover=train_mover).train()
        assert made.mover.training is train_mover
        graph = graphs(made, wave())[0]
        one_step(made, graph).backward()
        for part in (made.fixed, made.moved):
            assert all(
                p.grad is not None and p.grad.abs().max() > 0 for p in part.net.decode.parameters()
            )
        assert made.gate.grad.abs().max() > 0
        slope = made.mover.strength.grad
        assert (slope is not None and slope.abs() > 0) if train_mover else slope is None


def test_a_batch_is_its_graphs():
    made = build(hops=2)
    single = graphs(made, wave(), wave(0.2, n=5))
    together = made(Batch.from_data_list(single))
    apart = torch.cat([made(g) for g in single])
    torch.testing.assert_close(together, apart, rtol=0, atol=3e-5)


def test_it_commutes_with_renumbering():
    made, sample = build(), wave()
    order = np.random.default_rng(3).permutation(sample.mesh.num_nodes)
    back = np.argsort(order)
    mesh, held = sample.mesh, sample.boundary
    groups = {n: Group(1, {"line": back[g.cells["line"]]}) for n, g in mesh.groups.items()}
    other = Mesh(mesh.points[order], {"triangle": back[mesh.cells["triangle"]]}, groups)
    boundary = replace(
        held,
        dirichlet_mask=held.dirichlet_mask[order],
        dirichlet_values=held.dirichlet_values[:, order],
        facets=np.where(held.facets >= 0, back[held.facets], -1),
    )
    turned = replace(
        sample, mesh=other, boundary=boundary, inputs=sample.inputs[order], u=sample.u[:, order]
    )
    here, there = graphs(made, sample, turned)
    torch.testing.assert_close(made(here)[order], made(there), rtol=0, atol=3e-5)


def test_the_mover_sees_the_last_state_and_its_own_transform():
    made = build()
    graph = graphs(made, wave())[0]
    assert "mover_place" in graph and "place" not in graph
    made.mover.calls.clear()
    made(graph)
    assert made.mover.calls == [(len(graph.pos), 1, 1)]
    assert torch.equal(made.transform(graph).mover_place, graph.mover_place)


def test_points_are_remembered_for_the_state_they_belong_to():
    """One call of the mover per data; any other state, alone or in a batch, moves the mesh anew."""
    made = build()
    graph = graphs(made, wave())[0]
    kept = made.remembered(graph)
    made.mover.calls.clear()
    assert torch.equal(made(kept), made(graph)) and len(made.mover.calls) == 1
    both = Batch.from_data_list([kept, made.remembered(graphs(made, wave(0.2, n=5))[0])])
    made.mover.calls.clear()
    made(both)
    assert not made.mover.calls
    kept.u = kept.u + 0.1
    graph.u = kept.u
    assert torch.equal(made(kept), made(graph)) and len(made.mover.calls) == 2
    given = made.remembered(graph, graph.pos)
    assert torch.equal(made.points(given), graph.pos)
    with pytest.raises(ValueError, match="MMPDE.remembered: the mover is trained, so its points"):
        build(train_mover=True).remembered(graph)


def test_the_untrained_model_is_the_fitted_equation_and_the_rest_is_for_the_second_branch():
    made = build(shake=0, history=1, bundle=1)
    train = graphs(made, wave(0.0, 2), wave(0.1, 2), wave(0.2, 2))
    made.fit_statistics(train)
    graph = train[1]
    assert torch.equal(made(graph), made.fixed(graph))
    free = ~graph.dirichlet_mask[:, 0]
    assert (made(graph) - graph.y)[free].norm() < 0.5 * (graph.u[:, -1:] - graph.y)[free].norm()
    assert made.moved.net.scale_rate.std < 0.7 * made.fixed.net.scale_rate.std.new_tensor(
        float(((graph.y - graph.u[:, -1:]) / graph.dt).square().mean().sqrt())
    )
    assert torch.equal(made.scale_out.std, made.fixed.scale_out.std)


def known(monkeypatch) -> None:
    """`Pull` and `MMPDE` as models that a checkpoint may name."""
    names = {**{name: MODELS[name] for name in MODELS}, "Pull": Pull, "MMPDE": MMPDE}
    for module in (checkpoint, inner):
        monkeypatch.setattr(module, "MODELS", names)
    monkeypatch.setattr("meshgnn.models.mm_pde.mm_pde.MODELS", names)


@pytest.mark.parametrize("loss", [None, short_history(pushforward(2)), unrolled(2)])
def test_it_trains_by_every_loss_and_the_mover_stays(loss):
    made = build(shake=0, width=8, layers=1, library=False)
    depth = 1 if loss is None else 2
    data = MeshDataset([wave(0.0), wave(0.1)], history=2, bundle=2 * depth)
    history = fit(made, data, epochs=2, batch_size=8, lr=3e-3, loss=loss, progress=False)
    assert history.train[-1] < history.train[0] and not made.training
    assert float(made.mover.strength) == pytest.approx(0.4)


def test_marching_and_files(tmp_path, monkeypatch):
    """A rollout keeps boundary values; load gives the model back, its mover with it."""
    known(monkeypatch)
    made, sample = build(width=8, layers=1), wave()
    made.mover.strength.data.fill_(0.3)
    save(made, tmp_path / "m.pt")
    again = load(tmp_path / "m.pt")
    assert again.hparams == made.hparams and torch.equal(again.mover.strength, made.mover.strength)
    assert not any(p.requires_grad for p in again.mover.parameters())
    series = [rollout(m, sample, 4) for m in (made, again)]
    assert np.array_equal(series[0].u, series[1].u) and series[0].u.shape == sample.u.shape
    mask = sample.boundary.dirichlet_mask
    assert np.array_equal(series[0].u[:, mask], sample.u[:, mask])
    save(build("identity"), tmp_path / "i.pt")
    assert load(tmp_path / "i.pt").mover is None


def test_what_cannot_be_is_refused(tmp_path, monkeypatch):
    known(monkeypatch)
    with pytest.raises(
        ValueError, match="expected a mover graph -> x .* or 'identity', got 'still'"
    ):
        MMPDE("still")
    with pytest.raises(ValueError, match="save: expected MMPDE.hparams to be its constructor"):
        save(build(lambda graph: graph.pos[:, None]), tmp_path / "m.pt")
    with pytest.raises(ValueError, match="expected a mover of dim 2, got one of dim 3"):
        build(DMM(dim=3))
    with pytest.raises(ValueError, match="unknown conditioning 'filn'"):
        MMPDE(conditioning="filn")
    lost = build(lambda graph: graph.pos[:, None] * float("nan"))
    with pytest.raises(ValueError, match="expected finite positions .* that are not finite; train"):
        lost(graphs(lost, wave())[0])
    flat = build(lambda graph: graph.pos)
    with pytest.raises(ValueError, match=r"expected finite positions \[72, 1, 2\] of the mover"):
        flat(graphs(flat, wave())[0])
    graph = to_graph(wave(), 2, 2)
    graph.edge_shift = torch.zeros(graph.edge_index.shape[1], 2)
    with pytest.raises(ValueError, match="3 corners and periodic sides; such meshes are not moved"):
        build().transform(graph)
