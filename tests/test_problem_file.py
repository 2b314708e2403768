"""Problems from TOML: formulas are evaluated, never executed; entries go where they belong."""

from pathlib import Path

import numpy as np
import pytest
from squares import square

from meshgnn.cli.expressions import Expression
from meshgnn.cli.problem_file import problem_from, problem_of
from meshgnn.io import read


def poisson_file(folder: Path) -> Path:
    path = folder / "p.toml"
    path.write_text(
        'problem = "Poisson"\nsource = "2*pi**2*sin(pi*x)*sin(pi*y)"\n[dirichlet]\nwall = 0'
    )
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", lambda x, y: 1.5 + 0 * x),
        ("sin(pi*x) * y - e**-x", lambda x, y: np.sin(np.pi * x) * y - np.exp(-x)),
        ("x if x < 0.5 else -y", lambda x, y: np.where(x < 0.5, x, -y)),
        ("0.2 < x <= 0.6", lambda x, y: (x > 0.2) & (x <= 0.6)),
        ("(x > 0.5) - (y > 0.5)", lambda x, y: (x > 0.5) * 1.0 - (y > 0.5)),
        ("maximum(x, y) % 0.3 + where(x > y, +1, 2)", None),
        ("9**9**9", lambda x, y: np.inf + 0 * x),
    ],
)
def test_formulas(text, expected):
    points = np.random.default_rng(0).random((7, 3, 2))
    values = Expression(text)(points)
    assert values.shape == (7, 3) and values.dtype == np.float64
    if expected is not None:
        assert np.allclose(values, expected(points[..., 0], points[..., 1]))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "x.real",
        "x[0]",
        "lambda: 1",
        "sin(x, y)",
        "sin(*x)",
        "sin",
        "foo",
        "'a'",
        "True",
        "1j",
        "(1, 2)",
        "[i for i in x]",
        "x and y",
        "(x := 2)",
        "where(x, 1, 2, 3)",
        "heaviside(x, x1=0)",
    ],
)
def test_formulas_run_no_code(text):
    with pytest.raises(ValueError, match="which is not known; there are x, y, z, t, pi, e and the"):
        Expression(text)


@pytest.mark.parametrize("text", ["", "1 +", "(" * 220 + "x" + ")" * 220, "x\0"])
def test_formulas_that_are_none(text):
    with pytest.raises(ValueError, match="cannot read the formula"):
        Expression(text)
    with pytest.raises(ValueError, match="at most 500 characters, got 2000"):
        Expression("x" * 2000)


def test_formulas_know_their_space_and_time():
    points = np.ones((4, 2))
    with pytest.raises(ValueError, match="uses z, but here there are only x, y"):
        Expression("z")(points)
    with pytest.raises(ValueError, match="uses t, but here there are only x, y"):
        Expression("t*x")(points)
    assert Expression("t*x").changes and not Expression("x").changes
    assert np.allclose(Expression("t*x").function(points, 3.0), 3.0)


def test_problem_file(tmp_path):
    """−Δu = 2π² sin πx sin πy: u = sin πx sin πy, to the error of the mesh."""
    problem = problem_from(poisson_file(tmp_path))
    x, y = square().points.T
    assert np.allclose(
        problem.solve(square()).u[0, :, 0], np.sin(np.pi * x) * np.sin(np.pi * y), atol=0.06
    )


def test_problem_file_of_other_kinds(tmp_path):
    """Free components, vectors, words, times and formulas in t."""
    elastic = problem_of(
        {
            "problem": "LinearElasticity",
            "mode": "plane stress",
            "body": [0, -1],
            "dirichlet": {"left": [0, "free"]},
            "traction": {"*": ["0.1*x", 0]},
        },
        "here",
    )
    assert elastic.mode == "plane stress" and elastic.dirichlet == {"left": (0.0, None)}
    assert elastic.body == (0.0, -1.0)
    heat = problem_of(
        {
            "problem": "Heat",
            "times": {"to": 1.0, "steps": 4},
            "substeps": 2,
            "dirichlet": {"wall": "sin(t)*x"},
            "robin": {"left": [1, "y"]},
        },
        "here",
    )
    assert np.allclose(heat.times, [0, 0.25, 0.5, 0.75, 1]) and heat.substeps == 2
    assert np.allclose(heat.dirichlet["wall"](np.ones((2, 2)), 0.5), np.sin(0.5))
    assert heat.robin["left"][0] == 1.0
    listed = problem_of({"problem": "Heat", "times": [0.0, 0.5]}, "here")
    assert listed.times.tolist() == [0.0, 0.5]


def test_problem_file_errors(tmp_path):
    path = tmp_path / "p.toml"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        problem_from(path)
    path.write_text("source = 1")
    with pytest.raises(ValueError, match=r"p.toml: expected problem = one of Poisson.*, got None"):
        problem_from(path)
    path.write_text('problem = "Poisson"\nsorce = 1')
    with pytest.raises(ValueError, match="Poisson has no entry 'sorce'; it takes source"):
        problem_from(path)
    path.write_text('problem = "Poisson"\nsource = "foo"')
    with pytest.raises(ValueError, match=r"p.toml: the formula 'foo' holds 'foo'"):
        problem_from(path)
    path.write_text('problem = "Poisson"\n[neumann]\na = 0\n[robin]\na = [1, 1]')
    with pytest.raises(ValueError, match=r"p.toml: 'a' has a Neumann and a Robin condition"):
        problem_from(path)
    path.write_text('problem = "Poisson"\nsource = "t"\n[dirichlet]\nwall = 0')
    with pytest.raises(ValueError, match="uses t, but here there are only x, y"):
        problem_from(path).solve(square())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("source = true", "expected numbers or formulas in source, got True"),
        ("dirichlet = {wall = true}", "expected numbers or formulas in dirichlet"),
        ("robin = {wall = [1.0, true]}", "expected numbers or formulas in robin"),
        ("dirichlet = 0.0", r"expected a section \[dirichlet\] of named parts .* dirichlet = 0.0"),
    ],
)
def test_values_of_another_kind(entry, message, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(f'problem = "Poisson"\n{entry}\n')
    with pytest.raises(ValueError, match=f"p.toml: {message}"):
        problem_from(path)


def test_example_problem_solves():
    root = Path(__file__).parents[1]
    problem = problem_from(root / "scripts/problems/plate.toml")
    assert np.isfinite(problem.solve(read(root / "meshes/plate.msh")).u).all()
