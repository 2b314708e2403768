"""What must work with the bare package: no gmsh, no PyVista, no display, from any directory.

−Δu = 0 on the unit square with u = x on its boundary: u = x, exactly, on any mesh.
"""

import importlib.util
import sys

import numpy as np

import meshgnn as mg
from meshgnn.graph import to_graph

absent = [name for name in ("gmsh", "pyvista") if importlib.util.find_spec(name) is None]
assert absent == ["gmsh", "pyvista"], f"the bare environment holds more than it should: {absent=}"

points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.4, 0.6]])
corners = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
mesh = mg.Mesh(points, {"triangle": corners}, {}).refined().refined()
sample = mg.problems.Poisson(dirichlet={"boundary": lambda x: x[..., 0]}).solve(mesh)
assert np.allclose(sample.u[0, :, 0], mesh.points[:, 0], atol=1e-10)
mg.write("field.vtu", sample)
assert mg.read("field.vtu").num_nodes == mesh.num_nodes
graph = to_graph(sample)
assert graph.pos.shape == (mesh.num_nodes, 2) and graph.edge_index.shape[1] == 2 * len(mesh.edges)
assert "gmsh" not in sys.modules and "pyvista" not in sys.modules
print(f"bare package works: {mesh.num_nodes} nodes, {graph.edge_index.shape[1]} edges")
