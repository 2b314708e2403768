"""Workers that die, are too many deaths or have no room on disk; the samples are the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inline_workers import Died, InlineEngine

from meshgnn.sample import Sample
from meshgnn.simulate import draw_sample, simulate, workers
from meshgnn.simulate.workers import Workers, answers


def square(x: int) -> int:
    return x * x


def engine_of(dying: set[int], all_die: bool = False) -> type[InlineEngine]:
    return type("Some", (InlineEngine,), {"dying": frozenset(dying), "all_die": all_die})


@pytest.mark.parametrize("all_die", [False, True])
def test_every_call_is_answered_once_whoever_dies(monkeypatch, all_die) -> None:
    """Where one worker is lost and where all are lost with it."""
    monkeypatch.setattr(workers, "LokyEngine", engine_of({1, 3, 4, 9, 17}, all_die))
    calls = ((i, (i,)) for i in range(20))
    found = list(answers(square, calls, 2, "joblib"))
    assert sorted(found) == [(i, i * i) for i in range(20)]


def test_a_call_that_kills_its_worker_is_given_up(monkeypatch) -> None:
    monkeypatch.setattr(workers, "LokyEngine", engine_of(set(range(50))))
    pool: Workers[str] = Workers(square, 1)
    with pool:
        pool.submit("000007", 7)
        assert pool.pending == 1 and pool.collect(wait=False) == []
        with pytest.raises(RuntimeError, match="computed sample 000007 was killed 4 times") as info:
            pool.collect()
        with pytest.raises(ValueError, match="a call with the key '000007' is pending"):
            pool.submit("000007", 7)
    assert isinstance(info.value.__cause__, Died) and pool._engine.closed


class Broken(InlineEngine):
    """As processes of one machine: all calls that are there die with a guilty one."""

    guilty = 0
    deaths = 0  # of it, after which it is answered
    together: list[int] = []

    def done(self, futures: list[Any], wait: bool) -> list[Any]:
        self.together.append(len(futures))
        self.dies = self.deaths > 0 and self.guilty in [self.calls[f][0] for f in futures]
        return futures if self.dies else futures[:1]

    def result(self, future: Any) -> Any:
        if self.dies:
            raise Died("no answer")
        return super().result(future)

    def restart(self) -> bool:
        type(self).deaths -= 1
        return True


def broken(monkeypatch, guilty: int, deaths: int) -> type[Broken]:
    own = {"guilty": guilty, "deaths": deaths, "together": []}
    monkeypatch.setattr(workers, "LokyEngine", type("Some", (Broken,), own))
    return workers.LokyEngine


@pytest.mark.parametrize("guilty", [0, 3, 7, 11])
def test_the_call_that_kills_is_named_and_no_other(monkeypatch, guilty) -> None:
    broken(monkeypatch, guilty, 100)
    calls, found = ((i, (i,)) for i in range(12)), []
    with pytest.raises(RuntimeError, match=f"computed sample {guilty} was killed 4 times"):
        found.extend(answer for answer in answers(square, calls, 2, "joblib"))
    assert all(i != guilty and answer == i * i for i, answer in found)


def test_suspects_are_computed_one_by_one(monkeypatch) -> None:
    """Three deaths of eight calls; then eight alone, and as many as before afterwards."""
    engine = broken(monkeypatch, 5, 3)
    calls = ((i, (i,)) for i in range(20))
    assert sorted(answers(square, calls, 2, "joblib")) == [(i, i * i) for i in range(20)]
    assert engine.together[:11] == [8] * 3 + [1] * 8 and max(engine.together[11:]) == 8


def kill_at_three(i: int) -> int:
    time.sleep(0.05)
    if i == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return i


@pytest.mark.many
def test_a_guilty_call_among_processes_is_named() -> None:
    calls = ((i, (i,)) for i in range(8))
    with pytest.raises(RuntimeError, match="computed sample 3 was killed 4 times"):
        list(answers(kill_at_three, calls, 2, "joblib"))


def test_errors_of_a_call_are_raised_as_they_are(monkeypatch) -> None:
    monkeypatch.setattr(workers, "LokyEngine", engine_of(set()))
    with pytest.raises(ZeroDivisionError):
        list(answers(lambda x: 1 // x, [(0, (0,))], 1, "joblib"))


def test_unknown_engines_and_no_jobs_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown engine 'mpi'; choose one of joblib, ray"):
        simulate("Poisson", "interval", 1, tmp_path, engine="mpi")
    with pytest.raises(ValueError, match="unknown engine 'mpi'"):
        Workers(square, 1, "mpi")
    with pytest.raises(ValueError, match="expected jobs of at least 1, got 0"):
        Workers(square, 0)


def test_without_ray_it_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'meshgnn\[ray\]', or take engine='joblib'"):
        Workers(square, 1, "ray")


def suicidal(folder: str) -> Any:
    """A family that kills one of its processes after two samples."""

    def family(rng: np.random.Generator) -> Any:
        from meshgnn.geometry.domains import FAMILIES  # checked functions travel by name only

        mesh = FAMILIES["interval"](rng, size=0.2)
        place = Path(folder)
        if len(list(place.glob("call_*"))) >= 2 and not (place / "killed").exists():
            (place / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (place / f"call_{rng.integers(2**40)}").touch()
        return mesh

    return family


@pytest.mark.many
def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    """Six samples on two processes, one of which is killed: those of one process."""
    marks = tmp_path / "marks"
    marks.mkdir()
    family = suicidal(str(marks))
    paths = simulate("Poisson", family, 6, tmp_path / "out", jobs=2, progress=False)
    assert (marks / "killed").exists()
    for i, path in enumerate(paths):
        np.testing.assert_array_equal(Sample.load(path).u, draw_sample("Poisson", family, 0, i).u)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.many
def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    """Files may have no more than 4 kB; with more, the run goes on."""
    code = (
        "import resource, sys; from meshgnn.simulate import simulate;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY));"
        "simulate('Poisson', 'interval', 2, sys.argv[1], jobs=1, progress=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "000000.vtkhdf: File too large. The samples in the folder are whole" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert len(simulate("Poisson", "interval", 2, tmp_path, jobs=1, progress=False)) == 2
