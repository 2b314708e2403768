"""`MPPDE`, preset "mesh": fitted terms, boundary values, symmetries, starts, conditioning."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from mesh_builders import lattice
from torch_geometric.data import Batch

from meshgnn.checkpoint import load, save
from meshgnn.graph import MeshDataset, check_graph, to_graph
from meshgnn.marching import rollout
from meshgnn.mesh import Group, Mesh, twins
from meshgnn.models import MODELS
from meshgnn.models.mp_pde.library import Library, with_stencils
from meshgnn.problems import Heat
from meshgnn.sample import Boundary, Sample
from meshgnn.train import fit

N = 8  # cells of the unit square along each side


def square(shake: float = 0.0) -> Mesh:
    """Triangles on the unit square, with its sides as groups; inner nodes shaken on request."""
    points, quads = lattice(N, N)
    cells = {"triangle": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])}
    plain = Mesh(points, cells)
    lines = plain.boundary_facets["line"]
    centre = points[lines].mean(axis=1)
    parts = {
        "left": centre[:, 0] == 0,
        "right": centre[:, 0] == 1,
        "bottom": centre[:, 1] == 0,
        "top": centre[:, 1] == 1,
    }
    groups = {name: Group(1, {"line": lines[chosen]}) for name, chosen in parts.items()}
    inner = np.setdiff1d(np.arange(len(points)), plain.boundary_nodes)
    moved = points.copy()
    moved[inner] += shake / N * np.random.default_rng(0).uniform(-1, 1, (len(inner), 2))
    return Mesh(moved, cells, groups)


def moving(phase: float = 0.0, frames: int = 8, periodic: bool = True, theta=()) -> Sample:
    """A wave travelling over the square, c = 1, and its first state again as a second component."""
    mesh, times = square(), 0.02 * np.arange(frames)
    x, y = mesh.points.T
    u = np.stack([np.sin(2 * np.pi * (x - t) + phase) * np.cos(2 * np.pi * y) for t in times])
    u = np.stack([u, np.broadcast_to(u[0], u.shape)], axis=-1)
    boundary = Boundary.none(mesh.num_nodes, 2)
    if periodic:
        pairs = {"left": "right", "bottom": "top"}
        boundary = replace(boundary, twin=twins(mesh, pairs))
    else:
        mask = np.zeros((mesh.num_nodes, 2), bool)
        mask[mesh.nodes_of("left"), 0] = True
        boundary = replace(boundary, dirichlet_mask=mask, dirichlet_values=np.where(mask, u, 0))
    inputs = u[0, :, :1]
    names = {"u": ["u", "v"], "inputs": ["initial"], "params": [f"p{i}" for i in range(len(theta))]}
    return Sample(mesh, boundary, inputs, times, u, np.array(theta, float), names)


def model(seed: int = 0, **options) -> torch.nn.Module:
    """A small one with no layer left at zero."""
    torch.manual_seed(seed)
    given = {"channels": 2, "inputs": 1, "history": 2, "bundle": 3, "width": 16, "layers": 2}
    made = MODELS["MPPDE"](**given | options)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return made.eval()


def graphs(made: torch.nn.Module, *samples: Sample) -> list:
    history, bundle = made.hparams["history"], made.hparams["bundle"]
    return [made.transform(to_graph(s, history, bundle)) for s in samples]


@pytest.mark.parametrize("periodic", [False, True])
def test_stencils_are_the_p1_gradient_and_laplacian(periodic):
    """∇ is exact for linear u (inside, where not periodic), and Δ u = −8 π² u + O(h²) on waves."""
    sample = moving(periodic=periodic)
    graph = with_stencils(to_graph(sample, 1, 1))
    source, target = graph.stencil_index
    x = graph.pos[:, 0] if not periodic else torch.sin(2 * np.pi * graph.pos[:, 0])
    slope = torch.zeros_like(graph.pos).index_add(
        0, target, (x[source] - x[target])[:, None] * graph.stencil_gradient
    )
    if periodic:
        exact = 2 * np.pi * torch.cos(2 * np.pi * graph.pos[:, 0])
        assert (slope[:, 0] - exact).abs().max() < 0.11 * 2 * np.pi  # sinc(h): 1 − 0.9
        assert slope[:, 1].abs().max() < 1e-4
        u = graph.u[:, 0, 0]
        laplace = torch.zeros_like(u).index_add(
            0, target, (u[source] - u[target]) * graph.stencil_laplace
        )
        assert (laplace + 8 * np.pi**2 * u).abs().max() < 0.06 * 8 * np.pi**2
        assert laplace.sum().abs() < 1e-2
    else:
        assert torch.allclose(slope, torch.tensor([1.0, 0.0]).expand_as(slope), atol=1e-4)


def test_least_squares_finds_the_equation():
    """Rates made of Δu, u ∂u/∂y and θ u: the fit gives them back, and leaves nothing."""
    library = Library(2, 1, 1, 0, 1, 1)
    data, rng = [], np.random.default_rng(1)
    mesh = square(0.2)
    for theta in (0.5, 1.0, 2.0):
        u = rng.normal(size=(1, mesh.num_nodes, 1))
        free = Boundary.none(mesh.num_nodes, 1)
        sample = Sample(mesh, free, np.zeros((mesh.num_nodes, 0)), u=u, params=np.array([theta]))
        data.append(with_stencils(to_graph(sample, history=1)))

    def rates(graph):
        raw = library.raw(graph)  # u, Δu, ΔΔu, ∇u, ...; u³, u ∂x u, u ∂y u
        assert torch.equal(raw[:, 0], graph.u[:, 0, 0])
        advection = raw[:, 0] * raw[:, 4]
        return (0.3 * raw[:, 1] - advection + graph.theta * raw[:, 0]).T

    left = library.fit(data, rates)
    spread = torch.cat([rates(g) for g in data]).std()
    assert left < 2e-3 * spread
    found = library.rates(library(data[0]))
    assert (found - rates(data[0])).abs().max() < 1e-2 * spread


def test_the_untrained_model_is_the_fitted_equation():
    """u_t = −∂u/∂x of the wave: one bundle of three states to 1 %, where persistence errs by 19."""
    made = MODELS["MPPDE"](channels=2, inputs=1, history=2, bundle=3, width=16, layers=1)
    train = graphs(made, *(moving(phase) for phase in (0.0, 1.0, 2.0)))
    made.fit_statistics(train)
    graph = graphs(made, moving(0.4))[0]
    error = (made(graph) - graph.y).norm() / graph.y.norm()
    still = (graph.u[:, -1:] - graph.y).norm() / graph.y.norm()
    assert error < 1e-3 and still > 0.15


def test_without_the_library_it_starts_from_persistence():
    made = MODELS["MPPDE"](channels=2, inputs=1, history=2, bundle=3, library=False)
    graph = graphs(made, moving())[0]
    made.fit_statistics([graph])
    assert torch.equal(made(graph), graph.u[:, -1:].expand(-1, 3, -1))
    terms = made.net.library(graph)  # features all the same, standardised
    varying = terms.std(0) > 1e-3
    assert varying.sum() > 10 and torch.allclose(terms.std(0)[varying], torch.ones(1), atol=0.02)


def test_a_fit_without_history_serves_where_the_past_is_not_known():
    """From one state of four the fitted terms alone are far better than persistence."""
    made = MODELS["MPPDE"](channels=2, inputs=1, history=4, bundle=1, width=16, layers=1)
    train = graphs(made, *(moving(phase) for phase in (0.0, 1.0, 2.0)))
    made.fit_statistics(train)
    graph = graphs(made, moving(0.4))[0]
    still = (graph.u[:, -1:] - graph.y).norm()
    graph.u = graph.u[:, -1:].expand(-1, 4, -1).clone()
    graph.known = torch.ones(1)
    assert (made(graph) - graph.y).norm() < 0.1 * still


def test_fluxes_of_the_boundary_are_terms_of_their_own():
    """Heat with k = 0.05 and a flux: the fitted equation steps it to 5 % of the change."""
    data = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        a, b, flux = rng.uniform(-1, 1, 3)
        problem = Heat(
            np.linspace(0, 0.02, 5),
            initial=lambda x, a=a, b=b: a * np.cos(np.pi * x[..., 0]) + b * x[..., 1],
            diffusivity=0.05,
            neumann={"right": flux, "*": 0.0},
        )
        solved = problem.solve(square())
        data.append(replace(solved, u=solved.u[2:], times=solved.times[2:]))
    made = MODELS["MPPDE"](inputs=4, width=16, layers=1)
    train = graphs(made, *data)
    made.fit_statistics(train[:7])
    graph = train[7]
    assert (made(graph) - graph.y).norm() < 0.2 * (graph.u[:, -1:] - graph.y).norm()


def test_a_graph_is_transformed_once():
    made = model(hops=2)
    graph = graphs(made, moving())[0]
    again = made.transform(graph)
    assert torch.equal(again.edge_index, graph.edge_index)
    assert torch.equal(again.spacing, graph.spacing)


def test_a_fit_that_no_noise_tames_is_told():
    """Data that double with every step and stop: what fits them marches out of their range."""
    sample = moving(frames=4)
    grown = replace(sample, u=sample.u[:1] * 2.0 ** (8 * np.arange(4))[:, None, None])
    made = MODELS["MPPDE"](channels=2, inputs=1, width=16, layers=1)
    train = graphs(made, grown)
    late = [copy.copy(train[0]) for _ in range(2)]
    late[1].time = late[1].time + 2.0
    with pytest.warns(UserWarning, match="leave the range of the data with any noise"):
        made.fit_statistics(late)


def test_boundary_values_are_exact_inside_the_bundle():
    made = model()
    graph = graphs(made, moving(periodic=False))[0]
    mask = graph.dirichlet_mask[:, None].expand_as(graph.y)
    out = made(graph)
    assert torch.equal(out[mask], graph.dirichlet[mask])
    assert not torch.equal(out[mask].view(-1, 3)[:, 0], out[mask].view(-1, 3)[:, 1])
    assert (out - graph.y)[~mask].abs().max() > 1e-3


@pytest.mark.parametrize("options", [{}, {"slices": 4}, {"hops": 2}, {"conditioning": "attention"}])
def test_a_batch_is_its_graphs(options):
    made = model(params=1, **options)
    single = graphs(made, moving(0.0, theta=[1.0]), moving(1.0, theta=[2.0]))
    together = made(Batch.from_data_list(single))
    apart = torch.cat([made(g) for g in single])
    assert torch.allclose(together, apart, atol=2e-5)


def test_it_commutes_with_shifts_of_a_periodic_mesh():
    """Moving the field by one cell moves the output by one cell."""
    made, sample = model(slices=4, hops=2), moving()
    graph = graphs(made, sample)[0]
    where = (graph.pos - graph.pos.amin(0)).mul(N).round().long()
    number = torch.zeros(N, N, dtype=torch.long)
    number[where[:, 0], where[:, 1]] = torch.arange(N * N)
    order = number[(where[:, 0] - 1) % N, where[:, 1]]
    shifted = copy.copy(graph)
    shifted.u, shifted.a = graph.u[order], graph.a[order]
    assert torch.allclose(made(shifted), made(graph)[order], atol=2e-5)
    assert not torch.allclose(made(shifted), made(graph), atol=1e-2)


def test_it_commutes_with_renumbering():
    made, sample = model(slices=4), moving(periodic=False)
    order = np.random.default_rng(3).permutation(sample.mesh.num_nodes)
    back = np.argsort(order)
    mesh = sample.mesh
    groups = {n: Group(1, {"line": back[g.cells["line"]]}) for n, g in mesh.groups.items()}
    other = Mesh(mesh.points[order], {"triangle": back[mesh.cells["triangle"]]}, groups)
    held = sample.boundary
    boundary = replace(
        held,
        dirichlet_mask=held.dirichlet_mask[order],
        dirichlet_values=held.dirichlet_values[:, order],
    )
    turned = replace(
        sample, mesh=other, boundary=boundary, inputs=sample.inputs[order], u=sample.u[:, order]
    )
    here, there = graphs(made, sample, turned)
    assert torch.allclose(made(here)[order], made(there), atol=2e-5)


def test_it_starts_from_one_state():
    """`known` tells a state at rest from one of which the past is not known."""
    made = model()
    sample = moving()
    graph = graphs(made, sample)[0]
    graph.u = graph.u[:, -1:].expand(-1, 2, -1).clone()
    told = copy.copy(graph)
    told.known = torch.tensor([1.0])
    check_graph(told, made)
    assert not torch.allclose(made(told), made(graph), atol=1e-4)
    assert made.starts_alone
    first = replace(sample, u=sample.u[:1], times=sample.times[:1])
    series = rollout(made, first, 4, dt=0.02)
    assert series.u.shape == (5, *sample.u.shape[1:])


@pytest.mark.parametrize("conditioning", ["concat", "film", "attention"])
def test_parameters_act(conditioning):
    made = model(params=1, conditioning=conditioning, library=False)
    one, two = (made(g) for g in graphs(made, moving(theta=[1.0]), moving(theta=[3.0])))
    assert not torch.allclose(one, two, atol=1e-3)


def test_training_lowers_the_error_and_a_file_keeps_all(tmp_path):
    """Six short epochs on waves halve the loss of the first; load gives the model back."""
    options = {"width": 16, "layers": 2, "library": False}
    made = MODELS["MPPDE"](channels=2, inputs=1, history=1, bundle=2, **options)
    data = MeshDataset([moving(p) for p in (0.0, 1.0, 2.0, 3.0)], history=1, bundle=2)
    test = MeshDataset([moving(0.5)], history=1, bundle=2)
    history = fit(made, data, epochs=6, batch_size=4, lr=3e-3, validation=test, progress=False)
    assert history.validation[-1] < 0.5 * history.validation[0]
    save(made, tmp_path / "m.pt")
    graph = made.transform(test[0])
    assert torch.equal(load(tmp_path / "m.pt")(graph), made(graph))


def test_wrong_options_are_refused():
    build = MODELS["MPPDE"]
    with pytest.raises(ValueError, match="unknown preset 'mesg'; choose one of mesh, paper"):
        build(preset="mesg")
    with pytest.raises(ValueError, match="unknown conditioning 'filn'; choose one of concat"):
        build(conditioning="filn")
    with pytest.raises(ValueError, match="'mesh' has no option length; it has width"):
        build(length=16.0)
    with pytest.raises(ValueError, match="expected hops of at least 1, got 0"):
        build(hops=0)
    with pytest.raises(ValueError, match="takes as many states as it gives"):
        build(preset="paper", dim=1, history=25, bundle=1)
