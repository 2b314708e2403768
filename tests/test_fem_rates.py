"""Convergence orders on gmsh meshes with mixed conditions, and patch tests on every cell type."""

from collections.abc import Callable

import numpy as np
import pytest
from mesh_builders import BOXES, box, shear

from meshgnn.fem import error_norms
from meshgnn.geometry import domains
from meshgnn.mesh import Mesh
from meshgnn.mesher import current_mesh, session
from meshgnn.problems import LinearElasticity, Poisson


def exact(x: np.ndarray) -> np.ndarray:
    """u = sin(2x + 0.3) e^{y/2} (+ z² x in 3D)."""
    flat = np.sin(2 * x[..., 0] + 0.3) * np.exp(x[..., 1] / 2)
    return flat + (x[..., 2] ** 2 * x[..., 0] if x.shape[-1] == 3 else 0)


def slope(x: np.ndarray) -> np.ndarray:
    e, t = np.exp(x[..., 1] / 2), 2 * x[..., 0] + 0.3
    parts = [2 * np.cos(t) * e, np.sin(t) * e / 2]
    if x.shape[-1] == 3:
        parts = [parts[0] + x[..., 2] ** 2, parts[1], 2 * x[..., 2] * x[..., 0]]
    return np.stack(parts, axis=-1)


def conductivity(x: np.ndarray) -> np.ndarray:
    return 1 + x[..., 0] / 2


def source(x: np.ndarray) -> np.ndarray:
    """f = -∇·(k∇u) = -k Δu - ∂u/∂x / 2."""
    laplacian = (0.25 - 4) * np.sin(2 * x[..., 0] + 0.3) * np.exp(x[..., 1] / 2)
    laplacian = laplacian + (2 * x[..., 0] if x.shape[-1] == 3 else 0)
    return -conductivity(x) * laplacian - slope(x)[..., 0] / 2


def flux(axis: int, sign: int) -> Callable[[np.ndarray], np.ndarray]:
    """k ∂u/∂n on a plane with the normal ± e_axis."""
    return lambda x: sign * conductivity(x) * slope(x)[..., axis]


MIXED = Poisson(
    source,
    conductivity,
    dirichlet={"*": exact},
    neumann={"left": flux(0, -1)},
    robin={"right": (2.0, lambda x: flux(0, 1)(x) + 2 * exact(x))},
)


def errors(meshes: list[Mesh], order: int) -> np.ndarray:
    """[mesh, (L², H¹)] errors of the mixed problem."""
    result = []
    for mesh in meshes:
        u = MIXED.system(mesh, order).solve()
        result.append(error_norms(mesh, u, exact, slope, order))
    return np.array(result)


def refinements(mesh: Mesh, levels: int) -> list[Mesh]:
    meshes = [mesh]
    for _ in range(levels):
        meshes.append(meshes[-1].refined())
    return meshes


def gmsh_box(size: float) -> Mesh:
    """A box with the x-normal faces named, meshed by gmsh in tetrahedra."""
    with session() as gmsh:
        gmsh.model.occ.addBox(0, 0, 0, 1, 0.8, 0.6)
        gmsh.model.occ.synchronize()
        faces = [tag for _, tag in gmsh.model.getEntities(2)]
        middle = {tag: gmsh.model.occ.getCenterOfMass(2, tag)[0] for tag in faces}
        for name, x in (("left", 0), ("right", 1)):
            chosen = [tag for tag in faces if abs(middle[tag] - x) < 1e-9]
            gmsh.model.addPhysicalGroup(2, chosen, name=name)
        gmsh.model.addPhysicalGroup(3, [1], name="domain")
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        gmsh.option.setNumber("Mesh.MeshSizeMin", size)
        gmsh.model.mesh.generate(3)
        return current_mesh()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shape", ["cut_square", "l_shape", "box"])
