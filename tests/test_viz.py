"""Pictures are checked by their pixels: what must be equal, must differ, must be there."""

import base64
import inspect
import io
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from squares import square
from viz_builders import cube, interval, wave

from meshgnn.mesh import Group, Mesh
from meshgnn.sample import Boundary, Sample
from meshgnn.viz import Picture, plot, plot_history
from meshgnn.viz.compare import Comparison
from meshgnn.viz.picture import matplotlib_figure, pyvista, window_wanted
from meshgnn.viz.view import edges_visible


def panels(picture: Picture, count: int) -> list[np.ndarray]:
    return np.split(picture.image, count, axis=1)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal below the title, up to how edges are rounded to pixels."""
    return np.abs(one[60:].astype(int) - other[60:]).max() < 8


def test_one_scale_for_prediction_and_truth():
    """Equal fields give equal panels and an error panel of one colour; other fields do not."""
    sample = wave(square())
    u, v, error = panels(plot(sample, truth=sample), 3)
    assert alike(u, v) and len(np.unique(error[120:400, 200:400].reshape(-1, 3), axis=0)) < 40
    u, v, error = panels(plot(wave(square(), noise=0.3), truth=sample), 3)
    assert not alike(u, v) and not alike(v, error)


@pytest.mark.parametrize(("scale", "title"), [(0.0, "0"), (1.0, "inf")])
def test_error_against_a_truth_of_zero(scale, title):
    """‖u − 0‖ / ‖0‖ as `metrics.relative_l2` has it: 0 where u = 0."""
    sample = wave(square(3))
    zero = replace(sample, u=0 * sample.u)
    error = Comparison(replace(sample, u=scale * sample.u), zero, [0]).panels(None)[0][2]
    assert error.title == f"difference, relative L2 {title}" and (error.mark is None) == (not scale)


def test_constant_and_single_field():
    """A constant field has a scale of positive width; the drawing fills the panel's width."""
    sample = wave(square(width=2.0))
    image = plot(sample.with_solution(np.ones_like(sample.u))).image
    drawn = (image < 240).any(axis=2).any(axis=0)
    assert drawn[30:-30].all() and not drawn[:20].any()


@pytest.mark.parametrize("cut", [None, "x"])
def test_volume(cut):
    sample = wave(cube(), channels=3)
    assert plot(sample, cut=cut).image.min() < 200
    assert not np.array_equal(plot(sample).image, plot(sample, name="uz").image)


def test_groups_are_coloured_and_named():
    """Every group's colour is there, on the mesh and in the legend; so are regions."""
    mesh = square()
    pixels = plot(mesh).image.reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (np.abs(pixels.astype(int) - colour).max(axis=1) < 4).sum() > 500
    region = {"all": Group(2, mesh.cells), "corner": Group(0, {"vertex": np.array([[0]])})}
    assert plot(Mesh(mesh.points, mesh.cells, dict(mesh.groups) | region)).image.min() < 100
    assert plot(cube()).image.min() < 200
    unsolved = Sample(mesh, Boundary.none(mesh.num_nodes, 1), np.zeros((mesh.num_nodes, 0)))
    assert np.array_equal(plot(unsolved).image, plot(mesh).image)


def test_many_groups_are_counted():
    mesh = square()
    many = {f"part {i}": Group(0, {"vertex": np.array([[i]])}) for i in range(30)}
    assert plot(Mesh(mesh.points, mesh.cells, many)).image.shape[1] > 700


def test_animation(tmp_path):
    """All times, frames that differ, on a white ground in spite of the 256 colours of a GIF."""
    sample = wave(square(5), times=4)
    picture = plot(sample, truth=wave(square(5), times=4, noise=0.1), path=tmp_path / "u.gif")
    assert len(picture.frames) == 4
    with Image.open(tmp_path / "u.gif") as file:
        assert file.n_frames == 4
        shade = np.asarray(file.convert("RGB"))[2, 2]
        assert (shade > 245).all()
    assert not np.array_equal(picture.frames[0], picture.frames[2])
    assert plot(sample, name="source", path=tmp_path / "s.gif").frames.shape[0] == 4
    assert "data:image/gif;base64" in picture._repr_mimebundle_()["text/html"]


def test_interval_is_a_curve(tmp_path):
    """Curves on nodes numbered at random; u and the error have axes of their own."""
    mesh = interval()
    image = plot(wave(mesh), path=tmp_path / "u.png").image
    assert image.min() < 50 and np.array_equal(np.asarray(Image.open(tmp_path / "u.png")), image)
    compared = plot(wave(mesh, noise=0.1), truth=wave(mesh)).image
    assert compared.shape[0] > image.shape[0]


def test_history(tmp_path):
    picture = plot_history(
        {"train": [1.0, 0.1, 0.01], "validation": [1.0, 0.5]}, tmp_path / "h.jpg"
    )
    assert picture.image.min() < 50 and (tmp_path / "h.jpg").stat().st_size > 1000
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_history({"train": []})


