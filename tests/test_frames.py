"""`Frames`: which arrays fit a mesh and its times."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sample_builders import square

from meshgnn.frames import Frames


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"point": {"u": np.zeros(3)}}, r"point array 'u': expected shape [16] or [16, comp"),
        ({"cell": {"c": np.zeros((2, 3))}}, r"cell array 'c': expected shape [12] or"),
        ({"point": {"u": np.full(16, np.nan)}}, r"point array 'u': 16 values are NaN or infinite"),
        ({"point": {"u": np.zeros(16, complex)}}, r"expected real numbers, got dtype complex128"),
        ({"times": np.array([0.0, 0.0])}, r"times: expected ascending numbers"),
        ({"times": np.arange(2.0), "points": np.zeros((2, 16, 3))}, r"points: expected [T, N, d]"),
        ({"times": np.arange(2.0), "point": {"u": np.zeros((3, 16))}}, r"or [2, 16, ...] over"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(change, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        replace(Frames(square()), **change)


def test_half_precision_and_booleans_become_what_files_hold():
    mesh = square()
    frames = Frames(mesh, {"h": np.ones(16, np.float16), "b": np.ones(16, bool)})
    assert [a.dtype for a in frames.point.values()] == [np.float64, np.uint8]


def test_at_takes_one_time():
    mesh, times = square(), np.array([0.0, 0.5, 2.0])
    points = mesh.points + times[:, None, None]
    u = np.arange(3.0)[:, None] * np.ones(16)
    frames = Frames(mesh, {"u": u, "s": u[0]}, {"c": np.zeros((3, 12, 2))}, times, points)
    np.testing.assert_array_equal(frames.mesh.points, points[0])
    state = frames.at(1)
    np.testing.assert_array_equal(state.mesh.points, points[1])
    np.testing.assert_array_equal(state.point["u"], 1)
    assert state.point["s"].shape == (16,) and state.cell["c"].shape == (12, 2)
    assert state.times is None and state.points is None
    assert list(state.mesh.groups) == list(mesh.groups)
