"""`optimise` and `moved_graph`: known minima, refusals, gradients through graphs."""

import numpy as np
import pytest
import torch

import meshgnn as mg
from meshgnn.geometry import FreeForm, Morph, Motion
from meshgnn.geometry.domains import draw
from meshgnn.graph import to_graph
from meshgnn.models import MODELS
from meshgnn.optimisation import Gain, moved_graph, optimise
from meshgnn.problems import Poisson

SQUARE = np.array([[-1.0, 1.0], [-1.0, 1.0], [0.0, 50.0]])
TARGET = torch.tensor([0.3, 2.0, 20.0], dtype=torch.float64)


def bowl(p):
    """(p - t)² in widths: its minimum within the box is t clipped."""
    return (((p - TARGET) / torch.tensor([1.0, 1.0, 30.0])) ** 2).sum()


def test_the_minimum_within_bounds_is_found() -> None:
    """p* = t where it is inside, the bound where it is not; the path says how."""
    best = optimise(bowl, SQUARE)
    np.testing.assert_allclose(best.parameters, [0.3, 1.0, 20.0], atol=1e-4)
    assert best.value == pytest.approx(1.0) and best.start_value == pytest.approx(4.534, abs=1e-3)
    assert best.gain == best.start_value - best.value
    assert best.evaluations == len(best.path) == len(best.values) < 40
    assert best.values.min() == best.value and (best.start == 0).all()


def test_restarts_leave_local_minima_and_depend_on_the_seed_only() -> None:
    """J = cos(3 p) + p / 10 on [-3, 3] has minima near -π, -π/3 and π/3; 0 leads to one of them."""

    def waves(p):
        return (torch.cos(3 * p) + p / 10).sum()

    bounds = np.array([[-3.0, 3.0]])
    first = optimise(waves, bounds, np.array([1.0]))
    best = optimise(waves, bounds, np.array([1.0]), restarts=8)
    assert first.parameters[0] == pytest.approx(1.04, abs=0.02)
    assert best.value < first.value - 0.1 and best.evaluations > first.evaluations
    assert best.start == 1.0 and best.start_value == first.start_value
    again = optimise(waves, bounds, np.array([1.0]), restarts=8)
    np.testing.assert_array_equal(again.parameters, best.parameters)


def test_the_best_of_what_is_accepted_is_returned() -> None:
    """Of the path, the least value with p_0 <= 0.2; later runs may win."""
    best = optimise(bowl, SQUARE, accept=lambda p: bool(p[0] <= 0.2))
    assert best.parameters[0] <= 0.2 and best.value > 1.0
    allowed = best.path[:, 0] <= 0.2
    assert best.value == best.values[allowed].min()


@pytest.mark.parametrize("name", ["plate", "bracket"])
def test_a_moved_graph_is_the_graph_of_the_moved_mesh(name: str) -> None:
    """pos, mass, normal, area and the loads of an even flux as `to_graph` has them."""
    mesh = mg.read(f"meshes/{name}.msh")
    part, other = ("holes", "notch") if name == "plate" else ("pin", "base")
    problem = Poisson(source=1.0, dirichlet={other: 0.0}, neumann={part: 2.0, "*": 0.0})
    morph = Morph(mesh, [FreeForm(3)])
    member = morph.draw(0)
    graph = to_graph(problem.sample(mesh))
    moved = moved_graph(graph, morph.points(torch.tensor(member.parameters)))
    expected = to_graph(problem.sample(member.mesh))
    inside = torch.tensor(mesh.nodes_of(part))
    for key in ("pos", "mass", "normal", "area"):
        torch.testing.assert_close(moved[key], expected[key], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        moved.flux_load[inside], expected.flux_load[inside], rtol=0.2, atol=1e-3
    )
    assert torch.equal(moved.edge_index, graph.edge_index) and moved.pos is not graph.pos


