"""Families: reproducible over processes, usable by `simulate`, and as good for finite elements as
meshes made for the shape; what is refused."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mesh_builders import box

import meshgnn as mg
from meshgnn.geometry import FreeForm, Morph, Motion, Noise, remeshed, variation, variations
from meshgnn.geometry.morph import Fillet, Modal, Offset, RadialBasis
from meshgnn.mesh import Group, Mesh
from meshgnn.operators import field_at
from meshgnn.problems import LinearElasticity, Poisson
from meshgnn.simulate import simulate

ROOT = Path(__file__).parents[1]
PLATE = mg.read("meshes/plate.msh")


def digest(mesh_name: str) -> str:
    """Bytes of three members of a family in which everything is used."""
    mesh = mg.read(ROOT / "meshes" / f"{mesh_name}.msh")
    kinds = [FreeForm(3), Noise(), Modal(4), RadialBasis(controls=6)]
    found = hashlib.sha256()
    slide = {"plate": ("holes",), "bracket": ("back",)}[mesh_name]
    for member in variations(mesh, 3, 7, kinds, fixed=(next(iter(mesh.groups)),), slide=slide):
        found.update(member.mesh.points.tobytes() + member.parameters.tobytes())
    return found.hexdigest()


def test_same_seed_same_bytes_in_another_process_with_other_threads() -> None:
    code = (
        "import sys, torch; sys.path.insert(0, 'tests'); torch.set_num_threads(2)\n"
        "from test_variations import digest\n"
        "for name in ('bracket', 'plate'): print(digest(name))"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert out.split() == [digest("bracket"), digest("plate")]


def test_members_depend_on_seed_and_index_only() -> None:
    family = variations(PLATE, 4, seed=5)
    single = variation(PLATE, seed=5, index=2)
    np.testing.assert_array_equal(single.mesh.points, family[2].mesh.points)
    np.testing.assert_array_equal(single.parameters, family[2].parameters)
    points = [member.mesh.points.tobytes() for member in [*family, *variations(PLATE, 4, seed=6)]]
    assert len({*points}) == 8
    assert family[0].mesh.cells is PLATE.cells and family[0].mesh.groups is PLATE.groups


def compared(problem, mesh):
    """‖u_1 - u_2‖ / ‖u‖ of a mesh and its remeshed copy, and the discretisation errors of both,
    4/3 of the change by a refinement: at the nodes of the refined mesh, weighted by their mass."""
    meshes = [mesh, remeshed(mesh)]
    probe = mesh.refined()
    values, errors = [], []

    def norm(v):
        return np.sqrt(probe.lumped_mass @ (v**2).sum(axis=1))

    for one in meshes:
        fields = [field_at(m, problem.solve(m).u[0], probe.points) for m in (one, one.refined())]
        values.append(fields[0])
        errors.append(4 / 3 * norm(fields[0] - fields[1]))
    size = norm(values[0])
    return norm(values[0] - values[1]) / size, [error / size for error in errors]


@pytest.mark.parametrize("equation", ["Poisson", "elasticity"])
def test_morphed_and_remeshed_copies_have_one_solution(equation: str) -> None:
    """The difference is below the sum of the two discretisation errors, each estimated on its own
    mesh; and the morphed mesh is no worse than the new one by more than a factor of two."""
    shape = variation(PLATE, 4, kinds=[FreeForm(), Motion("holes")], fixed=("notch",)).mesh
    problem = (
        Poisson(source=1.0, dirichlet={"*": 0.0})
        if equation == "Poisson"
        else LinearElasticity(dirichlet={"notch": 0.0}, traction={"*": (0.0, -0.01)})
    )
    difference, errors = compared(problem, shape)
    assert 0 < difference < 1.05 * sum(errors)
    assert max(errors) < 0.1 and errors[0] < 2 * errors[1]


def test_a_morph_is_a_family_for_simulate(tmp_path) -> None:
    """Sample i is x(p) of (seed, i): one topology, different shapes, on disk with its groups."""
    morph = Morph(PLATE, [FreeForm(3)], fixed=("notch",))
    paths = simulate("Poisson", morph, 2, tmp_path / "set", seed=1, jobs=1, progress=False)
    first, second = (mg.Sample.load(path).mesh for path in paths)
    assert {*first.groups} == {*PLATE.groups}
    np.testing.assert_array_equal(first.cells["triangle"], PLATE.cells["triangle"])
    assert np.abs(first.points - second.points).max() > 1e-3
    notch = PLATE.nodes_of("notch")
    np.testing.assert_array_equal(first.points[notch], PLATE.points[notch])


def test_a_morph_survives_pickling() -> None:
    import pickle

    morph = Morph(PLATE, [Noise(), Motion("holes", turn=0.1)], slide=("outer",))
    before = morph.draw(3).mesh.points
    again = pickle.loads(pickle.dumps(morph))
    np.testing.assert_array_equal(again.draw(3).mesh.points, before)


def test_multigrid_extends_as_the_direct_solver_does(monkeypatch) -> None:
    mesh = mg.read("meshes/bracket.msh")
    direct = Morph(mesh, [Noise()], fixed=("base",)).draw(0).mesh.points
    monkeypatch.setattr("meshgnn.geometry.morph.matrices._DIRECT", 100)
    iterative = Morph(mesh, [Noise()], fixed=("base",)).draw(0).mesh.points
    np.testing.assert_allclose(iterative, direct, atol=1e-8)


SURFACE = mg.read("meshes/dome.msh")
INTERVAL = mg.read("meshes/interval.msh")
REFUSED = {
    r"Morph: expected at least one kind of variation, such as FreeForm\(\)": {"kinds": []},
    "Morph: expected a list of parts, got the text 'notch'": {"fixed": "notch"},
    "no group 'clamp' in this mesh": {"fixed": ("clamp",)},
    r"Morph: \['notch'\] are to be fixed and to move": {"fixed": ("notch",), "slide": ("notch",)},
    "Morph: 'plate' has dimension 2; parts that are free or slide are": {"free": ["plate"]},
    "the mesh itself is not valid: the least cell quality is .* below 0.95": {"floor": 0.95},
    "FreeForm: expected a lattice of at least 2 control points": {"kinds": [FreeForm((3, 1))]},
    "FreeForm: expected a degree of 1 to 3, got 4": {"kinds": [FreeForm(4, degree=4)]},
    r"FreeForm: \(4, 0\) is not in a lattice of \[4, 4\]": {"kinds": [FreeForm(handles=[(4, 0)])]},
    r"FreeForm: expected a box \[2, 2\]": {"kinds": [FreeForm(box=np.zeros((2, 2)))]},
    "amplitude: expected a positive number, got 0.0": {"kinds": [FreeForm(amplitude=0.0)]},
    "RadialBasis: expected centres in 2 dimensions": {"kinds": [RadialBasis(np.zeros((4, 3)))]},
    "RadialBasis: expected at most 17 controls": {"kinds": [RadialBasis(None, 99, ["notch"])]},
    "expected at least 3 centres that span 2 dim": {"kinds": [RadialBasis(np.eye(2))]},
    "radial basis: two centres coincide": {"kinds": [RadialBasis(np.eye(3)[[0, 1, 2, 2], :2])]},
    "wendland: expected a positive radius": {"kinds": [RadialBasis(kernel="wendland", radius=0.0)]},
    "unknown kernel 'gauss'; there are": {"kinds": [RadialBasis(kernel="gauss")]},
    "expected at most 15 modes": {"kinds": [Modal(40, ["notch"])]},
    "Noise: expected a smoothness above 0.5": {"kinds": [Noise(smoothness=0.5)]},
    "Noise: expected a variance between 0 and 1": {"kinds": [Noise(variance=1.0)]},
    "Offset: expected a list of at least one boundary part": {"kinds": [Offset("notch")]},
    "Fillet: expected a list of at least one boundary part": {"kinds": [Fillet([])]},
    "unknown extension 'magic'; there are": {"kinds": [Noise(extension="magic")]},
    "Motion: 'notch' has 17 nodes in common with": {
        "kinds": [Motion("notch")],
        "fixed": ("notch",),
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_the_mesh_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variations(PLATE, 1, **REFUSED[message])


def test_what_does_not_fit_other_meshes_is_refused(monkeypatch) -> None:
    with pytest.raises(ValueError, match="normals need a boundary or a mesh of dimension 2 in 3"):
        wire = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 1]])
        variations(mg.Mesh(wire, {"line": np.array([[0, 1], [1, 2]])}), 1, kinds=[Modal(1)])
    with pytest.raises(ValueError, match="modes of the boundary need curves or surfaces"):
        variations(INTERVAL, 1, kinds=[Modal(1)])
    with pytest.raises(ValueError, match="Fillet: points have no curvature"):
        variations(INTERVAL, 1, kinds=[Fillet(["left"])])
    with pytest.raises(ValueError, match="slide: parts of surfaces and curves in space cannot"):
        variations(SURFACE, 1, slide=("rim",))
    with pytest.raises(ValueError, match="variations: expected n >= 1, got 0"):
        variations(PLATE, 0)
    with pytest.raises(ValueError, match="Motion: expected shift, turn >= 0 and 0 <= scale < 1"):
        Motion("holes", shift=0.0)
    monkeypatch.setattr("meshgnn.geometry.morph.body._MOST", 10)
    with pytest.raises(ValueError, match="radial extension: expected at most 10 prescribed nodes"):
        variations(PLATE, 1, kinds=[Noise(extension="radial")])


def test_what_a_morph_refuses() -> None:
    morph = Morph(PLATE, [FreeForm(3)])
    with pytest.raises(ValueError, match=r"expected 18 parameters \(control\[0,0\].x, .* got 2"):
        morph.moved(np.zeros(2))
    with pytest.raises(ValueError, match="Morph: the edge lengths are those of its mesh; leave"):
        morph(np.random.default_rng(0), size=0.1)
    with pytest.raises(
        ValueError, match="no valid shape after 0 halvings of the parameters: .*inv"
    ):
        Morph(PLATE, [FreeForm(3, amplitude=5.0)], halvings=0).draw(0)
    turned = box("triangle", 2)
    points = turned.points * [-1, 1]
    with pytest.raises(ValueError, match="cells are inverted or degenerate"):
        Morph(turned.moved(points))
    with pytest.raises(AttributeError, match="module 'meshgnn.geometry' has no attribute 'bend'"):
        mg.geometry.bend  # noqa: B018
    assert "variations" in dir(mg.geometry)


def test_parts_that_are_empty_or_inside_are_refused() -> None:
    """A part without facets on the boundary would let a deformation of the boundary do nothing."""
    plate = PLATE
    inner = plate.edges[~np.isin(plate.edges, plate.boundary_nodes).any(axis=1)][:2]
    groups = {**plate.groups, "crack": Group(1, {"line": inner}), "none": Group(1, {})}
    mesh = Mesh(plate.points, plate.cells, groups)
    for kind in (Offset(["crack"]), Fillet(["none"]), Modal(2, ["crack"]), Noise(parts=["none"])):
        with pytest.raises(ValueError, match="'(crack|none)' is empty, or none of its facets is"):
            _ = Morph(mesh, [kind]).names
    assert np.abs(Morph(mesh, [Motion("crack")]).deformations[0].modes).max() == pytest.approx(1)
    with pytest.raises(ValueError, match="Motion: part 'none' is empty; name one that has nodes"):
        _ = Morph(mesh, [Motion("none")]).names
    with pytest.raises(ValueError, match="Morph: part 'none' is empty; leave it out"):
        Morph(mesh, fixed=["none"])
    with pytest.raises(ValueError, match="Morph: no facet of part 'crack' is on the boundary"):
        Morph(mesh, slide=["crack"])


@pytest.mark.parametrize("wrong", [{"halvings": -1}, {"reach": 0.0}, {"floor": float("nan")}])
def test_numbers_out_of_their_range_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="Morph: expected halvings >= 0, a reach > 0 and a finite"):
        Morph(PLATE, **wrong)


def test_a_line_has_no_turn_and_a_flat_mesh_in_space_needs_a_box() -> None:
    plate = PLATE
    x = np.linspace(0.0, 1.0, 5)[:, None]
    line = Mesh(x, {"line": np.stack([np.arange(4), np.arange(1, 5)], axis=1)}, {})
    with pytest.raises(ValueError, match="Motion: nothing turns in 1D; give a shift or a scale"):
        _ = Morph(line, [Motion("boundary", shift=0.0, turn=0.1)]).names
    flat = Mesh(np.column_stack([plate.points, np.ones(plate.num_nodes)]), plate.cells, {})
    with pytest.raises(ValueError, match="a flat mesh in space needs a box= that is thick"):
        _ = Morph(flat).names
    with pytest.raises(ValueError, match="add control points off the line or plane of these"):
        _ = Morph(flat, [RadialBasis()]).names
