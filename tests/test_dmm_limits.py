"""DMM at the limits: offsets and units of fields, bfloat16, tiny meshes, broken movers, its losses
against closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

import meshgnn as mg
from meshgnn.adaptivity.learned import moved
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses.monge_ampere import MongeAmpere
from meshgnn.mesh import Mesh
from meshgnn.models.dmm import DMM, paper_training
from meshgnn.models.dmm.problem import Problem
from meshgnn.monitors import Monitor
from meshgnn.operators import hat_gradients
from meshgnn.sample import Boundary, Sample


def grid(n: int) -> Mesh:
    """The unit square of 2 n² triangles, inner nodes displaced at random."""
    x, y = np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1), indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    inner = ((points > 0) & (points < 1)).all(axis=1)
    points[inner] += np.random.default_rng(n).uniform(-0.15 / n, 0.15 / n, (inner.sum(), 2))
    number = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, e = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    triangles = [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, e))]
    return Mesh(points, {"triangle": np.concatenate(triangles)})


def disc(points: np.ndarray) -> np.ndarray:
    return np.tanh((np.linalg.norm(points - 0.4, axis=1) - 0.25) / 0.15)


def sample_of(mesh: Mesh, u: np.ndarray) -> Sample:
    boundary = Boundary.none(mesh.num_nodes, 1)
    return Sample(mesh, boundary, np.zeros((mesh.num_nodes, 0)), u=u.reshape(1, -1, 1))


def graph_of(mesh: Mesh, model: DMM, u: np.ndarray | None = None) -> Data:
    u = disc(mesh.points) if u is None else u
    return model.transform(to_graph(sample_of(mesh, u), history=1, bundle=0))


@pytest.mark.parametrize(("a", "b"), [(1, 101325), (1, 1e6), (1e-300, 0), (1e308, 0), (-3, -1e5)])
def test_offset_and_unit_of_a_field_change_nothing(a, b):
    """x(ξ; a u + b) = x(ξ; u): m of float64 values does not know a and b."""
    mesh, monitor = grid(8), Monitor("gradient")
    u, model = disc(mesh.points), DMM(stages=3)
    plain = moved(model, mesh, u, monitor).points
    assert np.abs(plain - mesh.points).max() > 0.02
    assert np.abs(moved(model, mesh, a * u + b, monitor).points - plain).max() < 1e-5


def test_the_paper_preset_reads_the_values_as_they_are():
    """Its network sees u in its own unit, as in training: 2 u is another field."""
    mesh, model = grid(8), DMM("paper", resolution=8)
    u, seen = disc(mesh.points), []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0].u[:, 0, 0]))
    moved(model, mesh, u)
    assert np.allclose(seen[0], u, atol=1e-6)


@pytest.mark.parametrize("preset", ["mesh", "paper"])
def test_bfloat16_around_it(preset):
    """Under autocast the mesh preset gives the points of float32; fit runs in "bf16-mixed"."""
    mesh = grid(5)
    model = DMM(preset, scale=1.0, **({"stages": 2} if preset == "mesh" else {"resolution": 8}))
    graph = graph_of(mesh, model)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        x = model(graph.clone())
    assert x.dtype == torch.float32
    assert torch.allclose(x, model(graph).detach(), atol=1e-7 if preset == "mesh" else 1e-2)
    data = MeshDataset([sample_of(mesh, disc(mesh.points))], history=1, bundle=0)
    history = mg.fit(model, data, epochs=2, lr=1e-4, precision="bf16-mixed", progress=False)
    assert np.isfinite(history.train).all()


@pytest.mark.parametrize("d", [2, 3])
def test_one_cell_has_no_node_to_move(d):
    """All nodes of one simplex are corners: x = ξ, also beside a mesh that moves."""
    points = np.concatenate([np.zeros((1, d)), np.eye(d)])
    mesh = Mesh(points, {"triangle" if d == 2 else "tetra": np.arange(d + 1)[None]})
    u = points[:, 0] ** 2
    found = moved(DMM(dim=d), mesh, u, Monitor("gradient"))
    assert np.array_equal(found.points, mesh.points)
    model = DMM(dim=d, kind="gradient")
    graph = graph_of(mesh, model, u)
    graph.density = 1 + graph.pos[:, 0] ** 2
    assert torch.allclose(model(graph)[:, 0], graph.pos, atol=1e-7)


class Odd(nn.Module):
    """A mover that gives what it is made with."""

    monitor = Monitor("gradient")

    def __init__(self, points: Tensor) -> None:
        super().__init__()
        self.points = points

    def transform(self, graph: Data) -> Data:
        return graph

    def forward(self, graph: Data) -> Tensor:
        return self.points


def spoilt(value: float = float("nan")) -> DMM:
    model = DMM()
    with torch.no_grad():
        model.net.step[2] = value
    return model


def test_movers_that_are_refused():
    mesh = grid(3)
    u = disc(mesh.points)
    wanted = (
        "expected as mover a model with transform, monitor and forward, such as models.DMM\\(\\)"
    )
    for model, text in (
        (lambda g: g.pos[:, None], f"{wanted}.*, got function"),
        (DMM, f"{wanted}.*, got the class DMM"),
        ("mover", f"{wanted}.*, got str"),
        (spoilt(), "NaN or infinite weights in net.step"),
        (DMM().bfloat16(), "expected a mover in float32 or float64, got torch.bfloat16"),
        (Odd(torch.full((16, 1, 2), torch.nan)), "the mover gave NaN or infinite .* 16 of 16"),
        (Odd(torch.zeros(16, 2)), r"expected points \[16, 1, 2\] of the mover, got \[16, 2\]"),
    ):
        with pytest.raises(ValueError, match=text):
            mg.adapt(mesh, u, mover=model)
    model = DMM()
    nn.init.constant_(model.net.encode[0].weight, torch.nan)
    with pytest.raises(ValueError, match="no positive definite system in graphs .0. of the batch"):
        model(graph_of(mesh, model))


def test_movers_in_float64_and_without_weights():
    """The graph comes in the type of the weights; a module without any will do."""
    mesh = grid(5)
    u, model = disc(mesh.points), DMM(stages=2, kind="gradient")
    plain = moved(model, mesh, u).points
    assert np.allclose(moved(model.double(), mesh, u).points, plain, atol=1e-4)
    assert np.abs(plain - mesh.points).max() > 0.01
    shift = torch.tensor(mesh.points - mesh.points.mean(axis=0)).float()[:, None]
    assert np.allclose(moved(Odd(shift), mesh, u).points, mesh.points, atol=1e-6)


def linear_graph(mesh: Mesh) -> Data:
    """With m = 1 + x + 2 y, which P1 represents, and what the losses read."""
    graph = graph_of(mesh, DMM("paper", resolution=8)).apply(doubled)
    graph.density = density(graph.xi)
    return graph


def doubled(v: Tensor) -> Tensor:
    return v.double() if v.is_floating_point() else v


def density(x: Tensor) -> Tensor:
    return 1 + x[:, 0] + 2 * x[:, 1]


@pytest.mark.parametrize("mixed", [0.0, 0.25])
def test_the_equation_term_of_a_quadratic_potential(mixed):
    """ψ = a ξ²/2 + c ξ η + b η²/2: ⟨(m(ξ + ∇ψ) ((1+a)(1+b) − c²) / ⟨m⟩ − 1)²⟩, ⟨m⟩ = 2.5."""
    graph = linear_graph(grid(6))
    nodes = torch.nonzero(((graph.xi > 0.3) & (graph.xi < 0.7)).all(dim=1))[:, 0].repeat(2)
    hessian = torch.tensor([[0.2, mixed], [mixed, -0.3]], dtype=torch.float64)
    step = graph.xi[nodes] @ hessian
    det = 1.2 * 0.7 - mixed**2
    exact = ((density(graph.xi[nodes] + step) * det / 2.5 - 1) ** 2).mean()
    every = hessian.expand(len(nodes), 2, 2)
    found = paper_training._combined(graph, nodes, step, every, step.new_zeros(7))
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)


def test_the_terms_of_the_walls_and_of_convexity():
    """1000 ⟨(∂ψ/∂n)²⟩ and ⟨Σ_a min(0, 1 + ψ_aa)²⟩, added to the equation's."""
    graph = linear_graph(grid(6))
    graph.density = torch.ones_like(graph.density)
    nodes, flux = torch.arange(4), torch.tensor([0.1, -0.2, 0.0], dtype=torch.float64)
    still = torch.zeros(4, 2, dtype=torch.float64)

    def loss(hessian: Tensor, flux: Tensor) -> float:
        return paper_training._combined(graph, nodes, still, hessian, flux).item()

    flat = torch.zeros(4, 2, 2, dtype=torch.float64)
    assert loss(flat, 0 * flux) == pytest.approx(0, abs=1e-12)
    assert loss(flat, flux) == pytest.approx(1000 * 0.05 / 3)
    turned = torch.diag_embed(torch.tensor([[-1.5, -3.0], [-1.5, 0], [0, 0], [0, 0]])).double()
    equation = ((0.5 * 2 - 1) ** 2 + (-0.5 - 1) ** 2) / 4
    assert loss(turned, 0 * flux) == pytest.approx(equation + (0.25 + 4 + 0.25) / 4)


