"""gmsh to Mesh: counts and names against the gmsh API's own, isolation, threads, bad input."""

import builtins
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from meshgnn.mesher import current_mesh, generate, mesh_file, session

ROOT = Path(__file__).parents[1]
SQUARE = """
Point(1) = {0, 0, 0, 0.2}; Point(2) = {1, 0, 0, 0.2};
Point(3) = {1, 1, 0, 0.2}; Point(4) = {0, 1, 0, 0.2};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1 : 4}; Plane Surface(1) = {1};
"""


def written(folder, text, name="a.geo"):
    path = folder / name
    path.write_text(text + "\n")
    return path


def rows(group):
    return sum(len(block) for block in group.cells.values())


def test_square_equals_what_gmsh_holds(tmp_path):
    groups = 'Physical Curve("wall") = {1, 2}; Physical Curve("top") = {3};'
    path = written(tmp_path, SQUARE + groups + 'Physical Surface("domain") = {1};')
    mesh = mesh_file(path)
    with session() as gmsh:
        gmsh.merge(str(path))
        gmsh.model.mesh.generate(2)
        nodes = len(gmsh.model.mesh.getNodes()[0])
        triangles = len(gmsh.model.mesh.getElements(2)[1][0])
        lines = [len(gmsh.model.mesh.getElements(1, tag)[1][0]) for tag in (1, 2, 3, 4)]
        coordinates = gmsh.model.mesh.getNodes()[1].reshape(-1, 3)[:, :2]
    assert (mesh.num_nodes, mesh.num_cells) == (nodes, triangles)
    np.testing.assert_array_equal(mesh.points, coordinates)
    assert set(mesh.groups) == {"wall", "top", "domain"}
    assert rows(mesh.groups["wall"]) == lines[0] + lines[1]
    assert rows(mesh.groups["top"]) == lines[2]
    assert rows(mesh.groups["domain"]) == triangles
    assert mesh.volumes.min() > 0
    assert mesh.volumes.sum() == pytest.approx(1)
    np.testing.assert_allclose(mesh.points[mesh.nodes_of("top"), 1], 1)
    mesh.check()


def test_clockwise_surface_is_turned_upright(tmp_path):
    text = SQUARE.replace("{1 : 4}", "{-4, -3, -2, -1}")
    assert mesh_file(written(tmp_path, text)).volumes.min() > 0


def test_size_is_the_mean_edge_length_and_overrides_the_file(tmp_path):
    path = written(tmp_path, SQUARE)
    for size in (0.1, 0.05):
        mesh = mesh_file(path, size=size)
        edges = mesh.points[mesh.edges]
        assert np.linalg.norm(edges[:, 0] - edges[:, 1], axis=1).mean() == pytest.approx(size, 0.1)


def test_dim_chooses_the_cells(tmp_path):
    cube = 'SetFactory("OpenCASCADE"); Box(1) = {0, 0, 0, 1, 1, 1}; Mesh.MeshSizeMax = 0.5;'
    path = written(tmp_path, cube)
    assert set(mesh_file(path).cells) == {"tetra"}
    surface = mesh_file(path, dim=2)
    assert set(surface.cells) == {"triangle"}
    assert surface.points.shape[1] == 3
    assert not len(surface.boundary_nodes)
    assert set(mesh_file(path, dim=1).cells) == {"line"}


def test_no_groups_gives_the_default_boundary(tmp_path):
    mesh = mesh_file(written(tmp_path, SQUARE))
    assert set(mesh.groups) == {"boundary"}


def test_entity_of_two_groups_is_in_both_and_a_tag_without_name_is_named(tmp_path):
    text = SQUARE + 'Physical Curve("a") = {1, 2}; Physical Curve(7) = {2, 3};'
    mesh = mesh_file(written(tmp_path, text + "Physical Point(3) = {1};"))
    assert set(mesh.groups) == {"a", "curve_7", "point_3"}
    assert mesh.groups["point_3"].dim == 0
    shared = np.intersect1d(mesh.facets_of("a"), mesh.facets_of("curve_7"))
    np.testing.assert_allclose(mesh.facet_centres[shared][:, 0], 1)
    assert len(shared) == 5


