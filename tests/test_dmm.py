"""DMM: moved meshes by the Monge–Ampère equation, and what holds for any weights."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

import meshgnn as mg
from meshgnn.adaptivity.learned import moved
from meshgnn.adaptivity.measures import mesh_measures
from meshgnn.geometry import domains
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses.monge_ampere import MONITORS, MongeAmpere, distortion
from meshgnn.mesh import Mesh
from meshgnn.models.dmm import DMM
from meshgnn.models.dmm.paper_training import collocation_loss
from meshgnn.models.dmm.problem import Problem
from meshgnn.models.dmm.solve import conjugate_gradients
from meshgnn.monitors import Monitor
from meshgnn.sample import Boundary, Sample


def grid(n: int, d: int = 2, rng: np.random.Generator | None = None) -> Mesh:
    """The unit square or cube of n^d boxes, inner nodes displaced at random."""
    axes = np.meshgrid(*[np.linspace(0, 1, n + 1)] * d, indexing="ij")
    points = np.stack(axes, axis=-1).reshape(-1, d)
    if rng is not None:
        inner = ((points > 0) & (points < 1)).all(axis=1)
        points[inner] += rng.uniform(-0.2 / n, 0.2 / n, (inner.sum(), d))
    number = np.arange((n + 1) ** d).reshape([n + 1] * d)
    if d == 3:
        corners = [
            number[i : i + n, j : j + n, k : k + n].ravel()
            for i, j, k in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))
            + ((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))
        ]
        box = Mesh(points, {"hexahedron": np.stack(corners, axis=1)})
        return Mesh(points, {"tetra": box.simplices}).oriented()
    a, b, c, e = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    triangles = [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, e))]
    return Mesh(points, {"triangle": np.concatenate(triangles)})


def front(x: np.ndarray, centre: float = 0.4, width: float = 0.15) -> np.ndarray:
    """A disc or ball with a smooth rim about a corner region."""
    return np.tanh((np.linalg.norm(x - centre, axis=1) - 0.25) / width)


def graph_of(mesh: Mesh, u: np.ndarray, model: DMM | None = None) -> Data:
    graph = to_graph(sample_of(mesh, u), history=1, bundle=0)
    return graph if model is None else model.transform(graph)


def sample_of(mesh: Mesh, u: np.ndarray) -> Sample:
    u = u.reshape(1, mesh.num_nodes, -1)
    boundary = Boundary.none(mesh.num_nodes, u.shape[2])
    return Sample(mesh, boundary, np.zeros((mesh.num_nodes, 0)), u=u)


def perturbed(model: DMM, size: float = 0.3) -> DMM:
    """Weights as if trained to something else."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return model.eval()


def run(model: DMM, graph: Data) -> Tensor:
    with torch.no_grad():
        return model(graph)[:, 0]


def test_the_untrained_model_equidistributes_on_a_square():
    """std ratio below 0.2 at scale 1 with no training, no folded cell, angles above 5 degrees."""
    mesh = grid(14, rng=np.random.default_rng(0))
    u = front(mesh.points)
    found = mesh_measures(mesh, moved(DMM(), mesh, u), u)
    assert found.std_ratio < 0.2 and found.folded == found.outside == 0
    assert found.smallest_angle > 5


def test_a_domain_with_holes_keeps_them():
    """No folded cell, no angle below 5°, nobody outside, walls kept: for poor weights too."""
    mesh = domains.draw("plate_with_holes", 5, 0.1)
    u = front(mesh.points, 0.1)
    for model in (DMM(), perturbed(DMM(), 1.0)):
        x = moved(model, mesh, u, Monitor(scale=0.1))
        found = mesh_measures(mesh, x, u, Monitor(scale=0.1))
        assert found.folded == found.outside == 0 and found.smallest_angle >= 5
        low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
        on_side = (mesh.points == low) | (mesh.points == high)
        assert np.allclose(x.points[on_side], mesh.points[on_side], atol=1e-12)
        assert np.isclose(x.volumes.sum(), mesh.volumes.sum(), rtol=2e-2)
    good = mesh_measures(mesh, moved(DMM(), mesh, u), u)
    assert good.std_ratio < 0.5


