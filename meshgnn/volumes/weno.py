"""WENO5: values at the edges of cells from cell averages, of order 5 where they are smooth."""

import numpy as np
from jaxtyping import Float


def edge_values(
    u: Float[np.ndarray, "G B"],
) -> tuple[Float[np.ndarray, "n B"], Float[np.ndarray, "n B"]]:
    """u(x_{i-1/2}) and u(x_{i+1/2}) inside each cell i, from its average and two on either side.

    Three parabolas through three averages each, weighted by γ_k / (ε + β_k)² with the smoothness
    β_k of each, so that those across a jump do not count. With d_i = u_{i+1} - u_i and
    s_i = d_i - d_{i-1} both edges share β_k. Equal cells.

    ε is 1e-6 of the mean square of u, as large as usual for u of order 1 and the same for any
    unit of u.

    Args:
        u: [n + 4, B] averages of n cells and two beyond either end; B columns on their own.

    Returns:
        The values at the left and at the right edge of the n cells.

    Source: Jiang & Shu, Efficient implementation of weighted ENO schemes, 1996, section 2.2.
    """
    inner = u[2:-2]
    d = u[1:] - u[:-1]
    s = d[1:] - d[:-1]
    low, high = d[1:-2], d[2:-1]  # d_{i-1}, d_i
    before, here, after = s[:-2], s[1:-1], s[2:]
    epsilon = 4e-6 * np.einsum("ib,ib->b", inner, inner) / len(inner) + 1e-40
    curve = (13 / 3) * s * s
    curve += epsilon
    b0, b1, b2 = 2 * low + before, low + high, 2 * high - after
    for b, c in ((b0, curve[:-2]), (b1, curve[1:-1]), (b2, curve[2:])):
        b *= b
        b += c
        b *= b
    # 1 / b_k without divisions, but for a common factor
    w0, w1, w2 = b1 * b2, b0 * b2, b0 * b1
    w1 *= 6
    low, high = 3 * low, 3 * high
    left = w2 * (high - 2 * after)
    left += w1 * (low + here)
    right = w0 * (low + 2 * before)
    right += w1 * (high - here)
    left += 3 * w0 * (low + before)
    right += 3 * w2 * (high - after)
    w1 += w0
    w1 += w2
    left /= 6 * w1 + 12 * w0
    right /= 6 * w1 + 12 * w2
    return inner - left, inner + right
