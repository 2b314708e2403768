"""What training minimises: functions (model, graph) -> scalar.

Losses of one call are in `steady`, those that march a model through several in `unrolled`, the one
that compares du/dt in `derivative`; `history` leaves out known states. `monge_ampere` is that of
meshes that move.
"""

from meshgnn.losses.derivative import derivative, derivative_target, difference_quotient
from meshgnn.losses.history import short_history
from meshgnn.losses.monge_ampere import MongeAmpere
from meshgnn.losses.steady import Loss, Model, one_step, relative_l2_loss, relative_mass_loss
from meshgnn.losses.unrolled import RandomPushforward, pushforward, unrolled

__all__ = [
    "Loss",
    "Model",
    "MongeAmpere",
    "RandomPushforward",
    "derivative",
    "derivative_target",
    "difference_quotient",
    "one_step",
    "pushforward",
    "relative_l2_loss",
    "relative_mass_loss",
    "short_history",
    "unrolled",
]
