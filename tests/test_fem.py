"""Elements, matrices, loads and error norms: against scikit-fem and against integral identities."""

from itertools import product

import numpy as np
import pytest
import skfem
from mesh_builders import BOXES, box, octasphere, shear
from skfem.models import laplace, mass

from meshgnn.fem import Space, error_norms, skfem_mesh
from meshgnn.fem.elements import midpoints, rule, table
from meshgnn.mesh import CELL_TYPES, Group, Mesh

SKFEM = {
    "triangle": (skfem.MeshTri, skfem.ElementTriP1, skfem.ElementTriP2, [0, 1, 2]),
    "quad": (skfem.MeshQuad, skfem.ElementQuad1, None, [0, 1, 2, 3]),
    "tetra": (skfem.MeshTet, skfem.ElementTetP1, skfem.ElementTetP2, [0, 1, 2, 3]),
    "hexahedron": (skfem.MeshHex, skfem.ElementHex1, None, [0, 3, 6, 2, 1, 5, 7, 4]),
}
CASES = [(name, 1) for name in SKFEM] + [("triangle", 2), ("tetra", 2)]


def bent(name: str) -> tuple[Mesh, skfem.Mesh]:
    """One mesh of cells that are not affine, here and in scikit-fem."""
    make, _, _, order = SKFEM[name]
    start = make().refined(2 if name in ("triangle", "quad") else 1)
    other = make(start.p + 0.03 * np.sin(7 * start.p[::-1]), start.t)
    return Mesh(other.p.T.copy(), {name: other.t.T[:, order].astype(np.int64)}), other


@pytest.mark.parametrize(("name", "order"), CASES)
def test_matrices_are_those_of_scikit_fem(name: str, order: int) -> None:
    """∫ k ∇φ_i·∇φ_j with k = 2 and ∫ φ_i φ_j, degrees of freedom matched by their location."""
    mesh, other = bent(name)
    space = Space(mesh, order)
    basis = skfem.Basis(other, SKFEM[name][order](), intorder=2 * order)
    place = {tuple(x): i for i, x in enumerate(np.round(space.points, 9).tolist())}
    dofs = [place[tuple(x)] for x in np.round(basis.doflocs.T, 9).tolist()]
    for mine, theirs in ((space.stiffness(2.0), 2 * laplace.assemble(basis)), (space.mass(), mass)):
        expected = theirs.assemble(basis) if theirs is mass else theirs
        assert abs(mine[dofs][:, dofs] - expected).max() < 1e-12


@pytest.mark.parametrize("name", ["line", *SKFEM])
def test_forms_of_scikit_fem_on_our_meshes(name: str) -> None:
    """`skfem_mesh` keeps nodes, groups and regions: its P1 matrices are ours, entry by entry."""
    mesh = box(name, 3)
    mesh = mesh.moved(mesh.points + 0.05 * np.sin(7 * mesh.points[:, ::-1]))
    other, space = skfem_mesh(mesh), Space(mesh)
    element = skfem.ElementLineP1 if name == "line" else SKFEM[name][1]
    cells = skfem.Basis(other, element(), intorder=2)
    half = skfem.Basis(other, element(), intorder=2, elements="half")
    left = skfem.FacetBasis(other, element(), intorder=3, facets="left")
    indicator = np.zeros(mesh.num_cells)
    indicator[mesh.cells_of("half")] = 1
    inside = space.mass(1 + indicator) - space.mass()
    facets = mesh.facets_of("left")
    assert abs(laplace.assemble(cells) - space.stiffness()).max() < 1e-13
    assert abs(mass.assemble(half) - inside).max() < 1e-13
    assert abs(mass.assemble(left) - space.mass(facets=facets)).max() < 1e-13


def test_elasticity_is_that_of_scikit_fem() -> None:
    """∫ λ div u div v + 2μ ε(u):ε(v), node-major, on bilinear quadrilaterals."""
    from skfem.models.elasticity import linear_elasticity

    mesh, other = bent("quad")
    basis = skfem.Basis(other, skfem.ElementVector(skfem.ElementQuad1()), intorder=2)
    expected = linear_elasticity(1.7, 0.6).assemble(basis)
    assert abs(Space(mesh).elasticity(1.7, 0.6) - expected).max() < 1e-12


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", BOXES)
def test_integral_identities(name: str, order: int) -> None:
    """1ᵀM1 = |Ω|, K1 = 0, K = Kᵀ, x₁ᵀKx₁ = |Ω|, facet loads and masses sum to |∂Ω|."""
    dim = box(name).dim
    mesh = box(name, matrix=shear(dim))
    space = Space(mesh, order)
    volume, ones, first = mesh.volumes.sum(), np.ones(space.size), space.points[:, 0]
    stiffness, facets = space.stiffness(), np.arange(len(mesh.facet_areas))
    assert ones @ space.mass() @ ones == pytest.approx(volume, rel=1e-13)
    assert space.load(2.0).sum() == pytest.approx(2 * volume, rel=1e-13)
    assert np.abs(stiffness @ ones).max() < 1e-12
    assert abs(stiffness - stiffness.T).max() < 1e-13
    assert first @ stiffness @ first == pytest.approx(volume, rel=1e-12)
    area = mesh.facet_areas.sum()
    assert space.load(1.0, facets=facets).sum() == pytest.approx(area, rel=1e-13)
    assert space.mass(facets=facets).sum() == pytest.approx(area, rel=1e-13)


