"""Differences, marks, bands, further fields, times, slices, levels, galleries, by their pixels."""

from dataclasses import replace

import numpy as np
import pytest
from squares import square
from viz_builders import colours_of, cube, ink, interval, like, wave, with_band, written

from meshgnn.mesh import Mesh
from meshgnn.viz import plot
from meshgnn.viz.compare import Comparison, values_of
from meshgnn.viz.panel import DIFFERENCE, ERROR, FIELD, SPREAD

# Rows of pixels of a single panel: its title, its drawing, its colour bar.
TITLE, DRAWN, BAR = slice(0, 50), slice(70, -120), slice(-110, None)


def spike(mesh: Mesh, at: int, size: float) -> np.ndarray:
    u = np.zeros((1, mesh.num_nodes, 1))
    u[0, at, 0] = size
    return u


def columns(image: np.ndarray, count: int) -> list[np.ndarray]:
    return np.split(image, count, axis=1)


def test_titles_and_scales_are_there():
    """Letters in the title, the ends of the colour map in bar and drawing, numbers at the bar."""
    image = plot(wave(square(), noise=0.2)).image
    assert 0.3 < ink(image) < 0.95
    assert written(image[TITLE]) > 60 and written(image[BAR]) > 100
    low, _, high = colours_of(FIELD)
    for part in (image[DRAWN], image[BAR]):
        assert like(part, low).any() and like(part, high).any()


def test_units_are_in_titles():
    sample = wave(square(3))
    assert values_of(sample, None, [0]).label == "u [K]"
    assert not np.array_equal(
        plot(sample).image[TITLE], plot(replace(sample, units={})).image[TITLE]
    )


@pytest.mark.parametrize("size", [0.3, -0.3])
def test_differences_are_balanced_and_marked_at_their_worst(size):
    """u − v has one spike: its colour, white elsewhere, a scale from −0.3 to 0.3, a ring around it
    and its number; no ring with mark=False."""
    mesh = square()
    truth = wave(mesh)
    middle = int(np.argmin(np.linalg.norm(mesh.points - 0.5, axis=1)))
    found = replace(truth, u=truth.u + spike(mesh, middle, size))
    error = Comparison(found, truth, [0]).panels(None)[0][2]
    assert error.limits == pytest.approx((-0.3, 0.3))
    assert error.colours == DIFFERENCE and error.mark == middle
    assert error.marked == f"{size:.1f} K"
    image = columns(plot(found, truth).image, 3)[2]
    low, centre, high = colours_of(DIFFERENCE)
    expected, other = (high, low) if size > 0 else (low, high)
    assert like(image[DRAWN], expected, 40).sum() > 50 > like(image[DRAWN], other, 40).sum()
    assert like(image[DRAWN], centre, 12).mean() > 0.3
    assert like(image[BAR], low).any() and like(image[BAR], high).any()
    plain = columns(plot(found, truth, mark=False).image, 3)[2]
    changed = np.argwhere((image != plain).any(axis=-1))
    ring = np.linalg.norm(changed - changed.min(axis=0), axis=1)
    assert written(image[DRAWN]) > written(plain[DRAWN]) + 200 and len(ring) > 300
    # The ring is around the middle of the drawing, up to the room for title and bar.
    centre_row = (70 + image.shape[0] - 120) / 2
    assert changed[:, 0].min() < centre_row < changed[:, 0].max()
    assert changed[:, 1].min() < image.shape[1] / 2 < changed[:, 1].max()


def test_the_difference_of_vectors_is_its_length():
    """Opposite vectors have equal magnitudes, but not a difference of zero."""
    sample = wave(square(), channels=2)
    error = Comparison(sample, replace(sample, u=-sample.u), [0]).panels(None)[0][2]
    assert error.colours == ERROR and error.title == "difference, relative L2 2"
    np.testing.assert_allclose(error.values, 2 * np.linalg.norm(sample.u[0], axis=1))


