"""Many samples of one problem over a family of shapes, seeded by index."""

from meshgnn.simulate.manifest import name_of, text_of
from meshgnn.simulate.run import (
    MeshFamily,
    draw_sample,
    draw_task,
    known,
    simulate,
    tell_redrawn,
)

__all__ = [
    "MeshFamily",
    "draw_sample",
    "draw_task",
    "known",
    "name_of",
    "simulate",
    "tell_redrawn",
    "text_of",
]
