"""The learned preconditioner: definite for any weights, blind to scale and numbering, faster."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from preconditioner_builders import FAMILIES, elasticity, iterations, poisson, renumbered
from scipy.sparse import csr_array, csr_matrix, diags_array
from scipy.sparse.linalg import cg, splu
from torch.nn.utils import vector_to_parameters
from torch_geometric.data import Data

import meshgnn as mg
from meshgnn.geometry import domains
from meshgnn.preconditioner import LearnedIC, incomplete_cholesky, matrix_graph, training_graph
from meshgnn.problems import Poisson


def randomised(model: LearnedIC, seed: int, size: float = 1.0) -> LearnedIC:
    """All weights normal times `size`, α included."""
    count = sum(parameter.numel() for parameter in model.parameters())
    values = size * torch.randn(count, generator=torch.Generator().manual_seed(seed))
    vector_to_parameters(values, model.parameters())
    return model


@pytest.fixture(scope="module")
def trained() -> LearnedIC:
    return mg.load("ic_poisson")


def test_starts_at_incomplete_cholesky():
    """α = 0: the factor of IC(0), to the last digit."""
    a = poisson("annulus", 1)
    factor, learned = incomplete_cholesky(a), LearnedIC().factor(a)
    np.testing.assert_allclose(learned.lower, factor.lower, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(learned.diagonal, factor.diagonal, rtol=1e-14)


def test_definite_for_a_thousand_sets_of_weights():
    """r·P⁻¹r > 0 for 1,000 random sets of weights over 20 meshes, and PCG reaches 1e-10."""
    model, rng = LearnedIC(), np.random.default_rng(0)
    for number in range(20):
        a = poisson(FAMILIES[number % 5], number, 0.2, contrast=[1.0, 100.0][number % 2])
        classical = incomplete_cholesky(a)
        graph = matrix_graph(classical)
        for seed in range(50):
            randomised(model, 50 * number + seed, [0.3, 1.0, 3.0, 30.0, 1e4][seed % 5])
            with torch.no_grad():
                lower, diagonal = (part.numpy() for part in model(graph))
            operator = replace(classical, lower=lower, diagonal=diagonal).operator()
            r = rng.standard_normal(a.shape[0])
            assert (diagonal > 0).all() and r @ operator.matvec(r) > 0
            iterations(a, operator, 1e-10, seed)


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_random_weights_on_a_large_mesh(size):
    """20,000 unknowns: entries stay finite along a long numbering, and PCG converges."""
    a = poisson("cut_square", 0, 0.0095)
    for seed in range(2):
        operator = randomised(LearnedIC(), seed, size).operator(a)
        assert iterations(a, operator, 1e-10) < 60 * iterations(a, LearnedIC().operator(a), 1e-10)


def test_weights_that_overflow():
    """Not a number out of the network: a warning, and IC(0) as it is."""
    a = poisson("polygon", 2)
    with pytest.warns(UserWarning, match="not finite; IC\\(0\\) is used"):
        factor = randomised(LearnedIC(), 0, 1e30).factor(a)
    np.testing.assert_array_equal(factor.lower, incomplete_cholesky(a).lower)


def test_fewer_iterations(trained):
    """Held-out systems of plane diffusion, of which alone the limits hold: sums over systems."""
    cases = {
        "held out": ([("cut_square", 0.034), ("polygon", 0.03), ("annulus", 0.03)], 0.75),
        "h / 2": ([("cut_square", 0.017), ("polygon", 0.015)], 0.65),
        "other shapes": ([("l_shape", 0.034), ("plate_with_holes", 0.03)], 0.8),
    }
    for what, (draws, limit) in cases.items():
        systems = [poisson(family, 900 + i, h) for i, (family, h) in enumerate(draws)]
        learned = sum(iterations(a, trained.operator(a)) for a in systems)
        classical = sum(iterations(a, incomplete_cholesky(a).operator()) for a in systems)
        assert learned < limit * classical, what


def test_scale_and_numbering_do_not_matter(trained):
    """A -> cA, and rows numbered otherwise: the same iterations, give or take one."""
    a = poisson("polygon", 5)
    b = np.random.default_rng(0).standard_normal(a.shape[0])
    first, scaled = trained.operator(a), trained.operator(3e7 * a)
    np.testing.assert_allclose(3e7 * scaled.matvec(b), first.matvec(b), rtol=1e-4, atol=1e-6)
    count = iterations(a, first)
    assert abs(iterations(csr_matrix(1e-9 * a), trained.operator(1e-9 * a)) - count) <= 1
    for seed in range(4):
        other = renumbered(a, seed)
        assert abs(iterations(other, trained.operator(other), seed=seed) - count) <= 1


def test_training_helps_and_is_kept(tmp_path):
    """Two minutes' worth in small: fit lowers the loss and the iterations; a file keeps them."""
    systems = [poisson(FAMILIES[i % 3], 100 + i, 0.06) for i in range(12)]
    rng = np.random.default_rng(0)
    graphs = [training_graph(a, splu(a.tocsc()).solve, rng, 8) for a in systems]
    model = LearnedIC(width=8, blocks=2)
    history = mg.fit(model, graphs, epochs=12, batch_size=2, lr=1e-2, progress=False)
    assert history.train[-1] < 0.8 * history.train[0]
    mg.save(model, tmp_path / "ic.pt")
    again = mg.load(tmp_path / "ic.pt")
    held_out = [poisson(FAMILIES[i % 3], 500 + i, 0.06) for i in range(3)]
    learned = [iterations(a, again.operator(a)) for a in held_out]
    assert learned == [iterations(a, model.operator(a)) for a in held_out]
    assert sum(learned) < sum(iterations(a, LearnedIC().operator(a)) for a in held_out)


