"""Errors over time against their formulas, frequencies of known signals, the linear baseline."""

from dataclasses import replace

import numpy as np
import pytest
from learning_builders import decaying, steady
from mesh_builders import box

from meshgnn import metrics
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample

RNG = np.random.default_rng(5)


def test_accumulated_error_is_that_of_the_paper() -> None:
    """(1/n_x) Σ_{t,x} (û − u)² over n_x = 10 periodic cells, whose mesh has 11 nodes."""
    mesh = box("line", 10)
    u, v = RNG.normal(size=(2, 6, 11, 1))
    u[:, -1], v[:, -1] = u[:, 0], v[:, 0]
    expected = ((u - v)[:, :10] ** 2).sum() / 10
    assert metrics.accumulated_error(u, v, mesh.lumped_mass) == pytest.approx(expected)
    assert metrics.rollout_mse(u, v, mesh.lumped_mass) == pytest.approx(expected / 6)
    assert metrics.rollout_mse(u, v) == pytest.approx(((u - v) ** 2).mean())


def test_correlation_and_survival_are_read_between_the_times() -> None:
    """û = cos θ v + sin θ w with w ⊥ v of the same norm: ρ = cos θ, relative L² = 2 sin(θ/2)."""
    angle = 2 * np.pi * np.arange(64) / 64
    v, w = (np.repeat(f(angle)[None, :, None] + 7, 9, axis=0) for f in (np.cos, np.sin))
    mass, times = np.full(64, 0.5), 10 + np.arange(9.0)
    theta = np.linspace(0, np.pi / 2, 9)[:, None, None]
    u = np.cos(theta) * (v - 7) + np.sin(theta) * (w - 7)
    rho = metrics.correlation_per_time(u + 3, v, mass)
    np.testing.assert_allclose(rho, np.cos(theta[:, 0, 0]), atol=1e-12)
    k = int((rho < 0.8).argmax())
    expected = k - 1 + (rho[k - 1] - 0.8) / (rho[k - 1] - rho[k])
    assert metrics.correlation_time(u, v, mass, times) == pytest.approx(expected)
    assert metrics.correlation_time(v, v, mass, times) == 8.0
    error = metrics.relative_l2_per_time(u, v - 7, mass)
    np.testing.assert_allclose(error, 2 * np.sin(theta[:, 0, 0] / 2), atol=1e-12)
    k = int((error > 0.5).argmax())
    expected = k - 1 + (0.5 - error[k - 1]) / (error[k] - error[k - 1])
    assert metrics.survival_time(u, v - 7, mass, times) == pytest.approx(expected)
    assert metrics.survival_time(v, v, mass, times, 0.1) == 8.0
    assert metrics.survival_time(u[4:], v[4:], mass, times[4:], 0.1) == 0.0
    flat = np.ones((2, 64, 1))
    assert metrics.correlation_per_time(flat, 2 * flat, mass).tolist() == [1, 1]
    assert metrics.correlation_per_time(flat, v[:2], mass).tolist() == [0, 0]


@pytest.mark.parametrize("periods", [5.3, 10.0, 10.37, 31.5])
def test_frequency_is_found_to_a_few_thousandths_of_a_bin(periods: float) -> None:
    """sin(2π f t) with an offset, a drift, a weaker second harmonic, several phases."""
    count, dt = 400, 0.02
    t = dt * np.arange(count)
    for phase in np.linspace(0, np.pi, 5):
        wave = np.sin(2 * np.pi * periods * t / (count * dt) + phase)
        signal = 3 + 0.1 * t + wave + 0.2 * np.sin(2 * (2 * np.pi * periods * t / 8.0 + phase))
        found = metrics.shedding_frequency(signal, dt) * count * dt
        assert found == pytest.approx(periods, abs=3e-3)
    probes = np.stack([0 * t, wave, RNG.normal(size=count) * 0.1], axis=1)
    assert metrics.shedding_frequency(probes, dt) * 8.0 == pytest.approx(periods, abs=0.03)


def test_frequency_needs_a_signal_that_holds_one() -> None:
    t = np.linspace(0, 1, 200, endpoint=False)
    with pytest.raises(ValueError, match=r"at least 5 periods, got 3.* in 1 s; give a longer"):
        metrics.shedding_frequency(np.sin(6 * np.pi * t), 0.005)
    assert metrics.shedding_frequency(np.sin(6 * np.pi * t), 0.005, periods=2.0) == pytest.approx(
        3, abs=0.02
    )
    with pytest.raises(ValueError, match="does not oscillate"):
        metrics.shedding_frequency(1 + t, 0.005)
    with pytest.raises(ValueError, match=r"the frequency 1 / \(2 dt\) = 100 Hz"):
        metrics.shedding_frequency((-1.0) ** np.arange(200), 0.005)
    for signal, dt in ((t[:5], 0.1), (t, 0.0), (np.full(20, np.nan), 0.1)):
        with pytest.raises(ValueError, match="at least 8 finite samples and a step dt > 0"):
            metrics.shedding_frequency(signal, dt)


def test_persistence_holds_the_last_known_state() -> None:
    sample = decaying(times=6)
    assert sample.u is not None
    held = metrics.persistence(sample, history=3)
    free = ~sample.boundary.dirichlet_mask
    np.testing.assert_array_equal(held[:3], sample.u[:3])
    assert (held[3:][:, free] == sample.u[2][free]).all()
    assert metrics.boundary_error(held, sample) == 0
    with pytest.raises(ValueError, match=r"\(history=7\), got 6 states"):
        metrics.persistence(sample, history=7)