@pytest.mark.parametrize("name", ["line", "triangle", "tetra", "pyramid"])
def test_p1_on_the_boundary_gives_the_lumped_measures_of_the_mesh(name: str) -> None:
    """∫ φ_i dx and ∫ φ_i ds of the simplices are `lumped_mass` and `node_areas`."""
    mesh = box(name)
    space = Space(mesh)
    facets = np.arange(len(mesh.facet_areas))
    np.testing.assert_allclose(space.load(1.0), mesh.lumped_mass, atol=1e-15)
    np.testing.assert_allclose(space.load(1.0, facets=facets), mesh.node_areas, atol=1e-15)


@pytest.mark.parametrize("name", ["line", "triangle", "quad", "tetra", "hexahedron", "wedge"])
def test_quadrature_is_exact_for_its_degree(name: str) -> None:
    """∫ x^a y^b z^c over the reference cell, a + b + c <= degree, in closed form."""
    n = CELL_TYPES[name].dim
    fact = np.cumprod([1.0, *range(1, 30)])
    for degree in range(1, 9):
        points, weights = rule(name, degree)
        assert weights.min() > 0
        for power in product(range(degree + 1), repeat=n):
            if sum(power) > degree:
                continue
            simplex = n if name in ("line", "triangle", "tetra") else 2 if name == "wedge" else 1
            head, tail = power[:simplex], power[simplex:]
            exact = np.prod([fact[p] for p in head]) / fact[sum(head) + len(head)]
            exact *= np.prod([1 / (p + 1) for p in tail])
            value = weights @ np.prod(points.T ** np.array(power), axis=1)
            assert value == pytest.approx(exact, rel=1e-12), (degree, power)


def test_shape_functions_of_order_two_belong_to_their_mid_points() -> None:
    """Σ φ_a = 1, Σ φ_a x_a = x, Σ φ_a x_a² = x² with corners and the mid points named as x_a."""
    for name in ("line", "triangle", "tetra"):
        tables = table(name, 2, 4)
        vertices = np.vstack([np.zeros(CELL_TYPES[name].dim), np.eye(CELL_TYPES[name].dim)])
        nodes = np.vstack(
            [vertices, [vertices[list(pair)].mean(axis=0) for pair in midpoints(name)]]
        )
        np.testing.assert_allclose(tables.shapes.sum(axis=1), 1, atol=1e-14)
        np.testing.assert_allclose(tables.shapes @ nodes, tables.corners @ vertices, atol=1e-14)
        quadratic = (tables.shapes @ nodes**2, (tables.corners @ vertices) ** 2)
        np.testing.assert_allclose(*quadratic, atol=1e-14)


def test_thin_cells_keep_their_digits() -> None:
    """x₂ᵀKx₂ = |Ω| to 1e-12 on triangles and tetrahedra of aspect ratio 10⁵."""
    for name, thin in (("triangle", [1, 1e-5]), ("tetra", [1, 1, 1e-5])):
        mesh = box(name, matrix=np.diag(thin))
        last = mesh.points[:, -1]
        energy = last @ Space(mesh).stiffness() @ last
        assert energy == pytest.approx(mesh.volumes.sum(), rel=1e-12)


def test_surfaces_and_curves_use_tangential_gradients() -> None:
    """xᵀKx + yᵀKy + zᵀKz = 2|S| on any surface, = |C| on any curve: |∇_S x|² sums to n."""
    sphere = octasphere(2)
    angle = np.linspace(0, 2, 20)
    points = np.stack([np.cos(angle), np.sin(angle), angle], axis=1)
    curve = Mesh(points, {"line": np.stack([np.arange(19), np.arange(1, 20)], axis=1)})
    for mesh in (sphere, curve):
        for order in (1, 2):
            space = Space(mesh, order)
            energy = sum(x @ space.stiffness() @ x for x in space.points.T)
            assert energy == pytest.approx(mesh.dim * np.abs(mesh.volumes).sum(), rel=1e-12)


