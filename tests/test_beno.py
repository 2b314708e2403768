"""BENO on meshes: what its structure promises, for any weights."""

import numpy as np
import pytest
import torch
from beno_builders import (
    EQUATIONS,
    PRESETS,
    SMALL,
    build,
    distance,
    doubled,
    moved,
    prepared,
    renumbered,
    scaled,
    solved,
)
from mesh_builders import octasphere
from torch_geometric.data import Batch, Data

from meshgnn.geometry import domains
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.mesh import Mesh
from meshgnn.models import MODELS
from meshgnn.problems import LinearElasticity, Poisson
from meshgnn.train import fit

ANGLE = 0.7
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
OTHERS = (("annulus", 1, 0.12), ("cut_square", 0, 0.12), ("disc_with_holes", 2, 0.15))

presets = pytest.mark.parametrize("preset", PRESETS)
equations = pytest.mark.parametrize("equation", EQUATIONS)


@pytest.fixture(scope="module")
def samples():
    """One or several boundary loops, of 37 to 74 nodes; all kinds of conditions."""
    return {name: [solved(name, *drawn) for drawn in OTHERS] for name in EQUATIONS}


@presets
@equations
def test_each_branch_sees_its_own_data_only(preset, equation, samples):
    """∂u_f/∂g = 0 and ∂u_g/∂f = 0 exactly, fluxes being boundary data; other f: the same u_g."""
    model, sample = build(preset, equation=equation), samples[equation][0]
    graph = prepared(model, sample)
    data = [graph[k].requires_grad_() for k in ("source_load", "edge_load", "dirichlet")]
    parts = model.branches(graph).unbind(dim=1)
    (f_f, f_h, f_g), (g_f, g_h, g_g) = (
        torch.autograd.grad(part.sum(), data, retain_graph=True, allow_unused=True)
        for part in parts
    )
    assert all(x is None or not x.any() for x in (f_h, f_g, g_f))
    assert f_f.any() and g_h.any() and g_g.any()
    other = to_graph(sample)
    channels = sample.channels
    other.a[:, :channels] = torch.randn_like(other.a[:, :channels])
    other.cell_a[:, :channels] = torch.randn_like(other.cell_a[:, :channels])
    source, boundary = model.branches(model.transform(other)).unbind(dim=1)
    assert torch.equal(boundary, parts[1]) and not torch.equal(source, parts[0])


@presets
@equations
def test_numbering_and_the_order_of_the_boundary_do_not_matter(preset, equation, samples):
    """Nodes, cells and flux facets in random order, and with them the loops and their starts."""
    model, rng = build(preset, equation=equation), np.random.default_rng(0)
    for sample in samples[equation]:
        order, cells = (rng.permutation(n) for n in (sample.mesh.num_nodes, sample.mesh.num_cells))
        graph = prepared(model, sample)
        assert len(graph.token_index) == 16 < len(graph.wall_index)
        other = prepared(model, renumbered(sample, order, cells))
        assert set(order[other.token_index].tolist()) == set(graph.token_index.tolist())
        assert distance(model(other), model(graph)[order]) < 1e-5


@presets
@equations
def test_a_batch_equals_single_graphs(preset, equation, samples):
    """Different numbers of nodes, slices and tokens; the first has fewer boundary nodes than 64."""
    model = build(preset, equation=equation, tokens=64)
    graphs = [prepared(model, s) for s in samples[equation]]
    assert sorted(len(g.token_index) for g in graphs) == [37, 64, 64]
    alone = torch.cat([model(g) for g in graphs])
    assert distance(model(Batch.from_data_list(graphs)), alone) < 1e-5


def test_a_batch_of_closed_and_open_surfaces_equals_single_graphs():
    """A sphere has no boundary and so no tokens: as the first, a middle and the last graph."""
    sphere = octasphere(2)
    upper = sphere.cells["triangle"][(sphere.points[sphere.cells["triangle"], 2] >= 0).all(axis=1)]
    used, upper = np.unique(upper, return_inverse=True)
    half = Mesh(sphere.points[used], {"triangle": upper.reshape(-1, 3)})
    model = build("linear", dim=3)
    closed = prepared(model, Poisson(source=lambda x: x[..., 2]).sample(sphere))
    open_ = prepared(model, Poisson(1.0, dirichlet={"*": lambda x: x[..., 0]}).sample(half))
    assert not len(closed.token_index) and len(open_.token_index)
    for graphs in ([closed, open_], [open_, closed], [open_, closed, open_], [closed, closed]):
        alone = torch.cat([model(g) for g in graphs])
        assert distance(model(Batch.from_data_list(graphs)), alone) < 1e-5


