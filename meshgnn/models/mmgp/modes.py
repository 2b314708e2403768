"""Principal components of fields on one mesh."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from meshgnn.models.mmgp.buffers import sized_by_checkpoint


class Modes(nn.Module):
    """v = v̄ + s Σ_k z_k σ_k φ_k,   Σ_r m_r φ_k φ_l = δ_kl,   z_k of mean 0 and variance 1.

    The snapshots are columns v [R, F] of fields, each divided by its own spread s_f first, so that
    no unit outweighs another; a column without spread takes no part. Kept are as many modes as
    leave a share of at most `tolerance`² of the variance.

    Args:
        tolerance: see above.
        most: largest number of modes.
    """

    mean: Tensor
    basis: Tensor
    weight: Tensor
    scale: Tensor
    left: Tensor

    def __init__(self, tolerance: float, most: int) -> None:
        super().__init__()
        self.tolerance, self.most = tolerance, most
        for name, shape in (("mean", (0, 0)), ("basis", (0, 0, 0)), ("weight", (0,))):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(0, dtype=torch.float64))
        self.register_buffer("left", torch.zeros((), dtype=torch.float64))
        sized_by_checkpoint(self)

    def __len__(self) -> int:
        return len(self.basis)

    @torch.no_grad()
    def fit(
        self, snapshots: Float[Tensor, "n R F"], mass: Float[Tensor, " R"]
    ) -> Float[Tensor, "n K"]:
        """Find the modes; the coefficients z of the snapshots."""
        self.mean = snapshots.mean(dim=0)
        self.weight = mass / mass.sum()
        rest = snapshots - self.mean
        variance = torch.einsum("nrf,r->f", rest**2, self.weight) / len(rest)
        size = torch.einsum("nrf,r->f", snapshots**2, self.weight) / len(rest)
        spread = variance > 1e-12 * size
        self.scale = torch.where(spread, variance, 1.0).sqrt()
        rest = torch.where(spread, rest / self.scale, 0.0) * self.weight.sqrt()[:, None]
        _, values, rows = torch.linalg.svd(rest.flatten(1), full_matrices=False)
        energy = values**2
        left = energy.sum() - energy.cumsum(0)
        count = 0
        if spread.any():
            count = int((left > self.tolerance**2 * energy.sum()).sum()) + 1
        count = min(count, self.most, len(rest) - 1)
        size_of_mode = values[:count] / len(rest) ** 0.5
        rows = rows[:count] * torch.sign(rows[:count].sum(dim=1, keepdim=True))
        basis = rows.view(count, *snapshots.shape[1:]) / self.weight.sqrt()[:, None]
        self.basis = basis * size_of_mode[:, None, None]
        found = torch.stack([self.encode(v) for v in snapshots])
        self.left = torch.stack(
            [self.missed(*each) for each in zip(snapshots, found, strict=True)]
        ).amax()
        return found

    def encode(self, v: Float[Tensor, "R F"]) -> Float[Tensor, " K"]:
        """z of a field, by projection."""
        power = torch.einsum("krf,krf,r->k", self.basis, self.basis, self.weight)
        rest = (v - self.mean) / self.scale * self.weight[:, None]
        return torch.einsum("krf,rf->k", self.basis, rest) / power

    def missed(self, v: Float[Tensor, "R F"], z: Float[Tensor, " K"]) -> Float[Tensor, ""]:
        """What its modes leave out of a field, root mean square over the columns that varied in
        the training set, in units of their spread there. `left` is the most of a snapshot."""
        rest = ((v - self.decode(z)) / self.scale)[:, self.varied]
        return (self.weight @ rest**2).sum().div(max(rest.shape[1], 1)).sqrt()

    def strange(self, v: Float[Tensor, "Q F"]) -> list[int]:
        """Columns that were the same in all snapshots and are other in a field, on any points."""
        apart = (v.amin(dim=0) - self.mean.amin(dim=0)).abs()
        apart = torch.maximum(apart, (v.amax(dim=0) - self.mean.amax(dim=0)).abs())
        other = apart > 1e-3 * self.mean.abs().amax(dim=0) + 1e-12
        return torch.nonzero(other & ~self.varied)[:, 0].tolist()

    @property
    def varied(self) -> Bool[Tensor, " F"]:
        """Columns that are not the same in all snapshots."""
        return (self.basis != 0).any(dim=0).any(dim=0)

    def decode(self, z: Float[Tensor, " K"]) -> Float[Tensor, "R F"]:
        """The field of z."""
        return self.mean + self.scale * torch.einsum("k,krf->rf", z, self.basis)

    def spread(self, variance: Float[Tensor, " K"]) -> Float[Tensor, "R F"]:
        """Variance of the field where the z_k are independent with the given variances."""
        return self.scale**2 * torch.einsum("k,krf->rf", variance, self.basis**2)
