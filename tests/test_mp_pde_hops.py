"""Neighbourhoods of several hops."""

import pytest
import torch
from interval_graphs import square_wave, wave

from meshgnn.graph import check_graph
from meshgnn.models.mp_pde.hops import hop_edges
from meshgnn.models.mp_pde.paper import PaperNet
from meshgnn.nn import edge_vectors


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


def test_published_neighbourhoods():
    """3 hops: 6 neighbours, at the ends of the cut ring 3, 4, 5; on the ring all within 3 h."""
    graph = wave()
    cut = torch.bincount(PaperNet(periodic=False).transform(graph).edge_index[1])
    assert cut[:4].tolist() == [3, 4, 5, 6] and cut[-4:].tolist() == [6, 5, 4, 3]
    ring = PaperNet().transform(graph)
    check_graph(ring)
    assert (torch.bincount(ring.edge_index[1]) == 6).all()
    steps = (edge_vectors(ring) / (4.0 / 24)).round().flatten().reshape(-1, 6).sort(dim=1).values
    assert (steps == torch.tensor([-3.0, -2, -1, 1, 2, 3])).all()
    small = wave(cells=5)  # fewer than 2 · 3 + 1 nodes: every other node once
    ring = PaperNet().transform(small)
    check_graph(ring)
    assert (torch.bincount(ring.edge_index[1]) == 4).all()
    assert float(edge_vectors(ring).abs().max()) == pytest.approx(2 * 4.0 / 5)