def marched(mesh: Mesh, states: np.ndarray, dt: float = 0.1) -> Sample:
    channels = states.shape[2]
    boundary = Boundary.none(mesh.num_nodes, channels)
    inputs = np.zeros((mesh.num_nodes, 0))
    return Sample(mesh, boundary, inputs, dt * np.arange(len(states)), states)


def linear(rank: int, mesh: Mesh, seed: int, times: int = 12) -> Sample:
    """u_{k+1} = L u_k + c with L of low rank and |λ| ≤ 1, the same for every seed; two units."""
    fixed = np.random.default_rng(0)
    basis = np.linalg.qr(fixed.normal(size=(2 * mesh.num_nodes, rank)))[0]
    turn = np.linalg.qr(fixed.normal(size=(rank, rank)))[0]
    shift = fixed.normal(size=rank)
    a = [np.random.default_rng(seed).normal(size=rank)]
    while len(a) < times:
        a.append(0.98 * turn @ a[-1] + shift)
    states = (np.stack(a) @ basis.T).reshape(times, mesh.num_nodes, 2) * [1.0, 1e4]
    return marched(mesh, states)


@pytest.mark.parametrize(("delays", "affine"), [(1, True), (2, True), (2, False)])
def test_a_linear_system_is_recovered(delays: int, affine: bool) -> None:
    """Trained on 6 trajectories of 12 states, it marches another one exactly for 60 steps; with two
    delays it does without the affine term too, since u_{k+1} − u_k obeys the homogeneous system."""
    mesh = box("triangle", 4)
    model = metrics.fit_modes(
        [linear(4, mesh, s) for s in range(6)], delays=delays, ridge=0.0, affine=affine
    )
    assert model.rank == 4
    truth = linear(4, mesh, 99, times=60)
    assert truth.u is not None
    np.testing.assert_allclose(model(truth), truth.u, rtol=1e-6, atol=1e-6 * truth.u.max())
    gram = np.einsum("ncr,nc,ncs->rs", model.basis, model.weight, model.basis)
    np.testing.assert_allclose(gram, np.eye(4), atol=1e-12)
    ahead = model.predict(truth.u[:5], 3)
    np.testing.assert_allclose(ahead, truth.u[5:8], rtol=1e-6, atol=1e-6 * truth.u.max())


def test_a_travelling_wave_goes_on() -> None:
    """u = sin(2π (x − t)) + 0.5 cos(4π (x − t)): four modes, a rotation; ten times the data."""
    mesh = box("line", 50)
    t = 0.03 * np.arange(40)

    def wave(phase: float, times: np.ndarray) -> np.ndarray:
        angle = 2 * np.pi * (mesh.points[:, 0] - times[:, None] - phase)
        return (np.sin(angle) + 0.5 * np.cos(2 * angle))[..., None]

    model = metrics.choose_modes(
        [marched(mesh, wave(p, t), 0.03) for p in (0.0, 0.3)],
        [marched(mesh, wave(0.5, t), 0.03)],
        ranks=(1, 2, 4, 8),
    )
    assert model.rank == 4
    long = 0.03 * np.arange(400)
    truth = marched(mesh, wave(0.1, long), 0.03)
    assert truth.u is not None
    assert metrics.relative_l2(model(truth), truth.u, mesh.lumped_mass) < 1e-4
    held = metrics.relative_l2(metrics.persistence(truth), truth.u, mesh.lumped_mass)
    assert held > 1


def test_modes_keep_the_boundary_values_and_show_in_a_table() -> None:
    train = [replace(decaying(0, times=8, rate=r), meta={}) for r in (0.1, 0.5)]
    model = metrics.fit_modes(train, rank=3, delays=2)
    held_out = decaying(0, times=8, rate=0.3)
    assert metrics.boundary_error(model(held_out), held_out) == 0
    rows = metrics.evaluate([held_out], {"modes": model, "persistence": metrics.persistence}).rows
    assert rows["modes"]["relative_l2"] < 0.1 * rows["persistence"]["relative_l2"]


def test_modes_refuse_what_they_cannot_do() -> None:
    sample, other = decaying(0), decaying(1)
    with pytest.raises(ValueError, match="sample 1 is on another mesh than sample 0"):
        metrics.fit_modes([sample, other])
    with pytest.raises(ValueError, match="more than delays = 6 states, sample 0 has 6"):
        metrics.fit_modes([sample], delays=6)
    with pytest.raises(ValueError, match="got 0 samples, rank=20, delays=1"):
        metrics.fit_modes([])
    model = metrics.fit_modes([sample], rank=2, delays=2)
    with pytest.raises(ValueError, match=r"at least 2 states of shape \(30, 2\), got \(1, 30, 2\)"):
        model.predict(sample.u[:1], 1)
    with pytest.raises(ValueError, match="a sample with its first states in u"):
        model(steady(solved=False))
    with pytest.raises(ValueError, match="at least one validation sample, got none"):
        metrics.choose_modes([sample], [], ranks=(1,))
    growing = marched(sample.mesh, 1e3 ** np.arange(6.0)[:, None, None] * sample.u)
    long = marched(sample.mesh, np.repeat(growing.u[-1:], 300, axis=0))
    with pytest.raises(ValueError, match=r"every march of ranks \[1\] blows up"):
        metrics.choose_modes([growing], [long], ranks=(1,), ridges=(0.0,))