def test_orders_under_uniform_refinement(shape: str, order: int) -> None:
    """-∇·(k∇u) = f, k = 1 + x/2: Neumann at x = 0, Robin at x = max, Dirichlet elsewhere; L² order
    p + 1 and H¹ order p within 0.1 on unstructured meshes and their refinements."""
    start = gmsh_box(0.35) if shape == "box" else domains.draw(shape, 1, 0.25)
    found = errors(refinements(start, 2 if shape == "box" else 3), order)
    orders = np.log2(found[:-1] / found[1:])[-1]
    np.testing.assert_allclose(orders, [order + 1, order], atol=0.1)
    assert found[-1, 0] < (2e-3 if order == 1 else 2e-5)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shape", ["l_shape", "box"])
def test_orders_on_independent_meshes(shape: str, order: int) -> None:
    """The same on meshes made anew at each size, h = (|Ω| / cells)^(1/d): within 0.2."""
    sizes = (0.2, 0.1, 0.06) if shape == "box" else (0.1, 0.05, 0.025)
    meshes = [gmsh_box(h) if shape == "box" else domains.draw(shape, 3, h) for h in sizes]
    found = errors(meshes, order)
    h = [(mesh.volumes.sum() / mesh.num_cells) ** (1 / mesh.dim) for mesh in meshes]
    fits = [np.polyfit(np.log(h), np.log(column), 1)[0] for column in found.T]
    np.testing.assert_allclose(fits, [order + 1, order], atol=0.2)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", BOXES)
def test_patch(name: str, order: int) -> None:
    """Every linear field is reproduced to 1e-12 on every cell type, sheared and with inner nodes
    moved; Neumann, then Robin on one side (k ∂u/∂n = k c·n), Dirichlet on the rest."""
    mesh = patch_mesh(name)
    c, k = np.arange(1.0, mesh.dim + 1), 2.5

    def u(x: np.ndarray) -> np.ndarray:
        return x @ c + 0.3

    normal = mesh.facet_normals[mesh.facets_of("left")]
    np.testing.assert_allclose(normal, normal[:1].repeat(len(normal), axis=0), atol=1e-13)
    g = float(k * c @ normal[0])
    for side in (
        {"neumann": {"left": g}},
        {"robin": {"left": (3.0, lambda x: g + 3 * u(x))}},
        {"robin": {"left": (lambda x: 1 + 0 * x[..., 0], g + u(mesh.points))}},
    ):
        solved = Poisson(0.0, k, {"rest": u}, **side).solve(mesh, order)
        np.testing.assert_allclose(solved.u[0, :, 0], u(mesh.points), atol=1e-12)


def patch_mesh(name: str) -> Mesh:
    """A sheared box; in 2D and for lines and tetrahedra inner nodes are moved as well."""
    mesh = box(name, 3)
    points = mesh.points.copy()
    if name in ("line", "triangle", "quad", "mixed 2D", "tetra", "hexahedron"):
        inner = np.setdiff1d(np.arange(mesh.num_nodes), mesh.boundary_nodes)
        points[inner] += 0.04 * np.sin(9 * points[inner][:, ::-1] + 1)
    return mesh.moved(points @ shear(mesh.dim).T)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", [name for name in BOXES if name != "line"])
def test_elasticity_patch(name: str, order: int) -> None:
    """u = A x has constant stress σ = λ tr(ε) I + 2μ ε: reproduced to 1e-12 with the traction σ n
    on one side and u prescribed on the rest."""
    mesh = patch_mesh(name)
    d = mesh.dim
    a = 0.1 * np.arange(1.0, d * d + 1).reshape(d, d)
    young, nu = 3.0, 0.3
    lam, mu = young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))
    strain = (a + a.T) / 2
    stress = lam * np.trace(strain) * np.eye(d) + 2 * mu * strain
    traction = stress @ mesh.facet_normals[mesh.facets_of("left")][0]
    problem = LinearElasticity(
        young, nu, dirichlet={"rest": lambda x: x @ a.T}, traction={"left": tuple(traction)}
    )
    np.testing.assert_allclose(problem.solve(mesh, order).u[0], mesh.points @ a.T, atol=1e-12)
