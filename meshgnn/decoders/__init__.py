"""Fields at many points from the values at few: weights once, then a product at any time."""

from meshgnn.decoders.kernel import KernelDecoder
from meshgnn.decoders.least_squares import moving_least_squares
from meshgnn.decoders.linear import Decoder, Fit, LinearDecoder, inverse_distance, nearest_source
from meshgnn.decoders.modes import GappyModes, gappy_modes
from meshgnn.decoders.radial import local_rbf
from meshgnn.decoders.residual import LearnedResidual
from meshgnn.decoders.slopes import local_slopes
from meshgnn.decoders.training import train_decoder

__all__ = [
    "Decoder",
    "Fit",
    "GappyModes",
    "KernelDecoder",
    "LearnedResidual",
    "LinearDecoder",
    "gappy_modes",
    "inverse_distance",
    "local_rbf",
    "local_slopes",
    "moving_least_squares",
    "nearest_source",
    "train_decoder",
]
