"""Decoders with weights known beforehand: what each reproduces, and where it is continuous."""

import time

import numpy as np
import pytest
import torch

from meshgnn.decoders import (
    gappy_modes,
    inverse_distance,
    local_rbf,
    local_slopes,
    moving_least_squares,
    nearest_source,
)
from meshgnn.decoders.linear import Fit
from meshgnn.graph.sampling import farthest_points

RNG = np.random.default_rng(0)


def faded(queries, sources):
    return local_rbf(queries, sources, neighbours=20, fade=0.05)


def cubic(queries, sources):
    return local_rbf(queries, sources, power=3.0)


ALL: list[Fit] = [nearest_source, inverse_distance, moving_least_squares, local_rbf, faded, cubic]
AFFINE = ALL[2:]
CONTINUOUS = [moving_least_squares, faded]


def body(dim: int, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Points of an oblong body and an eighth of them as sources."""
    points = RNG.random((count, dim)) * [3.0, 1.0, 0.5][:dim]
    return points, farthest_points(points, count // 8)


def smooth(x: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(2 * x[..., 0]), x[..., -1] ** 2 + np.cos(x[..., 0])], axis=-1)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("fit", AFFINE)
def test_rigid_and_affine_motions_are_reproduced(fit: Fit, dim: int) -> None:
    """x = c + A X at every point to 1e-10 in double, 1e-5 in single precision; in any unit, any
    place."""
    points, sources = body(dim)
    for scale, shift in ((1.0, 0.0), (1e-6, 0.0), (1e3, 1e4)):
        place = points * scale + shift
        decode = fit(place, sources)
        for matrix in (RNG.normal(size=(dim, dim)), np.linalg.qr(RNG.normal(size=(dim, dim)))[0]):
            image = points @ matrix + 1
            np.testing.assert_allclose(decode(image[sources]), image, atol=1e-10 * max(1, shift))
            single = decode(torch.tensor(image[sources], dtype=torch.float32))
            np.testing.assert_allclose(single, image, atol=1e-5)


@pytest.mark.parametrize("fit", ALL)
def test_translations_are_reproduced_and_sources_keep_their_values(fit: Fit) -> None:
    points, sources = body(3)
    decode = fit(points, sources)
    np.testing.assert_allclose(decode.weight.sum(axis=1), 1.0, atol=1e-12)
    u = smooth(points)
    np.testing.assert_allclose(decode(u[sources])[sources], u[sources], atol=1e-9)
    nugget = local_rbf(points, sources, nugget=0.1)
    assert 1e-3 < np.abs(nugget(u[sources])[sources] - u[sources]).max() < 0.1


@pytest.mark.parametrize("fit", CONTINUOUS)
def test_the_field_is_continuous_where_sources_come_and_go(fit: Fit) -> None:
    """Along a line, in steps of some 1e-3 of the spacing, no change is above 1 % of the range
    although neighbours are exchanged; and the slope is not 0: the query matters."""
    points, sources = body(2)
    start, end = np.array([0.4, 0.3]), np.array([0.6, 0.45])
    line = start + np.linspace(0, 1, 4001)[:, None] * (end - start)
    values = RNG.normal(size=(len(sources), 1))
    decode = fit(line, points[sources])
    exchanged = np.diff(np.sort(decode.index, axis=1), axis=0).any(axis=1).sum()
    change = np.abs(np.diff(decode(values)[:, 0]))
    assert exchanged >= 3
    assert change.max() < 1e-2 * np.ptp(values) and np.median(change) > 1e-9


def test_the_plain_interpolants_jump_there() -> None:
    """What the continuous ones are for: the others have changes that do not fall with the step."""
    points, sources = body(2)
    line = np.array([0.4, 0.3]) + np.linspace(0, 1, 4001)[:, None] * [0.2, 0.15]
    values = RNG.normal(size=(len(sources), 1))
    for fit in (nearest_source, inverse_distance, local_rbf):
        change = np.abs(np.diff(fit(line, points[sources])(values)[:, 0]))
        assert change.max() > 5 * np.quantile(change, 0.99)


@pytest.mark.parametrize(("fit", "rate"), [(moving_least_squares, 1.6), (local_rbf, 1.6)])
def test_errors_fall_with_the_square_of_the_spacing(fit: Fit, rate: float) -> None:
    points = RNG.random((4000, 2))
    u, errors = smooth(points), []
    for count in (100, 400):
        sources = farthest_points(points, count)
        errors.append(np.sqrt(np.mean((fit(points, sources)(u[sources]) - u) ** 2)))
    assert np.log2(errors[0] / errors[1]) > rate


def test_arrays_tensors_frames_and_gradients_agree() -> None:
    """[n, C], [T, n, C] and [S, T, n, C]; and the derivative in the values is the weights."""
    points, sources = body(3)
    decode = moving_least_squares(points, sources)
    frames = RNG.normal(size=(2, 3, len(sources), 2))
    dense = np.einsum("mn,stnc->stmc", decode.matrix.toarray(), frames)
    np.testing.assert_allclose(decode(frames), dense, atol=1e-12)
    values = torch.tensor(frames[0], requires_grad=True)
    np.testing.assert_allclose(decode(values).detach(), dense[0], atol=1e-12)
    np.testing.assert_allclose(decode(frames[0, 0]), dense[0, 0], atol=1e-12)
    decode(values)[0, 5, 1].backward()
    assert values.grad is not None
    np.testing.assert_allclose(values.grad[0, :, 1], decode.matrix.toarray()[5], atol=1e-14)
    assert decode(frames.astype(np.float32)).dtype == np.float32
    assert decode(values.float()).dtype == torch.float32


@pytest.mark.parametrize("fit", ALL)
def test_points_in_single_precision_far_away_and_none_at_all(fit: Fit) -> None:
    """Weights are those of the same points in double precision; no frames and no queries give
    empty fields."""
    points, sources = body(3, 200)
    single = (points + 100).astype(np.float32)
    weight = fit(single.astype(np.float64), sources).weight
    np.testing.assert_allclose(fit(single, sources).weight, weight, atol=1e-12)
    decode = fit(points, sources)
    assert decode(np.zeros((0, 25, 3))).shape == decode(torch.zeros(0, 25, 3)).shape == (0, 200, 3)
    assert fit(points[:0], points[sources])(points[sources]).shape == (0, 3)


def test_few_sources_lattices_and_sheets() -> None:
    """d + 1 sources give the affine map through them; equal distances, and sources of which the
    nearest lie in a plane, are no obstacle."""
    points = RNG.random((50, 3))
    corners = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    lattice = np.stack(np.meshgrid(*3 * [np.arange(5.0)]), -1).reshape(-1, 3)
    for fit in AFFINE:
        image = fit(points, corners)(corners @ np.ones((3, 1)))
        np.testing.assert_allclose(image[:, 0], points.sum(axis=1), atol=1e-10)
        centres = lattice[(lattice < 4).all(axis=1)] + 0.5
        np.testing.assert_allclose(fit(centres, lattice)(lattice), centres, atol=1e-9)
    sheet = np.concatenate([np.unique(lattice * [1, 1, 0], axis=0), [[2.0, 2.0, 30.0]]])
    for fit in (lambda x, s: moving_least_squares(x, s, 9), local_rbf):
        with pytest.warns(UserWarning, match="of 25 points lie in a plane or on a line"):
            decode = fit(sheet[:25] + [0.1, 0.1, 0.01], sheet)
        assert np.isfinite(decode.weight).all()
        image = decode(sheet[:, :2])
        np.testing.assert_allclose(image, sheet[:25, :2] + 0.1, atol=1e-9)


def test_modes_give_back_what_they_have_seen() -> None:
    """u = ū + Φ a from d points exactly while the rank is that of the data; the ridge keeps the
    amplitudes bounded where sources are few and disturbed."""
    x = np.linspace(0, 1, 200)
    shapes = np.stack([np.sin((k + 1) * np.pi * x) / (k + 1) for k in range(8)])[:, :, None]
    data = np.einsum("tk,knc->tnc", RNG.normal(size=(40, 8)), shapes)
    sources = np.arange(5, 200, 15)
    decode = gappy_modes(data, sources, rank=8, ridge=0.0)
    np.testing.assert_allclose(decode(data[:, sources]), data, atol=1e-5)
    tensor = torch.tensor(data[:3, sources])
    np.testing.assert_allclose(decode(tensor), data[:3], atol=1e-5)
    few = sources[:4]
    noisy = data[:, few] + 0.05 * RNG.normal(size=(40, 4, 1))
    errors = [
        np.linalg.norm(gappy_modes(data, few, 8, ridge)(noisy) - data) for ridge in (0.0, 0.05**2)
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < np.linalg.norm(data)


def test_modes_are_nearly_as_good_as_the_modes_can_be() -> None:
    """On fields that the snapshots do not span the error at a tenth of the points is within 10 % of
    the least one, |u − Φ Φᵀ u|, which sources everywhere have."""
    x = np.linspace(0, 1, 300)[:, None]
    fields = np.sin(RNG.uniform(0, 20, (60, 1, 1)) * x + RNG.uniform(0, 6, (60, 1, 1)))
    train, test = fields[:40], fields[40:]
    few, every = (
        np.linalg.norm(gappy_modes(train, sources, 5)(test[:, sources]) - test)
        for sources in (np.arange(5, 300, 10), np.arange(300))
    )
    mean = train.mean(axis=0)
    modes = np.linalg.svd((train - mean)[:, :, 0], full_matrices=False)[2][:5]
    rest = (test - mean)[:, :, 0]
    assert every == pytest.approx(np.linalg.norm(rest - rest @ modes.T @ modes), rel=0.01)
    assert every > 0.1 * np.linalg.norm(test) and few < 1.1 * every


def test_decoding_is_linear_in_the_points_and_fast() -> None:
    """10 times the points take less than 20 times as long, and 100,000 of them from 1,000 sources
    milliseconds of the processor; the bounds are wide, for caches that others use too."""
    points = RNG.random((100_000, 3))
    sources = points[:1000]
    q, seconds = torch.tensor(sources, dtype=torch.float32), []
    for count in (10_000, 100_000):
        decode = inverse_distance(points[:count], sources, 16)
        decode(q)
        times = []
        for _ in range(8):
            begin = time.process_time()
            decode(q)
            times.append(time.process_time() - begin)
        seconds.append(min(times))
    assert seconds[1] < 20 * seconds[0] + 5e-3
    assert seconds[1] < 0.1


@pytest.mark.parametrize("dim", [2, 3])
def test_slopes_are_the_derivatives_of_the_interpolant(dim: int) -> None:
    """Of affine fields to 1e-9, in any unit; of smooth ones with an error that falls as the
    spacing does; equal to differences of `local_rbf` where no source comes or goes."""
    points, sources = body(dim)
    matrix, shift = RNG.normal(size=(dim, 3)), RNG.normal(size=3)
    for scale in (1.0, 1e-3):
        places = points * scale
        slopes = local_slopes(places, places[sources])
        found = np.stack([g @ (places @ matrix + shift)[sources] for g in slopes])
        np.testing.assert_allclose(found, matrix[:, None].repeat(len(points), 1), atol=1e-9)
    errors = []
    for count in (300, 2400):
        x = np.random.default_rng(1).random((count, 2))
        inner = x[(np.abs(x - 0.5) < 0.3).all(axis=1)]
        g = local_slopes(inner, x)
        exact = np.stack([2 * np.cos(2 * inner[:, 0]), -np.sin(inner[:, 0])], axis=1)
        errors.append(np.abs(g[0] @ smooth(x) - exact).mean())
    assert errors[1] < errors[0] / 2.5
    few, step = points[sources][:12], 1e-5
    at = points[:50]
    shifted = [
        local_rbf(at + sign * step * np.eye(dim)[0], few, 12, 3.0).matrix for sign in (1, -1)
    ]
    difference = (shifted[0] - shifted[1]).toarray() / (2 * step)
    np.testing.assert_allclose(local_slopes(at, few, 12)[0].toarray(), difference, atol=1e-6)


def test_slopes_of_sheets_and_too_few_sources() -> None:
    """Sources of a neighbourhood in a plane: the slope within it is right. Too few: refused."""
    rng = np.random.default_rng(2)
    sheet = np.concatenate([rng.random((60, 3)) * [1, 1, 0], [[0.5, 0.5, 3.0], [9.0, 9.0, 3.0]]])
    g = local_slopes(sheet[:5], sheet)
    found = np.stack([g[a] @ (2 * sheet[:, 0] - sheet[:, 1]) for a in (0, 1)])
    np.testing.assert_allclose(found, [[2.0] * 5, [-1.0] * 5], atol=1e-6)
    with pytest.raises(ValueError, match="local_slopes: expected at least 3 sources in 2 dim"):
        local_slopes(sheet[:5, :2], sheet[:2, :2])
    with pytest.raises(ValueError, match="local_slopes: expected at least 4 neighbours in 3 dim"):
        local_slopes(sheet[:5], sheet, 3)
    with pytest.raises(ValueError, match=r"local_slopes: expected a power above 1, got 1\.0"):
        local_slopes(sheet[:5], sheet, power=1.0)