def test_a_name_that_equals_the_default_of_another_tag_is_their_union(tmp_path):
    text = SQUARE + 'Physical Curve("curve_3", 1) = {1}; Physical Curve(3) = {3};'
    assert rows(mesh_file(written(tmp_path, text)).groups["curve_3"]) == 10


def test_name_in_two_dimensions_stays_with_the_boundary(tmp_path):
    text = SQUARE + 'Physical Surface("a") = {1}; Physical Curve("a") = {1};'
    with pytest.warns(UserWarning, match="'a' exists in dimensions 1 and 2.*renamed 'a_surface'"):
        mesh = mesh_file(written(tmp_path, text))
    assert {name: group.dim for name, group in mesh.groups.items()} == {"a": 1, "a_surface": 2}


def test_a_renamed_group_takes_the_name_of_no_other(tmp_path):
    text = SQUARE + 'Physical Surface("a") = {1}; Physical Curve("a") = {1};'
    text += 'Physical Curve("a_surface") = {2};'
    with pytest.warns(UserWarning, match="'a' exists in dimensions 1 and 2.*renamed 'a_surface_'"):
        mesh = mesh_file(written(tmp_path, text))
    dims = {name: group.dim for name, group in mesh.groups.items()}
    assert dims == {"a": 1, "a_surface": 1, "a_surface_": 2}


def test_centres_of_arcs_are_no_nodes_and_loose_parts_are_counted(tmp_path):
    loose = "Point(9) = {2, 0, 0, 0.5}; Point(10) = {3, 0, 0, 0.5}; Line(9) = {9, 10};"
    text = SQUARE + loose + 'Physical Curve("a") = {1, 9};'
    with pytest.warns(UserWarning) as caught:
        mesh = mesh_file(written(tmp_path, text))
    messages = sorted(str(warning.message) for warning in caught)
    assert messages[0].startswith("2 of 22 elements on curves bound no cell")
    assert messages[1].startswith("group 'a': 2 elements of dimension 1")
    assert rows(mesh.groups["a"]) == 5
    assert mesh.points[:, 0].max() == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mesh_file(written(tmp_path, SQUARE + "Point(9) = {2, 0, 0};")).points.max() == 1


def test_cells_without_a_region_are_left_out_aloud(tmp_path):
    second = (
        "Point(5) = {2, 0, 0, 0.2}; Line(5) = {2, 5}; Line(6) = {5, 3};"
        'Curve Loop(2) = {5, 6, -2}; Plane Surface(2) = {2}; Physical Surface("left") = {1};'
    )
    with pytest.warns(UserWarning, match=r"1 of 2 surfaces are in no physical group.*\[2\]"):
        mesh = mesh_file(written(tmp_path, SQUARE + second))
    assert mesh.volumes.sum() == pytest.approx(1)


def test_second_order_becomes_linear_with_a_warning(tmp_path):
    linear = mesh_file(written(tmp_path, SQUARE))
    with pytest.warns(UserWarning, match=f"{linear.num_cells} cells of second or higher order"):
        mesh = mesh_file(written(tmp_path, SQUARE + "Mesh.ElementOrder = 2;"))
    assert (mesh.num_nodes, mesh.num_cells) == (linear.num_nodes, linear.num_cells)
    assert mesh.volumes.sum() == pytest.approx(1)


def tetrahedron_and_trihedron(gmsh):
    gmsh.model.addDiscreteEntity(3, 1)
    points = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0]
    gmsh.model.mesh.addNodes(3, 1, [1, 2, 3, 4, 5], points)
    gmsh.model.mesh.addElementsByType(1, 4, [1], [1, 2, 3, 4])
    gmsh.model.mesh.addElementsByType(1, 140, [2], [1, 2, 5, 3])