@presets
@equations
@pytest.mark.parametrize(
    "change",
    [
        {"turn": TURN, "shift": 30.0},
        {"turn": TURN * [[1], [-1]], "shift": 3.0},
        {"turn": np.eye(2), "scale": 1000.0},
        {"turn": np.eye(2), "stiff": 2e11},
        {"turn": TURN, "scale": 1e-3, "stiff": 1e6},
    ],
    ids=["motion", "reflection", "unit of length", "unit of stress", "all"],
)
def test_motions_reflections_and_units_change_nothing(preset, equation, change, samples):
    """x → s Q (x + c), k → m k, with f → m f / s², h → m h / s and α → m α / s: the same u, and
    in elasticity Q u for vectors that are turned along."""
    model, sample = build(preset, equation=equation), samples[equation][0]
    here, there = (model(prepared(model, s)) for s in (sample, moved(sample, **change)))
    if equation == "elasticity":
        here = here @ torch.from_numpy(change["turn"].T).float()
    assert distance(there, here) < (1e-5 if equation == "diffusion" else 3e-5)


@presets
def test_supports_hold_components_exactly(preset):
    """u_x = 0 left, u_y = 0 below, both given at the top, and 0 there in the source part."""
    mesh = domains.draw("cut_square", 3, 0.15)
    problem = LinearElasticity(
        body=(0.0, -1.0),
        dirichlet={"left": (0.0, None), "bottom": (None, 0.0), "top": lambda x: 0.01 * x},
        traction={"*": (0.1, 0.0)},
    )
    model = build(preset, equation="elasticity")
    graph = prepared(model, problem.sample(mesh))
    mask = graph.dirichlet_mask
    assert (mask[:, 0] != mask[:, 1]).any() and mask.all(dim=1).any()
    out, parts = model(graph)[:, 0], model.branches(graph)
    assert torch.equal(out[mask], graph.dirichlet[:, 0][mask])
    assert not parts[:, 0][mask].any() and parts[:, 0][~mask].all()


@equations
def test_the_linear_preset_is_linear(equation, samples):
    """u(f, g) = u(f, 0) + u(0, g), of sums too, u(7 f, 7 g) = 7 u(f, g) and u(0, 0) = 0."""
    model, sample = build("linear", equation=equation).double(), samples[equation][2]
    graph = doubled(prepared(model, sample))
    whole = model(graph)
    assert distance(model(scaled(graph, 1, 0)) + model(scaled(graph, 0, 1)), whole) < 1e-10
    assert additive_defect(model, graph) < 1e-10
    assert distance(model(scaled(graph, 7, 7)), 7 * whole) < 1e-10
    assert not model(scaled(graph, 0, 0)).any()
    single = build("linear", equation=equation)
    graph = prepared(single, sample)
    whole = single(graph)
    assert distance(single(scaled(graph, 1, 0)) + single(scaled(graph, 0, 1)), whole) < 1e-5


@presets
@equations
def test_what_transform_adds_depends_on_the_data_in_the_loads_alone(preset, equation, samples):
    """Weights see geometry, coefficients and kinds of conditions: other data, the same tensors."""
    model, graph = build(preset, equation=equation), to_graph(samples[equation][0])
    other, channels = graph.clone(), graph.dirichlet.shape[2]
    for key in ("dirichlet", "flux", "flux_load"):
        other[key] = 3 * other[key]
    other.a[:, :channels] += 1
    other.cell_a[:, :channels] += 1
    given = {"a", "cell_a", "dirichlet", "flux", "flux_load", "source_load", "edge_load"}
    one, two = model.transform(graph).to_dict(), model.transform(other).to_dict()
    assert not [k for k in one if k not in given and not torch.equal(one[k], two[k])]


def test_the_nonlinear_preset_is_homogeneous_and_nearly_additive_once_trained(samples):
    """u(8 f, 8 g) = 8 u(f, g) bit for bit, u(f, g) = u(f, 0) + u(0, g) to rounding; of sums of two
    data sets, u(d + d') = u(d) + u(d') to the error of the solution, and not in general."""
    meshes = [domains.draw("cut_square", i, 0.18) for i in range(8)]
    data = [Poisson.draw(m, np.random.default_rng(i)).solve(m) for i, m in enumerate(meshes)]
    torch.manual_seed(0)
    model = MODELS["BENO"]("nonlinear", **SMALL)
    history = fit(model, MeshDataset(data), epochs=6, batch_size=4, lr=5e-3, progress=False)
    assert history.train[-1] < 0.5 * history.train[0]
    graph = prepared(model, samples["diffusion"][0])
    assert additive_defect(model, graph) < 0.05
    model.net.data[-1].weight.data += 0.3  # gates that see u and z more
    assert additive_defect(model, graph) > 1e-5
    whole = model(graph)
    assert torch.equal(model(scaled(graph, 8, 8)), 8 * whole)
    assert not model(scaled(graph, 0, 0)).any()
    assert distance(model(scaled(graph, 1, 0)) + model(scaled(graph, 0, 1)), whole) < 1e-5


def additive_defect(model: torch.nn.Module, graph: Data) -> float:
    """|u(d) + u(d') − u(d + d')| / |u(d + d')| for d' = d times a wave."""
    other, both = scaled(graph, 1, 1), scaled(graph, 1, 1)
    wave = torch.sin(9 * graph.pos[:, 0])
    for key in ("source_load", "edge_load", "dirichlet"):
        other[key] = (graph[key].movedim(0, -1) * wave).movedim(-1, 0)
        both[key] = graph[key] + other[key]
    return distance(model(graph) + model(other), model(both))
