"""BENO's untrained layers are a convergent method, and what a learned operator keeps."""

import numpy as np
import pytest
import torch
from beno_builders import PRESETS, build, dense, distance, prepared, solved
from torch_geometric.data import Batch

from meshgnn.benchmark import jittered_square
from meshgnn.geometry import domains
from meshgnn.losses import relative_l2_loss
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.problems import LinearElasticity, Poisson
from meshgnn.sample import Sample

BENO = MODELS["BENO"]


def untrained(sample: Sample, **options) -> float:
    torch.manual_seed(0)
    equation = "elasticity" if sample.channels > 1 else "diffusion"
    model = BENO(dim=sample.mesh.dim, equation=equation, **options)
    return relative_l2_loss(model, prepared(model, sample)).item()


def insulated(family: str, seed: int, size: float, vector: bool = False, **options) -> Sample:
    """Values on some parts, no flux on the others: finite elements and the network then solve the
    same system, to rounding."""
    mesh, rng = domains.draw(family, seed, size), np.random.default_rng(seed)
    if vector:
        problem = LinearElasticity.draw(mesh, rng, traction=0.4, traction_max=0.0, **options)
    else:
        problem = Poisson.draw(mesh, rng, neumann=0.4, flux_max=0.0, **options)
    return problem.solve(mesh)


CASES = {
    "1D": lambda: insulated("interval", 0, 0.02),
    "2D": lambda: insulated("cut_square", 8, 0.05),
    "3D": lambda: insulated("box_with_hole", 0, 0.25),
    "elasticity": lambda: insulated("cut_square", 8, 0.07, vector=True),
    "elasticity 3D": lambda: insulated("box_with_hole", 1, 0.35, vector=True, contrast=5.0),
    "contrast 1000": lambda: insulated("cut_square", 8, 0.05, contrast=1000.0),
    "jumps of 1000": lambda: insulated("cut_square", 8, 0.05, contrast=1000.0, phases=3),
}


@pytest.mark.parametrize("case", list(CASES))
def test_an_untrained_network_is_a_convergent_two_level_method(case):
    """Passes through the same 8 layers approach the P1 solution, up to quadrature of its load."""
    sample = CASES[case]()
    few, many, most = (untrained(sample, passes=passes) for passes in (1, 2, 20))
    assert many < 0.8 * few < 0.6
    assert most < max(0.03 * few, 3e-4)
    if "jumps" not in case:  # which no slice and no edge kernel knows of before training
        assert few < 0.03


@pytest.mark.parametrize("preset", PRESETS)
def test_the_fixed_point_of_any_weights_is_the_p1_solution(preset):
    """k ∂u/∂n = 0.3 and u = x on the rest, f = 1, all exact in the network's load; 60 passes."""
    mesh = domains.draw("annulus", 3, 0.15)
    problem = Poisson(1.0, dirichlet={"outer": lambda x: x[..., 0]}, neumann={"inner": 0.3})
    truth = problem.solve(mesh)
    y = torch.from_numpy(truth.u[0][:, None]).float()
    errors = []
    for passes in (1, 60):
        model = build(preset, passes=passes)
        errors.append(distance(model(prepared(model, truth)), y))
    assert errors[0] > 1e-3 and errors[1] < 1e-5


def test_more_passes_are_more_layers():
    """Two passes through L layers: 2 L layers of the same gates."""
    sample = solved("diffusion", "cut_square", 0, 0.15)
    twice, long = build(passes=2), build(layers=8)
    own = twice.state_dict()
    for name in ("gates.2.weight", "gates.2.bias"):
        rows = own[f"net.{name}"].unflatten(0, (4, -1))
        own[f"net.{name}"] = torch.cat([rows, rows]).flatten(0, 1)
    own["net.coarse"] = own["net.coarse"].repeat(2, 1)
    long.load_state_dict(own)
    graph = prepared(twice, sample)
    assert distance(twice(graph), long(graph)) < 1e-6


def test_a_pure_neumann_problem_has_zero_mean_in_every_graph_of_a_batch():
    """u = x − 1/2 on squares: flux ±1 left and right; untrained, within 3 % of finite elements."""
    torch.manual_seed(0)
    model = BENO(layers=12)

    def fluxes(x):
        return np.where(x[..., 0] < 0.01, -1.0, np.where(x[..., 0] > 0.99, 1.0, 0.0))

    truths = [Poisson(neumann={"*": fluxes}).solve(jittered_square(n)) for n in (144, 400)]
    graphs = [prepared(model, truth) for truth in truths]
    u = model(Batch.from_data_list(graphs)).detach().double().numpy()
    for part, truth in zip(np.split(u, [144]), truths, strict=True):
        mass = truth.mesh.lumped_mass
        assert abs(mass @ part[:, 0, 0]) < 1e-5
        assert relative_l2(part.swapaxes(0, 1), truth.u, mass) < 0.03


def with_learned_operator(preset: str):
    """A network and its twin with learned factors, of equal weights beside them."""
    plain, learned = build(preset), build(preset, learned_operator=True)
    left = learned.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all(key.startswith(("net.factors", "net.loads")) for key in left.missing_keys)
    return plain, learned


@pytest.mark.parametrize("preset", PRESETS)
def test_a_learned_operator_starts_as_that_of_finite_elements(preset):
    plain, learned = with_learned_operator(preset)
    for part in (learned.net.factors, learned.net.loads):
        torch.nn.init.zeros_(part[-1].weight)
        torch.nn.init.zeros_(part[-1].bias)
    sample = solved("diffusion")
    assert distance(learned(prepared(learned, sample)), plain(prepared(plain, sample))) < 1e-5


def test_a_learned_operator_stays_symmetric_with_row_sums_of_the_robin_part():
    """K_ij = K_ji and Σ_j K_ij = ∫ α φ_i for any weights: constants have no energy inside."""
    _, model = with_learned_operator("linear")
    for part in (model.net.factors, model.net.loads):
        torch.nn.init.normal_(part[-1].weight)
    graph = prepared(model, solved("diffusion", "disc_with_holes", 2, 0.15))
    assert graph.robin_load.any()
    kept, learned = [], model.net._learned
    model.net._learned = lambda *args: kept.append(learned(*args)) or kept[-1]
    out = model(graph)
    changed, load = kept[0]
    ratio = changed.stencil / graph.stencil
    assert ratio.max() > 1.1 * ratio.min() > 0
    matrix = dense(changed)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6 * abs(matrix).max())
    rows, size = graph.robin_load[:, 0], abs(matrix).max()
    np.testing.assert_allclose(matrix.sum(axis=1), rows, atol=1e-5 * size)
    torch.testing.assert_close(changed.inverse * changed.diagonal, (graph.inverse > 0).float())
    given = torch.cat([graph.source_load, graph.edge_load], dim=1)
    assert torch.equal(load != 0, given != 0) and (load * given >= 0).all()
    mask = graph.dirichlet_mask[:, None]
    assert out.isfinite().all() and torch.equal(out[mask], graph.dirichlet[mask])