def test_flat_trihedra_are_left_out_with_a_warning():
    with session() as gmsh:
        tetrahedron_and_trihedron(gmsh)
        with pytest.warns(UserWarning, match="1 flat trihedra between quadrangles"):
            mesh = current_mesh()
    assert mesh.num_cells == 1


def test_element_type_without_a_linear_counterpart(tmp_path, monkeypatch):
    from meshgnn.mesher import model

    monkeypatch.delitem(model._CELL, (2, 3))
    with pytest.raises(ValueError, match="'Triangle 3' .number 2. has no linear counterpart"):
        mesh_file(written(tmp_path, SQUARE))


@pytest.fixture(scope="module")
def box_step(tmp_path_factory):
    path = tmp_path_factory.mktemp("cad") / "box.step"
    with session() as gmsh:
        gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
        gmsh.model.occ.synchronize()
        gmsh.write(str(path))
        gmsh.write(str(path.with_suffix(".brep")))
        gmsh.write(str(path.with_suffix(".igs")))
        gmsh.option.setNumber("Mesh.MeshSizeMax", 0.4)
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path.with_suffix(".stl")))
    return path


@pytest.mark.parametrize("suffix", [".step", ".brep", ".igs"])
def test_every_face_of_a_cad_file_has_a_name(box_step, suffix):
    mesh = mesh_file(box_step.with_suffix(suffix), size=0.4)
    faces = [name for name, group in mesh.groups.items() if group.dim == 2]
    assert faces == [f"surface_{k}" for k in range(1, 7)]
    assert sum(rows(mesh.groups[name]) for name in faces) == len(mesh.facet_areas)
    assert mesh.volumes.sum() == pytest.approx(1)
    assert [group.dim for group in mesh.groups.values()].count(3) == 1


def test_parts_of_an_assembly_share_nodes_where_they_touch(tmp_path):
    path = tmp_path / "two.step"
    with session() as gmsh:
        gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
        gmsh.model.occ.addBox(1, 0.25, 0.25, 1, 0.5, 0.5)
        gmsh.model.occ.synchronize()
        gmsh.write(str(path))
    mesh = mesh_file(path, size=0.4)
    mesh.check()
    assert mesh.volumes.sum() == pytest.approx(1.25)
    assert [group.dim for group in mesh.groups.values()].count(3) == 2
    assert mesh_file(path, size=0.4, glue=False).components.max() == 1


def test_curved_parts_of_cad_are_resolved(tmp_path):
    """12 edges a turn: the volume of a cylinder is met to 5 %, whatever the size asked for."""
    path = tmp_path / "rod.step"
    with session() as gmsh:
        gmsh.model.occ.addCylinder(0, 0, 0, 0, 0, 2, 0.1)
        gmsh.model.occ.synchronize()
        gmsh.write(str(path))
    for size in (None, 0.4):
        assert mesh_file(path, size=size).volumes.sum() == pytest.approx(0.02 * np.pi, 0.06)


def test_cad_labels_become_groups():
    """Equal labels share one group, the path before the last slash is dropped."""
    from meshgnn.mesher import files

    with session() as gmsh:
        gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
        gmsh.model.occ.synchronize()
        for tag in (1, 2):
            gmsh.model.setEntityName(2, tag, "Shapes/part/inlet")
        files._name_parts(gmsh, 3)
        names = {gmsh.model.getPhysicalName(*pair) for pair in gmsh.model.getPhysicalGroups(2)}
    assert names == {"inlet", "surface_3", "surface_4", "surface_5", "surface_6"}


