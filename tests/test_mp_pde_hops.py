"""Neighbourhoods of several hops."""

import pytest
import torch
from interval_graphs import square_wave

from meshgnn.models.mp_pde.hops import hop_edges


def test_hops_are_powers_of_the_adjacency():
    """Two and three hops on triangles: where (A + A² + A³)_ij > 0, i ≠ j."""
    graph = square_wave(n=4)
    size = len(graph.pos)
    a = torch.zeros(size, size)
    a[graph.edge_index[1], graph.edge_index[0]] = 1
    reach = a.clone()
    for hops in (1, 2, 3):
        edges, shift = hop_edges(graph.edge_index, size, hops)
        expected = torch.nonzero((reach > 0) & ~torch.eye(size, dtype=torch.bool)).T.flip(0)
        assert shift is None and torch.equal(edges, expected)
        reach = reach + reach @ a
    with pytest.raises(ValueError, match="hops of at least 1, got 0"):
        hop_edges(graph.edge_index, size, 0)
