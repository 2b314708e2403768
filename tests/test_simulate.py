"""`simulate`: seeded by index, resumable, islands drawn again, nothing written half."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mesh_builders import box, cells_of_box
from threadpoolctl import threadpool_limits

from meshgnn.geometry.domains import FAMILIES, redrawn
from meshgnn.mesh import Mesh
from meshgnn.metrics import relative_l2
from meshgnn.problems import Poisson
from meshgnn.sample import Sample
from meshgnn.simulate import draw_sample, simulate
from meshgnn.simulate.manifest import name_of


def interval_or_square(rng: np.random.Generator) -> Mesh:
    """A square mesh moved a little, or, for one draw in three, one that falls into two pieces."""
    points, cells = cells_of_box("triangle", 3)
    if rng.random() < 1 / 3:
        points = np.concatenate([points, points + 3])
        cells = {"triangle": np.concatenate([cells["triangle"], cells["triangle"] + 20])}
    return Mesh(points * rng.uniform(0.5, 1), cells)


def never(rng: np.random.Generator) -> Mesh:
    points, cells = cells_of_box("triangle", 1)
    return Mesh(points, {"triangle": cells["triangle"][:, ::-1]})


def contents(folder: Path) -> dict[str, list[bytes]]:
    """Every array of every sample, bit for bit, and its settings."""
    result = {}
    for path in sorted(folder.glob("*.vtkhdf")):
        sample = Sample.load(path)
        boundary = [getattr(sample.boundary, f.name) for f in fields(sample.boundary)]
        arrays = [
            sample.mesh.points,
            *sample.mesh.cells.values(),
            sample.u,
            sample.inputs,
            *boundary,
        ]
        for group in sample.mesh.groups.values():
            arrays += group.cells.values()
        arrays += boundary
        kept = json.dumps([sample.meta, list(sample.mesh.groups)]).encode()
        result[path.name] = [kept, *(array.tobytes() for array in arrays)]
    return result


def test_files_depend_on_seed_and_index_only(tmp_path: Path) -> None:
    """One process or two, at once or in parts, a longer run: bit for bit the same samples."""
    families = ["interval", "cut_square"]
    options = {"seed": 3, "size": 0.2, "progress": False, "neumann": 0.2}
    one = simulate("Poisson", families, 6, tmp_path / "one", jobs=1, **options)
    simulate("Poisson", families, 6, tmp_path / "two", jobs=2, **options)
    simulate("Poisson", families, 2, tmp_path / "parts", jobs=1, **options)
    simulate("Poisson", families, 6, tmp_path / "parts", jobs=1, **options)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "parts")
    assert [path.name for path in one] == [f"{i:06d}.vtkhdf" for i in range(6)]
    samples = [Sample.load(path) for path in one]
    assert [s.meta["family"] for s in samples] == families * 3
    assert [s.mesh.dim for s in samples] == [1, 2] * 3
    again = draw_sample("Poisson", "cut_square", 3, 1, 0.2, neumann=0.2)
    np.testing.assert_array_equal(again.u, samples[1].u)
    other = draw_sample("Poisson", "cut_square", 4, 1, 0.2, neumann=0.2)
    assert other.u.shape != again.u.shape or np.abs(other.u - again.u).max() > 0


def test_existing_files_are_kept_and_missing_ones_come_out_the_same(tmp_path: Path) -> None:
    paths = simulate(Poisson, interval_or_square, 4, tmp_path, jobs=1, progress=False)
    before = contents(tmp_path)
    kept = paths[0].stat().st_mtime_ns
    paths[2].unlink()
    simulate(Poisson, interval_or_square, 4, tmp_path, jobs=1, progress=False)
    assert contents(tmp_path) == before
    assert paths[0].stat().st_mtime_ns == kept


def test_a_killed_run_goes_on_to_identical_files(tmp_path: Path) -> None:
    """SIGKILL in the middle leaves whole files only; the resumed run equals an undisturbed one."""
    code = (
        "import sys; from meshgnn.simulate import simulate;"
        "simulate('Poisson', 'interval', 400, sys.argv[1], jobs=1, progress=False)"
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([sys.executable, "-c", code, str(killed)])
    deadline = time.monotonic() + 60
    while len(list(killed.glob("0*.vtkhdf"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (killed / ".000099.0123abcd.vtkhdf").write_bytes(b"half")
    written = sorted(killed.glob("0*.vtkhdf"))
    assert 5 <= len(written) < 400
    for path in written:
        Sample.load(path)
    count = len(written) + 3
    simulate("Poisson", "interval", count, killed, jobs=1, progress=False)
    simulate("Poisson", "interval", count, whole, jobs=1, progress=False)
    names = {path.name for path in killed.glob("0*.vtkhdf")}
    assert not list(killed.glob(".*"))
    assert {n: contents(killed)[n] for n in names} == {n: contents(whole)[n] for n in names}


def test_islands_are_drawn_again_and_counted(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"\d+ draws gave no valid sample .* for \d+ of 12 samples"
    ):
        paths = simulate(Poisson, interval_or_square, 12, tmp_path, jobs=1, progress=False)
    samples = [Sample.load(path) for path in paths]
    assert all(s.mesh.num_nodes == 20 for s in samples)
    redrawn = [s.meta["redrawn"] for s in samples]
    assert 0 < sum(redrawn) < 20
    assert redrawn == [
        draw_sample(Poisson, interval_or_square, 0, i).meta["redrawn"] for i in range(12)
    ]


def test_large_residuals_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = Poisson.solve, []

    def solve(self: Poisson, mesh: Mesh, order: int = 1) -> Sample:
        calls.append(mesh)
        if len(calls) == 1:
            raise np.linalg.LinAlgError("the solution has relative residual 1e-4")
        return real(self, mesh, order)

    monkeypatch.setattr(Poisson, "solve", solve)
    assert draw_sample("Poisson", "interval", 0, 0).meta["redrawn"] == 1


def test_the_number_of_threads_does_not_enter() -> None:
    """Bit for bit, on a system whose matrix products are large enough to be shared out."""
    fields = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fields.append(draw_sample("Poisson", lambda rng: box("triangle", 90), 0, 0).u)
    np.testing.assert_array_equal(*fields)


def test_label_error_is_of_order_two() -> None:
    """The distance of the P1 labels to P2 on the same mesh falls like h² under refinement."""
    found = []
    for n in (4, 8, 16):
        sample = draw_sample("Poisson", lambda rng, n=n: box("triangle", n), 0, 0, label_error=True)
        found.append(sample.label_error)
    assert 1e-4 < found[-1] < 0.05
    assert np.log2(found[-2] / found[-1]) == pytest.approx(2, abs=0.4)
    assert draw_sample("Poisson", "interval", 0, 0).label_error is None


def test_a_problem_may_be_a_function_of_the_mesh(tmp_path: Path) -> None:
    def heated(mesh: Mesh, rng: np.random.Generator, power: float) -> Poisson:
        return Poisson(power * rng.uniform(1, 2), dirichlet={"*": 0.0})

    paths = simulate(
        heated, lambda rng: box("quad", 3), 2, tmp_path, jobs=2, progress=False, power=3.0
    )
    for path in paths:
        assert 3 <= Sample.load(path).inputs[:, 0].min() <= 6


@dataclass(frozen=True)
class Grid:
    """A family with a setting; `build` is one as well."""

    cells: int

    def __call__(self, rng: np.random.Generator) -> Mesh:
        return box("quad", self.cells)

    def build(self, rng: np.random.Generator) -> Mesh:
        return self(rng)


def of_size(n: int):
    return lambda rng: box("quad", n)


def sized(rng: np.random.Generator, n: int) -> Mesh:
    return box("quad", n)


def scaled(mesh: Mesh, rng: np.random.Generator, law, **others) -> Poisson:
    return Poisson(law(rng.uniform(1, 2)), dirichlet={"*": 0.0})


def twice(x: float) -> float:
    return 2 * x


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FAMILIES["cut_square"], FAMILIES["l_shape"]),
        (FAMILIES["interval"], FAMILIES["bracket"]),
        (lambda rng: box("quad", 2), lambda rng: box("quad", 3)),
        (lambda rng, n=2: box("quad", n), lambda rng, n=3: box("quad", n)),
        (of_size(2), of_size(3)),
        (partial(sized, n=2), partial(sized, n=3)),
        (Grid(2), Grid(3)),
        (Grid(2).build, Grid(3).build),
        (redrawn(partial(sized, n=2)), redrawn(partial(sized, n=3))),
    ],
)
def test_another_family_is_another_run(one, other, tmp_path: Path, monkeypatch) -> None:
    """Also of those without a name of their own: the manifest tells them apart."""
    monkeypatch.setattr(sys.modules["meshgnn.simulate.run"], "_run", lambda *_: [])
    simulate("Poisson", one, 1, tmp_path)
    simulate("Poisson", one, 1, tmp_path)
    with pytest.raises(ValueError, match=r"holds samples of another run \(family: "):
        simulate("Poisson", other, 1, tmp_path)


def test_families_have_names() -> None:
    assert [name_of(family).split(".")[-1] for family in FAMILIES.values()] == list(FAMILIES)
    assert re.fullmatch(
        r"test_simulate.of_size.<locals>.<lambda> \(anonymous, [0-9a-f]{8}\)", name_of(of_size(2))
    )
    assert name_of(of_size(2)) == name_of(of_size(2))
    assert name_of(Grid(2)) == "test_simulate.Grid(cells=2)"
    assert name_of(object()) == "builtins.object"


def test_options_that_are_functions_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Called by name, at any depth; the repr of a function is its address."""
    code = (
        "import sys; from test_simulate import *;"
        "options = dict(law=twice, more={'a': [twice, (Poisson,)]}, names={'x', 'y', 'z'});"
        "simulate(scaled, lambda rng: box('quad', 2), int(sys.argv[2]), sys.argv[1], jobs=1,"
        " progress=False, **options)"
    )
    for count in ("1", "2"):
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), count],
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": count},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    options = json.loads((tmp_path / "manifest.json").read_text())["options"]
    assert options == {
        "law": "test_simulate.twice",
        "more": "{'a': [test_simulate.twice, (meshgnn.problems.poisson.Poisson)]}",
        "names": "{'x', 'y', 'z'}",
    }
    assert len(list(tmp_path.glob("*.vtkhdf"))) == 2
    with pytest.raises(
        ValueError, match=r"another run \(.*'test_simulate.twice'.* is now .*lambda"
    ):
        simulate(scaled, "interval", 1, tmp_path, law=lambda x: x)


