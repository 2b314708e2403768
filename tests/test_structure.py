"""Fields as functions: coefficients by projection, the L² norm itself, exact boundary values.

What structure-preserving operator learning asks for, Bouziani & Boullé 2024: coefficients in, a
field of the space out, boundary values exact whatever the weights.
"""

import numpy as np
import pytest
import torch
from learning_builders import steady
from mesh_builders import BOXES, box, octasphere, smooth, wavy
from torch_geometric.data import Batch

from meshgnn import metrics
from meshgnn.fem import Space, error_norms, project
from meshgnn.fem.values import PerCell
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import relative_l2_loss, relative_mass_loss
from meshgnn.mesh import Mesh
from meshgnn.models import MODELS
from meshgnn.operators import simplex_squares
from meshgnn.problems import Poisson

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("cells", BOXES)
def test_fields_of_the_space_are_their_own_projection(cells: str) -> None:
    """D(E(v)) = v for v in V_h: any nodal values, scalar or vector, to rounding."""
    mesh = wavy(cells, 3)
    v = RNG.normal(size=(mesh.num_nodes, 2))
    space = Space(mesh)
    np.testing.assert_allclose(project(space, v[:, 0].copy()), v[:, 0], atol=1e-12)
    np.testing.assert_allclose(project(space, v, channels=2), v, atol=1e-12)
    assert project(space, 0.0).tolist() == [0.0] * mesh.num_nodes
    for size in (1e200, 1e-200):
        np.testing.assert_allclose(project(space, size * v[:, 0]) / size, v[:, 0], atol=1e-12)


@pytest.mark.parametrize("cells", ["line", "triangle", "tetra"])
def test_quadratic_functions_are_their_own_projection_at_order_two(cells: str) -> None:
    """1 + x² - x y lies in P2 on straight cells; its coefficients are its values at the dofs."""
    space = Space(wavy(cells, 3), order=2)

    def v(x: np.ndarray) -> np.ndarray:
        return 1 + x[..., 0] ** 2 - x[..., 0] * x[..., -1]

    np.testing.assert_allclose(project(space, v), v(space.points), atol=1e-12)


@pytest.mark.parametrize(("order", "rate"), [(1, 2), (2, 3)])
@pytest.mark.parametrize("cells", ["triangle", "tetra"])
def test_order_of_projection(cells: str, order: int, rate: int) -> None:
    """‖v − P v‖ falls as h² for P1 and h³ for P2, and is below that of the interpolant."""
    errors = []
    coarse = box(cells, 8 if cells == "triangle" else 4)
    for mesh in (coarse, coarse.refined()):
        space = Space(mesh, order)
        found = project(space, smooth)
        errors.append(error_norms(space.mesh, found, smooth, order=order)[0])
        nodal = error_norms(space.mesh, smooth(space.points), smooth, order=order)[0]
        assert errors[-1] < nodal
    assert np.log2(errors[0] / errors[1]) == pytest.approx(rate, abs=0.25)


def test_projection_keeps_the_integral() -> None:
    """∫ P v = ∫ v, also of a datum by cell, on a graded surface in space."""
    mesh = octasphere(3)
    k = RNG.uniform(1, 2, mesh.num_cells)
    mesh = mesh.moved(mesh.points * (1 + 0.9 * mesh.points[:, :1]))
    found = project(Space(mesh), k.view(PerCell))
    assert mesh.lumped_mass @ found == pytest.approx(np.abs(mesh.volumes) @ k, rel=1e-12)


def test_inputs_of_a_sample_may_be_projections() -> None:
    """Inputs are P f and P k; the solution and the data by cell are the same."""
    mesh = wavy("triangle", 6)
    problem = Poisson(smooth, lambda x: 1 + x[..., 0] ** 2, {"*": 0.0})
    plain, encoded = problem.solve(mesh), problem.solve(mesh, encode="projection")
    space = Space(mesh)
    np.testing.assert_array_equal(encoded.inputs[:, 0], project(space, smooth))
    np.testing.assert_array_equal(encoded.inputs, problem.sample(mesh, "projection").inputs)
    assert 1e-4 < np.abs(encoded.inputs - plain.inputs).max() < 0.1
    np.testing.assert_array_equal(encoded.u, plain.u)
    np.testing.assert_array_equal(encoded.cell_inputs, plain.cell_inputs)
    with pytest.raises(
        ValueError, match="encode: expected one of interpolation, projection, got 'n"
    ):
        problem.sample(mesh, "nearest")


@pytest.mark.parametrize("cells", BOXES)
def test_squares_of_fields_are_integrals(cells: str) -> None:
    """vᵀ M v = ∫ |v|², by quadrature on the simplices; below the lumped sum Σ m_i v_i²."""
    mesh = wavy(cells, 2)
    name = {1: "line", 2: "triangle", 3: "tetra"}[mesh.dim]
    split = Mesh(mesh.points, {name: mesh.simplices})
    v = RNG.normal(size=(mesh.num_nodes, 2))
    volumes = torch.tensor(mesh.simplex_volumes)
    squares = simplex_squares(torch.tensor(v), torch.tensor(mesh.simplices), volumes).sum().item()
    assert squares == pytest.approx(sum(c @ Space(split).mass() @ c for c in v.T), rel=1e-12)
    w = np.stack([v, 0 * v])
    ones = np.ones_like(w)  # ‖1‖² = 2 times, 2 components, |Ω| each
    expected = np.sqrt(squares / (4 * np.abs(mesh.volumes).sum()))
    assert metrics.relative_l2_consistent(ones + w, ones, mesh) == pytest.approx(expected)
    assert squares < mesh.lumped_mass @ (v**2).sum(axis=1)


