"""`meshgnn bench`: what the package costs on this machine, beside the plain way and the floor."""

from meshgnn.benchmark.core import core
from meshgnn.benchmark.device import core_on_device
from meshgnn.benchmark.large import graph, predict, train
from meshgnn.benchmark.measure import jittered_square
from meshgnn.benchmark.samples import simulate

__all__ = ["core", "core_on_device", "graph", "jittered_square", "predict", "simulate", "train"]
