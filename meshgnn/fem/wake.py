"""What is measured on flows past bodies: force coefficients and the shedding frequency."""

import numpy as np
from jaxtyping import Float

_PERIODS = 3
_PADDING = 8  # zeros: bins of the spectrum are finer by this, the parabola through three exact


def force_coefficients(
    force: Float[np.ndarray, "*T d"], speed: float, length: float
) -> Float[np.ndarray, "*T d"]:
    """C = 2 F / (ρ U² D): drag along the first axis, lift along the second.

    Args:
        force: F / ρ, per depth in 2D, as in `Sample.meta["forces"]`.
        speed: U, m/s.
        length: D, m; in 3D the frontal area, m².
    """
    return 2 * np.asarray(force) / (speed**2 * length)


def shedding_frequency(times: Float[np.ndarray, " T"], signal: Float[np.ndarray, " T"]) -> float:
    """The frequency of the highest peak in the spectrum of a signal less its mean, 1/s.

    Hann window, and a parabola through the logarithm of the three highest values: about 1e-3 off
    for a periodic signal. The lift has the frequency f of the shedding, the drag 2 f; the Strouhal
    number is f D / U.

    Args:
        times: equally spaced, s; three periods or more.
        signal: a lift, or a velocity behind the body.

    Raises:
        ValueError: times that are not equally spaced, a signal that does not change, fewer than
            three periods.
    """
    steps = np.diff(times)
    if len(times) < 8 or np.ptp(steps) > 1e-6 * steps.mean():
        raise ValueError(f"times: expected 8 or more, equally spaced, got {len(times)} times")
    swing = signal - signal.mean()
    if np.abs(swing).max() <= 1e-12 * np.abs(signal).max():
        raise ValueError("signal: expected one that changes with time, got a constant")
    power = np.abs(np.fft.rfft(swing * np.hanning(len(swing)), _PADDING * len(swing)))
    span = steps.mean() * len(times)
    # below the first bin there is only what the window makes of a drift
    first = _PADDING
    peak = first + int(power[first:-1].argmax())
    low, top, high = np.log(power[peak - 1 : peak + 2])
    shift = 0.5 * (low - high) / (low - 2 * top + high) if top > max(low, high) else 0.0
    frequency = (peak + shift) / (_PADDING * span)
    if frequency * span < _PERIODS:
        raise ValueError(
            f"signal: expected {_PERIODS} periods or more, got {frequency * span:.1f} in "
            f"{span:g} s; give a longer one"
        )
    return float(frequency)
