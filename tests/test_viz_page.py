"""The interactive page: what its file holds, and what a browser shows of it without a network."""

import base64
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from squares import square
from viz_builders import colours_of, cube, ink, interval, like, wave, with_band

from meshgnn.mesh import Group, Mesh
from meshgnn.viz import plot, plot_history
from meshgnn.viz.panel import FIELD

WEBGL = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def content(path) -> dict:
    (data,) = re.findall(r'type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(data)


def numbers(text: str, kind=np.float32) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, where there is one."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with api.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=found, args=WEBGL)
        yield one
        one.close()


@pytest.fixture
def opened(browser):
    """Opens a file in a page of 900 × 500; anything it logs or asks of a network is an error."""
    page = browser.new_page(viewport={"width": 900, "height": 500})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda one: said.append(one.url) if one.url.startswith("http") else None)

    def go(path, anchor=""):
        page.goto(path.as_uri() + anchor)
        assert said == []
        return page

    yield go
    assert said == []
    page.close()


def shot(page) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(page.screenshot())).convert("RGB"))


def test_a_page_holds_meshes_and_fields(tmp_path):
    """One file without any address; positions and values of all times as they were given."""
    sample = wave(square(5), times=3)
    picture = plot(sample, path=tmp_path / "u.html", time=1)
    text = (tmp_path / "u.html").read_text()
    assert "http" not in text and picture.image.shape[0] > 300 and len(text) < 120_000
    found = content(tmp_path / "u.html")
    assert found["times"] == [0.0, 0.5, 1.0] and found["step"] == 1
    ((panel,),) = found["rows"]
    body = panel["frames"][0][0]
    values = numbers(body["values"]).reshape(3, -1)
    np.testing.assert_allclose(values, sample.u[..., 0], rtol=1e-6)
    points = numbers(body["points"]).reshape(-1, 3)
    np.testing.assert_allclose(points[:, :2], sample.mesh.points, atol=1e-6)
    assert len(numbers(body["index"], np.uint32)) == 3 * sample.mesh.num_cells
    assert panel["titles"][2] == "u [K], t = 1 s"
    still = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', text)[0]
    assert Image.open(BytesIO(base64.b64decode(still))).size[0] > 300


def test_texts_cannot_leave_their_place(tmp_path):
    """Names of fields are texts, whatever they contain."""
    evil = "</script><script>alert(1)</script>$data"
    sample = replace(wave(square(3)), names={"u": [evil], "inputs": ["source"]}, units={})
    plot(sample, path=tmp_path / "u.html")
    text = (tmp_path / "u.html").read_text()
    assert "<script>alert" not in text
    assert unescape(re.findall("<title>(.*?)</title>", text)[0]) == evil
    assert content(tmp_path / "u.html")["rows"][0][0]["titles"] == [evil]


def test_values_on_cells_have_corners_of_their_own(tmp_path):
    plot(square(3), fields={"q": np.arange(8.0)}, path=tmp_path / "q.html")
    ((panel,),) = content(tmp_path / "q.html")["rows"]
    ((body,),) = panel["frames"]
    np.testing.assert_array_equal(numbers(body["values"]), np.repeat(np.arange(8.0), 3))
    assert panel["marks"][0]["text"] == "7"


def test_moving_meshes_and_refusals(tmp_path):
    """Positions at all times; lines in the plane have no page, nor has a saved picture."""
    sample = wave(cube(), times=2)
    points = np.stack([sample.mesh.points, sample.mesh.points + [2.0, 0, 0]])
    plot(sample, points=points, path=tmp_path / "u.html")
    body = content(tmp_path / "u.html")["rows"][0][0]["frames"][0][0]
    places = numbers(body["points"]).reshape(2, -1, 3)
    assert body["moving"] and np.allclose(places[1] - places[0], [2.0, 0, 0])
    bent = Mesh(np.array([[0.0, 0], [1, 0], [1, 1]]), {"line": np.array([[0, 1], [1, 2]])})
    with pytest.raises(ValueError, match="an .html page of fields .* has lines in 2 dimensions"):
        plot(bent, fields={"u": np.arange(3.0)}, path=tmp_path / "v.html")
    with pytest.raises(ValueError, match="suffix must be one of .png, .jpg, .gif:?"):
        plot(sample).save(tmp_path / "v.html")
    assert not (tmp_path / "v.html").exists()