def test_the_collocation_loss_takes_derivatives_of_the_potential():
    """ψ = 0.1 ξ² η: Hψ = 0.2 (η, ξ; ξ, 0), and ∂ψ/∂n = 0, 0.2 η, −0.1 ξ², 0.1 ξ² on the sides."""
    graph = linear_graph(grid(6))

    def displacement(xi: Tensor, code: Tensor, which: Tensor) -> Tensor:
        return 0.1 * torch.stack([2 * xi[:, 0] * xi[:, 1], xi[:, 0] ** 2], dim=1)

    net = SimpleNamespace(code=lambda graph: graph.theta, displacement=displacement)
    torch.manual_seed(0)
    found = paper_training.collocation_loss(SimpleNamespace(net=net), graph)
    torch.manual_seed(0)
    xi = graph.xi[paper_training.drawn_nodes(None, graph)]
    x = xi + displacement(xi, xi, xi)
    det = 1 + 0.2 * xi[:, 1] - (0.2 * xi[:, 0]) ** 2
    line = torch.linspace(0, 1, 30, dtype=torch.float64)
    walls = ((0.2 * line) ** 2 + 2 * (0.1 * line**2) ** 2).mean() / 4
    m = density(x.clamp(max=1))  # outside it is that of the nearest point
    exact = ((m * det / 2.5 - 1) ** 2).mean() + 1000 * walls
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)


