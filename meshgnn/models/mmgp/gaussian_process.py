"""Gaussian process regression of several outputs on common inputs."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor, nn

from meshgnn.models.mmgp.buffers import sized_by_checkpoint

_WIDTH = 2.0  # of the priors of all logarithms
_NUGGET = 1e-9  # of the variance, so that rounding leaves the matrix positive
KERNELS = ("matern52", "rbf")


class GaussianProcesses(nn.Module):
    """y_m = N(0, K_m + σ_m² I),  K_m(z, z') = a_m² k(r_m) + b_m² z·z' / q,  r_m = |Δz / ℓ_m|.

    k(r) = (1 + √5 r + 5r²/3) e^{−√5 r} (Matérn 5/2) or e^{−r²/2}; the second term is a plane, whose
    slopes are not known. Every output y_m is standardised and has length scales of its own, so that
    inputs it does not depend on drop out. Hyperparameters maximise log p(y | z) + log of a weak
    prior, log ℓ ~ N(2 + log √q, 2), log a, log b ~ N(0, 2), log σ ~ N(log 0.01, 2), by L-BFGS. All
    in float64.

    Args:
        kernel: "matern52" or "rbf".

    Raises:
        ValueError: another kernel.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, eq. (2.25-2.26),
    (4.17), (5.9), (5.12).
    """

    inputs: Tensor
    outputs: Tensor
    mean: Tensor
    std: Tensor
    logs: Tensor

    def __init__(self, kernel: str = "matern52") -> None:
        super().__init__()
        if kernel not in KERNELS:
            raise ValueError(f"MMGP: expected kernel {' or '.join(KERNELS)}, got {kernel!r}")
        self.kernel = kernel
        shapes = {"inputs": (0, 0), "outputs": (0, 0), "mean": (0,), "std": (0,), "logs": (0, 0)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        sized_by_checkpoint(self)

    def fit(self, z: Float[Tensor, "n q"], y: Float[Tensor, "n M"]) -> None:
        """Hyperparameters of every output from inputs of mean 0 and variance 1."""
        self.mean = y.mean(dim=0)
        std = ((y - self.mean) ** 2).mean(dim=0).sqrt()
        self.std = torch.where(std > 0, std, 1.0)
        self.inputs, self.outputs = z, (y - self.mean) / self.std
        # of no outputs, as of fields that are all the same, there is nothing to be fitted
        self.logs = z.new_zeros(y.shape[1], z.shape[1] + 3)
        for logs, column in zip(self.logs, self.outputs.T, strict=True):
            logs.copy_(self._best(column))
        self.__dict__.pop("_made", None)

    def _best(self, y: Float[Tensor, " n"]) -> Float[Tensor, " h"]:
        q = self.inputs.shape[1]
        centre = torch.zeros(q + 3, dtype=torch.float64, device=y.device)
        centre[:q] = 2.0 + 0.5 * np.log(max(q, 1))
        centre[-1] = np.log(1e-2)
        start = centre.cpu().numpy().copy()
        start[:q] -= 1.0  # from where lengths differ: far above all are alike
        bounds = [(-3.0, 8.0)] * q + [(-5.0, 3.0)] * 2 + [(-9.0, 1.0)]

        def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
            logs = torch.tensor(values, device=y.device, requires_grad=True)
            matrix = self._matrix(logs[None], self.inputs, self.inputs)[0]
            factor, failed = torch.linalg.cholesky_ex(matrix + self._noise(logs[None])[0])
            if failed:  # singular to rounding: the line search turns back
                return 1e10, np.zeros_like(values)
            alpha = torch.cholesky_solve(y[:, None], factor)[:, 0]
            loss = y @ alpha / 2 + factor.diagonal().log().sum()
            loss = loss + (((logs - centre) / _WIDTH) ** 2).sum() / 2
            (slope,) = torch.autograd.grad(loss, logs)
            return loss.item(), slope.cpu().numpy()

        options = {"maxiter": 200}
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        return torch.tensor(found.x, device=y.device)

    def _matrix(
        self, logs: Float[Tensor, "M h"], z: Float[Tensor, "Q q"], other: Float[Tensor, "n q"]
    ) -> Float[Tensor, "M Q n"]:
        q = z.shape[1]
        lengths, (a, b, _) = logs[:, None, :q].exp(), (2 * logs[:, q:]).exp().T
        one, two = z[None] / lengths, other[None] / lengths
        square = ((one[:, :, None] - two[:, None]) ** 2).sum(dim=3)
        if self.kernel == "rbf":
            near = torch.exp(-square / 2)
        else:
            r = torch.sqrt(5 * square + 1e-20)
            near = (1 + r + r**2 / 3) * torch.exp(-r)
        return a[:, None, None] * near + b[:, None, None] * (z @ other.T) / max(q, 1)

    def _noise(self, logs: Float[Tensor, "M h"]) -> Float[Tensor, "M n n"]:
        unit = torch.eye(len(self.inputs), dtype=logs.dtype, device=logs.device)
        q = self.inputs.shape[1]
        level = (2 * logs[:, -1]).exp() + _NUGGET * (2 * logs[:, q:-1]).exp().sum(dim=1)
        return level[:, None, None] * unit

    @property
    def factor(self) -> Float[Tensor, "M n n"]:
        """Cholesky factors of K_m + σ_m² I."""
        return self._solved[0]

    @property
    def alpha(self) -> Float[Tensor, "M n 1"]:
        """(K_m + σ_m² I)⁻¹ y_m."""
        return self._solved[1]

    @property
    def _solved(self) -> tuple[Tensor, Tensor]:
        made = self.__dict__.get("_made")
        if made is None or made[0].device != self.logs.device:
            matrix = self._matrix(self.logs, self.inputs, self.inputs) + self._noise(self.logs)
            factor = torch.linalg.cholesky(matrix)
            made = factor, torch.cholesky_solve(self.outputs.T[:, :, None], factor)
            self.__dict__["_made"] = made
        return made

    def forward(self, z: Float[Tensor, "Q q"]) -> tuple[Float[Tensor, "Q M"], Float[Tensor, "Q M"]]:
        """Mean and variance of y at z, the noise included; differentiable in z."""
        across = self._matrix(self.logs, z, self.inputs)
        mean = (across @ self.alpha)[:, :, 0].T
        half = torch.linalg.solve_triangular(self.factor, across.mT, upper=False)
        a, b, noise = (2 * self.logs[:, -3:]).exp().T
        own = a + noise + b * (z**2).sum(dim=1, keepdim=True) / max(z.shape[1], 1)
        variance = (own - (half**2).sum(dim=1).T).clamp(min=0)
        return self.mean + self.std * mean, self.std**2 * variance

    def left_out(self) -> tuple[Float[Tensor, "n M"], Float[Tensor, "n M"]]:
        """Mean y_i − α_i / K⁻¹_ii and variance of every sample by all others, same logs."""
        inverse = torch.cholesky_inverse(self.factor)
        variance = 1 / inverse.diagonal(dim1=1, dim2=2).T
        mean = self.outputs - self.alpha[:, :, 0].T * variance
        return self.mean + self.std * mean, self.std**2 * variance