def test_bands_beside_a_field():
    """A panel of the standard deviation; beside a truth dots where it is outside ± 1.96 of it."""
    truth = wave(square(17))
    found = with_band(replace(truth, u=truth.u + 0.1 * truth.mesh.points[None, :, :1]), 0.025)
    assert values_of(found, None, [0]).spread is not None
    panels = Comparison(found, truth, [0]).panels(None)[0]
    assert [panel.colours for panel in panels] == [FIELD, FIELD, DIFFERENCE, SPREAD]
    assert set(panels[2].outside) == set(np.flatnonzero(truth.mesh.points[:, 0] > 0.49))
    inside = (truth.mesh.points[:, 0] < 0.49).mean()
    assert f"{100 * inside:.0f} % of the nodes" in panels[3].title
    image = columns(plot(found, truth, mark=False).image, 4)[2][DRAWN]
    left, right = image[:, : image.shape[1] // 2 - 20], image[:, image.shape[1] // 2 + 20 :]
    assert written(right) > 50 * (1 + written(left))
    alone = columns(plot(found).image, 2)
    assert like(alone[1][BAR], colours_of(SPREAD)[2]).any() and ink(alone[0]) > 0.3


def test_a_band_around_a_curve():
    """On an interval the band is around the curve; a larger one takes more of the picture."""
    sample = wave(interval())
    small, large = (plot(with_band(sample, std)).image for std in (0.05, 0.3))
    pale = [like(image, (191, 220, 236), 14).sum() for image in (small, large)]
    assert 0 < 2 * pale[0] < pale[1]
    compared = plot(with_band(wave(interval(), noise=0.1), 0.1), truth=sample).image
    assert written(compared) > written(small)


@pytest.mark.parametrize("mesh", [square(), cube(), interval()], ids=["2D", "3D", "1D"])
def test_fields_on_cells_and_nodes(mesh):
    """Further arrays on nodes or cells, of a sample or of a mesh; their largest value is marked."""
    sample = wave(mesh)
    cells = np.arange(mesh.num_cells, dtype=float)
    fields = {"indicator": cells, "flux": np.ones((mesh.num_nodes, 2))}
    found = [Comparison(sample, None, [0], fields=fields).panels(n)[0][0] for n in fields]
    assert found[0].mark == len(cells) - 1 and np.allclose(found[1].values, np.sqrt(2))
    image = plot(mesh, fields={"indicator": cells}).image
    assert ink(image) > 0.02 and written(image) > 200
    both = plot(sample, fields=fields).image
    assert both.size > 1.2 * image.size and ink(both) > 0.01


def test_a_cell_has_one_colour():
    image = plot(square(3), fields={"q": np.arange(8.0)}, mark=False).image[DRAWN]
    shades = [like(image, c, 2).sum() for c in _shades(8)]
    assert min(shades) > 0.04 * image.shape[0] * image.shape[1]


def _shades(count: int) -> np.ndarray:
    from matplotlib import colormaps

    return colormaps[FIELD](np.linspace(0, 1, count), bytes=True)[:, :3].astype(int)


def test_several_fields_and_times_are_rows():
    """Rows of names and times; single panels fill a row; each field has its own scale."""
    sample = wave(square(5), times=6, noise=0.1)
    one = plot(sample).image
    film = plot(sample, time=[0, 2, 4]).image
    assert film.shape[1] == 3 * one.shape[1] and film.shape[0] == one.shape[0]
    first, second, _ = columns(film, 3)
    assert not np.array_equal(first[DRAWN], second[DRAWN])
    rows = plot(sample, truth=wave(square(5), times=6), name=["u", "source"], time=[0, 5]).image
    assert rows.shape[0] > 2 * one.shape[0] and ink(rows) > 0.2
    one, many = (plot(wave(interval(), times=5), time=k).image for k in (0, [0, 1, 2, 3, 4]))
    assert many.shape == one.shape and ink(many) > 1.5 * ink(one)  # one chart for all


def test_slices_and_isosurfaces_show_the_inside():
    """u = |x − centre|² of a cube: small inside only, so that its colour is on no surface."""
    mesh = cube().refined().refined()
    inside = ((mesh.points - 0.5) ** 2).sum(axis=1)[None, :, None]
    sample = replace(wave(mesh), u=inside)
    low = colours_of(FIELD)[0]
    surface = plot(sample).image[DRAWN]
    assert like(surface, low, 20).mean() < 0.001
    for shown in ({"slices": "xyz"}, {"slices": {"z": [0.25, 0.5]}}, {"cut": "y"}):
        image = plot(sample, **shown).image[DRAWN]
        assert like(image, low, 45).mean() > 0.002 and not np.array_equal(image, surface), shown
    few, many = (plot(sample, levels=n).image[DRAWN] for n in (1, 6))
    assert ink(few) > 0.02 and not np.array_equal(few, many)
    assert written(plot(sample, levels=[9.0]).image[TITLE]) > 60  # a value that it does not have


def test_contour_lines_on_a_surface():
    sample = wave(square(17))
    assert written(plot(sample, levels=5).image[DRAWN]) > 5 * (
        1 + written(plot(sample).image[DRAWN])
    )
    assert plot(sample, levels=[0.1], truth=sample).image.shape[1] > 1000


def test_galleries_share_one_scale():
    """Tiles of samples scaled 1 and 3: the first has only the lower part of the colours; tiles of
    one length scale, so that a shape half as large is drawn half as large."""
    mesh = square(9)
    small = wave(Mesh(mesh.points / 2, mesh.cells))
    low, high = replace(small, u=0 * small.u), replace(wave(mesh), u=0 * wave(mesh).u + 1)
    image = plot([low, high]).image
    purple, _, yellow = colours_of(FIELD)
    drawn = image[60:-150]
    ends = [like(drawn, colour, 4) for colour in (purple, yellow)]
    widths = [int(end.any(axis=0).sum()) for end in ends]
    assert 1.9 < widths[1] / widths[0] < 2.1
    assert np.argwhere(ends[0])[:, 1].max() < np.argwhere(ends[1])[:, 1].min()
    assert written(image[-150:]) > 150 and like(image[-150:], yellow).any()


def test_a_gallery_of_differences_and_one_of_meshes():
    samples = [wave(square(n), noise=0.1 * k) for k, n in enumerate((4, 5, 6, 7, 8, 9, 5))]
    truths = [wave(one.mesh) for one in samples]
    image = plot(samples, truth=truths).image
    assert like(image, colours_of(DIFFERENCE)[2], 20).any() and ink(image) > 0.05
    meshes = plot([one.mesh for one in samples]).image
    assert like(meshes, (0x00, 0x72, 0xB2), 4).sum() > 300 and written(meshes[:60]) > 100
    assert ink(plot([wave(cube()), wave(cube(), noise=0.4)], cut="x").image) > 0.1


def test_refusals():
    sample, volume = wave(square(3)), wave(cube())
    with pytest.raises(ValueError, match="cut and slices are for volumes, .* dimension 2"):
        plot(sample, cut="x")
    with pytest.raises(ValueError, match="expected cut to be x, y or z, got 'w'"):
        plot(volume, cut="w")
    with pytest.raises(ValueError, match=r"no slice at z = 3; the mesh has x 0 to 1, y 0 to 1"):
        plot(volume, slices={"z": 3.0})
    with pytest.raises(ValueError, match="no slice at w"):
        plot(volume, slices="w")
    with pytest.raises(ValueError, match="levels are for surfaces and volumes"):
        plot(wave(interval()), levels=3)
    with pytest.raises(ValueError, match="levels need values at the nodes"):
        plot(volume, fields={"q": np.ones(volume.mesh.num_cells)}, levels=3)
    with pytest.raises(ValueError, match=r"field 'q' to be \[9\] at the nodes or \[8\] on"):
        plot(sample, fields={"q": np.ones(5)})
    with pytest.raises(ValueError, match="no time is asked for, there are 1 times"):
        plot(sample, time=[])
    with pytest.raises(ValueError, match="several truths are for a list"):
        plot(sample, truth=[sample])
    with pytest.raises(ValueError, match="a list of shapes is drawn as one picture"):
        plot([sample], fields={"q": np.ones(9)})
    with pytest.raises(ValueError, match="a list of meshes or of samples .* got 2 of which 1 have"):
        plot([sample, sample.mesh])
    with pytest.raises(ValueError, match="a list of a truth for each of 1 fields"):
        plot([sample], truth=[sample, sample])
    with pytest.raises(ValueError, match=r"drawn with one field \(name\) at one time"):
        plot([sample], name=["u", "source"])


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_fields_with_nan_are_refused(tmp_path, suffix):
    """One NaN would take the colours of all others, and is no number of a page."""
    mesh = square(3)
    values = np.where(np.arange(mesh.num_nodes) == 3, np.nan, 1.0)
    with pytest.raises(ValueError, match="plot: 1 values of field 'f' are NaN or infinite; repl"):
        plot(mesh, fields={"f": values}, path=tmp_path / f"f{suffix}")


def test_the_title_of_a_band_has_letters_that_the_font_has():
    """VTK's own font is Latin: a Greek letter would be a gap."""
    sample = with_band(wave(square(3)), 0.1)
    panels = Comparison(sample, sample, [0]).panels(None)[0]
    assert panels[-1].title == "standard deviation; 100 % of the nodes within ±1.96 of it"
    assert all(panel.title.encode("latin-1") for panel in panels)
