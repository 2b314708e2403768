"""Training of decoders that have weights to learn."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from meshgnn.decoders.kernel import KernelDecoder
from meshgnn.decoders.residual import LearnedResidual
from meshgnn.sample import Sample


def train_decoder(
    model: KernelDecoder | LearnedResidual,
    samples: Sequence[Sample],
    sources: Sequence[Int[np.ndarray, " n"]],
    steps: int = 400,
    frames: int = 8,
    rate: float = 3e-3,
    noise: float = 0.005,
    seed: int = 0,
) -> list[float]:
    """min E Σ_i |u_i − û_i(q + η)|² / mean_t Σ_i |u_i|²,  η normal with deviation ν |q|_rms.

    The sums go over points that are no sources, the mean over the frames of the trajectory, so that
    frames in which the body has hardly moved count for little. The sources are perturbed, so that
    the decoder tolerates those that come from a time stepper. Adam with a cosine from `rate` to 0.
    The model is left in evaluation mode, on its device; call its `at` anew afterwards.

    Args:
        model: a decoder to train.
        samples: trajectories with u [T, N, C], of one or several bodies.
        sources: for each sample the indices [n] of its sources; give a sample several times to
            train it with several sets.
        steps: number of updates.
        frames: frames of one trajectory in an update.
        rate: learning rate.
        noise: ν.
        seed: of the choice of frames and of η; not of the weights, which are there already.

    Returns:
        The relative error (root of the above) of every update.

    Raises:
        ValueError: no samples, one without u, without a point that is no source or without motion
            there, another number of source sets than samples.
    """
    if not samples or len(samples) != len(sources):
        raise ValueError(
            f"train_decoder: expected samples and a set of sources for each, got {len(samples)} "
            f"samples and {len(sources)} sets"
        )
    bodies = [_Body(model, *pair) for pair in zip(samples, sources, strict=True)]
    if isinstance(model, KernelDecoder):
        model.fit_statistics(torch.cat([body.known.flatten() for body in bodies])[None, :, None])
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    history = []
    for _ in range(steps):
        body = bodies[int(torch.randint(len(bodies), (), generator=generator))]
        loss = body.loss(frames, noise, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        history.append(float(loss.detach()) ** 0.5)
    model.eval()
    return history


class _Body:
    """One trajectory: its decoder at the points that are no sources, known values and truth."""

    def __init__(
        self,
        model: KernelDecoder | LearnedResidual,
        sample: Sample,
        sources: Int[np.ndarray, " n"],
    ) -> None:
        rest = np.setdiff1d(np.arange(sample.mesh.num_nodes), sources)
        if sample.u is None or not len(rest):
            raise ValueError(
                "train_decoder: expected samples with u and more points than sources, got "
                f"{'u = None' if sample.u is None else f'{len(sources)} sources of all points'}"
            )
        device = next(model.parameters()).device
        points = sample.mesh.points
        self.field = model.at(points[rest], points[sources])
        self.known = torch.tensor(sample.u[:, sources], dtype=torch.float32, device=device)
        self.truth = torch.tensor(sample.u[:, rest], dtype=torch.float32, device=device)
        self.size = self.known.square().mean().sqrt()
        self.square = self.truth.square().sum() / len(self.truth)
        if not self.square > 0:
            raise ValueError(
                "train_decoder: expected samples that move, got one with u = 0 at all points that "
                "are no sources; leave it out"
            )

    def loss(self, frames: int, noise: float, generator: torch.Generator) -> Tensor:
        """Squared relative error of some frames from perturbed sources."""
        chosen = torch.randint(len(self.known), (frames,), generator=generator)
        known, truth = self.known[chosen], self.truth[chosen]
        eta = torch.randn(known.shape, generator=generator).to(known.device)
        found = self.field(known + noise * self.size * eta)
        return (found - truth).square().sum() / (frames * self.square)
