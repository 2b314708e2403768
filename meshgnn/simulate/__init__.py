"""Many samples of one problem over a family of shapes, seeded by index."""

from meshgnn.simulate.run import draw_sample, simulate

__all__ = ["draw_sample", "simulate"]