def test_gradients_go_through_a_graph_model() -> None:
    """d J / d p of an untrained network by autograd and by central differences, in float64."""
    mesh = draw("annulus", 0, 0.12)
    morph = Morph(mesh, [Motion("inner", shift=0.05, turn=0.2, scale=0.2)])
    graph = to_graph(Poisson(source=1.0, dirichlet={"*": 0.0}).sample(mesh))
    graph = graph.apply(lambda t: t.double() if t.is_floating_point() else t)
    torch.manual_seed(0)
    model = MODELS["MeshGraphNet"](width=8, blocks=2, hidden=1, slices=4, heads=2).double()

    def objective(p):
        moved = moved_graph(graph, morph.points(p))
        return (moved.mass @ model(moved)[:, 0, 0] ** 2) + (moved.area * moved.normal[:, 0]).sum()

    p = torch.tensor([0.01, -0.02, 0.05, 0.03], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(objective(p), p)
    for k, step in enumerate(1e-5 * torch.eye(4, dtype=torch.float64)):
        ahead, behind = objective(p.detach() + step), objective(p.detach() - step)
        change = (ahead - behind).item() / 2e-5
        assert slope[k].item() == pytest.approx(change, rel=1e-4, abs=1e-9)


def test_an_optimal_shape_is_what_geometry_says() -> None:
    """The least area of an annulus whose hole shifts and scales has the largest hole; its gain is
    the area between the two holes, (1.2² - 1) A, and all parameters asked for were valid."""
    mesh = draw("annulus", 0, 0.1)
    morph = Morph(mesh, [Motion("inner", scale=0.2)])
    cells = torch.tensor(mesh.cells["triangle"])

    def area(p):
        a, b, c = morph.points(p)[cells].unbind(dim=1)
        u, v = b - a, c - a
        return (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).sum() / 2

    best = optimise(area, morph.bounds, accept=lambda p: morph.member(p).halvings == 0)
    assert best.parameters[-1] == pytest.approx(0.2)
    x, y = mesh.points[mesh.groups["inner"].cells["line"]].transpose(2, 0, 1)
    hole = abs((x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]).sum()) / 2
    assert best.gain == pytest.approx(0.44 * hole, rel=1e-6)
    true = mesh.volumes.sum() - morph.member(best.parameters).mesh.volumes.sum()
    assert best.gain == pytest.approx(true, rel=1e-9)


def test_what_cannot_be_optimised_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"expected finite bounds \[P, 2\] with the lower value fi"
    ):
        optimise(bowl, SQUARE[:, ::-1])
    with pytest.raises(ValueError, match="expected a start of 3 parameters within the bounds"):
        optimise(bowl, SQUARE, np.array([0.0, 2.0, 0.0]))
    with pytest.raises(ValueError, match=r"a scalar that depends .* got a tensor of shape \(3,\)"):
        optimise(lambda p: 2 * p, SQUARE)
    with pytest.raises(ValueError, match="scalar that depends .* requires_grad False"):
        optimise(lambda p: p.detach().sum(), SQUARE)
    with pytest.raises(ValueError, match="the objective or its gradient is not finite at"):
        optimise(lambda p: p.sum().log(), SQUARE)
    with pytest.raises(ValueError, match="none of .* parameters that were asked for was accepted"):
        optimise(bowl, SQUARE, accept=lambda _: False)


def test_graphs_that_cannot_be_moved_are_refused() -> None:
    graph = to_graph(Poisson(dirichlet={"*": 0.0}).sample(mg.read("meshes/plate.msh")))
    with pytest.raises(ValueError, match=r"expected points \(684, 2\), got \(3, 2\)"):
        moved_graph(graph, torch.zeros(3, 2))
    shell = to_graph(Poisson(dirichlet={"*": 0.0}).sample(mg.read("meshes/dome.msh")))
    with pytest.raises(ValueError, match="plane or solid mesh that is not periodic, got simplices"):
        moved_graph(shell, shell.pos)


def test_an_objective_that_raises_says_where() -> None:
    """As `MMGP` does where its reference folds: the place, the reason and what to do."""

    def folds(p):
        if p[0] > 0.1:
            raise ValueError("the reference folds")
        return bowl(p)

    with pytest.raises(ValueError, match=r"optimise: at \[.*\]: the reference folds. Narrow"):
        optimise(folds, SQUARE)
    with pytest.raises(ValueError, match=r"expected finite bounds \[P, 2\]"):
        optimise(bowl, SQUARE[:, :1])


def test_a_gain_of_nothing_is_off_by_infinity_unless_nothing_was_promised() -> None:
    assert Gain(0.1, 0.01, 0.0).off == np.inf and not Gain(0.1, 0.01, 0.0).told
    assert Gain(0.0, 0.01, 0.0).off == 0.0
    assert Gain(-0.5, 0.1, -1.0).off == pytest.approx(0.5)
    assert str(Gain(0.1, 0.01, 0.0)).endswith("off by inf%, outside of the band")
