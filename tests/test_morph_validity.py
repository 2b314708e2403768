"""Valid members for hard amplitudes, shapes meshed anew, and what families start from."""

import numpy as np
import pytest
from mesh_builders import BOX_2D, BOX_3D, box, octasphere

import meshgnn as mg
from meshgnn.geometry.domains import draw
from meshgnn.geometry.morph import (
    FreeForm,
    Modal,
    Morph,
    Motion,
    Noise,
    Offset,
    RadialBasis,
    crossings,
    filled,
    flaw,
    remeshed,
    start,
    variations,
)
from meshgnn.mesh import Group, Mesh
from meshgnn.mesher import session

PLATE = mg.read("meshes/plate.msh")


def measures(mesh):
    """Names, dimensions and sizes of all groups."""
    found = {}
    for name, group in mesh.groups.items():
        if group.dim == mesh.dim:
            size = mesh.volumes[mesh.cells_of(name)].sum()
        elif group.dim == mesh.dim - 1:
            size = mesh.facet_areas[mesh.facets_of(name)].sum()
        else:
            size = len(mesh.nodes_of(name))
        found[name] = (group.dim, pytest.approx(size, rel=1e-9))
    return found


@pytest.mark.parametrize(
    "kind",
    [
        FreeForm(amplitude=1.0),
        RadialBasis(amplitude=0.3),
        Modal(amplitude=0.3),
        Noise(length=0.02, amplitude=0.1),
        Motion("holes", shift=0.5, turn=3.0, scale=0.9),
    ],
)
def test_hard_amplitudes_retreat_to_valid_meshes(kind) -> None:
    """All quality at least the floor, no simplex inverted, no facets cross; p is what was drawn
    times 2^-k; the mesh is x(p) of the parameters that it comes with."""
    morph = Morph(PLATE, [kind], fixed=("outer",), floor=0.2)
    members = [morph.draw(0, index) for index in range(4)]
    assert max(member.halvings for member in members) >= 1
    for index, member in enumerate(members):
        assert flaw(member.mesh, 0.2) is None
        assert member.mesh.quality.min() >= 0.2 and member.mesh.simplex_volumes.min() > 0
        drawn = morph.deformations[0].draw(np.random.default_rng([0, index]))
        np.testing.assert_array_equal(member.parameters, drawn * 0.5**member.halvings)
        np.testing.assert_array_equal(member.mesh.points, morph.moved(member.parameters).points)
        assert member.mesh.groups is PLATE.groups


@pytest.mark.parametrize("cells", [*BOX_2D, *BOX_3D])
def test_every_cell_type_varies_and_keeps_its_groups(cells: str) -> None:
    mesh = box(cells, 3)
    morph = Morph(mesh, [FreeForm(3, amplitude=0.5), Noise(amplitude=0.05)], fixed=("left",))
    member = morph.draw(1)
    member.mesh.check()
    assert {name: group.dim for name, group in member.mesh.groups.items()} == {
        name: group.dim for name, group in mesh.groups.items()
    }
    left = mesh.nodes_of("left")
    np.testing.assert_array_equal(member.mesh.points[left], mesh.points[left])


def test_facets_that_cross_without_an_inverted_cell_are_seen() -> None:
    """The arms of a U sheared through each other: every area as before, the map not one to one."""
    mesh = draw("u_shape", 0)
    assert len(crossings(mesh)) == 0
    x, y = mesh.points.T
    lift = np.maximum(y - 0.6, 0.0) ** 2
    crossed = mesh.moved(np.column_stack([x + np.where(x < 0.4, 2.0, -2.0) * lift, y]))
    ends = crossed.boundary_facets["line"][crossings(crossed)[0]]
    assert crossed.simplex_volumes.min() > 0 and len({*ends[0], *ends[1]}) == 4
    assert "pairs of facets cross" in str(flaw(crossed, 0.0))


