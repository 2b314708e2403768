"""What the learned preconditioner and `polish` take, and where IC(0) is used in its place."""

import warnings

import numpy as np
import pytest
import torch
from mesh_builders import box
from scipy.sparse import block_diag, csr_array, csr_matrix
from scipy.sparse.linalg import cg, splu
from torch.nn.utils import vector_to_parameters

import meshgnn as mg
from meshgnn.geometry import domains
from meshgnn.preconditioner import (
    LearnedIC,
    incomplete_cholesky,
    kernels,
    matrix_graph,
    training_graph,
)
from meshgnn.problems import LinearElasticity, Poisson


def free(system) -> csr_matrix:
    return csr_matrix(system.matrix[system.free][:, system.free])


def poisson(family: str, seed: int, size: float | None = None, contrast: float = 1.0):
    mesh = domains.draw(family, seed, size)
    rng = np.random.default_rng(seed)
    return free(Poisson.draw(mesh, rng, neumann=0.3, contrast=contrast).system(mesh))


def elastic(family: str, seed: int, size: float, nu: float, held: str | None = None):
    """Elasticity with one group held and the others free of tractions, or all held."""
    mesh = domains.draw(family, seed, size)
    names = sorted(n for n, g in mesh.groups.items() if g.dim == mesh.dim - 1)
    rest = {} if held == "*" else dict.fromkeys(names[1:], 0.0)
    first = "*" if held == "*" else names[0]
    return free(LinearElasticity(dirichlet={first: 0.0}, traction=rest, poisson=nu).system(mesh))


def iterations(matrix, operator, tol: float = 1e-8) -> int:
    steps = []
    b = np.random.default_rng(0).standard_normal(matrix.shape[0])
    x, failed = cg(matrix, b, rtol=tol, atol=0, M=operator, maxiter=20_000, callback=steps.append)
    assert not failed and np.linalg.norm(b - matrix @ x) <= 2 * tol * np.linalg.norm(b)
    return len(steps)


def random_model(seed: int, size: float) -> LearnedIC:
    model = LearnedIC()
    count = sum(parameter.numel() for parameter in model.parameters())
    values = size * torch.randn(count, generator=torch.Generator().manual_seed(seed))
    vector_to_parameters(values, model.parameters())
    return model


def with_lower(a: csr_matrix, value: float, rng: np.random.Generator) -> csr_array:
    """As many entries again of this value, stored below the diagonal only."""
    n = a.shape[0]
    i, j = np.sort(rng.integers(n, size=(2, n)), axis=0)[::-1]
    i, j = i[i != j], j[i != j]
    ends = tuple(np.concatenate(p) for p in zip(a.tocoo().coords, (i, j), strict=True))
    return csr_array((np.concatenate([a.data, np.full(len(i), value)]), ends), shape=(n, n))


@pytest.mark.parametrize("value", [0.0, 1e-12])
def test_entries_that_one_side_stores(value: float) -> None:
    """The factor is definite, and the same for the other side."""
    a, rng = poisson("polygon", 0, 0.1), np.random.default_rng(0)
    n = a.shape[0]
    right = rng.standard_normal(n)
    for _ in range(5):
        one_sided = with_lower(a, value, rng)
        factor = incomplete_cholesky(one_sided)
        assert sorted(factor.order) == list(range(n)) and factor.column.max() < n
        assert right @ factor.solve(right) > 0
        again = incomplete_cholesky(csr_array(one_sided.T)).solve(right)
        np.testing.assert_allclose(again, factor.solve(right), rtol=1e-12)
    assert iterations(one_sided, mg.load("ic_poisson").operator(one_sided)) < 100


def test_columns_that_were_cleared_but_kept() -> None:
    """Dirichlet rows pruned, their columns set to zero in place: those unknowns are exact."""
    kept = poisson("polygon", 0, 0.1).tolil()
    rows = [5, 17]
    for row, data in zip(kept.rows, kept.data, strict=True):
        data[:] = [0.0 if j in rows else a for j, a in zip(row, data, strict=True)]
    for i in rows:
        kept.rows[i], kept.data[i] = [i], [1.0]
    right = np.random.default_rng(0).standard_normal(kept.shape[0])
    found = incomplete_cholesky(kept.tocsr()).solve(right)
    np.testing.assert_allclose(found[rows], right[rows], rtol=1e-12)


def test_stored_zeros_are_part_of_the_pattern() -> None:
    """Edges across right angles have entries that are zero; IC(0) is a better one with them."""
    a = free(Poisson(dirichlet={"*": 0.0}).system(box("triangle", 20)))
    pruned = a.copy()
    pruned.eliminate_zeros()
    assert pruned.nnz < 0.8 * a.nnz
    counts = [iterations(m, incomplete_cholesky(m).operator()) for m in (a, pruned)]
    assert counts[0] < 0.8 * counts[1]


def test_the_ordering_refuses_a_pattern_with_one_way_streets() -> None:
    start, column = np.array([0, 0, 0, 2]), np.array([0, 1])
    with pytest.raises(ValueError, match="reverse_cuthill_mckee: expected a symmetric pattern"):
        kernels.reverse_cuthill_mckee(start, column, np.array([2, 1, 0]))