def test_packaged_weights_move_a_mesh_that_they_never_saw():
    """mg.load("mover") on a family that it was not trained on, the default monitor and others."""
    mesh = domains.draw("polygon", 7, 0.07)
    u, model = front(mesh.points, 0.3, 0.1), mg.load("mover")
    found = mesh_measures(mesh, mg.adapt(mesh, u, mover=model), u)
    assert found.folded == found.outside == 0 and found.smallest_angle >= 5
    assert found.std_ratio <= 0.2
    for scale, largest in ((1.0, 0.2), (0.1, 0.5)):
        monitor = Monitor("gradient", scale)
        found = mesh_measures(mesh, mg.adapt(mesh, u, model, monitor), u, monitor)
        assert found.folded == found.outside == 0 and found.smallest_angle >= 5
        assert found.std_ratio <= largest


def test_a_ball_in_a_cube():
    """3D: no inverted tetrahedron, CV at most half."""
    mesh = grid(6, d=3)
    u = front(mesh.points, 0.5)
    found = mesh_measures(mesh, moved(DMM(dim=3), mesh, u), u)
    assert found.folded == found.outside == 0 and found.std_ratio < 0.5


def test_constant_monitors_leave_the_mesh_exactly():
    """m = 1: x = ξ to the last bit, whatever the weights; alone and beside another mesh."""
    mesh = grid(6, rng=np.random.default_rng(1))
    model = perturbed(DMM())
    graph = graph_of(mesh, np.full(mesh.num_nodes, 3.0), model)
    other = graph_of(mesh, front(mesh.points), model)
    assert torch.equal(run(model, graph.clone()), graph.pos)
    x = run(model, Batch.from_data_list([other, graph]))
    assert torch.equal(x[mesh.num_nodes :], graph.pos)
    assert not torch.allclose(x[: mesh.num_nodes], graph.pos, atol=1e-3)
    assert np.array_equal(moved(model, mesh, np.zeros(mesh.num_nodes)).points, mesh.points)


def test_a_batch_is_its_graphs():
    """Meshes of a batch do not see each other, whatever their sizes."""
    meshes = [grid(6, rng=np.random.default_rng(2)), domains.draw("disc_with_holes", 1, 0.25)]
    model = perturbed(DMM(stages=3)).double()
    graphs = [graph_of(mesh, front(mesh.points), model) for mesh in meshes]
    graphs = [doubled(graph) for graph in graphs]
    together = run(model, Batch.from_data_list([g.clone() for g in graphs]))
    alone = torch.cat([run(model, g) for g in graphs])
    assert torch.allclose(together, alone, atol=1e-9)


def doubled(graph: Data) -> Data:
    return graph.apply(lambda v: v.double() if torch.is_floating_point(v) else v)


def test_motions_scale_and_numbering():
    """x(Q ξ L + a) = L Q x(ξ), and nodes in another order move alike."""
    mesh = domains.draw("polygon", 3, 0.12)
    u = front(mesh.points, 0.0)
    model = perturbed(DMM(stages=3)).double()
    x = run(model, doubled(graph_of(mesh, u, model)))
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    other = Mesh(1e-3 * mesh.points @ turn.T, mesh.cells)
    turned = run(model, doubled(graph_of(other, u, model)))
    assert torch.allclose(1e3 * turned, x @ torch.tensor(turn.T), atol=1e-3)
    order = np.random.default_rng(0).permutation(mesh.num_nodes)
    place = np.argsort(order)
    again = Mesh(mesh.points[order], {"triangle": place[mesh.simplices]})
    permuted = run(model, doubled(graph_of(again, u[order], model)))
    assert torch.allclose(permuted, x[order], atol=1e-4)