def test_crossing_triangles_are_found_among_small_and_large_ones() -> None:
    """Two spheres as one surface: apart none, pushed into each other as many as their circle has;
    a large triangle that cuts them is found by its size."""
    one = octasphere(3)
    count, cells = one.num_nodes, one.cells["triangle"]

    def pair(gap, extra=None):
        points = [one.points, one.points + [gap, 0.01, 0.02]]
        rows = [cells, cells + count]
        if extra is not None:
            points.append(extra)
            rows.append(np.array([[2 * count, 2 * count + 1, 2 * count + 2]]))
        return Mesh(np.concatenate(points), {"triangle": np.concatenate(rows)})

    assert len(crossings(pair(2.1))) == 0
    assert len(crossings(pair(1.5))) > 20
    cut = np.array([[0.1, -9.0, -9.0], [0.1, 9.0, -9.0], [0.1, 0.0, 12.0]])
    found = crossings(pair(2.1, cut))
    assert len(found) > 20 and (found == 2 * len(cells)).any(axis=1).all()


@pytest.mark.parametrize("name", ["plate", "mixed", "quads", "bracket", "hexes", "inclusion"])
def test_shapes_meshed_anew_keep_boundary_and_names(name: str) -> None:
    """Same volume, same measure of every group, same boundary nodes; simplices inside."""
    mesh = mg.read(f"meshes/{name}.msh")
    new = remeshed(mesh)
    new.check()
    assert list(new.cells) == ["triangle" if mesh.dim == 2 else "tetra"]
    # the halves of warped quadrilaterals are those of the split, so that all sizes are the same
    assert measures(new) == measures(mesh)
    assert new.quality.min() > 0.1
    assert {*map(tuple, mesh.points[mesh.boundary_nodes])} <= {*map(tuple, new.points)}
    assert 0.5 < new.num_nodes / mesh.num_nodes < 1.5


def test_points_and_curves_of_groups_survive() -> None:
    mesh = box("tetra", 3)
    groups = {k: g for k, g in mesh.groups.items() if k != "spine"}
    edge = np.array([[0, 1]])
    assert (mesh.edges == edge).all(axis=1).any()
    new = remeshed(Mesh(mesh.points, mesh.cells, {**groups, "edge": Group(1, {"line": edge})}))
    np.testing.assert_array_equal(new.points[new.nodes_of("origin")], [[0, 0, 0]])
    found = new.points[new.groups["edge"].cells["line"][0]]
    np.testing.assert_array_equal(found, mesh.points[[0, 1]])


def test_remeshing_keeps_the_amplitude_where_cells_would_not() -> None:
    """With remesh=True a member whose boundary is sound is not halved; names and floor hold."""
    options = {"kinds": [Motion("holes", shift=0.1)], "floor": 0.5}
    kept = variations(PLATE, 3, 0, **options)
    anew = variations(PLATE, 3, 0, remesh=True, **options)
    assert any(member.remeshed for member in anew)
    for first, second in zip(kept, anew, strict=True):
        assert second.halvings <= first.halvings
        assert second.mesh.quality.min() >= 0.5
        assert second.remeshed == (second.mesh.num_nodes != PLATE.num_nodes)
        assert {*second.mesh.groups} == {*PLATE.groups}
    assert sum(m.halvings for m in anew) < sum(m.halvings for m in kept)


def test_families_start_from_surfaces_of_any_kind(tmp_path) -> None:
    """.stl and .ply by `read`, .glb and data sets by PyVista; `filled` gives the inside."""
    pyvista = pytest.importorskip("pyvista")
    sphere = pyvista.Sphere(theta_resolution=12, phi_resolution=12)
    for suffix in ("stl", "ply"):
        sphere.save(tmp_path / f"ball.{suffix}")
        first, second = variations(tmp_path / f"ball.{suffix}", 2, 3, kinds=[Modal(3)])
        assert first.mesh.dim == 2 and first.mesh.num_nodes == sphere.n_points
        assert np.abs(first.mesh.points - second.mesh.points).max() > 1e-3
    surface = start(sphere)
    assert surface.num_nodes == sphere.n_points and not len(surface.boundary_facet_cells)
    named = Mesh(surface.points, surface.cells, {"skin": Group(2, surface.cells)})
    solid = filled(named)
    solid.check()
    assert solid.volumes.sum() == pytest.approx(sphere.volume, rel=1e-5)
    assert len(solid.facets_of("skin")) == surface.num_cells
    assert start(pyvista.MultiBlock([sphere])).num_cells == surface.num_cells
    grid = start(pyvista.ImageData(dimensions=(3, 4, 5)))
    assert grid.dim == 3 and grid.volumes.sum() == pytest.approx(24)
    pyvista.MultiBlock([sphere]).save(tmp_path / "ball.vtm")
    assert start(tmp_path / "ball.vtm").num_cells == surface.num_cells