def test_symmetry_is_judged_in_units_of_the_diagonal() -> None:
    """Blocks of very different size: neither hides the other, nor its rounding."""
    small, large = 1e-12 * poisson("polygon", 0, 0.3), 1e12 * poisson("polygon", 1, 0.3)
    n, m = small.shape[0], large.shape[0]

    def both(a: csr_matrix, b: csr_matrix) -> csr_array:
        return csr_array(block_diag([a, b], format="csr"))

    rounded = large.copy()
    rounded[0, large.indices[large.indices != 0][0]] *= 1 + 1e-14
    assert incomplete_cholesky(both(small, rounded)).shape == (n + m, n + m)
    wrong = small.copy()
    j = next(int(j) for j in small.indices[: small.indptr[1]] if j)
    wrong[0, j] *= 3.0
    with pytest.raises(ValueError, match=rf"symmetric matrix, .* as at \(0, {j}\); eliminate"):
        incomplete_cholesky(both(wrong, large))


def test_complex_and_empty_matrices() -> None:
    a = poisson("polygon", 0, 0.3)
    before = a.copy()
    for other in (a.astype(complex), a.astype(complex).tolil(), a.astype(complex).todok()):
        with pytest.raises(ValueError, match="expected a real matrix, got a complex one"):
            incomplete_cholesky(other)
    for other in (a, a.tolil(), a.tocoo(), a.astype(np.float32)):
        incomplete_cholesky(other)
    assert (a != before).nnz == 0  # what is given is left as it is
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factor = mg.load("ic_poisson").factor(csr_array((0, 0)))
    assert factor.shape == (0, 0) and factor.solve(np.zeros(0)).shape == (0,)


CASES = {
    "plate, 0.3": lambda: elastic("plate_with_holes", 0, 0.05, 0.3),
    "plate, 0.49": lambda: elastic("plate_with_holes", 0, 0.05, 0.49),
    "annulus, 0.45": lambda: elastic("annulus", 0, 0.06, 0.45),
    "held square, 0.45": lambda: elastic("cut_square", 0, 0.04, 0.45, "*"),
    "solid, 0.45": lambda: elastic("box_with_hole", 0, 0.12, 0.45),
    "diffusion": lambda: poisson("cut_square", 0, 0.023),
    "diffusion, 1000": lambda: poisson("polygon", 0, 0.025, 1000.0),
}


@pytest.mark.parametrize("name", CASES)
def test_random_weights_on_any_matrix(name: str) -> None:
    """1,200 to 2,400 unknowns: P⁻¹A is of the size it has with IC(0), and PCG converges.

    Where L⁻¹ grows, which it does for elasticity only, IC(0) is used, with a warning.
    """
    a = CASES[name]()
    assert 1200 < a.shape[0] < 2400
    classical, far = incomplete_cholesky(a), 0
    count = iterations(a, classical.operator())
    r = np.random.default_rng(1).standard_normal(a.shape[0])
    for seed in range(12):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            factor = random_model(seed, [0.3, 1.0, 30.0, 1e4][seed % 4]).factor(a)
        if said:
            assert "far from this matrix; IC(0) is used as it is" in str(said[0].message)
            assert np.array_equal(factor.lower, classical.lower)
            far += 1
        z = factor.solve(r)
        assert r @ z > 0 and 1e-3 < (z @ (a @ z)) / (r @ z) < 1e4
        if seed in (1, 3):
            assert iterations(a, factor.operator()) < 60 * count
    assert far == 0 if name.startswith("diffusion") else far > 0


def test_trained_weights_are_near_every_matrix() -> None:
    trained = mg.load("ic_poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in CASES.values():
            a = make()
            factor, classical = trained.factor(a), incomplete_cholesky(a)
            assert not np.array_equal(factor.lower, classical.lower)  # its own, not the fallback
            assert (factor.diagonal > 0).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers(value: float) -> None:
    """In any of the parameters: IC(0) with a warning, or a factor that is definite."""
    a = poisson("polygon", 0, 0.2)
    classical = incomplete_cholesky(a)
    for name, _ in LearnedIC().named_parameters():
        model = mg.load("ic_poisson")
        with torch.no_grad():
            dict(model.named_parameters())[name].view(-1)[0] = value
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            factor = model.factor(a)
        z = factor.solve(np.ones(a.shape[0]))
        assert (factor.diagonal > 0).all() and np.isfinite(z).all() and z.sum() > 0
        assert not said or np.array_equal(factor.lower, classical.lower)
        assert said or np.isinf(value)


def test_elasticity_and_solids_gain_nothing_to_count_on() -> None:
    """At most 1.7 × IC(0) for elasticity, 1.2 × for diffusion in solids."""
    trained = mg.load("ic_poisson")
    cases = [(make(), 1.7) for name, make in CASES.items() if not name.startswith("diffusion")]
    cases += [(poisson("box_with_hole", i, 0.1), 1.2) for i in range(2)]
    for a, limit in cases:
        classical = iterations(a, incomplete_cholesky(a).operator())
        assert iterations(a, trained.operator(a)) <= limit * classical


def test_graphs_to_learn_from_are_whole() -> None:
    a = poisson("polygon", 0, 0.3)
    rng, solve = np.random.default_rng(0), splu(a.tocsc()).solve
    with pytest.raises(ValueError, match="training_graph: expected vectors of at least 1, got 0"):
        training_graph(a, solve, rng, vectors=0)
    for name in matrix_graph(incomplete_cholesky(a)).keys():  # noqa: SIM118, not a mapping
        graph = training_graph(a, solve, rng, 2)
        del graph[name]
        with pytest.raises(ValueError, match=f"LearnedIC: the graph has no {name}; it learns"):
            mg.fit(LearnedIC(), [graph], epochs=1, progress=False)
