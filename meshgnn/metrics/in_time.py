"""How wrong a march is, and how long it is right: errors over time, and frequencies of signals."""

import numpy as np
from jaxtyping import Float

from meshgnn.metrics.norms import relative_l2_per_time

_PADDING = 8  # zeros behind a signal: bins finer by this, and the parabola through three exacter


def accumulated_error(
    u: Float[np.ndarray, "T N C"], v: Float[np.ndarray, "T N C"], mass: Float[np.ndarray, " N"]
) -> float:
    """Σ_t Σ_i m_i |u_i(t) − v_i(t)|² / Σ_i m_i: a sum over the times, not a mean.

    Give it the predicted frames alone. On a uniform periodic mesh it is (1/n_x) Σ_{t,x} (u − v)²:
    a node and its twin at the other end have half a mass each.

    Source: Brandstetter, Worrall, Welling, Message Passing Neural PDE Solvers, ICLR 2022, sec. 4.
    """
    return float(np.einsum("tnc,tnc,n->", u - v, u - v, mass) / mass.sum())


def rollout_mse(
    u: Float[np.ndarray, "T N C"],
    v: Float[np.ndarray, "T N C"],
    mass: Float[np.ndarray, " N"] | None = None,
) -> float:
    """Mean of (u − v)² over times, nodes and components.

    Args:
        u: field [T, N, C].
        v: reference [T, N, C], same unit.
        mass: m_i [N], the weights of the nodes; every node counts alike without.
    """
    mass = np.ones(u.shape[1]) if mass is None else mass
    return accumulated_error(u, v, mass) / (u.shape[0] * u.shape[2])


def correlation_per_time(
    u: Float[np.ndarray, "T N C"], v: Float[np.ndarray, "T N C"], mass: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " T"]:
    """ρ(t) = (u', v') / (‖u'‖ ‖v'‖),  (u, v) = Σ_i m_i u_i · v_i,  u' = u less its mean over x.

    The mean is of each component alone. 0 where one of the two is constant in space, unless both
    are: then 1.
    """
    weight = mass / mass.sum()
    u, v = (w - np.einsum("tnc,n->tc", w, weight)[:, None] for w in (u, v))
    inner = np.einsum("tnc,tnc,n->t", u, v, weight)
    sizes = [np.sqrt(np.einsum("tnc,tnc,n->t", w, w, weight)) for w in (u, v)]
    size = sizes[0] * sizes[1]
    flat = (sizes[0] == 0) & (sizes[1] == 0)
    return np.where(flat, 1.0, np.divide(inner, size, out=np.zeros_like(inner), where=size > 0))


def correlation_time(
    u: Float[np.ndarray, "T N C"],
    v: Float[np.ndarray, "T N C"],
    mass: Float[np.ndarray, " N"],
    times: Float[np.ndarray, " T"],
    threshold: float = 0.8,
) -> float:
    """The time (s, from the first) until ρ(t) falls below the threshold, linear in between.

    Where it never does, the length of the data: a lower bound.

    Source: Lippe et al., PDE-Refiner, NeurIPS 2023, sec. 4.1 (high-correlation time).
    """
    return _crossing(threshold - correlation_per_time(u, v, mass), times)


def survival_time(
    u: Float[np.ndarray, "T N C"],
    v: Float[np.ndarray, "T N C"],
    mass: Float[np.ndarray, " N"],
    times: Float[np.ndarray, " T"],
    threshold: float = 0.5,
) -> float:
    """The time (s, from the first) until ‖u − v‖ / ‖v‖ exceeds the threshold, linear in between.

    Where it never does, the length of the data: a lower bound.
    """
    error = np.minimum(relative_l2_per_time(u, v, mass), 1e6 * threshold)  # ∞ where v = 0
    return _crossing(error - threshold, times)


def shedding_frequency(
    signal: Float[np.ndarray, " T *P"], dt: float, periods: float = 5.0
) -> float:
    """f = argmax |FFT(window · signal)|², between the bins by a parabola: the dominant frequency.

    A straight line is taken out and the Hann window applied, so that neither a drift nor the ends
    make a peak; zeros behind the signal make the bins finer, and the parabola goes through the
    logarithms around the highest: 1e-3 off or less from 5 periods on. Several probes add their
    powers. Take the cross-stream velocity behind an obstacle or its lift, whose frequency gives the
    Strouhal number f D / U: the drag and the velocity on the axis have twice that. Leave the
    start-up out.

    Args:
        signal: samples at equal steps [T], or of P probes [T, P].
        dt: the step between them, s.
        periods: how many periods the signal must hold at least.

    Returns:
        f, Hz.

    Raises:
        ValueError: fewer than 8 samples, dt <= 0, NaN, a signal without oscillation, one with fewer
            periods than asked for, or one whose steps do not resolve it.
    """
    signal = signal.reshape(len(signal), -1)
    count, finite = len(signal), np.isfinite(signal).all()
    if count < 8 or not (np.isfinite(dt) and dt > 0) or not finite:
        raise ValueError(
            "shedding_frequency: expected at least 8 finite samples and a step dt > 0, got "
            f"{count} samples{'' if finite else ' with NaN or infinity'} and dt = {dt:g} s"
        )
    line = np.stack([np.ones(count), np.linspace(-1, 1, count)], axis=1)
    rest = signal - line @ np.linalg.lstsq(line, signal, rcond=None)[0]
    if np.abs(rest).max() <= 1e-9 * np.abs(signal).max():
        raise ValueError("shedding_frequency: the signal does not oscillate; probe another place")
    window = np.hanning(count + 1)[:-1, None]  # the periodic form
    power = (np.abs(np.fft.rfft(window * rest, _PADDING * count, axis=0)) ** 2).sum(axis=1)
    # what is below one period is what the window leaves of a drift
    peak = _PADDING + int(power[_PADDING:].argmax())
    if peak > len(power) - _PADDING:
        raise ValueError(
            f"shedding_frequency: the highest peak is at the frequency 1 / (2 dt) = {0.5 / dt:g} "
            "Hz that the steps still resolve; take smaller ones"
        )
    low, mid, high = np.log(np.maximum(power[peak - 1 : peak + 2], 1e-300))
    bend = low - 2 * mid + high
    place = (peak + (0.5 * (low - high) / bend if bend < 0 else 0.0)) / _PADDING
    if place < periods:
        raise ValueError(
            f"shedding_frequency: expected at least {periods:g} periods, got {place:.2g} in "
            f"{count * dt:g} s; give a longer signal"
        )
    return float(place / (count * dt))


def _crossing(excess: Float[np.ndarray, " T"], times: Float[np.ndarray, " T"]) -> float:
    """When the excess first exceeds 0, from the first time on."""
    beyond = np.flatnonzero(excess > 0)
    if not len(beyond):
        return float(times[-1] - times[0])
    k = int(beyond[0])
    if k == 0:
        return 0.0
    part = excess[k - 1] / (excess[k - 1] - excess[k])
    return float(times[k - 1] + part * (times[k] - times[k - 1]) - times[0])