def test_labels_of_second_order(tmp_path: Path) -> None:
    """order=2 gives the P2 solution at the nodes of the same mesh; P1 runs are what they were."""
    (path,) = simulate(
        "Poisson", "l_shape", 1, tmp_path, seed=3, size=0.2, order=2, jobs=1, progress=False
    )
    finer, coarse = (
        Sample.load(path),
        draw_sample("Poisson", "l_shape", 3, 0, 0.2, label_error=True),
    )
    assert np.array_equal(finer.mesh.points, coarse.mesh.points)
    distance = relative_l2(coarse.u, finer.u, coarse.mesh.lumped_mass)
    assert distance == pytest.approx(coarse.label_error, rel=1e-6) and distance > 1e-3
    assert json.loads((tmp_path / "manifest.json").read_text())["order"] == 2
    assert finer.meta["order"] == 2 and "order" not in coarse.meta


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="label_error is the distance of P1 labels to P2, and or"):
        simulate("Poisson", "interval", 1, tmp_path, order=2, label_error=True)
    with pytest.raises(ValueError, match="draw_sample: label_error is the distance of P1 labels"):
        draw_sample("Poisson", "interval", 0, 0, order=2, label_error=True)
    with pytest.raises(ValueError, match="unknown family 'moebius'; the families are interval,"):
        simulate("Poisson", "moebius", 1, tmp_path)
    with pytest.raises(ValueError, match="unknown problem 'Stokes'; the problems are Poisson,"):
        simulate("Stokes", "interval", 1, tmp_path)
    with pytest.raises(ValueError, match="at least one family; the families are interval,"):
        simulate("Poisson", [], 1, tmp_path)
    with pytest.raises(ValueError, match="expected n of at least 1, got 0"):
        simulate("Poisson", "interval", 0, tmp_path)
    assert not list(tmp_path.iterdir())
    simulate("Poisson", "interval", 1, tmp_path, jobs=1, progress=False)
    with pytest.raises(
        ValueError, match=r"another run \(seed: 0 is now 5\); choose another folder"
    ):
        simulate("Poisson", "interval", 1, tmp_path, seed=5)
    assert json.loads((tmp_path / "manifest.json").read_text())["seed"] == 0
    with pytest.raises(ValueError, match="20 draws of .*never gave no valid .* inverted"):
        draw_sample("Poisson", never, 0, 0)
    with pytest.raises(TypeError, match="colour"):
        draw_sample("Poisson", "interval", 0, 0, colour="red")
    manifest = tmp_path / "manifest.json"
    with pytest.raises(FileExistsError, match="expected a folder for the samples, got the file"):
        simulate("Poisson", "interval", 1, manifest)
    for text in ("{half", "[]"):
        manifest.write_text(text)
        with pytest.raises(ValueError, match=r"manifest.json is damaged \(.*; choose another"):
            simulate("Poisson", "interval", 1, tmp_path)