def test_isosurfaces_have_a_shape_at_every_time(tmp_path):
    """u = x + t: the level 0.75 is the plane x = 0.75 − t, and nowhere when t is 1."""
    sample = wave(cube(), times=3)
    u = sample.mesh.points[None, :, :1] + sample.times[:, None, None]
    plot(replace(sample, u=u), levels=[0.75], path=tmp_path / "u.html")
    ((panel,),) = content(tmp_path / "u.html")["rows"]
    first, second, last = (numbers(frame[0]["points"]).reshape(-1, 3) for frame in panel["frames"])
    np.testing.assert_allclose(first[:, 0], 0.75, atol=1e-6)
    np.testing.assert_allclose(second[:, 0], 0.25, atol=1e-6)
    assert len(first) > 3 and len(last) == 0


def test_a_gallery_has_a_tile_for_each_shape(tmp_path):
    """Each about its own middle, one scale of colours and of length; groups where no fields are."""
    samples = [wave(square(n)) for n in (3, 5)] + [wave(square(4).moved(2 * square(4).points + 7))]
    plot(samples, path=tmp_path / "g.html")
    found = content(tmp_path / "g.html")
    tiles = [tile for row in found["rows"] for tile in row]
    assert [tile["titles"] for tile in tiles] == [["0"], ["1"], ["2"]]
    assert [tile["centre"][:2] for tile in tiles] == [[0.5, 0.5], [0.5, 0.5], [8.0, 8.0]]
    assert all(tile["limits"] == tiles[0]["limits"] for tile in tiles)
    assert found["label"] == "u [K]" and found["high"] == [1.0, 1.0]
    for tile, sample in zip(tiles, samples, strict=True):
        values = numbers(tile["frames"][0][0]["values"])
        np.testing.assert_allclose(values, sample.u[0, :, 0], rtol=1e-6)
    plot(samples, truth=samples, path=tmp_path / "d.html")
    assert content(tmp_path / "d.html")["label"] == "difference of u [K]"
    plot([square(3), square(5)], path=tmp_path / "m.html")
    meshes = content(tmp_path / "m.html")["rows"]
    assert [tile["titles"][0] for row in meshes for tile in row] == ["0: 9 nodes", "1: 25 nodes"]


def test_curves_have_a_page(tmp_path):
    """Fields on an interval with truth, difference and band at all times; a history."""
    truth = wave(interval(), times=3)
    found = with_band(replace(truth, u=truth.u + 0.1), 0.2)
    plot(found, truth, path=tmp_path / "u.html")
    page = content(tmp_path / "u.html")
    (prediction, other), (difference,) = (chart["curves"] for chart in page["charts"])
    order = np.argsort(truth.mesh.points[:, 0])
    for k in range(3):
        both = np.unique(np.stack([prediction["x"][0], prediction["y"][k]]), axis=1)
        np.testing.assert_allclose(both[0], truth.mesh.points[order, 0])
        np.testing.assert_allclose(both[1], found.u[k, order, 0], rtol=1e-6)
    np.testing.assert_allclose(prediction["band"], 1.96 * 0.2, rtol=1e-6)
    assert other["titles"][2] == "truth: u [K], t = 1 s" and len(page["times"]) == 3
    assert difference["marks"][0]["text"] == "0.1 K" and "http:" not in page["label"]
    plot_history({"train": [1.0, 0.1, np.nan], "test": [2.0, 1.0, 0.5]}, path=tmp_path / "h.html")
    (chart,) = content(tmp_path / "h.html")["charts"]
    assert chart["log"] and chart["curves"][0]["y"] == [[0.0, -1.0, None]]
    moved = np.stack([truth.mesh.points * (1 + k) for k in range(3)])
    plot(truth, points=moved, path=tmp_path / "m.html")
    (curve,) = content(tmp_path / "m.html")["charts"][0]["curves"]
    np.testing.assert_allclose(curve["x"][2], 3 * np.array(curve["x"][0]))