def test_closed_stl_is_filled_and_an_open_one_is_a_surface(box_step, tmp_path):
    solid = mesh_file(box_step.with_suffix(".stl"), size=0.2)
    assert set(solid.cells) == {"tetra"}
    assert solid.volumes.sum() == pytest.approx(1, 1e-6)
    solid.check()
    facets = box_step.with_suffix(".stl").read_text().split("facet normal")
    text = "facet normal".join(facets[:-3]) + "endsolid"
    sheet = mesh_file(written(tmp_path, text, "open.stl"), size=0.3)
    assert set(sheet.cells) == {"triangle"}
    assert len(sheet.boundary_nodes)


def test_stl_keeps_its_own_size(tmp_path):
    """The median edge of the new mesh is that of the triangles of the file."""
    with session() as gmsh:
        gmsh.model.occ.addSphere(0, 0, 0, 1)
        gmsh.model.occ.synchronize()
        gmsh.option.setNumber("Mesh.MeshSizeMax", 0.2)
        generate(2)
        gmsh.write(str(tmp_path / "ball.stl"))
        medians = [median_edge(current_mesh())]
    medians.append(median_edge(mesh_file(tmp_path / "ball.stl", dim=2)))
    assert medians[1] == pytest.approx(medians[0], 0.1)


def median_edge(mesh):
    return np.median(np.linalg.norm(np.diff(mesh.points[mesh.edges], axis=1), axis=2))


def test_options_models_and_variables_do_not_leak(tmp_path):
    import gmsh

    before = mesh_file(written(tmp_path, SQUARE))
    with session() as inner:
        assert inner is gmsh
        inner.option.setNumber("Mesh.Algorithm", 1)
        inner.option.setNumber("Mesh.MeshSizeFactor", 3)
    mesh_file(written(tmp_path, "lc = 3; Mesh.MeshSizeFactor = 2; NewModel;" + SQUARE, "b.geo"))
    np.testing.assert_array_equal(mesh_file(tmp_path / "a.geo").points, before.points)
    with pytest.raises(ValueError, match="Unknown variable 'lc'"):
        mesh_file(written(tmp_path, "Point(1) = {lc, 0, 0};", "c.geo"))


def test_after_a_broken_script_the_next_one_is_read_as_it_is(tmp_path):
    """An exception in the middle of a file would leave the parser there."""
    good = mesh_file(written(tmp_path, SQUARE))
    for text in ("Point(1) = {0, 0, 0};\nLine(1) = {1, 2;\n", "Point(1) = {lc, 0, 0};\n"):
        for _ in range(2):
            with pytest.raises(ValueError, match=r"could not read .*bad\.geo"):
                mesh_file(written(tmp_path, text, "bad.geo"))
            np.testing.assert_array_equal(mesh_file(tmp_path / "a.geo").points, good.points)


def crossing_boxes(gmsh):
    """One volume bounded by two cubes that cut each other: no mesh exists."""
    for corner in (0, 0.5):
        gmsh.model.occ.addBox(corner, corner, corner, 1, 1, 1)
    gmsh.model.occ.synchronize()
    gmsh.model.removeEntities(gmsh.model.getEntities(3))
    loop = gmsh.model.geo.addSurfaceLoop([tag for _, tag in gmsh.model.getEntities(2)])
    gmsh.model.geo.addVolume([loop])
    gmsh.model.geo.synchronize()


def test_a_failed_mesh_raises_and_does_not_lock_gmsh(tmp_path):
    """An exception inside the mesher would leave it locked: every later mesh would be empty."""
    for _ in range(2):
        with session() as gmsh:
            crossing_boxes(gmsh)
            with pytest.raises(ValueError, match="gmsh could not mesh the model: .*PLC Error"):
                generate(3)
        assert mesh_file(written(tmp_path, SQUARE)).num_cells == 66


def test_warnings_of_gmsh_are_passed_on(tmp_path):
    text = SQUARE + "Transfinite Curve{1} = 4; Transfinite Surface{1};"
    with pytest.warns(
        UserWarning, match=r"gmsh, told to mesh .*a\.geo: Surface 1 cannot be meshed"
    ):
        mesh_file(written(tmp_path, text))