def test_nodes_go_where_the_front_is_and_not_to_its_mirror():
    """A front at x_0 = 0.25: cells there are smaller than at x_1 = 0.25."""
    mesh = grid(12, rng=np.random.default_rng(3))
    u = np.tanh((mesh.points[:, 0] - 0.25) / 0.1)
    x = moved(DMM(), mesh, u)
    centres = x.points[x.simplices].mean(axis=1)
    at = np.abs(centres[:, 0] - 0.25) < 0.1
    mirrored = (np.abs(centres[:, 1] - 0.25) < 0.1) & (np.abs(centres[:, 0] - 0.7) < 0.2)
    assert x.volumes[at].mean() < 0.6 * x.volumes[mirrored].mean()


def test_force_and_rate_are_derivatives():
    """b = ∂r/∂x and F = ∂E/∂x of E = Σ |K| (r²/2 + μ Q), by autograd in float64."""
    mesh = grid(4, rng=np.random.default_rng(4))
    model = DMM().double()
    graph = doubled(graph_of(mesh, front(mesh.points), model))
    problem = Problem(graph, 1 + graph.pos @ torch.tensor([0.3, 0.2], dtype=torch.float64))
    x = (
        problem.pos
        + 0.01 * torch.sin(9 * problem.pos.flip(1)) * graph.tangents.amax(dim=(1, 2))[:, None]
    )
    inner = graph.bc[:, 0] * (graph.area == 0) > 0
    x = torch.where(inner[:, None], x, problem.pos).requires_grad_()
    state = problem.state(x)
    ones = torch.ones_like(state.residual)
    energy = (problem.volume * (state.residual**2 / 2 + 0.1 * state.distortion)).sum()
    exact = torch.autograd.grad(energy, x)[0]
    _, force = problem.newton(state, ones, ones, ones, 0.1 * ones)
    assert torch.allclose(force[inner], exact[inner], rtol=1e-6, atol=1e-8)


def test_conjugate_gradients_solve_and_differentiate():
    """As many steps as unknowns give A⁻¹ b, with its derivative; b = 0 gives 0."""
    torch.manual_seed(0)
    root = torch.randn(5, 5, dtype=torch.float64)
    matrix = root @ root.T + torch.eye(5)
    b = torch.randn(5, 1, dtype=torch.float64, requires_grad=True)

    def solve(b: Tensor) -> Tensor:
        return conjugate_gradients(
            lambda v: matrix @ v, lambda v: v, b, 5, lambda v, w: (v * w).sum()
        )

    assert torch.allclose(solve(b), torch.linalg.solve(matrix, b), atol=1e-9)
    assert torch.autograd.gradcheck(solve, b, atol=1e-6)
    assert not solve(0 * b).any()


def test_training_needs_no_labels():
    """fit on samples of one state lowers the loss; hparams and weights make the same mover."""
    meshes = [grid(n, rng=np.random.default_rng(n)) for n in (5, 6)]
    samples = [sample_of(mesh, front(mesh.points, c)) for mesh in meshes for c in (0.3, 0.7)]
    data = MeshDataset(samples, history=1, bundle=0)
    model = DMM(stages=2, solves=4)
    model.loss = MongeAmpere(monitors=None)
    history = mg.fit(model, data, epochs=5, batch_size=2, lr=1e-2, progress=False)
    assert history.train[-1] < history.train[0]
    again = DMM(**model.hparams)
    again.load_state_dict(model.state_dict())
    u = front(meshes[0].points)
    assert np.array_equal(moved(again, meshes[0], u).points, moved(model, meshes[0], u).points)


