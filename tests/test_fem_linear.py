"""Solvers: direct against multigrid, residuals, singular systems, the theta scheme's steps."""

import numpy as np
import pytest
from mesh_builders import box
from scipy.sparse import csr_matrix, diags

from meshgnn.fem import LinearSystem, linear
from meshgnn.problems import Heat, LinearElasticity, Poisson


def chain(n: int = 20, **changes: object) -> LinearSystem:
    """-u'' = 1 on n points with u = 0 at both ends."""
    matrix = csr_matrix(diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n)))
    free = np.ones(n, dtype=bool)
    free[[0, -1]] = False
    given = {"matrix": matrix, "load": np.ones(n), "free": free, "values": np.zeros(n)}
    return LinearSystem(**(given | {"points": np.linspace(0, 1, n)[:, None]} | changes))


def test_solution_and_residual() -> None:
    """u_i = i (n - 1 - i) / 2 solves 2u_i - u_{i-1} - u_{i+1} = 1; the residual vanishes."""
    system = chain()
    u, i = system.solve(), np.arange(20)
    np.testing.assert_allclose(u, i * (19 - i) / 2, rtol=1e-13)
    assert np.abs(system.residual(u)).max() < 1e-12
    assert system.residual(np.full(20, 2.0))[0] == -2


def test_all_prescribed_is_returned_as_it_is() -> None:
    values = np.arange(20.0)
    u = chain(free=np.zeros(20, bool), values=values).solve()
    np.testing.assert_array_equal(u, values)


@pytest.mark.parametrize("problem", ["Poisson", "contrast", "elasticity", "pure Neumann"])
def test_multigrid_is_the_direct_solution(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both solve to 1e-8 and better; and twice the same system is bit for bit the same solution,
    whatever state the global random generator is in, which is left as it was."""
    mesh = box("tetra", 5)
    system = {
        "Poisson": Poisson(source=lambda x: x[..., 0], dirichlet={"left": 1.0}, neumann={"*": 0.0}),
        "contrast": Poisson(1.0, lambda x: 10 ** np.sin(5 * x[..., 1]), dirichlet={"*": 0.0}),
        "elasticity": LinearElasticity(
            body=(0, 0, -1.0), dirichlet={"left": 0.0}, traction={"*": 0.0}
        ),
        "pure Neumann": Poisson(lambda x: x[..., 0] - 0.5, neumann={"*": 0.0}),
    }[problem].system(mesh)
    direct = system.solve()
    monkeypatch.setattr(linear, "DIRECT", dict.fromkeys((1, 2, 3), 10))
    np.random.seed(7)
    expected = np.random.get_state()[1].copy()
    first = system.solve()
    np.testing.assert_array_equal(np.random.get_state()[1], expected)
    np.random.seed(8)
    np.testing.assert_array_equal(system.solve(), first)
    np.testing.assert_allclose(first, direct, atol=1e-7 * np.abs(direct).max())


def test_rigid_motions_keep_multigrid_fast_for_elasticity() -> None:
    """The near-nullspace of a free body has no energy: K B = 0 for all 6 rigid motions."""
    mesh = box("tetra", 3)
    system = LinearElasticity(dirichlet={"left": 0.0}, traction={"*": 0.0}).system(mesh)
    assert system.near_nullspace.shape == (len(system.load), 6)
    assert np.abs(system.matrix @ system.near_nullspace).max() < 1e-13


def test_singular_systems_are_refused_with_their_residual() -> None:
    system = chain(matrix=csr_matrix((20, 20)))
    with pytest.raises(np.linalg.LinAlgError, match="singular .* held by no condition"):
        system.solve()
    mesh = box("triangle", 3)
    stiff = Poisson(dirichlet={"*": 0.0}).system(mesh)
    loose = LinearSystem(
        stiff.matrix,
        np.ones(len(stiff.load)),
        ~np.zeros_like(stiff.free),
        stiff.values,
        stiff.points,
    )
    with pytest.raises(np.linalg.LinAlgError, match="residual|singular"):
        loose.solve()
    with pytest.raises(
        np.linalg.LinAlgError, match=r"relative residual 1.00e\+00, expected at most"
    ):
        linear.check_residual(system.matrix, np.zeros(20), system.load, system.free, 18**0.5)


def test_steps_share_one_factorisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.1, 0.2, 0.3, ... differ by rounding only: one matrix is factorised for all equal steps."""
    from meshgnn.fem import theta

    made = []
    real = linear.solver
    monkeypatch.setattr(theta, "solver", lambda *args: made.append(1) or real(*args))
    times = np.append(np.arange(11) * 0.1, [1.5, 2.0])
    Heat(times, 1.0, dirichlet={"*": 0.0}).solve(box("triangle", 3))
    assert len(made) == 2