def test_derivatives_of_the_features_are_those_of_autograd():
    """∇φ and Hφ by hand, φ = features(ξ), against autograd in float64."""
    torch.manual_seed(3)
    net = DMM("paper", resolution=8).double().net
    xi = torch.rand(3, 2, dtype=torch.float64)
    code, which = torch.randn(2, 512, dtype=torch.float64), torch.tensor([0, 1, 1])
    slopes, curls = paper_training._derivatives(net, xi, code, which)
    some = torch.arange(0, 512, 64)

    def features(x: Tensor) -> Tensor:
        return net.features(x, code, which).sum(dim=0)[some]  # each ξ has its own row

    gradient = torch.autograd.functional.jacobian(features, xi)
    assert torch.allclose(slopes[:, some], gradient.transpose(0, 1), atol=1e-10)
    for k, h in enumerate(some.tolist()):
        second = torch.autograd.functional.hessian(lambda x, k=k: features(x)[k], xi)
        own = second[torch.arange(3), :, torch.arange(3)]
        assert torch.allclose(curls[:, h], own, atol=1e-10) and own.abs().max() > 1e-4


def test_the_loss_of_a_known_map():
    """x = (ξ², η), m = 1 + x + 2 y: w_K = m(centroid of x_K) |x_K| / |K|; std(w)/std₀(w) alone."""
    mesh = grid(6)
    graph = linear_graph(mesh)
    xi = torch.tensor(mesh.points)
    x = torch.stack([xi[:, 0] ** 2, xi[:, 1]], dim=1)
    simplices = torch.tensor(mesh.simplices)
    volume = torch.tensor(mesh.simplex_volumes)

    def deviation(points: Tensor) -> Tensor:
        area = hat_gradients(points, simplices)[1]
        w = density(points[simplices].mean(dim=1)) * area / volume
        w = w / ((w * volume).sum() / volume.sum()) - 1
        return ((w**2 * volume).sum() / volume.sum()).sqrt()

    graph.pos = xi
    found = MongeAmpere(fold=0.0, shape=0.0).of_points(x, graph).item()
    assert found == pytest.approx((deviation(x) / deviation(xi)).item(), rel=1e-5)


