"""The command is called as a user does, by `main`: what it prints, writes and answers to errors."""

import json
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from squares import square

from meshgnn import __version__
from meshgnn.checkpoint import save
from meshgnn.cli import main
from meshgnn.cli.problem_file import problem_from, problem_of
from meshgnn.graph import MeshDataset
from meshgnn.io import read, read_frames, write
from meshgnn.mesh import Mesh
from meshgnn.models import MODELS
from meshgnn.problems import PROBLEMS
from meshgnn.sample import Sample

SQUARE = 'Rectangle(1) = {0, 0, 0, 1, 1, 0};\nPhysical Curve("wall") = {1, 2, 3, 4};\n'
SQUARE = 'SetFactory("OpenCASCADE");\n' + SQUARE + 'Physical Surface("inside") = {1};\n'


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """(exit code, standard output, standard error) of a command, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return done.value.code, out, err

    return run


def poisson_file(folder: Path) -> Path:
    path = folder / "p.toml"
    path.write_text(
        'problem = "Poisson"\nsource = "2*pi**2*sin(pi*x)*sin(pi*y)"\n[dirichlet]\nwall = 0'
    )
    return path


def steady_model(folder: Path) -> Path:
    """A small network with the statistics of one sample, untrained."""
    sample = PROBLEMS["Poisson"](source=1.0, dirichlet={"wall": 0.0}).solve(square())
    model = MODELS["MeshGraphNet"](width=8, blocks=2)
    model.fit_statistics(list(MeshDataset([sample])))
    save(model, folder / "m.pt")
    return folder / "m.pt"


def test_help_is_fast():
    """Nothing heavy is imported before a command needs it."""
    code = "import sys\nfrom meshgnn.cli import main\ntry:\n  main(['--help'])\nfinally:\n  print("
    code += "[m for m in ('torch', 'gmsh', 'pyvista', 'skfem', 'scipy') if m in sys.modules])"
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert time.perf_counter() - begin < 3 and done.returncode == 0
    assert done.stdout.rstrip().endswith("[]")
    for command in ("info", "mesh", "simulate", "train", "predict", "rollout", "bench", "list"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_info(call, tmp_path):
    """The numbers of the mesh: counts, extent, area 1, groups with their entities and nodes."""
    write("s.msh", square())
    code, out, _ = call("info", "s.msh", "--picture", "s.png")
    assert code == 0 and (tmp_path / "s.png").stat().st_size > 1000
    for pattern in ("81 in 2D", r"triangle +│ 128", r"\[0, 1\] × \[0, 1\]", r"area +│ 1 ", "left"):
        assert re.search(pattern, out), pattern
    assert re.search(r"left +│ curve +│ +8 +│ +9 ", out)


def test_info_tells_defects(call):
    """Two triangles that do not touch cannot carry a solution; the command still answers."""
    points = np.array([[0.0, 0], [1, 0], [0, 1], [5, 5], [6, 5], [5, 6]])
    write("two.vtu", Mesh(points, {"triangle": np.array([[0, 1, 2], [3, 4, 5]])}))
    code, out, _ = call("info", "two.vtu")
    assert code == 0 and "cannot carry a finite-element solution" in out


def test_mesh(call, tmp_path):
    (tmp_path / "square.geo").write_text(SQUARE)
    code, out, _ = call("mesh", "square.geo", "-o", "square.msh", "--size", 0.2)
    made = read(tmp_path / "square.msh")
    assert code == 0 and f"{made.num_nodes} nodes" in out and "groups" in out
    assert set(made.groups) == {"wall", "inside"}


def test_simulate_and_train(call, tmp_path):
    """One small experiment from data to errors; a second run finds it done."""
    (tmp_path / "e.toml").write_text(
        '[data]\nproblem = "Poisson"\nfamilies = ["interval"]\nsamples = 6\ntest = 0.3\njobs = 1\n'
        'folder = "data"\n[model]\nname = "MeshGraphNet"\nwidth = 8\nblocks = 2\n'
        "[fit]\nepochs = 2\nprogress = false\n"
    )
    code, out, err = call("train", "e.toml")
    assert code == 0, err
    (folder,) = (tmp_path / "out").iterdir()
    assert {"model.pt", "history.json", "errors.csv"} <= {p.name for p in folder.iterdir()}
    assert len(json.loads((folder / "history.json").read_text())["train"]) == 2
    for name in ("learned", "untrained", "zero", "mean", "IDW", "nearest sample"):
        assert name in out
    assert "is there already" in call("train", "e.toml")[1]
    code, out, _ = call("simulate", "Poisson", "-f", "interval", "-n", 2, "-o", "more", "--jobs", 1)
    assert code == 0 and len(list((tmp_path / "more").glob("*.vtkhdf"))) == 2


def test_predict(call, tmp_path):
    """The prediction keeps the boundary values; --truth prints the errors and writes both."""
    write("s.msh", square())
    model, problem = steady_model(tmp_path), poisson_file(tmp_path)
    code, out, err = call(
        "predict", model, "s.msh", "-p", problem, "-o", "u.vtu", "--truth", "--picture", "u.png"
    )
    assert code == 0, err
    assert "IDW" in out and "learned" in out and (tmp_path / "u.png").is_file()
    text = (tmp_path / "u.vtu").read_bytes()
    assert b"u_truth" in text or b"truth" in text
    code, out, _ = call("predict", model, "s.msh", "-p", problem, "-o", "u.vtkhdf")
    assert code == 0 and "81 nodes" in out
    call("predict", model, "s.msh", "-p", problem, "-o", "p.vtkhdf", "--max-nodes", 70)
    whole, parts = Sample.load("u.vtkhdf").u, Sample.load("p.vtkhdf").u
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)
    code, out, _ = call("info", "u.vtu")
    assert code == 0 and re.search(r"u_truth +│ nodes +│ 81 ", out) and "group:" not in out


def test_rollout(call, tmp_path):
    heat = PROBLEMS["Heat"](times=np.linspace(0, 0.1, 4), initial=1.0, dirichlet={"wall": 0.0})
    sample = heat.solve(square())
    sample.save("h.vtkhdf")
    shape = {"inputs": sample.inputs.shape[1], "history": 1}
    model = MODELS["MeshGraphNet"](**shape, width=8, blocks=2)
    model.fit_statistics(list(MeshDataset([sample], history=1)))
    save(model, "r.pt")
    code, out, err = call("rollout", "r.pt", "h.vtkhdf", "--steps", 5, "-o", "r.vtkhdf")
    assert code == 0, err
    series = Sample.load("r.vtkhdf")
    assert series.u.shape == (6, 81, 1) and "5 steps to t = " in out
    call("rollout", "r.pt", "h.vtkhdf", "--steps", 5, "-o", "p.vtkhdf", "--max-nodes", 70)
    np.testing.assert_allclose(Sample.load("p.vtkhdf").u, series.u, rtol=1e-3, atol=1e-5)
    code, out, err = call("rollout", "r.pt", "h.vtkhdf", "--steps", 5, "-o", "r.pvd")
    assert code == 0 and "6 times" in out, err


def test_a_rollout_that_blows_up_keeps_its_file(call, monkeypatch):
    """Half of a march is there to be looked at; the answer names it and is no success."""
    heat = PROBLEMS["Heat"](times=np.linspace(0, 0.1, 4), initial=1.0, dirichlet={"wall": 0.0})
    sample = heat.solve(square())
    sample.save("h.vtkhdf")
    network = MODELS["MeshGraphNet"]
    model = network(inputs=sample.inputs.shape[1], history=1, width=8, blocks=2)
    model.fit_statistics(list(MeshDataset([sample], history=1)))
    save(model, "r.pt")
    monkeypatch.setattr(network, "forward", lambda self, graph: 1e4 * graph.u)
    code, out, err = call("rollout", "r.pt", "h.vtkhdf", "--steps", 5, "-o", "r.vtkhdf")
    assert code == 1 and not out and err.startswith("error: ") and err.count("\n") == 1
    assert "the state of step 2" in err and "r.vtkhdf holds the states before it" in err
    kept = Sample.load("r.vtkhdf")
    np.testing.assert_allclose(kept.u, sample.u[:1] * 1e4 ** np.arange(2)[:, None, None], rtol=1e-6)


THROWN = """problem = "Elastodynamics"
times = {to = 0.3, steps = 30}
young = 2e5
gravity = [0.0, -9.81]
velocity = ["1 - y", "x"]
walls = [["free", -0.1], [1.3, "free"]]
"""


@pytest.fixture(scope="module")
def body_model(tmp_path_factory):
    """An untrained stepper of 20 of 81 nodes, for steps of 0.01 s: what is free falls exactly."""
    path = tmp_path_factory.mktemp("body") / "g.pt"
    sample = problem_of(tomllib.loads(THROWN), "thrown").solve(square())
    model = MODELS["GIOROM"](params=sample.params.size, points=20, width=8)
    data = MeshDataset([sample], history=3, stride=9)
    model.fit_statistics(list(data.transformed(model.transform)))
    object.__setattr__(model, "meta", {"dt": 0.01, "names": data.names})
    save(model, path)
    return path


def test_rollout_of_a_body_from_its_mesh(call, tmp_path, body_model):
    """From u = 0 and the velocity of the file; the nodes of the .vtkhdf are where the body is, the
    truth is beside it, and errors and times stand beside those that learn nothing."""
    (tmp_path / "p.toml").write_text(THROWN)
    write("s.msh", square())
    wanted = ("rollout", body_model, "s.msh", "-p", "p.toml", "--steps", 8)
    code, out, err = call(*wanted, "-o", "r.vtkhdf", "--truth")
    assert code == 0, err
    for pattern in ("learned", "frozen", "ballistic", "finite elements", "a frame: learned .* ms"):
        assert re.search(pattern, out), pattern
    frames = read_frames("r.vtkhdf")
    assert {"ux", "uy_truth", "uy_error"} <= set(frames.point) and len(frames.times) == 9
    u = np.stack([frames.point["ux"], frames.point["uy"]], axis=-1)
    np.testing.assert_allclose(frames.points, square().points + u)
    x, t = square().points, frames.times[:, None]
    np.testing.assert_allclose(frames.times, 0.01 * np.arange(9))
    np.testing.assert_allclose(u[1, :, 0], 0.01 * (1 - x[:, 1]), atol=1e-3)  # before any wall
    assert np.abs(u[..., 1] - frames.point["uy_truth"]).max() < 0.1 * t.max()
    code, out, err = call(*wanted, "-o", "r.pvd")
    assert code == 0 and "a frame" not in out and "9 times" in out, err


def test_pictures_of_a_march_are_few(call, tmp_path, body_model, monkeypatch):
    """One frame for a .png, at most 60 for a .gif, of the body where it is, coloured by its error
    where there is a truth."""
    from meshgnn import viz

    seen = []
    monkeypatch.setattr(viz, "plot", lambda what, **more: seen.append((what, more)))
    (tmp_path / "p.toml").write_text(THROWN)
    write("s.msh", square())
    wanted = ("rollout", body_model, "s.msh", "-p", "p.toml", "--picture", "r.gif", "-o", "r.pvd")
    assert call(*wanted, "--steps", 70)[0] == 0
    assert call(*wanted, "--steps", 3, "--truth")[0] == 0
    (long, places), (short, more) = seen
    assert len(long.times) == 60 and long.times[-1] == pytest.approx(0.7)
    np.testing.assert_allclose(places["points"], long.mesh.points + long.u)
    assert short.names["u"] == ["distance to finite elements"] and more["truth"] is None
    assert short.u.shape == (4, 81, 1) and short.u[0].max() == 0 < short.u[-1].max()


def test_a_mesh_without_a_problem_file(call, tmp_path, body_model):
    (tmp_path / "p.toml").write_text(THROWN)
    write("s.msh", square())
    for more, message in (
        (("s.msh", "-o", "r.pvd"), "s.msh must be a sample .* -p problem.toml"),
        (("s.vtkhdf", "-o", "r.pvd", "--truth"), "s.vtkhdf must be a sample .* -p problem.toml"),
        (("s.msh", "-o", "r.vtu", "-p", "p.toml"), "states of a march to r.vtu; take .vtkhdf or"),
        (("s.msh", "-o", "r.pvd", "-p", "p.toml", "--dt", 0.02), "trained with time steps of 0.01"),
    ):
        code, _, err = call("rollout", body_model, *more, "--steps", 2)
        assert code == 1 and re.search(message, err), err


def test_a_body_that_blows_up_keeps_its_file(call, tmp_path, body_model, monkeypatch):
    (tmp_path / "p.toml").write_text(THROWN)
    write("s.msh", square())
    monkeypatch.setattr(MODELS["GIOROM"], "forward", lambda self, g: 1e4 * (g.u[:, -1:] + 1))
    wanted = ("rollout", body_model, "s.msh", "-p", "p.toml", "--steps", 5, "-o", "r.vtkhdf")
    code, _, err = call(*wanted)
    assert code == 1 and "r.vtkhdf holds the states before it" in err
    assert len(read_frames("r.vtkhdf").times) < 5


def test_rollout_of_a_field_from_a_mesh(call, tmp_path):
    """Any problem in time that says how it begins: the file grows, and is a sample again."""
    (tmp_path / "p.toml").write_text(
        'problem = "Heat"\ntimes = {to = 0.1, steps = 5}\ninitial = "sin(pi*x)"\n'
        "[dirichlet]\nwall = 0.0\n"
    )
    write("s.msh", square())
    sample = problem_from(tmp_path / "p.toml").solve(square())
    shape = {"inputs": sample.inputs.shape[1], "history": 1}
    model = MODELS["MeshGraphNet"](**shape, width=8, blocks=2)
    model.fit_statistics(list(MeshDataset([sample], history=1)))
    save(model, "r.pt")
    wanted = ("rollout", "r.pt", "s.msh", "-p", "p.toml", "--steps", 3)
    code, out, err = call(*wanted, "-o", "r.vtkhdf")
    assert code == 0 and "3 steps to t = 0.06 s" in out, err
    assert Sample.load("r.vtkhdf").u.shape == (4, 81, 1)
    code, out, err = call(*wanted, "-o", "r.pvd", "--truth")
    assert code == 0 and "frozen" in out and "ballistic" not in out, err


def test_list(call):
    code, out, _ = call("list")
    assert code == 0
    for name in ("MeshGraphNet", "Poisson", "l_shape"):
        assert name in out
    assert call("--version")[:2] == (0, f"meshgnn {__version__}\n")


def test_bench(call, monkeypatch, tmp_path):
    """Settings go in, rows come out as a table and as a file (the figures: test_benchmark.py)."""
    from meshgnn import benchmark

    heads = ("forward_ms", "floor_forward_ms", "train_ms", "floor_train_ms", "train_ratio")
    row = {"nodes": 500, "form": "split", "peak_mb": 1.0, "difference": 0.0}
    row |= dict.fromkeys(heads, 12.5)
    asked = {}
    monkeypatch.setattr(benchmark, "core", lambda **settings: asked.update(settings) or [row])
    path = tmp_path / "core.json"
    code, out, _ = call("bench", "core", "--nodes", 500, "--width", 16, "-o", path)
    assert code == 0 and "split" in out and "12.5" in out
    assert asked == {"nodes": (500,), "width": 16, "blocks": 15, "repeats": 5}
    assert json.loads(path.read_text()) == [row]
    code, _, err = call("bench", "core", "--nodes", 0)
    assert code == 2 and "'--nodes'" in err


def test_errors_are_one_line(call, tmp_path):
    """Exit code 1 for the data, 2 for the usage; the traceback only with --debug."""
    code, _, err = call("info", "none.msh")
    assert code == 1 and err.startswith("error: ") and err.count("\n") == 1 and "none.msh" in err
    code, _, err = call("predict", "none.pt", "none.msh")
    assert code == 2 and "--problem" in err and err.count("\n") == 1
    assert call("solve")[0] == 2
    with pytest.raises(FileNotFoundError):
        main(["--debug", "info", "none.msh"])
    write("s.msh", square())
    problem = tmp_path / "p.toml"
    problem.write_text('problem = "Poisson"\n[dirichlet]\nleft = 0.0\n')
    code, _, err = call("predict", steady_model(tmp_path), "s.msh", "-p", problem, "-o", "u.vtu")
    assert code == 1 and "have no condition" in err and not (tmp_path / "u.vtu").exists()


def test_targets_are_checked_before_the_work(call, tmp_path):
    """No file is read and nothing is measured when the result has no folder to go to."""
    wanted = ("predict", "none.pt", "none.msh", "-p", "none.toml", "-o")
    for arguments, message in (
        ((*wanted, "u.vtu", "--picture", "no/p.png"), "cannot write the picture no/p.png"),
        ((*wanted, "no/u.vtu"), "cannot write no/u.vtu: there is no folder no"),
        ((*wanted, tmp_path), "it is a folder; give a file name"),
        (("rollout", "none.pt", "none.vtkhdf", "--steps", 1, "-o", "no/r.pvd"), "no folder no"),
        (("bench", "core", "-o", "no/x.json"), "cannot write no/x.json: there is no folder no"),
    ):
        code, _, err = call(*arguments)
        assert code == 1 and message in err, err
    assert not list(tmp_path.iterdir())


def test_unexpected_errors_and_interrupts(call, monkeypatch):
    from meshgnn.cli import inspection

    def broken(*_: object) -> None:
        raise RuntimeError("two\nlines")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    write("s.msh", square())
    monkeypatch.setattr(inspection, "_groups", broken)
    assert call("info", "s.msh")[::2] == (1, "error: RuntimeError: two lines; see --debug\n")
    monkeypatch.setattr(inspection, "_groups", interrupted)
    assert call("info", "s.msh")[::2] == (130, "interrupted\n")


def test_warnings_are_one_line(call):
    points = np.array([[0.0, 0], [1, 0], [0, 1], [9, 9]])
    points = np.pad(points, ((0, 0), (0, 1)))
    import meshio

    meshio.Mesh(points, {"triangle": np.array([[0, 1, 2]])}).write("w.vtk")
    code, _, err = call("info", "w.vtk")
    assert code == 0 and err.startswith("warning: ") and "1" in err