def shifted(shift: torch.Tensor):
    return lambda graph: graph.y + shift


def test_mass_loss_is_the_integral() -> None:
    """Mean over the graphs of a batch of ‖û − y‖ / ‖y‖, prescribed entries held."""
    samples = [steady(0), steady(1, n=6), steady(2, cells="quad")]
    batch = Batch.from_data_list(list(MeshDataset(samples)))
    noise = torch.tensor(RNG.normal(size=batch.y.shape), dtype=torch.float32)
    loss = relative_mass_loss(shifted(noise), batch).item()
    errors = []
    for i, sample in enumerate(samples):
        error = noise[batch.batch == i].double().numpy()[:, 0]
        error[sample.boundary.dirichlet_mask] = 0
        errors.append(metrics.relative_l2_consistent(sample.u + error, sample.u, sample.mesh))
        alone = relative_mass_loss(shifted(noise[batch.batch == i]), to_graph(sample)).item()
        assert alone == pytest.approx(errors[-1], rel=1e-5)
    assert loss == pytest.approx(np.mean(errors), rel=1e-5)
    assert loss < relative_l2_loss(shifted(noise), batch).item()


def test_mass_loss_is_safe_where_the_other_is() -> None:
    """Zero solutions, exact ones, any units: finite gradients, the same value."""
    batch = Batch.from_data_list(list(MeshDataset([steady(0), steady(1)])))
    noise = torch.tensor(RNG.normal(size=batch.y.shape), dtype=torch.float32)
    expected = relative_mass_loss(shifted(noise), batch).item()
    for length, size in ((1e-9, 1e-25), (1e4, 1e25)):
        part = batch.clone()
        part.pos, part.y = batch.pos * length, batch.y * size
        found = relative_mass_loss(shifted(noise * size), part).item()
        assert found == pytest.approx(expected, rel=1e-5)
    for zero in (batch.batch == 0, batch.batch >= 0, batch.batch < 0):
        part = batch.clone()
        part.y = batch.y * ~zero[:, None, None]
        shift = torch.zeros((), requires_grad=True)
        loss = relative_mass_loss(shifted(shift), part)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(shift.grad)
    graph = to_graph(steady(0))
    truth, graph.y = graph.y, torch.zeros_like(graph.y)
    free = ~graph.dirichlet_mask[:, None]
    norm = relative_mass_loss(lambda _: truth, graph).item()  # of y = 0 alone: ‖û‖ itself
    volumes = torch.tensor(steady(0).mesh.simplex_volumes).float()
    squares = simplex_squares((truth * free)[:, 0], graph.simplex_index.t(), volumes)
    assert norm == pytest.approx(squares.sum().sqrt().item(), rel=1e-5)


NETWORKS = {
    "MeshGraphNet": ("MeshGraphNet", {"width": 16, "blocks": 2, "hidden": 1}),
    "linear": ("BENO", {"preset": "linear", "width": 16, "layers": 2, "tokens": 16}),
    "nonlinear": ("BENO", {"preset": "nonlinear", "width": 16, "layers": 2, "tokens": 16}),
}


@pytest.mark.parametrize(
    ("name", "weights", "size"),
    [
        *(("MeshGraphNet", weights, size) for weights in (0, 1) for size in (0.3, 3.0, 30.0)),
        ("linear", 0, 0.3),
        ("linear", 1, 0.1),
        ("nonlinear", 0, 0.3),
    ],
)
def test_boundary_values_are_exact_for_any_weights(name: str, weights: int, size: float) -> None:
    """max |u − I_h g| = 0 on Dirichlet nodes, with random weights and after a change of mesh; the
    loss in the mass norm trains through."""
    torch.manual_seed(weights)
    kind, options = NETWORKS[name]
    model = MODELS[kind](**options)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=size)
    for mesh in (wavy("triangle", 5), wavy("triangle", 9), box("quad", 6)):
        graph = to_graph(Poisson(1.0, dirichlet={"*": smooth}).solve(mesh, encode="projection"))
        graph = graph if model.transform is None else model.transform(graph)
        if not weights and mesh.num_nodes < 40:
            model.fit_statistics([graph])
        u = model(graph)
        assert torch.equal(
            u[graph.dirichlet_mask[:, 0]], graph.dirichlet[graph.dirichlet_mask[:, 0]]
        )
        relative_mass_loss(model, graph).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert grads and all(torch.isfinite(grad).all() for grad in grads)


def test_projection_refuses_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[0.0, 0], [1, 0], [0, 1], [2, 0], [3, 0]])
    mesh = Mesh(points, {"triangle": np.array([[0, 1, 2], [1, 3, 4]])})
    with pytest.raises(ValueError, match="1 of 2 cells are inverted or degenerate .*: 1; repair"):
        project(Space(mesh), 1.0, "source")
    monkeypatch.setattr("pyamg.krylov.cg", lambda matrix, right, **_: (right, 500))
    with pytest.raises(np.linalg.LinAlgError, match="source: the mass matrix is singular to round"):
        project(Space(box("triangle", 2)), 1.0, "source")