def test_the_terms_of_folds_and_angles():
    """x = (ξ, s η) of right triangles: w = s everywhere, det J = s, Q = (1 + s²) / (√3 s)."""
    points = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    mesh = Mesh(points, {"triangle": np.array([[0, 1, 2], [0, 2, 3]])})
    graph = linear_graph(mesh)
    graph.density = torch.ones_like(graph.density)

    def loss(s: float, **terms: float) -> float:
        model = MongeAmpere(**({"fold": 0.0, "shape": 0.0} | terms))
        x = graph.pos * torch.tensor([1, s], dtype=torch.float64)
        return model.of_points(x, graph).item() - 1e-4  # of √(0 + 1e-8)

    s = 0.02
    q = (1 + s**2) / (3**0.5 * s)
    assert loss(s) == pytest.approx(0, abs=1e-6)
    assert loss(s, fold=3.0) == pytest.approx(3 * (1 - s / 0.05) ** 2, rel=1e-5)
    assert loss(0.06, fold=3.0) == pytest.approx(0, abs=1e-6)
    assert loss(s, shape=2.0) == pytest.approx(2 * (np.log(q / 4) - 1e-12**0.125), rel=1e-5)
    assert loss(0.2, shape=2.0) == pytest.approx(0, abs=1e-6)  # Q = 3
    assert loss(s, regular=0.5) == pytest.approx(np.log(q) / 2, rel=1e-5)


def test_the_flattest_cell_counts():
    """⟨(log Q / 4)₊⁸⟩^(1/8): one flat cell of two adds (1/2)^(1/8) of its log (Q / 4)."""
    points = np.array([[0.0, 0], [1, 0], [0, 1], [3, 0], [4, 0], [3, 1]])
    mesh = Mesh(points, {"triangle": np.array([[0, 1, 2], [3, 4, 5]])})
    pos = torch.tensor(points)
    simplices = torch.tensor(mesh.simplices)
    graph = Data(pos=pos, simplex_index=simplices.t(), density=torch.ones(6).double())
    graph.theta = torch.zeros(1, 0)
    s = 0.02
    x = torch.cat([pos[:3], pos[3:] * torch.tensor([1, s], dtype=torch.float64)])
    found = [MongeAmpere(fold=0.0, shape=shape).of_points(x, graph).item() for shape in (0.0, 1.0)]
    flat = np.log((1 + s**2) / (3**0.5 * s) / 4)
    assert found[1] - found[0] == pytest.approx(flat / 2**0.125 - 1e-12**0.125, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_every_cell_keeps_a_share_of_its_volume(seed):
    """min det J ≥ 0.15^T of T stages for any weights, on the points that the model itself gives."""
    mesh, stages = grid(6), 2
    model = DMM(stages=stages, kind="gradient", scale=0.05)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(3 * torch.randn_like(parameter))
        model.net.step.fill_(3.0)  # steps of e³ times the solution would fold
        graph = graph_of(mesh, model)
        x = model(graph)[:, 0].double()
    assert (x - graph.pos).abs().max() > 0.01
    det = hat_gradients(x, torch.tensor(mesh.simplices))[1] / torch.tensor(mesh.simplex_volumes)
    assert det.min() >= 0.999 * 0.15**stages


def test_a_step_is_halved_for_the_mesh_that_needs_it():
    """x + t v, t the largest of 1 ... 2^-7 that leaves each cell 0.15 of its volume, else 0."""
    mesh = grid(5)
    graph = graph_of(mesh, DMM()).apply(doubled)
    batch = Batch.from_data_list([graph.clone() for _ in range(4)])
    problem = Problem(batch, density(batch.pos) + 3)
    inner = ((batch.pos.abs() < 0.45).all(dim=1))[:, None]
    torch.manual_seed(0)
    v = (torch.rand(graph.num_nodes, 2).double() - 0.5).repeat(4, 1) * inner
    size = torch.tensor([0.02, 0.7, 3.0, 1e6]).double().repeat_interleave(graph.num_nodes)
    x, v = problem.pos, v * size[:, None]
    found = (problem.advance(x, v, problem.volume) - x).view(4, -1)
    sizes = [0.5**k for k in range(8)]
    least = [
        (hat_gradients(x + t * v, problem.simplices)[1] / problem.volume).view(4, -1).amin(dim=1)
        for t in sizes
    ]
    enough = torch.stack(least) >= 0.15
    parts = [max([t * bool(ok) for t, ok in zip(sizes, mesh, strict=True)]) for mesh in enough.t()]
    assert torch.allclose(found, torch.tensor(parts).double()[:, None] * v.view(4, -1), atol=1e-12)
    assert parts[0] == 1 and 0 < parts[2] < parts[1] < 1 and parts[3] == 0