def test_loss_is_the_std_ratio_and_punishes_folds():
    """1 for the mesh as it is (regular cells), more than 1 more with a folded one."""
    mesh = grid(4)
    model = DMM()
    graph = graph_of(mesh, front(mesh.points), model)
    graph.density = model.density(graph)
    loss = MongeAmpere()
    assert loss.of_points(graph.pos, graph).item() == pytest.approx(1, abs=1e-4)
    x = graph.pos.clone()
    x[12] += torch.tensor([0.6, 0.0])
    assert loss.of_points(x, graph) > 2
    longer = MongeAmpere(regular=1.0).of_points(graph.pos, graph).item()
    right = np.log(2 / 3**0.5)  # the distortion of half a square
    assert longer == pytest.approx(1 + right, abs=1e-4)
    model.train()
    graphs = [graph_of(mesh, front(mesh.points), model) for _ in range(9)]
    drawn = {round(loss(model, graph).item(), 6) for graph in graphs}
    assert 1 < len(drawn) <= len(MONITORS)


def test_distortion_of_regular_cells_is_one():
    triangle = torch.tensor([[0.0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    volume = torch.tensor([3**0.5 / 4])
    assert distortion(triangle, torch.tensor([[0, 1, 2]]), volume).item() == pytest.approx(
        1, abs=1e-5
    )
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    volume = torch.tensor([8 / 3])
    assert distortion(corners, torch.arange(4)[None], volume).item() == pytest.approx(1, abs=1e-5)


def test_paper_preset_has_the_published_layers():
    """Branch 680,113, trunk 17,152 and head 525,473 less 320 dead parameters: 1,222,418."""
    model = DMM("paper")
    assert sum(p.numel() for p in model.parameters()) == 1_222_738 - 320
    assert model.monitor == Monitor("gradient", 0.01) and DMM().monitor == Monitor()


def test_paper_preset_trains_and_its_last_layer_is_fitted():
    """Adam on collocation points, then L-BFGS on the last layer alone lowers the loss further."""
    mesh = grid(11)
    model = DMM("paper", resolution=8, scale=1.0)
    samples = [sample_of(mesh, front(mesh.points, c, 0.3)) for c in (0.4, 0.6)]
    data = MeshDataset(samples, history=1, bundle=0)
    mg.fit(model, data, epochs=1, batch_size=2, lr=1e-5, progress=False)
    graphs = [model.transform(graph) for graph in data]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = float(
            collocation_loss(model, Batch.from_data_list([g.clone() for g in graphs])).detach()
        )
    end = model.fit_last_layer(graphs, steps=4)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed == ["net.head.2.weight"] and end < start
    x = moved(model, mesh, front(mesh.points, 0.4, 0.3))
    assert x.volumes.min() > 0


def test_what_is_refused():
    mesh = grid(3)
    u = front(mesh.points)
    quads = Mesh(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]), {"quad": np.array([[0, 1, 2, 3]])})
    for wrong, text in (
        (lambda: DMM("other"), "unknown preset 'other'"),
        (lambda: DMM("paper", stages=3), "has no option stages"),
        (lambda: DMM(dim=1), "expected dim 2 or 3"),
        (lambda: DMM(stages=0), "expected stages of at least 1"),
        (lambda: DMM("paper", resolution=6), "expected a multiple of 4"),
        (lambda: DMM().fit_last_layer([]), "has no second stage"),
        (lambda: DMM()(graph_of(mesh, u)), "use model.transform"),
        (lambda: moved(DMM(), quads, np.zeros(4)), "expected triangles in 2D or tetrahedra in 3D"),
        (lambda: moved(DMM(), mesh, np.zeros(3)), "over the nodes"),
        (lambda: moved(DMM(), mesh, np.where(u > 0, np.nan, u)), "NaN or infinite at"),
        (lambda: moved(DMM(dim=3), mesh, u), "was made for space dimensions: 3"),
        (lambda: moved(torch.nn.Linear(1, 1), mesh, u), "expected as mover .*, got Linear"),
        (lambda: moved(DMM("paper"), Mesh(2 * mesh.points, mesh.cells), u), "for the unit square"),
    ):
        with pytest.raises(ValueError, match=text):
            wrong()
