"""DMM at the limits: offsets and units of fields, bfloat16, tiny meshes, broken movers, its losses
against closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

import meshgnn as mg
from meshgnn.adaptivity.learned import moved
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses.monge_ampere import MongeAmpere
from meshgnn.mesh import Mesh
from meshgnn.models.dmm import DMM, paper_training
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