def test_fit_wants_graphs_of_matrices():
    with pytest.raises(ValueError, match="the graph has no right, solution; it learns from mat"):
        mg.fit(LearnedIC(), [matrix_graph(incomplete_cholesky(poisson("polygon", 0)))], epochs=1)
    with pytest.raises(ValueError, match="has no x, edge_attr"):
        mg.fit(LearnedIC(), [Data()], epochs=1)


def test_it_is_no_model_of_fields(trained):
    sample = Poisson(dirichlet={"*": 0.0}).sample(domains.draw("polygon", 0, 0.3))
    with pytest.raises(ValueError, match="LearnedIC gives no field but a preconditioner, see cert"):
        mg.predict(trained, sample)


def test_other_matrices(trained):
    """Elasticity, pure Neumann (singular, for right-hand sides of mean zero), diagonal, 1 × 1."""
    a = elasticity()
    classical = iterations(a, incomplete_cholesky(a).operator(), 1e-10)
    assert iterations(a, trained.operator(a), 1e-10) <= 1.3 * classical < 200
    mesh = domains.draw("polygon", 0, 0.1)
    singular = csr_matrix(Poisson(neumann={"*": 0.0}).system(mesh).matrix)
    b = np.random.default_rng(0).standard_normal(mesh.num_nodes)
    b -= b.mean()
    x, failed = cg(singular, b, rtol=1e-10, atol=0, M=trained.operator(singular), maxiter=500)
    assert not failed and np.linalg.norm(singular @ x - b) < 1e-9 * np.linalg.norm(b)
    for diagonal in ([4.0], [1.0, 9.0, 1e-20]):
        operator = trained.operator(diags_array(diagonal).tocsr())
        np.testing.assert_allclose(operator @ np.array(diagonal), 1)
    chain = diags_array([-np.ones(40), 2.1 * np.ones(41), -np.ones(40)], offsets=[-1, 0, 1])
    assert iterations(csr_array(chain), trained.operator(csr_array(chain))) == 1  # IC(0) is exact


def test_what_is_refused():
    good = poisson("polygon", 0, 0.3)
    unsymmetric, negative, missing = good.copy(), good.copy(), good.copy()
    unsymmetric[0, good.indices[1]] += 1.0
    negative[3, 3] = -1.0
    missing[2, 2] = np.nan
    for matrix, message in (
        (csr_array(np.ones((2, 3))), r"expected a square sparse matrix, got csr_array \(2, 3\)"),
        (unsymmetric, "a symmetric matrix, got entries that differ by up to 1 "),
        (negative, r"a positive diagonal, got 1 rows without, the first \[3\]"),
        (missing, "finite entries, got 1 that are NaN"),
    ):
        with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
            warnings.simplefilter("ignore")
            LearnedIC().operator(matrix)
    indefinite = csr_array(np.array([[1.0, 9.0], [9.0, 1.0]]))
    with pytest.raises(np.linalg.LinAlgError, match="no positive pivot in row . even with 2.048"):
        incomplete_cholesky(indefinite)
    with pytest.raises(ValueError, match="sizes of at least 1, got {'width': 0"):
        LearnedIC(width=0)
