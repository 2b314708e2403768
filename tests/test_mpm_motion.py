"""Motion of material points: what is kept, closed forms, walls, what no step can follow."""

from dataclasses import replace

import numpy as np
import pytest
from mesh_builders import lattice
from mpm_builders import OPEN, block

from meshgnn.mpm import MATERIALS, Material, Particles, Scene, Unstable, march

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", MATERIALS)
@pytest.mark.parametrize("dim", [2, 3])
def test_momentum_and_angular_momentum_are_kept(dim: int, name: str) -> None:
    """Σ m v and Σ m (x vᵀ - v xᵀ) with the affine parts, to rounding, in a violent free motion."""
    x, volume = block(dim, {2: 10, 3: 6}[dim])
    v = RNG.uniform(-1, 1, x.shape) + 4 * np.column_stack([-x[:, 1], *x.T[:1], *(0 * x.T[2:])])
    state = Particles.at_rest(x, v, volume, 1000.0)
    scene = replace(OPEN[dim], lo=np.full(dim, -9.99), hi=np.full(dim, 9.7))  # oblong cells, far
    momentum, spin = state.momentum(), state.angular_momentum(scene)
    steps = sum(march(state, scene, MATERIALS[name], np.array([0, 0.1, 0.2])))
    assert steps > 40
    size = np.linalg.norm(v, axis=1) @ state.mass
    np.testing.assert_allclose(state.momentum(), momentum, atol=1e-13 * size)
    np.testing.assert_allclose(state.angular_momentum(scene), spin, atol=1e-13 * size)
    assert np.abs(state.position - x - 0.2 * v).max() > 0.05


@pytest.mark.parametrize("name", MATERIALS)
@pytest.mark.parametrize("dim", [2, 3])
def test_free_fall_is_exact(dim: int, name: str) -> None:
    """x = X + v t + g t² / 2 at every time, with steps that differ from time to time."""
    x, volume = block(dim, 6)
    gravity, v = np.array([1.0, -9.81, 0.5])[:dim], np.array([0.3, 2.0, -1.0])[:dim]
    state = Particles.at_rest(x, np.tile(v, (len(x), 1)), volume, 1000.0)
    times = np.array([0, 0.05, 0.3, 0.35])
    scene = Scene.of(gravity, None, 0.12)
    for t, _ in zip(times, march(state, scene, MATERIALS[name], times), strict=True):
        exact = x + v * t + gravity * t**2 / 2
        np.testing.assert_allclose(state.position, exact, atol=1e-12)
    energy = state.energies(scene)
    start = 0.5 * 1000 * volume.sum() * v @ v
    assert energy["kinetic"] + energy["gravity"] == pytest.approx(start, rel=1e-9)


def test_energy_is_lost_to_the_grid_and_less_to_a_fine_one() -> None:
    """A block that pulsates freely, four periods: the loss falls by more than two with half h."""
    losses = []
    for count in (12, 24):
        x, volume = block(2, count)
        v = 0.3 * np.column_stack([np.sin(np.pi * x[:, 0] / 0.5), 0 * x[:, 0]])
        state = Particles.at_rest(x, v, volume, 1000.0)
        scene = Scene.of([0, 0], None, 1.0 / count)
        times = np.linspace(0, 0.4, 5)
        energy = [
            sum(state.energies(scene).values())
            for _ in march(state, scene, MATERIALS["elastic"], times)
        ]
        assert (np.diff(energy) < 0).all()
        losses.append(1 - energy[-1] / energy[0])
    assert losses[1] < losses[0] / 2 < 0.2


def test_first_frequency_of_a_bar() -> None:
    """A free bar in plane strain swings along with period 2 L / √(E / (1 - ν²) / ρ), within 3 %."""
    x, volume = lattice(79, 7)[0] * [1 - 1 / 80, 0.1 - 0.1 / 8] + [1 / 160, 0.1 / 16], 1 / 8e2 / 8
    v = np.column_stack([0.01 * np.cos(np.pi * x[:, 0]), 0 * x[:, 0]])
    state = Particles.at_rest(x, v, np.full(len(x), volume), 1000.0)
    period = 2 / (1e5 / (1 - 0.2**2) / 1000) ** 0.5
    times = np.linspace(0, 1.2 * period, 61)
    scene = Scene.of([0, 0], None, 1 / 40)
    steps = march(state, scene, MATERIALS["elastic"], times)
    swing = [(state.position - x)[:, 0] @ v[:, 0] for _ in steps]
    falling = next(k for k in range(10, 60) if swing[k] > 0 >= swing[k + 1])
    share = swing[falling] / (swing[falling] - swing[falling + 1])
    half = times[falling] + share * (times[falling + 1] - times[falling])
    assert 2 * half == pytest.approx(period, rel=0.03)