def test_families_start_from_geometry(tmp_path) -> None:
    """A .step file (a box with a bore) is meshed once, its members are valid."""
    with session() as gmsh:
        occ = gmsh.model.occ
        box, bore = occ.addBox(0, 0, 0, 2, 1, 0.5), occ.addCylinder(1, 0.5, -1, 0, 0, 2, 0.25)
        occ.cut([(3, box)], [(3, bore)])
        occ.synchronize()
        gmsh.write(str(tmp_path / "part.step"))
    first, second = variations(tmp_path / "part.step", 2, 0, kinds=[FreeForm(2)])
    volume = 1 - 0.5 * np.pi * 0.25**2
    home = start(tmp_path / "part.step")
    assert home.dim == 3 and home.volumes.sum() == pytest.approx(volume, rel=0.02)
    for member in (first, second):
        assert flaw(member.mesh, 0.1) is None and member.mesh.cells.keys() == home.cells.keys()
    assert np.abs(first.mesh.points - second.mesh.points).max() > 1e-3


def test_what_cannot_be_meshed_anew_is_refused(monkeypatch) -> None:
    with pytest.raises(
        ValueError, match="remeshed: expected a plane mesh or a solid, got cells of"
    ):
        remeshed(octasphere(1))
    crack = Group(1, {"line": np.array([[5, 6]])})
    cracked = Mesh(box("triangle", 3).points, box("triangle", 3).cells, {"crack": crack})
    with pytest.raises(ValueError, match="1 entities of group 'crack' are inside of a region"):
        Morph(cracked, remesh=True)
    inside = Group(0, {"vertex": np.array([[6]])})
    point = Mesh(box("triangle", 3).points, box("triangle", 3).cells, {"probe": inside})
    with pytest.raises(ValueError, match="1 entities of group 'probe' are inside of a region"):
        remeshed(point)
    annulus = draw("annulus", 0, 0.1)
    nodes, points = annulus.nodes_of("inner"), annulus.points.copy()
    points[nodes] += 0.4
    with pytest.raises(ValueError, match="remeshed: .* pairs of boundary facets cross; move less"):
        remeshed(annulus.moved(points))
    points = annulus.points.copy()
    points[nodes] *= 4 / np.linalg.norm(points[nodes], axis=1).max()
    with pytest.raises(ValueError, match="volume inside of the boundary is .* turned inside out"):
        remeshed(annulus.moved(points))
    monkeypatch.setattr(
        "meshgnn.geometry.morph.remeshing.meshed", lambda *_: annulus.moved(annulus.points + 1)
    )
    with pytest.raises(ValueError, match="remeshed: gmsh has moved nodes of the boundary"):
        remeshed(annulus)
    with pytest.raises(ValueError, match="filled: expected a surface in space, got cells of dim"):
        filled(PLATE)
    with pytest.raises(ValueError, match="filled: the surface is open, 40 edges have one side"):
        filled(mg.read("meshes/dome.msh"))


def test_what_no_family_can_start_from(tmp_path, monkeypatch) -> None:
    with pytest.raises(ValueError, match="start: expected a Mesh, a path or a PyVista .* got int"):
        start(3)
    with pytest.raises(FileNotFoundError, match="no such file: .*ball.glb"):
        start(tmp_path / "ball.glb")
    pyvista = pytest.importorskip("pyvista")
    curved = pyvista.UnstructuredGrid({22: np.arange(6)[None]}, np.eye(6)[:, :3])
    with pytest.raises(ValueError, match=r"no linear cells, but VTK types \[.*22.*\]; reduce them"):
        start(curved)
    monkeypatch.setitem(__import__("sys").modules, "pyvista", None)
    with pytest.raises(ImportError, match=r"this needs PyVista: pip install 'meshgnn\[viz\]'"):
        start(curved)


def test_offsets_close_a_slot_only_so_far() -> None:
    """Growing into its own gap, the boundary would cross with every cell upright."""
    u = draw("u_shape", 0)
    part = next(iter(n for n in ("notch", "hole") if n in u.groups))
    morph = Morph(u, [Offset([part], amplitude=2.0)], floor=0.05)
    assert all(flaw(morph.draw(0, i).mesh, 0.05) is None for i in range(6))