@pytest.mark.browser
def test_a_browser_shows_panels_marks_and_numbers(opened, tmp_path):
    """Pixels: both ends of the colour map, nothing blank; letters: titles, ticks, the worst."""
    truth = wave(square(17))
    found = with_band(replace(truth, u=truth.u + 0.3 * truth.mesh.points[None, :, :1] ** 4), 0.05)
    plot(found, truth, path=tmp_path / "u.html")
    page = opened(tmp_path / "u.html")
    image = shot(page)
    for colour in (*colours_of(FIELD)[[0, 2]], colours_of("RdBu_r")[2]):
        assert like(image, colour, 25).sum() > 100
    titles = page.locator(".title").all_inner_texts()
    assert titles[0] == "prediction: u [K]" and titles[2].startswith("difference, relative L2 0.")
    assert len(titles) == 4 and "% of the nodes" in titles[3]
    assert page.locator(".mark span").all_inner_texts() == ["0.3 K"]
    assert page.locator(".ticks").first.inner_text().split()[-1] == f"{found.u[..., 0].max():.3g}"
    assert not page.locator("#still").is_visible()


@pytest.mark.browser
def test_time_is_scrubbed(opened, tmp_path):
    """The slider, a link with #time=, and the playing of all times change what is drawn."""
    sample = wave(square(9), times=5)
    plot(sample, path=tmp_path / "u.html")
    page = opened(tmp_path / "u.html", "#time=1")
    assert page.locator(".title").inner_text() == "u [K], t = 0.25 s"
    early = shot(page)
    page.locator("#time input").fill("4")
    assert page.locator(".title").inner_text() == "u [K], t = 1 s"
    assert page.locator("#time span").inner_text() == "t = 1 s"
    late = shot(page)
    assert (early[60:400] != late[60:400]).any(axis=-1).mean() > 0.1
    page.locator("#time button").click()
    page.wait_for_function("document.querySelector('.title').textContent != 'u [K], t = 1 s'")
    assert page.locator("#time button").inner_text() == "stop"


@pytest.mark.browser
def test_a_volume_is_turned_zoomed_and_read(opened, tmp_path):
    """Dragging turns all panels, the wheel zooms, a double click goes back, the pointer reads."""
    sample = wave(cube(), noise=0.2)
    plot(sample, truth=wave(cube()), path=tmp_path / "u.html")
    page = opened(tmp_path / "u.html")
    first = shot(page)
    page.mouse.move(150, 200)
    page.mouse.down()
    page.mouse.move(230, 240, steps=4)
    page.mouse.up()
    turned = shot(page)
    page.mouse.wheel(0, 400)
    page.wait_for_timeout(100)
    small = shot(page)
    changed = [(a != b).any(axis=-1)[:, 620:].mean() for a, b in ((first, turned), (turned, small))]
    assert min(changed) > 0.02  # the third panel, of which none was touched
    page.mouse.dblclick(150, 200)
    page.mouse.move(5, 5)
    assert (shot(page) != first).any(axis=-1).mean() < 0.01
    nearest = int(np.argmin(np.linalg.norm(sample.mesh.points - [1, 0, 1], axis=1)))
    place = """(() => { const box = panels[0].view.getBoundingClientRect();
            const [x, y] = project([1, 0, 1], box, scene.centre);
            return [box.left + x, box.top + y + 4]; })()"""
    page.mouse.move(*page.evaluate(place))
    value = sample.u[0, nearest, 0]
    assert page.locator("#tip").inner_text() == f"{value:.3g} K at (1, 0, 1)"


