"""The material point method: solids, fluids and grains as particles that meet on a grid."""

from meshgnn.mpm.materials import LAWS, MATERIALS, Material
from meshgnn.mpm.particles import Particles, Unstable
from meshgnn.mpm.scene import Scene
from meshgnn.mpm.steps import march

__all__ = ["LAWS", "MATERIALS", "Material", "Particles", "Scene", "Unstable", "march"]
