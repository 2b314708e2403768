"""Rollouts into a file that are interrupted: what is there can be read, and the next call works."""

import sys
from pathlib import Path

import numpy as np
import pytest
from test_rollout_long import Turn, free, opened

from meshgnn.marching import rollout
from meshgnn.sample import Sample
from meshgnn.vtkhdf import appending, growing

STEPS = 7


class Stopped(Turn):
    """Ends with an error in its sixth call."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def forward(self, graph):
        if len(self.seen) == 5:
            raise self.error
        return super().forward(graph)


@pytest.fixture
def twos(monkeypatch) -> None:
    """States are written two at a time."""
    monkeypatch.setattr(sys.modules["meshgnn.marching.rollout"], "_AT_ONCE", 2)


def states(path: Path) -> int:
    """Number of states, which this package and VTK find and which are those of a whole march."""
    found, whole = Sample.load(path), rollout(Turn(), free(), STEPS, dt=0.1)
    count = len(found.u)
    np.testing.assert_array_equal(found.u, whole.u[:count])
    np.testing.assert_array_equal(found.times, whole.times[:count])
    assert opened(path).GetNumberOfSteps() == count
    return count


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_a_model_that_stops_leaves_the_states_before(tmp_path, twos, error) -> None:
    """Of five states the fifth waited to be written with the sixth; the same call does it all."""
    path = tmp_path / "u.vtkhdf"
    with pytest.raises(type(error)):
        rollout(Stopped(error), free(), STEPS, dt=0.1, path=path)
    assert states(path) == 1 + 4
    rollout(Turn(), free(), STEPS, dt=0.1, path=path)
    assert states(path) == 1 + STEPS and [p.name for p in tmp_path.iterdir()] == ["u.vtkhdf"]


@pytest.mark.parametrize("resized", [False, True])
def test_an_interrupted_addition_is_taken_back(tmp_path, twos, monkeypatch, resized) -> None:
    """Wherever it stops: before or after the room for the next rows of any array is made."""
    path, real, left = tmp_path / "u.vtkhdf", appending._extend, 0

    def extend(data, rows):
        nonlocal left
        left -= 1
        if left < 0:
            if resized:
                data.resize(len(data) + len(rows), axis=0)
            raise KeyboardInterrupt
        real(data, rows)

    monkeypatch.setattr(appending, "_extend", extend)
    counts = []
    for stop in range(18):
        left = stop
        with pytest.raises(KeyboardInterrupt):
            rollout(Turn(), free(), STEPS, dt=0.1, path=path)
        counts.append(states(path))
    assert counts == sorted(counts) and [*dict.fromkeys(counts)] == [1, 3, 5]


def full(data, rows) -> None:
    data.resize(len(data) + len(rows), axis=0)
    raise OSError("no space left on device")


def test_a_file_can_go_on_after_an_interrupted_addition(tmp_path, monkeypatch) -> None:
    path, whole = tmp_path / "u.vtkhdf", rollout(Turn(), free(), STEPS, dt=0.1)
    sample = Sample(**{**vars(free()), "u": whole.u[:2], "times": whole.times[:2]})
    rows = {name: whole.u[2:, :, i] for i, name in enumerate("pq")}
    with growing(path, sample.frames()) as add:
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
            patch.setattr(appending, "_extend", full)
            add(whole.times[2:], rows)
        add(whole.times[2:], rows)
    assert states(path) == 1 + STEPS


def test_before_the_first_state_there_is_no_file_or_the_old_one(tmp_path, monkeypatch) -> None:
    path = tmp_path / "u.vtkhdf"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for before in ([], ["u.vtkhdf"]):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(appending, "_growable", interrupted)
            rollout(Turn(), free(), 3, dt=0.1, path=path)
        assert [p.name for p in tmp_path.iterdir()] == before
        rollout(Turn(), free(), STEPS, dt=0.1, path=path)
        assert states(path) == 1 + STEPS
