"""What decoders refuse, with its remedy."""

import numpy as np
import pytest
import torch

from meshgnn.decoders import (
    gappy_modes,
    inverse_distance,
    local_rbf,
    moving_least_squares,
    nearest_source,
)

POINTS = np.random.default_rng(0).random((60, 3))
SOURCES = np.arange(20)
ALL = [nearest_source, inverse_distance, moving_least_squares, local_rbf]


@pytest.mark.parametrize("fit", ALL)
def test_sources_that_are_none_are_refused(fit) -> None:
    broken = POINTS.copy()
    broken[25] = np.nan
    with pytest.raises(ValueError, match="1 queries are NaN or infinite, first 25"):
        fit(broken, SOURCES)
    with pytest.raises(ValueError, match="1 sources are NaN or infinite, first 5"):
        fit(POINTS, broken[20:40])
    with pytest.raises(ValueError, match="indices of sources from 0 to 59, got 3 to 60"):
        fit(POINTS, np.array([3, 60, 4, 5, 6]))
    with pytest.raises(ValueError, match="2 sources are at the place of another, the first is 0"):
        fit(POINTS, np.array([7, 3, 9, 4, 12, 7]))
    with pytest.raises(ValueError, match="sources must be of the same body, in one unit"):
        fit(1000 * POINTS, POINTS[:20])
    with pytest.raises(ValueError, match=r"at least \d sources in 3 dimensions, got \[0, 3\]"):
        fit(POINTS, SOURCES[:0])


@pytest.mark.parametrize("fit", ALL[2:])
def test_sources_that_show_no_slope_are_refused(fit) -> None:
    with pytest.raises(ValueError, match=r"at least 4 sources in 3 dimensions, got \[3, 3\]"):
        fit(POINTS, SOURCES[:3])
    flat = POINTS[:20] * [1, 1, 0] + [0, 0, 0.5]
    with pytest.raises(ValueError, match="lie in a plane .* or use inverse_distance"):
        fit(POINTS, flat)
    assert inverse_distance(POINTS, flat)(flat).shape == (60, 3)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 neighbour, got 0"):
        inverse_distance(POINTS, SOURCES, 0)
    with pytest.raises(ValueError, match="at least 4 neighbours in 3 dimensions, got 3"):
        moving_least_squares(POINTS, SOURCES, 3)
    bad = [{"neighbours": 3}, {"power": 2.0}, {"power": 4.0}, {"nugget": -0.1}, {"fade": -1.0}]
    for wrong in bad:
        with pytest.raises(ValueError, match="local_rbf: expected at least 4 neighbours in 3 dim"):
            local_rbf(POINTS, SOURCES, **wrong)


def test_values_of_other_sources_are_refused_and_nan_stays_where_it_is() -> None:
    decode = local_rbf(POINTS, SOURCES, 8)
    for values in (np.zeros((19, 3)), torch.zeros(5, 21, 1), np.zeros(20)):
        with pytest.raises(ValueError, match=r"values \[..., 20, C\] of its 20 sources, got \["):
            decode(values)
    modes = gappy_modes(np.stack([POINTS, POINTS**2]), SOURCES)
    for whole in (np.ones((20, 3), int), torch.ones(20, 3, dtype=torch.int64)):
        for fitted in (decode, modes):
            with pytest.raises(ValueError, match="expected values in floating point, got .*int64"):
                fitted(whole)
    values = np.ones((20, 1))
    values[4] = np.nan
    reached = (decode.index == 4).any(axis=1)
    for found in (decode(values), decode(torch.tensor(values)).numpy()):
        np.testing.assert_array_equal(np.isnan(found[:, 0]), reached)


def test_snapshots_that_hold_no_modes_are_refused() -> None:
    data = np.random.default_rng(0).normal(size=(5, 60, 3))
    with pytest.raises(ValueError, match="expected at least 2 snapshots, .* got 1, 32 and None"):
        gappy_modes(data[:1], SOURCES)
    with pytest.raises(ValueError, match="rank >= 1 and ridge >= 0, got 5, 0 and -1"):
        gappy_modes(data, SOURCES, 0, -1.0)
    with pytest.raises(ValueError, match="sources from 0 to 59, got"):
        gappy_modes(data, SOURCES + 45)
    with pytest.raises(ValueError, match="snapshots are alike"):
        gappy_modes(np.ones((5, 60, 3)), SOURCES)
    data[2, 2] = np.inf
    with pytest.raises(ValueError, match="snapshots hold NaN"):
        gappy_modes(data, SOURCES)
    decode = gappy_modes(np.random.default_rng(1).normal(size=(5, 60, 3)), SOURCES)
    with pytest.raises(ValueError, match=r"values \[..., 20, C\]"):
        decode(np.zeros((21, 3)))
