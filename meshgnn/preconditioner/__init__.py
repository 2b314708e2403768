"""A preconditioner for conjugate gradients: IC(0), corrected by a graph network.

    operator = mg.load("ic_poisson").operator(matrix)           # any sparse SPD matrix
    x, info = scipy.sparse.linalg.cg(matrix, b, M=operator)
    mg.certify(problem, prediction).polish(preconditioner=mg.load("ic_poisson"))

The packaged weights (1,564 parameters) were trained on 260 matrices: P1 diffusion on cut squares,
polygons and annuli of 500 to 3,500 unknowns, contrast to 100, some on solids, some of elasticity.
Iterations to 1e-8 over those of IC(0) in the same order: 0.65 on held-out matrices of plane
diffusion, 0.53 at half the mesh width, 0.51 at a quarter, 0.58 to 0.73 on plane shapes of other
families. For elasticity 0.7 to 1.6, by boundary and Poisson's ratio (0.94 where all of the boundary
is held), on solids 0.83 to 1.1: for elasticity and solids use IC(0) or the V-cycle. Beside it, for
matrices of plane diffusion:

- MIC(0) with 95 % of what is dropped on the diagonal, a classical method without training, needs as
  many iterations up to 2,000 unknowns and some 10 % more beyond (it fails for elasticity). For one
  right-hand side it is the better choice.
- The direct solver is faster for any number of right-hand sides at 1,000 and 10,000 unknowns; at
  100,000 for two and more.
- Multigrid needs more time per solve at 1,000 and 10,000 unknowns, less at 100,000.
- Training took 146 s. Against IC(0) that is repaid after some 240 right-hand sides of one matrix
  of 100,000 unknowns, or some 790 such matrices with one each; of 10,000, after 12,700 or never.

`scripts/benchmarks/preconditioner.py` has the tables.
"""

from meshgnn.preconditioner.factor import Factor, incomplete_cholesky
from meshgnn.preconditioner.graph import matrix_graph, training_graph
from meshgnn.preconditioner.losses import data_loss, frobenius_loss
from meshgnn.preconditioner.network import LearnedIC

__all__ = [
    "Factor",
    "LearnedIC",
    "data_loss",
    "frobenius_loss",
    "incomplete_cholesky",
    "matrix_graph",
    "training_graph",
]
