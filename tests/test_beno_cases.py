"""BENO on the smallest and oddest meshes, without parts of it, and what it refuses."""

import numpy as np
import pytest
import torch
from beno_builders import EQUATIONS, PRESETS, build, prepared, solved, split
from mesh_builders import box, octasphere
from torch_geometric.data import Batch

from meshgnn.checkpoint import load, predict, save
from meshgnn.geometry import domains
from meshgnn.graph import to_graph
from meshgnn.losses import relative_l2_loss
from meshgnn.mesh import Group, Mesh
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.problems import LinearElasticity, Poisson

BENO = MODELS["BENO"]
SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def two_triangles() -> Mesh:
    """Nodes 1 and 3 are corners of one triangle only."""
    cells = {"triangle": np.array([[0, 1, 2], [0, 2, 3]])}
    return Mesh(SQUARE, cells, {"left": Group(1, {"line": np.array([[3, 0]])})})


MESHES = {
    "one line": lambda: Mesh(np.array([[0.0], [1.0]]), {"line": np.array([[0, 1]])}),
    "interval": lambda: domains.draw("interval", 0, 0.1),
    "one triangle": lambda: Mesh(SQUARE[:3], {"triangle": np.array([[0, 1, 2]])}),
    "two triangles": two_triangles,
    "one quad": lambda: Mesh(SQUARE, {"quad": np.array([[0, 1, 2, 3]])}),
    "one tetra": lambda: Mesh(np.eye(4)[:, :3], {"tetra": np.array([[3, 0, 1, 2]])}),
    "wedge": lambda: box("wedge", 1),
    "mixed 3D": lambda: box("mixed 3D"),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", list(MESHES))
def test_meshes_with_next_to_no_inner_node(name, preset):
    """After 60 passes the finite-element solution (of the simplices of the cells): with u = 1 + x
    on the boundary, and with u = 1/2 at one node and fluxes elsewhere; for −∇²u = x with a Robin
    condition, which the network lumps, a gradient that is finite."""
    mesh = MESHES[name]()
    groups = {**mesh.groups, "origin": Group(0, {"vertex": np.array([[0]])})}
    mesh = Mesh(mesh.points, mesh.cells, groups)
    model = build(preset, dim=mesh.dim, passes=60)
    tolerance = 1e-2 if name == "interval" else 1e-5  # 16 inner nodes held at one end only
    held = Poisson(dirichlet={"*": lambda x: 1 + x[..., 0]})
    hanging = Poisson(1.0, dirichlet={"origin": 0.5}, neumann={"*": 0.2})
    for problem in (held, hanging):
        found, truth = predict(model, problem.sample(mesh)), problem.solve(split(mesh))
        assert relative_l2(found.u, truth.u, mesh.lumped_mass) < tolerance
        mask = found.boundary.dirichlet_mask
        np.testing.assert_allclose(found.u[0][mask], truth.u[0][mask], rtol=1e-12)
    model = build(preset, dim=mesh.dim)
    floating = Poisson(source=lambda x: x[..., 0], robin={"*": (1.0, 0.5)}).solve(mesh)
    loss = relative_l2_loss(model, prepared(model, floating))
    loss.backward()
    assert loss < 0.2 and all(p.grad.isfinite().all() for p in model.parameters())


def test_a_closed_surface_has_no_tokens_and_a_mean_of_zero():
    """−Δu = z on the unit sphere: u = z / 2; 20 passes, within the error of the mesh."""
    mesh = octasphere(3)
    sample = Poisson(source=lambda x: x[..., 2]).solve(mesh)
    model = build(dim=3, passes=20)
    u = predict(model, sample).u[0, :, 0]
    assert abs(mesh.lumped_mass @ u) < 1e-5
    np.testing.assert_allclose(u, sample.u[0, :, 0], atol=2e-3)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_without_the_boundary_encoder_the_boundary_still_acts(equation):
    """An ablation: no extension, no context, but the values at the boundary and their lift."""
    model, full = build(equation=equation, boundary_encoder=False), build(equation=equation)
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in full.parameters())
    sample = solved(equation)
    graph = prepared(model, sample)
    out = model(graph)
    assert torch.equal(out[:, 0][graph.dirichlet_mask], graph.dirichlet[:, 0][graph.dirichlet_mask])
    assert relative_l2_loss(model, graph) < 0.2


@pytest.mark.parametrize("preset", PRESETS)
def test_a_checkpoint_of_a_solver_for_elasticity_in_space(preset, tmp_path):
    model = build(preset, dim=3, equation="elasticity")
    mesh = domains.draw("box_with_hole", 0, 0.5)
    problem = LinearElasticity(body=(0.0, 0.0, -1.0), dirichlet={"left": 0.0}, traction={"*": 0.0})
    sample = problem.sample(mesh)
    save(model, tmp_path / "solid.pt")
    again = load(tmp_path / "solid.pt")
    assert again.hparams == model.hparams and again.hparams["channels"] == 3
    np.testing.assert_array_equal(predict(again, sample).u, predict(model, sample).u)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "deep"}, "expected a preset of linear, nonlinear, paper, got 'deep'"),
        ({"equation": "Stokes"}, "expected an equation of diffusion, elasticity, got 'Stokes'"),
        (
            {"channels": 2},
            "diffusion in 2D has 1 component.*, got channels=2; .*equation",
        ),
        (
            {"equation": "elasticity", "dim": 3, "channels": 2},
            "elasticity in 3D has 3 components, got channels=2; .*leave channels out",
        ),
        (
            {"equation": "elasticity", "learned_operator": True},
            "a learned operator is for diffusion alone: .* leave learned_operator out for elast",
        ),
        (
            {"preset": "paper", "equation": "elasticity"},
            "the paper preset is for diffusion in 2D, not elasticity in 2D",
        ),
        (
            {"preset": "paper", "dim": 3},
            "the paper preset is for diffusion in 2D, not diffusion in 3D",
        ),
        (
            {"preset": "paper", "defects": ["typos"]},
            "unknown defect 'typos'; there are doubled_edges",
        ),
    ],
)
def test_what_cannot_be_built(options, message):
    with pytest.raises(ValueError, match=f"BENO: {message}"):
        BENO(**options)


def test_what_cannot_be_solved():
    sample = solved("diffusion", "cut_square", 0, 0.2)
    graph = to_graph(sample)
    with pytest.raises(
        ValueError,
        match="BENO: expected graphs that went through model.transform, .*"
        "apply it to each graph before batching",
    ):
        BENO()(Batch.from_data_list([graph, graph]))
    with pytest.raises(
        ValueError,
        match="expected the inputs source, source, λ, μ over the cells, got "
        "2 columns; make samples with the problems of this version, or give Sample.cell",
    ):
        BENO(equation="elasticity").transform(graph)
    graph.cell_a = graph.cell_a[:, :0]
    with pytest.raises(
        ValueError, match="expected the inputs source, k over the cells, got 0 columns"
    ):
        BENO().transform(graph)


def test_a_single_graph_is_transformed_on_the_way():
    model, graph = build(), to_graph(solved("diffusion", "cut_square", 0, 0.2))
    assert torch.equal(model(graph), model(model.transform(graph)))
    assert model.net.marker not in graph
