"""Random families: valid, named, reproducible; polygons with holes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshgnn.geometry import domains, planar
from meshgnn.geometry.domains import FAMILIES, draw, redrawn
from meshgnn.geometry.polygon import Loop, circle, ellipse, mesh_polygon

ROOT = Path(__file__).parents[1]
SIDES = {"left", "right", "bottom", "top"}
# Boundary groups that every mesh of the family has, and those that some have.
NAMES = {
    "interval": ({"left", "right"}, set()),
    "cut_square": (SIDES, {"cut"}),
    "l_shape": (SIDES | {"notch"}, set()),
    "u_shape": (SIDES | {"notch"}, set()),
    "polygon": ({"wall"}, set()),
    "disc_with_holes": ({"outer", "hole"}, set()),
    "annulus": ({"outer", "inner"}, set()),
    "plate_with_holes": (SIDES | {"hole"}, set()),
    "channel_with_obstacle": ({"inlet", "outlet", "wall", "obstacle"}, set()),
    "naca_aerofoil": ({"inlet", "outlet", "wall", "aerofoil"}, set()),
    "periodic_square": (SIDES, set()),
    "box_with_hole": (SIDES | {"front", "back", "hole"}, set()),
    "bracket": ({"base", "back", "bolts", "pins", "surface"}, set()),
    "pipe_bend": ({"inlet", "outlet", "wall"}, set()),
}
SOLID = {"box_with_hole", "bracket", "pipe_bend"}
PLANE = set(NAMES) - SOLID - {"interval"}


def digest(mesh):
    blocks = [mesh.points, *mesh.cells.values()]
    blocks += [block for group in mesh.groups.values() for block in group.cells.values()]
    return hashlib.sha256(b"".join(block.tobytes() for block in blocks)).hexdigest()


@pytest.fixture(scope="module")
def drawn():
    return {name: [draw(name, seed) for seed in range(2 if name in SOLID else 6)] for name in NAMES}


def test_names_are_complete():
    assert set(FAMILIES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_boundary_facet_is_in_exactly_one_named_part(name, drawn):
    always, sometimes = NAMES[name]
    for mesh in drawn[name]:
        mesh.check()
        assert mesh.points.shape[1] == mesh.dim
        parts = {k for k, group in mesh.groups.items() if group.dim == mesh.dim - 1}
        assert always <= parts <= always | sometimes
        facets = np.concatenate([mesh.facets_of(part) for part in parts])
        np.testing.assert_array_equal(np.sort(facets), np.arange(len(mesh.facet_areas)))
        assert set(mesh.groups) - parts == {"domain"}
        assert len(mesh.cells_of("domain")) == mesh.num_cells
        assert mesh.components.max() == 0
        assert mesh.quality.min() > 0.1


@pytest.mark.parametrize("name", sorted(PLANE))
def test_default_size_gives_300_to_800_nodes(name, drawn):
    for mesh in [*drawn[name], *(draw(name, seed) for seed in range(6, 16))]:
        assert 300 <= mesh.num_nodes <= 800


@pytest.mark.parametrize("name", NAMES)
def test_size_is_the_target_edge_length_of_one_shape(name):
    """Halving h multiplies the cells by about 2^d; the volume is that of the shape."""
    size = {"interval": 0.05, "naca_aerofoil": 0.5}.get(name, 0.16 if name in SOLID else 0.08)
    coarse, fine = draw(name, 3, size), draw(name, 3, size / 2)
    ratio = fine.num_cells / coarse.num_cells
    # Curvature sets the size of part of a solid, whatever h.
    assert (1.4 if name in SOLID else 1.6**coarse.dim) < ratio < 2.6**coarse.dim
    assert fine.volumes.sum() == pytest.approx(coarse.volumes.sum(), 0.02)
    assert [*coarse.groups] == [*fine.groups]


def test_seeds_differ_and_repeat(drawn):
    for name, (first, second, *_) in drawn.items():
        assert digest(first) != digest(second)
        assert digest(first) == digest(draw(name, 0))


def test_same_seed_same_mesh_in_another_process(drawn):
    """Bit for bit, also when other meshes were made before."""
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_domains import digest, draw\n"
        "for name in sys.argv[1:]: print(digest(draw(name, 1)))"
    )
    names = [*reversed(NAMES)]
    command = [sys.executable, "-c", code, *names]
    out = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert out.split() == [digest(drawn[name][1]) for name in names]


def test_refined_at_obstacle_and_aerofoil():
    for name, part, ratio in (
        ("channel_with_obstacle", "obstacle", 3),
        ("naca_aerofoil", "aerofoil", 6),
    ):
        mesh = draw(name, 0)
        at, far = mesh.facet_areas[mesh.facets_of(part)], mesh.facet_areas[mesh.facets_of("inlet")]
        assert far.mean() > ratio * at.mean()


def test_cut_square_is_what_beno_cut():
    """Corners are cut by rectangles of sides in [0.125, 0.45]; 0 to 4 of them."""
    counts = set()
    for seed in range(40):
        (loop,) = planar.cut_square(np.random.default_rng(seed))(0.1)
        edges = np.roll(loop.points, -1, 0) - loop.points
        assert (np.abs(edges).min(1) == 0).all()
        cuts = np.abs(edges).max(1)[np.array(loop.names) == "cut"]
        assert ((cuts >= 0.125) & (cuts <= 0.45)).all()
        counts.add(len(cuts) // 2)
        inside = loop.points[(loop.points > 1e-12).all(1) & (loop.points < 1 - 1e-12).all(1)]
        assert len(inside) == len(cuts) // 2
    assert counts == {0, 1, 2, 3, 4}


def test_naca_0012_thickness():
    """The half thickness of NACA 0012 is 0.06 at x = 0.3 and vanishes at both ends."""

    class Fixed(np.random.Generator):
        def uniform(self, low=0.0, high=1.0, size=None):
            return {(0.08, 0.2): 0.12, (0, 0.06): 0.0, (0.3, 0.6): 0.4, (-5, 15): 0.0}[low, high]

    section = planar.naca_aerofoil(Fixed(np.random.PCG64()))(0.02)[1]
    x, y = section.points.T
    assert y.max() == pytest.approx(0.06, 1e-3)
    assert x[y.argmax()] == pytest.approx(0.3, abs=0.01)
    assert y.min() == pytest.approx(-0.06, 1e-3)
    np.testing.assert_allclose(section.points[0], [1, 0], atol=1e-3)
    assert x.min() == pytest.approx(0, abs=1e-3)
    assert section.area == pytest.approx(0.0822, 0.01)


def test_interval_fills_its_length_with_the_stated_grading():
    mesh = draw("interval", 4)
    lengths = np.diff(mesh.points[:, 0])
    assert mesh.points[0, 0] == 0
    assert lengths.min() > 0
    assert mesh.lumped_mass.sum() == pytest.approx(mesh.points[-1, 0])
    assert 1 < lengths.max() / lengths.min() < np.exp(2) * 1.05


def test_unknown_family_and_bad_size():
    with pytest.raises(ValueError, match="unknown family 'torus'; the families are interval, cut"):
        draw("torus", 0)
    for size in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="size: expected a positive edge length or None"):
            draw("interval", 0, size)


def two_parts(rng, size=None):
    """A drawn mesh, or by luck two that do not touch."""
    from meshgnn.mesh import Mesh

    mesh = domains.interval(rng, 0.2)
    if rng.uniform() < 0.5:
        lines, points = mesh.cells["line"], mesh.points
        cells = np.concatenate([lines, lines + len(points)])
        return Mesh(np.concatenate([points, points + 9]), {"line": cells})
    return mesh


def test_disconnected_meshes_are_redrawn_from_the_same_generator():
    family = redrawn(two_parts)
    for seed in range(10):
        mesh, again = (family(np.random.default_rng(seed)) for _ in range(2))
        assert mesh.components.max() == 0
        assert digest(mesh) == digest(again)


def test_redrawing_ends():
    def never(rng, size=None):
        raise ValueError("never valid")

    with pytest.raises(ValueError, match="20 shapes in a row gave no valid mesh.*: never valid"):
        redrawn(never)(np.random.default_rng(0))


SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def test_polygon_with_a_hole_has_its_area_and_names():
    """|mesh| = |outer| − |hole|, exactly; each side has the name it was given."""
    outer = Loop(SQUARE, ["south", "east", "north", "west"], np.array([0.05, 0.2, 0.2, 0.2]))
    hole = Loop(0.3 + 0.4 * SQUARE[::-1], "hole")
    mesh = mesh_polygon([outer, hole], 0.1, region="plate")
    assert set(mesh.groups) == {"south", "east", "north", "west", "hole", "plate"}
    assert mesh.volumes.sum() == pytest.approx(outer.area - hole.area, abs=1e-13)
    assert mesh.facet_areas[mesh.facets_of("hole")].sum() == pytest.approx(hole.length)
    np.testing.assert_allclose(mesh.points[mesh.nodes_of("east"), 0], 1)
    lengths = mesh.facet_areas[mesh.facets_of("south")]
    assert lengths.max() > 2 * lengths.min()


def test_curves_are_inscribed_with_equal_sides():
    """n equal sides of length 2 r sin(π/n) on a circle; the area of an ellipse is π a b."""
    loop = circle((1.0, 2.0), 0.5, "a", 0.1)
    n = len(loop.points)
    assert n == 31
    np.testing.assert_allclose(np.linalg.norm(loop.points - [1, 2], axis=1), 0.5)
    assert loop.length == pytest.approx(n * np.sin(np.pi / n), 1e-5)
    assert ellipse((0.0, 0.0), (1.0, 0.5), 0.3, "a", 0.01).area == pytest.approx(np.pi / 2, 1e-3)
    tilted = ellipse((0.0, 0.0), (1.0, 0.1), np.pi / 2, "a", 0.05).points
    assert np.abs(tilted[:, 1]).max() == pytest.approx(1, 1e-3)


@pytest.mark.parametrize(
    ("loops", "message"),
    [
        ([SQUARE[[0, 2, 1, 3]]], "side 0 of loop 0 and side 2 of loop 0 touch or cross"),
        ([SQUARE, SQUARE + 0.5], "side 1 of loop 0 and side 0 of loop 1 touch or cross"),
        ([SQUARE, 0.4 * SQUARE + 0.3, 0.4 * SQUARE + 0.3], "loop 1 and side . of loop 2 touch or"),
        ([SQUARE, 0.5 * SQUARE], "touch or cross; loops must keep apart"),
        ([SQUARE, SQUARE + 2], "loop 1 is not inside loop 0"),
        ([SQUARE, 0.8 * SQUARE + 0.1, 0.2 * SQUARE + 0.4], "loop 2 is inside loop 1"),
    ],
)
def test_loops_that_do_not_bound_a_region(loops, message):
    """gmsh itself hangs on the first ones."""
    with pytest.raises(ValueError, match=message):
        mesh_polygon([Loop(points, "a") for points in loops], 0.2)


def test_bad_loops():
    with pytest.raises(ValueError, match="expected at least 3 corners, got 2"):
        Loop(SQUARE[:2], "a")
    with pytest.raises(ValueError, match="one for each of 4 sides, got 2"):
        Loop(SQUARE, ["a", "b"])


def test_a_size_too_large_for_the_shape_still_meshes():
    """Sides are at least one edge, so that a coarse size degrades to the polygon itself."""
    assert draw("l_shape", 0, 5.0).num_nodes >= 6
