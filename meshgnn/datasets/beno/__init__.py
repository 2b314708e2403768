"""The corner-cut Poisson problems of BENO: read, checked, and drawn anew on lattice and mesh.

    cut = CornerCut.draw(np.random.default_rng(0), corners=4, mixed=False)
    cut.lattice_sample()      # finite volumes, 32 x 32, as published
    cut.mesh_sample()         # finite elements on a gmsh mesh of the same polygon, same f and g
    [cut.lattice_sample() for cut in corner_cuts(1000, seed=0)]
    samples = read("folder/prefix"); print(check(samples[0]))

Source: Wang et al., BENO: Boundary-embedded Neural Operators for Elliptic PDEs, ICLR 2024.
"""

from meshgnn.datasets.beno.corner_cut import CornerCut, corner_cuts
from meshgnn.datasets.beno.files import read
from meshgnn.datasets.beno.lattice import Lattice
from meshgnn.datasets.beno.lint import Report, Wall, check

__all__ = ["CornerCut", "Lattice", "Report", "Wall", "check", "corner_cuts", "read"]