@pytest.mark.browser
def test_groups_and_slices_in_a_browser(opened, tmp_path):
    """Groups have their colours and names; without WebGL the still picture stays."""
    mesh = square()
    plot(mesh, path=tmp_path / "m.html")
    page = opened(tmp_path / "m.html")
    assert page.locator(".legend").inner_text().split("\n")[0] == "wall (curve)"
    image = shot(page)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert like(image, colour, 6).sum() > 300
    named = Group(0, {"vertex": np.array([[0]])})
    plot(replace(cube(), groups={**cube().groups, "corner": named}), path=tmp_path / "c.html")
    assert "corner (point)" in opened(tmp_path / "c.html").locator(".legend").inner_text()
    plot(wave(cube()), slices="xyz", path=tmp_path / "s.html")
    assert like(shot(opened(tmp_path / "s.html")), colours_of(FIELD)[1], 60).sum() > 200
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    assert opened(tmp_path / "s.html").locator("#still").is_visible()


@pytest.mark.browser
def test_galleries_and_moving_levels_in_a_browser(opened, tmp_path):
    """Every tile has both ends of the colours, one bar for all; another time, another surface."""
    plot([wave(square(9)), wave(square(5))], path=tmp_path / "g.html")
    page = opened(tmp_path / "g.html")
    assert page.locator(".panel .title").all_inner_texts() == ["0", "1"]
    assert page.locator(".bar").count() == 1
    assert page.locator(".shared .title").inner_text() == "u [K]"
    image = shot(page)[:380]
    assert min(like(image, colour, 25).sum() for colour in colours_of(FIELD)[[0, 2]]) > 50
    assert min(ink(image[:, :450]), ink(image[:, 450:])) > 0.2
    sample = wave(cube(), times=2)
    u = sample.mesh.points[None, :, :1] + 0.5 * sample.times[:, None, None]
    plot(replace(sample, u=u), levels=[0.75], path=tmp_path / "l.html")
    early, late = (shot(opened(tmp_path / "l.html", f"#time={k}")) for k in (0, 1))
    assert (early[60:400] != late[60:400]).any(axis=-1).mean() > 0.02


@pytest.mark.browser
def test_curves_in_a_browser(opened, tmp_path):
    """Curve, band, ticks and names; the slider and the wheel change it, the pointer reads it."""
    sample = with_band(wave(interval(), times=5), 0.1)
    plot(sample, path=tmp_path / "u.html")
    page = opened(tmp_path / "u.html")
    first = shot(page)
    assert like(first, (0x00, 0x72, 0xB2), 12).sum() > 300
    assert like(first, (191, 220, 236), 14).sum() > 2000
    assert page.locator(".names").inner_text() == "u [K], t = 1 s"
    assert "0.4" in page.locator("svg text").all_text_contents()
    page.locator("#time input").fill("1")
    assert page.locator(".names").inner_text() == "u [K], t = 0.25 s"
    second = shot(page)
    page.mouse.move(450, 250)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(100)
    third = shot(page)
    assert min((a != b).any(axis=-1).mean() for a, b in ((first, second), (second, third))) > 0.01
    x, y = page.evaluate("""(() => { const chart = scene.charts[0], at = places(chart),
        curve = chart.curves[0], box = chart.svg.getBoundingClientRect();
        const k = curve.x[0].findIndex(v => v > 0.5);
        return [box.left + at.x(curve.x[0][k]), box.top + at.y(of(curve.y)[k])]; })()""")
    page.mouse.move(x, y)
    assert " K at 0.5" in page.locator("#tip").inner_text()
    plot_history({"train": [1.0, 0.1, 0.01]}, path=tmp_path / "h.html")
    texts = opened(tmp_path / "h.html").locator("svg text").all_text_contents()
    assert {"0.01", "0.1", "1", "epoch"} <= set(texts)
