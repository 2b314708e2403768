"""What `polish` takes as a preconditioner, and what it refuses by name."""

import numpy as np
import pytest
from scipy.sparse import diags_array, eye_array
from scipy.sparse.linalg import splu

import meshgnn as mg
from meshgnn.geometry import domains
from meshgnn.models import MODELS
from meshgnn.preconditioner import LearnedIC, incomplete_cholesky
from meshgnn.problems import Poisson


@pytest.fixture(scope="module")
def certificate():
    mesh = domains.draw("plate_with_holes", 0, 0.15)
    problem = Poisson(1.0, dirichlet={"*": 0.0})
    solution = problem.solve(mesh)
    return mg.certify(problem, solution.with_solution(0 * solution.u)), solution


def test_polish_takes_factors(certificate) -> None:
    """IC(0) as it is made, SuperLU, and a function that writes into its argument."""
    certificate, solution = certificate
    matrix = certificate.equations.matrix
    inverse = 1 / matrix.diagonal()
    for given, name, most in (
        (incomplete_cholesky(matrix), "Factor", 40),
        (splu(matrix.tocsc()), "SuperLU", 2),
        (lambda r: np.multiply(r, inverse, out=r), "function", 100),
    ):
        polished = certificate.polish(preconditioner=given)
        assert np.abs(polished.u - solution.u).max() < 1e-9 * np.abs(solution.u).max()
        report = polished.meta["polish"]
        assert report["preconditioner"] == name and report["iterations"] <= most


def test_polish_says_what_is_no_preconditioner(certificate) -> None:
    certificate, _ = certificate
    n = len(certificate.equations.right)
    for given, message in (
        (LearnedIC, r"got the class LearnedIC; make one of it: LearnedIC\(...\)"),
        (MODELS["MeshGraphNet"](width=4, blocks=1), "MeshGraphNet gives fields and is no precond"),
        (lambda r: r[:-1], rf"function gave values of shape \({n - 1},\) for {n} residuals"),
        (incomplete_cholesky(eye_array(n + 1, format="csr")), "degrees of freedom, got one of sh"),
        (diags_array(np.ones(n)), r"or an object with operator\(matrix\) or solve\(r\) as precon"),
    ):
        with pytest.raises(ValueError, match=message):
            certificate.polish(preconditioner=given)
