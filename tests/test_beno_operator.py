"""BENO's operator and load are those of the finite-element system."""

from itertools import product

import numpy as np
import pytest
import torch
from beno_builders import build, dense, prepared, skewed, split

from meshgnn.mesh import Mesh
from meshgnn.problems import LinearElasticity, Poisson


def centres(mesh: Mesh) -> np.ndarray:
    """[M, d], a point inside every cell."""
    return np.concatenate([mesh.points[rows].mean(axis=1) for rows in mesh.cells.values()])


def assert_same_system(model, problem, truth, mesh: Mesh) -> None:
    """K and b of the transformed graph on `mesh` and of `truth` on its simplices."""
    graph = prepared(model, problem.sample(mesh))
    system = truth.system(split(mesh))
    matrix = system.matrix.toarray()
    np.testing.assert_allclose(dense(graph), matrix, atol=3e-6 * abs(matrix).max())
    load, free = (graph.source_load + graph.edge_load).reshape(-1).numpy(), system.free
    np.testing.assert_array_equal(free, ~graph.dirichlet_mask.reshape(-1).numpy())
    np.testing.assert_allclose(load[free], system.load[free], atol=3e-6 * abs(system.load).max())


@pytest.mark.parametrize(
    ("kind", "over"),
    [
        *product(["triangle", "tetra"], ["constant", "nodes", "cells"]),
        *product(["quad", "mixed 2D", "hexahedron"], ["constant", "cells"]),
    ],
)
def test_the_operator_of_diffusion_is_that_of_finite_elements(kind, over):
    """−∇·(k∇u) = f with k a number, over the nodes or jumping from cell to cell, f over the nodes,
    Dirichlet and flux parts. Cells that are no simplices: on their split,
    with the means over the cell."""
    mesh = skewed(kind)
    x = mesh.points[:, 0]
    jumping = np.where(centres(mesh)[:, 0] < 0.5, 1.0, 1000.0)
    k = {"constant": 2.5, "nodes": 1 + x, "cells": jumping}[over]
    on_simplices = k[mesh.simplex_cells] if over == "cells" else k
    conditions = {"dirichlet": {"left": 1.0}, "neumann": {"*": 0.3}}
    source = np.sin(3 * x) if split(mesh) is mesh else 2.0
    problems = (Poisson(source, value, **conditions) for value in (k, on_simplices))
    assert_same_system(build(dim=mesh.dim), *problems, mesh)


@pytest.mark.parametrize("kind", ["triangle", "tetra"])
def test_robin_parts_enter_lumped(kind):
    """K = ∫ k ∇φ_i·∇φ_j + δ_ij ∫ α φ_i, b = ∫ f φ_i + ∫ g φ_i; finite elements: α not lumped."""
    mesh = skewed(kind)
    bare = Poisson(1.0, neumann={"left": 0.2, "*": 0.5}, dirichlet={"origin": 0.0}).system(mesh)
    problem = Poisson(1.0, robin={"left": (3.0, 0.2)}, neumann={"*": 0.5})
    system = problem.system(mesh)
    robin = np.asarray((system.matrix - bare.matrix).sum(axis=1)).ravel()
    assert robin.sum() == pytest.approx(3.0)
    graph = prepared(build(dim=mesh.dim), problem.sample(mesh))
    expected = bare.matrix.toarray() + np.diag(robin)
    np.testing.assert_allclose(dense(graph), expected, atol=1e-5)
    np.testing.assert_allclose(dense(graph).sum(axis=1), graph.robin_load[:, 0], atol=1e-5)
    load = (graph.source_load + graph.edge_load)[:, 0]
    np.testing.assert_allclose(load, system.load, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "mode", "over"),
    [
        ("triangle", "plane strain", "nodes"),
        ("triangle", "plane strain", "cells"),
        ("triangle", "plane stress", "cells"),
        ("quad", "plane stress", "cells"),
        ("tetra", "3d", "nodes"),
        ("hexahedron", None, "cells"),
    ],
)
def test_the_operator_of_elasticity_is_that_of_finite_elements(kind, mode, over):
    """E and ν vary; body force over the nodes, tractions, supports of single components."""
    mesh = skewed(kind)
    place = mesh.points[:, 0] if over == "nodes" else centres(mesh)[:, 0]
    young, nu = 1 + 5 * (place > 0.4), 0.2 + 0.2 * place
    whole = split(mesh) is mesh
    body = np.cos(mesh.points) if whole else tuple(range(1, mesh.dim + 1))
    parts = {
        "dirichlet": {"left": (0.0, *[None] * (mesh.dim - 1)), "origin": 0.0},
        "traction": {"*": tuple(0.1 * np.arange(1, mesh.dim + 1))},
    }
    if mesh.dim == 3:
        parts["dirichlet"]["left"] = 0.0
    refined = [young, nu] if whole else [v[mesh.simplex_cells] for v in (young, nu)]
    problems = (LinearElasticity(*v, mode, body, **parts) for v in ([young, nu], refined))
    assert_same_system(build(dim=mesh.dim, equation="elasticity"), *problems, mesh)


def test_the_inverse_of_a_block_is_over_its_free_components():
    """D⁻¹ of the free part of K_ii, 0 in the rows and columns of prescribed components."""
    mesh = skewed("triangle")
    problem = LinearElasticity(dirichlet={"left": (0.0, None), "origin": 0.0}, traction={"*": 0.0})
    graph = prepared(build(equation="elasticity"), problem.sample(mesh))
    blocks = graph.diagonal.view(-1, 2, 2), graph.inverse.view(-1, 2, 2)
    for mask, diagonal, inverse in zip(graph.dirichlet_mask, *blocks, strict=True):
        expected = torch.zeros(2, 2)
        free = torch.nonzero(~mask)[:, 0]
        expected[free[:, None], free] = torch.linalg.inv(diagonal[free[:, None], free])
        torch.testing.assert_close(inverse, expected)