def test_data_are_evaluated_alike_however_they_are_given() -> None:
    """A linear f as function, as nodal array; a constant as number, cells, regions: equal loads."""
    mesh = box("mixed 2D", 3)
    space = Space(mesh)
    given = [lambda x: 1 + 2 * x[..., 0], 1 + 2 * mesh.points[:, 0]]
    np.testing.assert_allclose(space.load(given[0]), space.load(given[1]), atol=1e-15)
    numbers = np.full(mesh.num_cells, 3.0)
    numbers[mesh.cells_of("half")] = 2.0
    named = Mesh(mesh.points, mesh.cells, {**mesh.groups, "all": Group(2, mesh.cells)})
    by_name = Space(named).stiffness({"all": 3.0, "half": 2.0})
    assert abs(space.stiffness(numbers) - by_name).max() < 1e-15
    weighted = space.mass(numbers) - Space(named).mass({"all": 3.0, "half": 2.0})
    assert abs(weighted).max() < 1e-15


def test_regions_work_where_there_are_as_many_cells_as_nodes() -> None:
    mesh = box("triangle", 2)
    assert mesh.num_cells == mesh.num_nodes
    space = Space(Mesh(mesh.points, mesh.cells, {"all": Group(2, mesh.cells)}))
    assert abs(space.stiffness({"all": 3.0}) - space.stiffness(3.0)).max() == 0
    np.testing.assert_allclose(space.load({"all": 3.0}), space.load(3.0))


def test_error_norms_of_known_functions() -> None:
    """u_h = 0 against u = x: ‖x‖ = 1/√3, ‖∇x‖ = 1; vectors add their components."""
    for name in ("line", "mixed 2D", "mixed 3D"):
        mesh = box(name)
        d = mesh.dim
        unit = np.eye(d)[0]
        l2, h1 = error_norms(
            mesh, np.zeros(mesh.num_nodes), lambda x: x[..., 0], lambda x, e=unit: e + 0 * x
        )
        assert (l2, h1) == (pytest.approx(3**-0.5), pytest.approx(1))
        both = np.zeros((Space(mesh, 2).size, 2))
        l2, h1 = error_norms(mesh, both, lambda x: np.stack([x[..., 0]] * 2, -1), order=2)
        assert l2 == pytest.approx((2 / 3) ** 0.5)
        assert np.isnan(h1)


def test_refusals() -> None:
    mesh = box("triangle", 2)
    with pytest.raises(ValueError, match="order: expected 1 or 2, got 3"):
        Space(mesh, 3)
    with pytest.raises(ValueError, match="expected 12 values for order 1 on this mesh, got 5"):
        error_norms(mesh, np.zeros(5), lambda x: x[..., 0])
    with pytest.raises(ValueError, match=r"grad: expected values of shape .*, 2\), got "):
        error_norms(mesh, np.zeros(12), lambda x: x[..., 0], lambda x: x[..., 0])
    space = Space(mesh)
    with pytest.raises(
        ValueError, match="diffusivity: expected positive values, the smallest is 0"
    ):
        space.stiffness(lambda x: 0 * x[..., 0])
    with pytest.raises(ValueError, match="capacity: expected positive values, the smallest is -1"):
        space.mass(-1.0)
    with pytest.raises(ValueError, match=r"source: expected values of shape .*first coordinate"):
        space.load(lambda x: x[0])
    with pytest.raises(ValueError, match=r"source: 1 values are NaN .* the first at x = \[0.*\]"):
        Space(mesh).interpolate(lambda x: np.where(x.sum(axis=-1) == 0, np.nan, 1), "source")
    with pytest.raises(
        ValueError, match=r"the nodes \(12\) or the cells \(12\), .* cannot be told"
    ):
        space.stiffness(np.ones(12))
    with pytest.raises(ValueError, match=r"over the nodes, of shape \(12,\), got \(5,\)"):
        space.interpolate(np.zeros(5), "source")
    with pytest.raises(ValueError, match=r"of shape \(20,\), got \(20, 3\)"):
        Space(box("triangle", 3)).load(np.zeros((20, 3)))
    with pytest.raises(ValueError, match=r"source: 1 values are NaN or infinite, .* \(4,\)"):
        Space(box("triangle", 3)).load(np.where(np.arange(20) == 4, np.inf, 0.0))
    with pytest.raises(ValueError, match="body: expected 2 components, got 3"):
        space.load((1.0, 2.0, 3.0), "body", channels=2)
    with pytest.raises(ValueError, match="6 of 12 cells belong to none of the regions half"):
        space.stiffness({"half": 1.0})
    with pytest.raises(
        ValueError, match="skfem_mesh: expected cells of one type .* triangle, quad"
    ):
        skfem_mesh(box("mixed 2D"))
    with pytest.raises(ValueError, match="got triangle in 3D; `Space` takes any mesh"):
        skfem_mesh(octasphere(1))