def test_notebooks_show_it_inline():
    bundle = plot(square())._repr_mimebundle_(include=None)
    decoded = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert decoded.size[0] > 300


def test_windows_only_with_a_display(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "PYVISTA_OFF_SCREEN"):
        monkeypatch.delenv(name, raising=False)
    assert not window_wanted(None)
    monkeypatch.setenv("DISPLAY", ":0")
    assert window_wanted(None) and not window_wanted("u.png")
    monkeypatch.setenv("PYVISTA_OFF_SCREEN", "1")
    assert not window_wanted(None)


def test_large_meshes_have_no_edges():
    assert edges_visible(square()) and not edges_visible(square(60))


def test_errors(tmp_path):
    sample = wave(square())
    with pytest.raises(ValueError, match="no field named 'v'; there are u, source"):
        plot(sample, name="v")
    with pytest.raises(ValueError, match="got dict; the history of a .* by viz.plot_history"):
        inspect.unwrap(plot)({"train": [1.0]})  # beneath the check of types of the tests
    with pytest.raises(ValueError, match="time index 3 is out of range, there are 1 times"):
        plot(sample, time=3)
    with pytest.raises(ValueError, match="the truth does not fit"):
        plot(sample, truth=wave(square(5)))
    unsolved = Sample(sample.mesh, sample.boundary, sample.inputs)
    with pytest.raises(ValueError, match="the truth has no solution"):
        plot(sample, truth=unsolved)
    with pytest.raises(ValueError, match="the sample has no solution to compare"):
        plot(unsolved, truth=sample, name="input_0")
    with pytest.raises(ValueError, match="suffix must be one of .png, .jpg, .gif, .html"):
        plot(sample, path=tmp_path / "u.bmp")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        plot(sample, path=tmp_path / "none" / "u.png")


def test_missing_libraries(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(ImportError, match=r"pictures need PyVista: pip install 'meshgnn\[viz\]'"):
        pyvista()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"line plots need matplotlib: pip install"):
        matplotlib_figure((1.0, 1.0))


def test_missing_egl(monkeypatch):
    def refuse(name: str) -> None:
        raise OSError(name)

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    monkeypatch.setattr("ctypes.CDLL", refuse)
    with pytest.raises(ImportError, match="libEGL.so.1: apt-get install libegl1"):
        pyvista()


def test_a_moving_mesh_is_drawn_where_its_nodes_are(tmp_path):
    """An animation with moved points: a frame is the picture of the mesh moved there."""
    sample = wave(square(), times=3)
    away = sample.mesh.points - 0.5
    inner = np.ones((sample.mesh.num_nodes, 1))
    inner[sample.mesh.boundary_nodes] = 0
    points = np.stack([sample.mesh.points + k * 0.15 * inner * away for k in range(3)])
    film = plot(sample, points=points, path=tmp_path / "m.gif").frames
    assert film.shape[0] == 3
    same = plot(sample, path=tmp_path / "u.gif").frames
    assert alike(film[0], same[0]) and not alike(film[2], same[2])
    last = replace(sample, mesh=sample.mesh.moved(points[2]))
    assert alike(plot(sample, points=points).image, plot(last).image)
    with pytest.raises(ValueError, match=r"expected points \(3, .*, got \(2,"):
        plot(sample, points=points[:2])
    with pytest.raises(ValueError, match="points are for fields"):
        plot(sample.mesh, points=points)
    line = wave(interval(), times=2)
    moved = np.stack([line.mesh.points, line.mesh.points**2])
    assert not alike(plot(line, points=moved).image, plot(line).image)


def test_a_mesh_that_leaves_its_place_stays_in_the_picture(tmp_path):
    """The view holds all places: three widths to the right, nothing is cut off; and the error is
    weighted by the cells as they are."""
    sample = wave(square(), times=2)
    points = np.stack([sample.mesh.points, sample.mesh.points + [3.0, 0.0]])
    film = plot(sample, points=points, path=tmp_path / "m.gif").frames
    assert film.shape[2] > 1.5 * film.shape[1]
    ink = [(frame[60:-110] < 200).any(axis=(0, 2)) for frame in film.astype(int)]
    middle = film.shape[2] // 2
    assert ink[0][:middle].any() and not ink[0][middle:].any()
    assert ink[1][middle:].any() and not ink[1][:middle].any()
    other = wave(square(), times=2, noise=0.3)
    flat = np.stack([sample.mesh.points] * 2) ** 3
    both = [Comparison(sample, other, [1], p) for p in (None, flat)]
    titles = [one.panels(None)[0][2].title for one in both]
    assert titles[0] != titles[1]


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_triton_can_be_loaded_after_a_picture():
    """Mesa and Triton bring LLVM each, of two versions; loaded in that order they crash."""
    program = (
        "import meshgnn; from squares import square; meshgnn.plot(square(4));"
        "import triton; print('both')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "both", ran.stderr