@pytest.mark.parametrize("dim", [2, 3])
def test_friction_stops_what_slides(dim: int) -> None:
    """On a floor with coefficient μ a stiff block slides v² / (2 μ g); it goes on without."""
    x, volume = block(dim, 6, 0.12)
    x[:, -1] += 0.06
    v, gravity = np.zeros_like(x), np.array([0.0] * (dim - 1) + [-9.81])
    v[:, 0] = 1
    for friction, way in ((0.5, 1 / 9.81), (0.0, 0.25), (np.inf, 0.0)):
        scene = Scene.of(gravity, ([None] * (dim - 1) + [0], None), 0.04, friction)
        state = Particles.at_rest(x, v, volume, 1000.0)
        list(march(state, scene, MATERIALS["elastic"], np.array([0, 0.25])))
        moved = (state.position - x)[:, 0].mean()
        assert moved == pytest.approx(way, abs=0.03)
        assert (state.position[:, -1] >= 0).all()


def test_walls_let_go_and_mirror_the_density() -> None:
    """What leaves a wall is free; a fluid that fills its box to the walls is nowhere too thin."""
    x, volume = block(2, 8)
    state = Particles.at_rest(x, np.full(x.shape, 0.5), volume, 1000.0)
    scene = Scene.of([0, 0], ([-0.25, -0.25], None), 0.125)
    list(march(state, scene, MATERIALS["water"], np.array([0, 0.1])))
    np.testing.assert_allclose(state.position, x + 0.05, atol=1e-12)
    for dim in (2, 3):
        x, volume = block(dim, 8)
        state = Particles.at_rest(x, 0 * x, volume, 1000.0)
        state.stretch[:, 0] = 1.05
        scene = Scene.of([0] * dim, ([-0.25] * dim, [0.25] * dim), 0.125)
        list(march(state, scene, MATERIALS["water"], np.array([0, 1e-5])))
        fall = 1.05 - state.stretch[:, 0]
        np.testing.assert_allclose(fall, fall.mean(), rtol=1e-6)
        assert 1e-6 < fall.mean() < 1e-5


def test_same_numbers_every_time() -> None:
    """Two marches from one state agree bit for bit, and steps between the times are counted."""
    x, volume = block(3, 5)
    ends, counts = [], []
    for _ in range(2):
        state = Particles.at_rest(x, x[:, ::-1].copy(), volume, 1000.0)
        counts = list(march(state, OPEN[3], MATERIALS["sand"], np.array([0, 0.02, 0.06])))
        ends.append(state.position.tobytes())
    assert ends[0] == ends[1]
    assert counts[0] == 0 and counts[2] == pytest.approx(2 * counts[1], abs=2)


def test_what_no_step_can_follow() -> None:
    """Particles faster than a cell a step, inside out, or NaN, and those that no grid holds."""
    x, volume = block(2, 6)
    once = np.array([0, 0.01])
    water = MATERIALS["water"]
    state = Particles.at_rest(x, 0 * x, volume, 1000.0)
    state.stress[:, 0] = -1e9
    with pytest.raises(Unstable, match=r"t = 0 s particle 0 moves by more than a cell .* lower"):
        list(march(state, OPEN[2], water, once))
    soft, large = Material("volumetric", 1e-3, 0.3), Scene.of([0, 0], None, 2.0)
    state = Particles.at_rest(x, x * [-110, 0], volume, 1000.0)
    state.affine[:, 0, 0] = -110
    with pytest.raises(Unstable, match="turns inside out in one step of 0.01 s") as caught:
        list(march(state, large, soft, once, courant=1e3))
    assert caught.value.time == 0 and caught.value.particle >= 0 and caught.value.sample is None
    x[5] += 1e6
    state = Particles.at_rest(x, 0 * x, volume, 1000.0)
    with pytest.raises(Unstable, match="so far apart that the grid has 1e.14 nodes, .* is 5; boun"):
        list(march(state, OPEN[2], water, once))
