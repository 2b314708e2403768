"""`simulate`: seeded by index, resumable, islands drawn again, nothing written half."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from mesh_builders import box, cells_of_box
from threadpoolctl import threadpool_limits

from meshgnn.mesh import Mesh
from meshgnn.problems import Poisson
from meshgnn.sample import Sample
from meshgnn.simulate import draw_sample, simulate


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


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown family 'moebius'; the families are interval,"):
        simulate("Poisson", "moebius", 1, tmp_path)
    with pytest.raises(ValueError, match="unknown problem 'Stokes'; the problems are Poisson,"):
        simulate("Stokes", "interval", 1, tmp_path)
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
    with pytest.raises(FileExistsError):
        simulate("Poisson", "interval", 1, tmp_path / "manifest.json")