def test_last_line_without_a_newline(tmp_path):
    path = tmp_path / "open.geo"
    path.write_text(SQUARE + 'Physical Curve("a") = {1}; // b; c')
    assert set(mesh_file(path).groups) == {"a"}
    path.write_text(SQUARE + 'Physical Curve("a") = {1}; Physical Curve("b") = {2};')
    with pytest.raises(ValueError, match="end the file with a newline"):
        mesh_file(path)


def test_a_script_with_a_macro_is_read_twice(tmp_path):
    """gmsh.parser.clear() keeps macros, and gmsh refuses to define one again."""
    path = written(tmp_path, "Macro Nothing\n  x = 1;\nReturn\nCall Nothing;\n" + SQUARE)
    assert mesh_file(path).num_cells == mesh_file(path).num_cells


def test_a_model_of_the_caller_survives():
    with session() as gmsh:
        gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
        gmsh.model.occ.synchronize()
        with session() as inner:
            assert inner.model.getEntities() == []
        assert len(gmsh.model.getEntities(2)) == 6
        assert gmsh.view.getTags().size == 0
    before = gmsh.model.list()
    with pytest.raises(ZeroDivisionError), session() as gmsh:
        gmsh.view.add("left over")
        gmsh.model.add("left over")
        1 / 0  # noqa: B018
    assert gmsh.model.list() == before
    assert gmsh.view.getTags().size == 0


def test_two_threads_wait_for_each_other(tmp_path):
    paths = [written(tmp_path, SQUARE.replace("0.2}", f"{h}}}"), f"{h}.geo") for h in (0.05, 0.04)]
    alone = [mesh_file(path) for path in paths]
    found: list = [None] * 8

    def work(k):
        found[k] = mesh_file(paths[k % 2])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, mesh in enumerate(found):
        np.testing.assert_array_equal(mesh.points, alone[k % 2].points)


def test_first_use_in_a_thread_of_a_fresh_process():
    code = (
        "import threading; from meshgnn.geometry.domains import draw\n"
        "done = []\n"
        "job = lambda: done.append(draw('l_shape', 0).num_nodes)\n"
        "threads = [threading.Thread(target=job) for _ in range(2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert done[0] == done[1], done"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.geo: no such file to mesh"):
        mesh_file(tmp_path / "none.geo")
    with pytest.raises(ValueError, match=r"'\.xyz' is no geometry file; expected \.brep, \.geo"):
        mesh_file(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match=r"could not read .*bad\.geo: .*line 2: syntax error"):
        mesh_file(written(tmp_path, "Point(1) = {0, 0, 0};\nLine(1) = {1, 2;\n", "bad.geo"))
    with pytest.raises(ValueError, match=r"could not read .*bad\.step: Could not read file"):
        mesh_file(written(tmp_path, "nothing", "bad.step"))
    with pytest.raises(ValueError, match=r"could not read .*bad\.stl|no cells"):
        mesh_file(written(tmp_path, "nothing", "bad.stl"))
    with pytest.raises(ValueError, match="no cells of dimension 1: the model has 0 curves; define"):
        mesh_file(written(tmp_path, "Point(1) = {0, 0, 0};", "point.geo"))
    with pytest.raises(ValueError, match="no cells of dimension 3: the model has 0 volumes"):
        mesh_file(written(tmp_path, SQUARE), dim=3)
    for size in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="size: expected a positive edge length, got"):
            mesh_file(tmp_path / "a.geo", size=size)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'gmsh'"), r"pip install meshgnn\[mesh\]"),
        (OSError("libGLU.so.1: cannot open"), "libGLU.so.1.*apt-get install.*libglu1-mesa"),
    ],
)
def test_missing_gmsh_names_the_remedy(monkeypatch, error, message):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "gmsh":
            raise error
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=message), session():
        pass
