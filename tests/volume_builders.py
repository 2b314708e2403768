"""Averages over cells of known functions, and a spectral solution of the combined equation."""

import numpy as np

from meshgnn.volumes import Sines


def means(antiderivative, edges: np.ndarray) -> np.ndarray:
    """Averages over the cells between the edges, as one column."""
    return (np.diff(antiderivative(edges)) / np.diff(edges))[:, None]


def rates(errors: list[float]) -> np.ndarray:
    return np.log2(np.array(errors[:-1]) / errors[1:])


def characteristics(x: np.ndarray, time: float) -> np.ndarray:
    """u = 1 + sin(x - u t) / 2, smooth until t = 2, by Newton."""
    u = np.ones_like(x)
    for _ in range(50):
        f = u - 1 - np.sin(x - u * time) / 2
        u = u - f / (1 + time * np.cos(x - u * time) / 2)
    return u


def cells_of(n: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges, and Gauss points [n, 6] with the weights folded in by `gauss`."""
    edges = np.linspace(0, length, n + 1)
    place, _ = np.polynomial.legendre.leggauss(6)
    return edges, (edges[1:, None] + edges[:-1, None] + (length / n) * place) / 2


def gauss(values: np.ndarray) -> np.ndarray:
    return values @ np.polynomial.legendre.leggauss(6)[1][:, None] / 2


def spectral(
    start: np.ndarray, constants: tuple, source: Sines, length: float, time: float, steps: int
) -> np.ndarray:
    """Coefficients of the combined equation by Fourier collocation with 2/3 dealiasing and the
    integrating factor in the classical Runge–Kutta method: another method than the one tested."""
    alpha, beta, gamma = constants
    n, dt = len(start), time / steps
    k = 2 * np.pi / length * np.arange(n // 2 + 1)
    half = np.exp((-beta * k**2 + 1j * gamma * k**3) * dt / 2)
    keep, x = np.arange(len(k)) < n // 3, (np.arange(n) * length / n)[:, None]

    def rate(v: np.ndarray, t: float) -> np.ndarray:
        square = np.fft.rfft(np.fft.irfft(v, n) ** 2)
        return np.fft.rfft(source(x, t)) - 0.5j * alpha * k * keep * square

    v = np.fft.rfft(start)
    for t in np.arange(steps) * dt:
        a = rate(v, t)
        b = rate(half * (v + dt / 2 * a), t + dt / 2)
        c = rate(half * v + dt / 2 * b, t + dt / 2)
        d = rate(half * (half * v + dt * c), t + dt)
        v = half**2 * (v + dt / 6 * a) + dt / 3 * half * (b + c) + dt / 6 * d
    return v


def averages_of(coefficients: np.ndarray, length: float, cells: int) -> np.ndarray:
    """Averages over cells of a trigonometric polynomial: its coefficients times sinc."""
    n, dx = 2 * (len(coefficients) - 1), length / cells
    k = 2 * np.pi / length * np.arange(len(coefficients))
    phases = np.exp(1j * k * dx * (np.arange(cells)[:, None] + 0.5)) * np.sinc(k * dx / 2 / np.pi)
    return (phases @ (coefficients * np.where(k == 0, 1, 2))).real[:, None] / n
