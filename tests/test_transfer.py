"""Walks of moved nodes through a mesh, and fields between the two meshes."""

import numpy as np
import pytest
import torch
from mesh_builders import BOXES, box

from meshgnn.geometry import domains
from meshgnn.mesh import Mesh
from meshgnn.operators import Transfer, interpolate, locate, lumped_mass, neighbour_steps, track

SIMPLICIAL = ("line", "triangle", "tetra", "quad", "hexahedron")


def squeezed(mesh: Mesh, power: float = 0.3) -> torch.Tensor:
    """x + c sin(2πx) along every axis: a box onto itself, sides onto sides, several cells far."""
    x = torch.tensor(mesh.points)
    return x - power / (2 * np.pi) * torch.sin(2 * np.pi * x) * (1 + 0.5 * x.flip(1))


def parts(cells: str, n: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mesh = box(cells, n)
    return torch.tensor(mesh.points), squeezed(mesh), torch.tensor(mesh.simplices)


def pair(kind: str, n: int = 6, **options) -> Transfer:
    pos, moved, simplices = parts(kind, n)
    return Transfer.between(pos, moved, simplices, **options)


@pytest.mark.parametrize("cells", BOXES)
def test_neighbours_share_a_facet(cells):
    """Every facet of every simplex: its neighbour has all its corners but one; none on walls."""
    mesh = box(cells, 3)
    simplices = torch.tensor(mesh.simplices)
    steps = neighbour_steps(simplices, mesh.num_nodes)
    count = 0
    for s, row in enumerate(steps.tolist()):
        for k, step in enumerate(row):
            facet = {int(c) for j, c in enumerate(simplices[s]) if j != k}
            if step:
                other = {int(c) for c in simplices[s + step]}
                assert len(facet & other) == len(facet) and int(simplices[s, k]) not in other
            count += step == 0
    split = Mesh(
        mesh.points, {{2: "line", 3: "triangle", 4: "tetra"}[len(simplices[0])]: mesh.simplices}
    )
    assert count == sum(len(rows) for rows in split.boundary_facets.values())


@pytest.mark.parametrize("cells", SIMPLICIAL)
def test_a_walk_ends_where_the_search_does(cells):
    """x = Σ λ x_k in both directions, many cells away, in float32 as in float64."""
    for dtype in (torch.float64, torch.float32):
        pos, moved, simplices = parts(cells)
        pos, moved = pos.to(dtype), moved.to(dtype)
        for points, nodes in ((moved, pos), (pos, moved)):
            place = track(points, nodes, simplices)
            assert place.inside.all() and place.weights.min() > -4e-4
            found = interpolate(nodes, simplices, place)
            torch.testing.assert_close(found, points, rtol=0, atol=3e-6)
    far = (moved - pos).norm(dim=1).max()
    assert far > 0.05
    searched = locate(moved, pos, simplices)
    u = torch.sin(9 * pos)
    here = interpolate(u, simplices, track(moved, pos, simplices))
    torch.testing.assert_close(here, interpolate(u, simplices, searched), rtol=0, atol=2e-3)


def around_a_hole() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An annulus turned by more than a cell, more so inside: circles slide along their polygons."""
    mesh = domains.draw("annulus", 1, 0.15)
    pos = torch.tensor(mesh.points)
    centre = pos[torch.tensor(mesh.boundary_nodes)].mean(0)
    out = pos - centre
    length = out.norm(dim=1)
    angle = 0.5 * torch.exp(-length) * (1 + 0.8 * out[:, 0] / length)
    turn = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], 1)
    moved = centre + torch.einsum("nij,nj->ni", turn.view(-1, 2, 2), out)
    return pos, moved, torch.tensor(mesh.simplices)


def test_points_beside_a_curved_boundary_get_the_nearest_point():
    """Turned nodes of a circle lie outside its chords: the foot is that of the exact search."""
    pos, moved, simplices = around_a_hole()
    for points, nodes in ((moved, pos), (pos, moved)):
        place, searched = track(points, nodes, simplices), locate(points, nodes, simplices)
        out = ~searched.inside
        assert out.sum() > 10 and not place.inside[out].all()
        foot, exact = (interpolate(nodes, simplices, p) for p in (place, searched))
        torch.testing.assert_close(foot, exact, rtol=0, atol=1e-7)
        assert place.weights.min() > -2e-8


def test_a_walk_that_a_hole_stops_is_searched():
    """Nodes sent straight across the hole of an annulus to the other side arrive there."""
    pos, _, simplices = around_a_hole()
    centre = pos.mean(0)
    points = 2 * centre - pos
    batch = torch.zeros(len(pos), dtype=torch.long)
    place, searched = track(points, pos, simplices, batch=batch), locate(points, pos, simplices)
    foot, exact = (interpolate(pos, simplices, p) for p in (place, searched))
    edge = (pos[simplices[:, 0]] - pos[simplices[:, 1]]).norm(dim=1).max()
    both = searched.inside & place.inside
    assert searched.inside.sum() - both.sum() < 0.02 * len(pos)
    torch.testing.assert_close(foot[both], exact[both], rtol=0, atol=1e-7)
    assert (foot - exact).norm(dim=1).max() < edge


@pytest.mark.parametrize("conservative", [True, False])
@pytest.mark.parametrize("cells", SIMPLICIAL)
def test_constants_to_the_last_digit_and_linear_fields_to_rounding(cells, conservative):
    transfer = pair(cells, conservative=conservative)
    pos, moved, _ = parts(cells)
    for value in (0.0, 1 / 3, -1e5):
        u = torch.full((len(pos), 2), value, dtype=torch.float64)
        assert torch.equal(transfer.to_moved(u), u) and torch.equal(transfer.to_given(u), u)
    slope = torch.arange(1.0, 1 + pos.shape[1], dtype=torch.float64)[:, None]
    torch.testing.assert_close(transfer.to_moved(2 + pos @ slope), 2 + moved @ slope)
    torch.testing.assert_close(transfer.to_given(2 + moved @ slope), 2 + pos @ slope)


@pytest.mark.parametrize("cells", ["triangle", "tetra"])
def test_smooth_fields_to_second_order_there_and_back(cells):
    """The largest error falls like h², conservative or not; h by 1.8 to 1.9."""
    for conservative in (True, False):
        errors = []
        for n in (8, 16) if cells == "triangle" else (5, 10):
            transfer = pair(cells, n, conservative=conservative)
            pos, moved, _ = parts(cells, n)

            def u(x):
                return torch.cos(3 * x[:, :1]) * torch.sin(2 * x[:, 1:2] + 1)

            there = (transfer.to_moved(u(pos)) - u(moved)).abs().max()
            again = (transfer.to_given(transfer.to_moved(u(pos))) - u(pos)).abs().max()
            errors.append(torch.stack([there, again]))
        assert (errors[0] / errors[1] > 3.0).all()


@pytest.mark.parametrize("cells", SIMPLICIAL)
def test_integrals_are_kept_and_the_correction_stays_where_the_field_varies(cells):
    """Σ m̂ v = Σ m u for any nodal values; far from a front v is the constant it was."""
    transfer = pair(cells)
    pos, moved, simplices = parts(cells)
    u = torch.randn(len(pos), 3, generator=torch.Generator().manual_seed(0), dtype=pos.dtype)
    before, after = lumped_mass(pos, simplices) @ u, lumped_mass(moved, simplices)
    torch.testing.assert_close(after @ transfer.to_moved(u), before)
    torch.testing.assert_close(transfer.mass @ transfer.to_given(u), after @ u)
    plain = pair(cells, conservative=False)
    assert (after @ plain.to_moved(u) - before).abs().max() > 1e-4
    front = 2 + torch.tanh(40 * (pos[:, :1] - 0.3))
    v = transfer.to_moved(front)
    assert (v - plain.to_moved(front)).abs().max() > 1e-4
    assert (v[moved[:, 0] > 0.8] - 3).abs().max() < 1e-6


def test_fixed_entries_are_interpolated_and_the_integral_is_kept():
    pos, moved, simplices = parts("triangle")
    fixed = (pos[:, :1] == 0).expand(-1, 2)
    u, transfer = torch.cos(8 * pos), pair("triangle")
    v = transfer.to_moved(u, fixed)
    plain = pair("triangle", conservative=False).to_moved(u)
    assert torch.equal(v[fixed], plain[fixed]) and not torch.equal(v, plain)
    torch.testing.assert_close(transfer.moved_mass @ v, transfer.mass @ u)


def test_where_the_polygons_differ_means_are_kept():
    pos, moved, simplices = around_a_hole()
    transfer = Transfer.between(pos, moved, simplices)
    volume, other = transfer.mass.sum(), transfer.moved_mass.sum()
    assert abs(volume - other) > 1e-5
    u = torch.sin(5 * pos)
    mean = transfer.mass @ u / volume
    torch.testing.assert_close(transfer.moved_mass @ transfer.to_moved(u) / other, mean)
    ones = torch.full((len(pos), 1), 0.1, dtype=torch.float64)
    assert torch.equal(transfer.to_given(transfer.to_moved(ones)), ones)


def test_the_identity_is_the_identity():
    pos, _, simplices = parts("triangle")
    transfer = Transfer.between(pos, pos, simplices)
    u = torch.sin(7 * pos)
    torch.testing.assert_close(transfer.to_moved(u), u, rtol=0, atol=1e-13)
    torch.testing.assert_close(transfer.to_given(u), u, rtol=0, atol=1e-13)


def test_a_union_is_its_meshes():
    """Two meshes on top of each other: every point stays in its own."""
    sets = [around_a_hole(), parts("triangle", 7)]
    count = len(sets[0][0])
    pos, moved = (torch.cat([s[i] for s in sets]) for i in (0, 1))
    simplices = torch.cat([sets[0][2], sets[1][2] + count])
    batch = (torch.arange(len(pos)) >= count).long()
    steps = torch.cat([neighbour_steps(s[2], len(s[0])) for s in sets])
    assert torch.equal(steps, neighbour_steps(simplices, len(pos)))
    together = Transfer.between(pos, moved, simplices, steps, batch)
    u = torch.sin(3 * pos)
    alone = [Transfer.between(*s) for s in sets]
    rows = (u[:count], u[count:])
    for name in ("to_moved", "to_given"):
        expected = torch.cat([getattr(t, name)(v) for t, v in zip(alone, rows, strict=True)])
        torch.testing.assert_close(getattr(together, name)(u), expected)
    points = torch.cat([2 * s[0].mean(0) - s[0] for s in sets])  # some have to be searched
    place = track(points, pos, simplices, steps, batch)
    assert (batch[simplices[place.simplex, 0]] == batch).all()


def test_derivatives_in_the_field_and_in_the_nodes():
    pos, moved, simplices = around_a_hole()
    pos, moved = pos[:, :], moved.clone().requires_grad_()
    u = torch.sin(3 * pos).requires_grad_()

    def moment(x, u):
        transfer = Transfer.between(pos, x, simplices)
        return (transfer.to_given(transfer.to_moved(u) ** 2) * pos).sum()

    slopes = torch.autograd.grad(moment(moved, u), (moved, u))
    generator = torch.Generator().manual_seed(1)
    for i, (value, slope) in enumerate(zip((moved, u), slopes, strict=True)):
        way = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        step = 1e-7 * way
        ends = [(moved + s * step, u) if i == 0 else (moved, u + s * step) for s in (1, -1)]
        change = (moment(*ends[0]) - moment(*ends[1])) / 2e-7
        torch.testing.assert_close(change, (slope * way).sum(), rtol=1e-4, atol=1e-6)


def test_boundary_data_come_from_known_corners_alone():
    """On the sides of a square, data known there: linear ones are exact, 0 is no neighbour's."""
    pos, moved, simplices = parts("triangle")
    mesh = box("triangle", 6)
    known = torch.zeros(len(pos), 1, dtype=torch.bool)
    known[torch.tensor(mesh.boundary_nodes)] = True
    g = torch.where(known, 1 + pos[:, :1] + 2 * pos[:, 1:], 0.0)
    found = pair("triangle").known_to_moved(g, known)
    exact = 1 + moved[:, :1] + 2 * moved[:, 1:]
    torch.testing.assert_close(found[known], exact[known])
    assert (found == 0).any()


def test_surfaces_are_refused():
    flat = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    with pytest.raises(ValueError, match=r"expected simplices with d \+ 1 = 4 corners, got shape"):
        track(flat, flat, torch.tensor([[0, 1, 2]]))


def test_fronts_thinner_than_an_edge_are_changed_on_the_way():
    """u = tanh(ξ / w), half an edge and nine edges thin: I2 I1 u - u beside u."""
    pos, moved, simplices = parts("triangle", 24)
    transfer, along = Transfer.between(pos, moved, simplices), pos[:, :1] + 0.3 * pos[:, 1:] - 0.65
    change = {}
    for edges in (0.25, 4.0):
        u = torch.tanh(along * 24 / edges)
        change[edges] = float((transfer.to_given(transfer.to_moved(u)) - u).norm() / u.norm())
    assert change[0.25] > 0.05 and change[4.0] < 0.01
