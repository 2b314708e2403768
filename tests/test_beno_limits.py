"""BENO where it is hard or impossible: long cells, nearly rigid solids, huge fields, bad data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from meshgnn.checkpoint import predict
from meshgnn.geometry import domains
from meshgnn.geometry.periodic import periodic_square
from meshgnn.graph import to_graph
from meshgnn.mesh import twins
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.problems import LinearElasticity, Poisson

BENO = MODELS["BENO"]
MESH = domains.draw("cut_square", 8, 0.08)


def built(**options):
    torch.manual_seed(0)
    return BENO(**options).eval()


def error(model, problem, mesh) -> float:
    truth = problem.solve(mesh)
    return relative_l2(predict(model, problem.sample(mesh)).u, truth.u, mesh.lumped_mass)


@pytest.mark.parametrize("stretch", [30.0, 100.0])
@pytest.mark.parametrize("f", [0.0, 1.0])
def test_long_cells_are_slow_and_never_diverge(stretch, f):
    """Cells 30 and 100 times longer than wide: more passes never leave more error."""
    mesh = MESH.moved(MESH.points * [stretch, 1.0])
    problem = Poisson(source=f, dirichlet={"*": lambda x: x[..., 0] / stretch})
    errors = [error(built(passes=passes), problem, mesh) for passes in (1, 5, 40)]
    assert errors[2] < 1.01 * errors[1] and errors[1] < 1.01 * errors[0] < 1.1


@pytest.mark.parametrize("nu", [-0.3, 0.0, 0.45, 0.49])
def test_every_poisson_ratio(nu):
    """Auxetic (λ < 0) to nearly incompressible solids converge without training."""
    free = {"traction": {"*": 0.0}, "body": (0.0, -1.0)}
    problem = LinearElasticity(poisson=nu, dirichlet={"left": 0.0}, **free)
    errors = [error(built(equation="elasticity", passes=p), problem, MESH) for p in (1, 5, 40)]
    assert errors[2] < errors[1] < errors[0] < 0.2 and errors[2] < 0.01


def test_a_ratio_that_changes_its_sign():
    nu = 0.3 * np.sin(3 * MESH.points[:, 0])
    problem = LinearElasticity(poisson=nu, dirichlet={"*": lambda x: 0.1 * x})
    assert error(built(equation="elasticity", passes=20), problem, MESH) < 0.01


def test_steps_are_whole_where_cells_are_not_long():
    """The relaxation changes nothing on meshes of the families; on long cells steps are shorter."""
    model = built()
    for name in ("cut_square", "annulus", "naca_aerofoil", "channel_with_obstacle"):
        mesh = domains.draw(name, 1, 0.15)
        graph = to_graph(Poisson.draw(mesh, np.random.default_rng(0)).sample(mesh))
        assert model.transform(graph).relaxation.item() == 1, name
    mesh = domains.draw("cut_square", 8, 0.05)
    long = mesh.moved(mesh.points * [50.0, 1.0])
    graph = to_graph(Poisson(dirichlet={"*": 0.0}).sample(long))
    assert model.transform(graph).relaxation.item() < 0.95


@pytest.mark.parametrize("preset", ["linear", "nonlinear"])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e25])
def test_the_size_of_the_fields_does_not_matter(preset, scale):
    """Number densities of 1e25 are data like others: u(s f, s g) = s u(f, g)."""
    problem = Poisson(scale, dirichlet={"*": lambda x: scale * x[..., 0]})
    assert error(built(preset=preset), problem, MESH) < 0.02


def test_an_untransformed_graph_stays_on_its_device():
    graph = to_graph(Poisson(dirichlet={"*": 1.0}).sample(MESH))
    out = built()(graph)
    assert out.device == graph.pos.device and "stencil" not in graph


@pytest.mark.parametrize("equation", ["diffusion", "elasticity"])
def test_boundary_values_are_exact_for_weights_of_any_size(equation):
    """Weights that make the coarse matrix indefinite cost its correction, never the call."""
    data = {"dirichlet": {"*": lambda x: 0.1 + 0 * x}}
    if equation == "diffusion":
        data = {"dirichlet": {"*": lambda x: 0.1 + 0 * x[..., 0]}}
    problem = (Poisson if equation == "diffusion" else LinearElasticity)(**data)
    graph = to_graph(problem.sample(MESH))
    fixed = graph.dirichlet_mask
    for seed in range(4):
        model = built(equation=equation, layers=2)
        torch.manual_seed(seed)
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(3 * torch.randn_like(p))
        assert torch.equal(model(graph)[:, 0][fixed], graph.dirichlet[:, 0][fixed])


CELLS = Poisson(dirichlet={"*": 0.0}).sample(MESH)
SOLID = {"equation": "elasticity"}


def test_coefficients_that_are_not_positive_are_refused():
    def cells(value: float):
        return replace(
            CELLS,
            cell_inputs=np.stack([CELLS.cell_inputs[:, 0], value + 0 * CELLS.cell_inputs[:, 1]], 1),
        )

    with pytest.raises(ValueError, match="expected k > 0 everywhere, got .* the first -2; repair"):
        predict(built(), cells(-2.0))
    with pytest.raises(ValueError, match="expected k > 0 everywhere, got .* the first 0; repair"):
        predict(built(), cells(0.0))
    robin = Poisson(dirichlet={"left": 0.0}, robin={"*": (1.0, 0.0)}).sample(MESH)
    robin = replace(robin, boundary=replace(robin.boundary, alpha=-robin.boundary.alpha))
    with pytest.raises(ValueError, match="expected α >= 0 everywhere, got"):
        predict(built(), robin)
    solid = LinearElasticity(dirichlet={"*": 0.0}).sample(MESH)
    for column, value, text in ((3, -1.0, "expected μ > 0"), (2, -9.0, "λ \\+ 2 μ / d > 0")):
        changed = solid.cell_inputs.copy()
        changed[:, column] = value
        with pytest.raises(ValueError, match=text):
            predict(built(**SOLID), replace(solid, cell_inputs=changed))


def test_a_source_without_its_nodal_columns_is_refused():
    bare = replace(CELLS, inputs=np.zeros((MESH.num_nodes, 0)), names={"u": ["u"]})
    with pytest.raises(ValueError, match="the source's 1 components first among the inputs at the"):
        predict(built(), bare)


def test_problems_without_one_solution_are_refused():
    """As finite elements refuse them: free rigid motions, loads that do not balance."""
    sliding = {"dirichlet": {"left": (0.0, None)}, "traction": {"*": 0.0}}
    for problem, left in (
        (LinearElasticity(body=(0.0, -1.0), **sliding), "1 of 3 rigid"),
        (LinearElasticity(traction={"*": 1.0}), "3 of 3 rigid"),
    ):
        with pytest.raises(ValueError, match=f"the supports leave {left} motions free"):
            predict(built(**SOLID), problem.sample(MESH))
    with pytest.raises(ValueError, match="a pure Neumann problem needs .* but it is 0."):
        predict(built(), Poisson(1.0, neumann={"*": 0.0}).sample(MESH))


def test_sizes_and_options_that_make_no_sense_are_refused():
    for name in ("width", "layers", "heads", "blocks", "slice_nodes", "tokens", "passes"):
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1, got 0"):
            BENO(**{name: 0})
    with pytest.raises(ValueError, match="dim: expected 1, 2 or 3, got 4"):
        BENO(dim=4)
    with pytest.raises(ValueError, match="elasticity is in 2D and 3D, not in 1D"):
        BENO(dim=1, equation="elasticity")
    with pytest.raises(ValueError, match="the linear preset takes no defects"):
        BENO(defects=["doubled_edges"])
    with pytest.raises(
        ValueError, match="the paper preset takes no passes, tokens; leave them out"
    ):
        BENO(preset="paper", passes=4, tokens=3)
    with pytest.raises(ValueError, match="2 components, got channels=1; leave channels out"):
        BENO(equation="elasticity", channels=1)


@pytest.mark.parametrize("preset", ["linear", "nonlinear", "paper"])
def test_periodic_meshes_are_refused(preset):
    """Cells that wrap round would enter the operator as cells across the whole domain."""
    mesh = periodic_square(0.2)
    sample = Poisson(dirichlet={"*": 0.0}).sample(mesh)
    boundary = replace(sample.boundary, twin=twins(mesh, {"left": "right"}))
    graph = to_graph(replace(sample, boundary=boundary))
    for call in (built(preset=preset).transform, built(preset=preset)):
        with pytest.raises(ValueError, match="without periodic sides, .* MeshGraphNet or MPPDE"):
            call(graph)
