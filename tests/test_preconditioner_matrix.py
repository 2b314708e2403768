"""Incomplete Cholesky, the graph of a matrix and what a network learns on it."""

import numpy as np
import pytest
import torch
from preconditioner_builders import iterations, poisson, renumbered
from scipy.sparse import csr_array, csr_matrix, diags_array, eye_array, kron
from scipy.sparse.linalg import splu, spsolve
from torch_geometric.data import Batch

from meshgnn.preconditioner import (
    LearnedIC,
    data_loss,
    frobenius_loss,
    incomplete_cholesky,
    matrix_graph,
    training_graph,
)


def test_incomplete_cholesky():
    """(L Lᵀ)_ij = Â_ij on the pattern; exact where there is no fill; the shift is recorded."""
    a = poisson("polygon", 0)
    factor = incomplete_cholesky(a)
    n = len(factor.order)
    below = csr_array((factor.lower, factor.column, factor.start), shape=(n, n))
    product = (
        (below + diags_array(factor.diagonal)) @ (below + diags_array(factor.diagonal)).T
    ).tocsr()
    scaled = factor.scaled_matrix()
    s = diags_array(factor.scale)
    np.testing.assert_allclose(
        scaled.toarray(), (s @ a @ s).toarray()[np.ix_(factor.order, factor.order)], atol=1e-14
    )
    np.testing.assert_allclose(product[factor.row, factor.column], factor.matrix, atol=1e-13)
    np.testing.assert_allclose(product.diagonal(), 1, atol=1e-13)
    assert factor.shift == 0
    chain = diags_array([-np.ones(40), 2.1 * np.ones(41), -np.ones(40)], offsets=[-1, 0, 1])
    b = np.arange(41.0)
    np.testing.assert_allclose(
        incomplete_cholesky(csr_array(chain)).solve(b), spsolve(csr_matrix(chain), b), rtol=1e-12
    )


def test_order_is_reverse_cuthill_mckee():
    """On a strip of 6 × 60 points the bandwidth is that of the short side, however numbered."""
    short, long = (
        diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])
        for n in (6, 60)
    )
    strip = csr_matrix(kron(short, eye_array(60)) + kron(eye_array(6), long))
    for seed in range(3):
        factor = incomplete_cholesky(renumbered(strip, seed))
        assert sorted(factor.order) == list(range(360))
        assert (factor.row - factor.column).max() <= 7


def test_graph_tells_the_matrix_only():
    """Features of A and cA agree, as do those of a renumbered A up to the order of equal rows."""
    a = poisson("annulus", 3)
    graph = matrix_graph(incomplete_cholesky(a))
    for other in (1e6 * a, renumbered(a, 1)):
        twin = matrix_graph(incomplete_cholesky(other))
        torch.testing.assert_close(twin.x, graph.x, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(twin.edge_attr, graph.edge_attr, rtol=1e-4, atol=1e-5)
        assert torch.equal(twin.edge_index, graph.edge_index)


def test_graph_of_fill():
    """(R v)_i / v_i, R = L Lᵀ - Â, is what the products of L give; Â v likewise."""
    factor = incomplete_cholesky(poisson("polygon", 4))
    graph, n = matrix_graph(factor), len(factor.order)
    below = csr_array((factor.lower, factor.column, factor.start), shape=(n, n))
    lower = below + diags_array(factor.diagonal)
    v, scaled = graph.constant.numpy(), factor.scaled_matrix()
    np.testing.assert_allclose(graph.x[:, 4], (scaled @ v) / v, atol=1e-5)
    np.testing.assert_allclose(graph.x[:, 5], ((lower @ lower.T - scaled) @ v) / v, atol=1e-5)


def test_losses():
    """Both are what they say, by dense products; a batch is the mean over all entries."""
    a = poisson("polygon", 0, 0.25)
    factor = incomplete_cholesky(a)
    graphs = [
        training_graph(a, splu(a.tocsc()).solve, np.random.default_rng(i), vectors=4000)
        for i in range(2)
    ]
    n = len(factor.order)
    below = csr_array((factor.lower, factor.column, factor.start), shape=(n, n))
    lower = (below + eye_array(n).multiply(factor.diagonal)).toarray()
    scaled = factor.scaled_matrix().toarray()
    model, gap = LearnedIC(), lower @ lower.T - scaled
    data = [float(data_loss(model, graph).detach()) for graph in graphs]
    assert np.mean(data) == pytest.approx(np.sum((gap @ np.linalg.inv(scaled)) ** 2) / n, rel=0.05)
    assert float(data_loss(model, Batch.from_data_list(graphs)).detach()) == pytest.approx(
        np.mean(data), rel=1e-4
    )
    torch.manual_seed(0)
    value = float(frobenius_loss(model, graphs[0]).detach())
    assert value == pytest.approx(np.sum(gap**2) / n, rel=0.05)


def test_failed_pivots_are_shifted():
    """A definite matrix on which IC(0) breaks down (Kershaw 1978), and a singular chain."""
    kershaw = np.array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
    assert np.linalg.eigvalsh(kershaw)[0] > 0
    factor = incomplete_cholesky(csr_array(kershaw))
    assert factor.shift > 0 and (factor.diagonal > 0).all()
    iterations(kershaw, LearnedIC().operator(csr_array(kershaw)), 1e-10)
    chain = csr_array(np.array([[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]]))
    assert incomplete_cholesky(chain).shift == 1e-3
