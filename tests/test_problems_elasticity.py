"""`LinearElasticity`: bars with known solutions, orders, limits, supports, refusals."""

import numpy as np
import pytest
from mesh_builders import box, octasphere

from meshgnn.fem import Space, error_norms, rigid_motions
from meshgnn.mesh import Group, Mesh
from meshgnn.problems import LinearElasticity

YOUNG, NU = 3.0, 0.3


def with_right(mesh: Mesh) -> Mesh:
    """A box mesh with its side x = 1 named "right" and the rest of the boundary "sides"."""
    facets = {"right": {}, "sides": {}}
    for name, rows in mesh.boundary_facets.items():
        x = mesh.points[rows][:, :, 0].mean(axis=1)
        facets["right"][name] = rows[x > 1 - 1e-9]
        facets["sides"][name] = rows[(x > 1e-9) & (x < 1 - 1e-9)]
    groups = {name: Group(mesh.dim - 1, cells) for name, cells in facets.items()}
    return Mesh(mesh.points, mesh.cells, {"left": mesh.groups["left"], "origin": ORIGIN} | groups)


ORIGIN = Group(0, {"vertex": np.array([[0]])})


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("cells", "mode"),
    [("mixed 2D", "plane stress"), ("quad", "plane strain"), ("tetra", "3d"), ("hexahedron", "3d")],
)
def test_bar_in_tension(cells: str, mode: str, order: int) -> None:
    """σ_xx = t alone: u_x = t x / E', transverse strain -ν' t / E'; plane strain has
    E' = E / (1 - ν²), ν' = ν / (1 - ν). Held by sliding supports, one component each."""
    mesh = with_right(box(cells, 2))
    d, t = mesh.dim, 0.6
    stiff, ratio = (YOUNG / (1 - NU**2), NU / (1 - NU)) if mode == "plane strain" else (YOUNG, NU)
    slide = (0.0,) + (None,) * (d - 1)
    corner = mesh.nodes_of("origin")
    axes = {f"axis {a}": Group(0, {"vertex": on_axis(mesh, a)}) for a in range(1, d)}
    mesh = Mesh(mesh.points, mesh.cells, {**mesh.groups, **axes})
    held = {
        f"axis {a}": tuple(0.0 if b != a and b else None for b in range(d)) for a in range(1, d)
    }
    problem = LinearElasticity(
        YOUNG,
        NU,
        None if mode != "plane stress" else mode,
        dirichlet={"left": slide, **held, "origin": (0.0,) * d},
        traction={"right": (t,) + (0.0,) * (d - 1), "sides": 0.0},
    )
    u = problem.solve(mesh, order).u[0]
    strain = np.array([t / stiff] + [-ratio * t / stiff] * (d - 1))
    np.testing.assert_allclose(u, mesh.points * strain, atol=1e-12)
    assert np.all(u[corner] == 0)


def on_axis(mesh: Mesh, a: int) -> np.ndarray:
    """Nodes on a coordinate axis, as vertex cells."""
    others = np.delete(mesh.points, a, axis=1)
    return np.flatnonzero(np.abs(others).max(axis=1) < 1e-12)[:, None]


@pytest.mark.parametrize("order", [1, 2])
def test_orders(order: int) -> None:
    """u = (sin x cos y, cos x sin y), div u = 2 cos x cos y, Δu = -2u: b = (4μ + 2λ) u."""
    lam, mu = YOUNG * NU / ((1 + NU) * (1 - 2 * NU)), YOUNG / (2 * (1 + NU))

    def exact(x: np.ndarray) -> np.ndarray:
        s, c = np.sin(x), np.cos(x)
        return np.stack([s[..., 0] * c[..., 1], c[..., 0] * s[..., 1]], axis=-1)

    def grad(x: np.ndarray) -> np.ndarray:
        s, c = np.sin(x), np.cos(x)
        same, cross = c[..., 0] * c[..., 1], -s[..., 0] * s[..., 1]
        return np.stack([np.stack([same, cross], -1), np.stack([cross, same], -1)], axis=-2)

    def pull(x: np.ndarray) -> np.ndarray:
        """Traction on x = 0, where n = -e_x: -(λ div u + 2μ u_x,x, 2μ ε_xy)."""
        g = grad(x)
        normal = lam * np.trace(g, axis1=-2, axis2=-1) + 2 * mu * g[..., 0, 0]
        return -np.stack([normal, mu * (g[..., 0, 1] + g[..., 1, 0])], axis=-1)

    problem = LinearElasticity(
        YOUNG,
        NU,
        body=lambda x: (4 * mu + 2 * lam) * exact(x),
        dirichlet={"rest": exact},
        traction={"left": pull},
    )
    mesh, errors = box("triangle", 4), []
    for _ in range(3):
        u = problem.system(mesh, order).solve().reshape(-1, 2)
        errors.append(error_norms(mesh, u, exact, grad, order))
        mesh = mesh.refined()
    orders = np.log2(np.array(errors[-2]) / errors[-1])
    np.testing.assert_allclose(orders, [order + 1, order], atol=0.1)


def test_moduli_by_region_cell_node_and_function_agree() -> None:
    """A bar of two materials in series, E = 1 and 4, ν = 0: elongation t (1/2 + 1/8)."""
    mesh = with_right(box("quad", 4))
    left = mesh.points[mesh.cells["quad"]].mean(axis=1)[:, 0] < 0.5
    halves = {"soft": mesh.cells["quad"][left], "stiff": mesh.cells["quad"][~left]}
    groups = {name: Group(2, {"quad": rows}) for name, rows in halves.items()}
    mesh = Mesh(mesh.points, mesh.cells, {**mesh.groups, **groups})
    for young in ({"soft": 1.0, "stiff": 4.0}, np.where(left, 1.0, 4.0)):
        problem = LinearElasticity(
            young, 0.0, dirichlet={"left": 0.0}, traction={"right": (1.0, 0.0), "sides": 0.0}
        )
        u = problem.solve(mesh).u[0]
        np.testing.assert_allclose(u[mesh.nodes_of("right"), 0], 0.625, rtol=1e-12)
    smooth = [
        LinearElasticity(e, dirichlet={"*": lambda x: x**2}).solve(mesh).u
        for e in (lambda x: 1 + x[..., 0], 1 + mesh.points[:, 0])
    ]
    np.testing.assert_allclose(*smooth, atol=1e-14)


def test_plane_stress_without_contraction_is_plane_strain() -> None:
    """ν = 0 makes all three modes one; λ = 0 then."""
    mesh = box("triangle", 3)
    fields = [
        LinearElasticity(1.0, 0.0, mode, body=(1.0, 2.0), dirichlet={"*": 0.0}).solve(mesh).u
        for mode in ("plane stress", "plane strain", None)
    ]
    np.testing.assert_array_equal(fields[0], fields[1])
    np.testing.assert_array_equal(fields[0], fields[2])


@pytest.mark.parametrize("name", ["triangle", "tetra"])
def test_rigid_motions_have_no_energy(name: str) -> None:
    mesh = box(name, 2)
    modes = rigid_motions(mesh.points)
    assert np.linalg.matrix_rank(modes) == modes.shape[1] == {2: 3, 3: 6}[mesh.dim]
    assert np.abs(Space(mesh).elasticity(1.3, 0.7) @ modes).max() < 1e-13


def test_sample_carries_channels() -> None:
    """Rollers constrain one channel; tractions stay on facets whose other channel is free."""
    mesh = box("triangle", 3)
    body = np.stack([mesh.points[:, 0], mesh.points[:, 1]], axis=1)
    problem = LinearElasticity(
        2.0, 0.25, body=body, dirichlet={"left": (0.0, None)}, traction={"rest": (0.0, -1.0)}
    )
    with pytest.raises(ValueError, match="the supports leave 1 of 3 rigid motions free"):
        problem.solve(mesh)
    sample = problem.sample(mesh)
    left = mesh.nodes_of("left")
    np.testing.assert_array_equal(np.flatnonzero(sample.boundary.dirichlet_mask[:, 0]), left)
    assert not sample.boundary.dirichlet_mask[:, 1].any()
    assert sample.boundary.flux.tolist() == [[0.0, -1.0]] * len(mesh.facets_of("rest"))
    assert sample.names["u"] == ["ux", "uy"]
    assert sample.names["inputs"] == ["bx", "by", "young", "poisson"]
    np.testing.assert_array_equal(sample.inputs[:, :2], body)
    assert sample.names["cell_inputs"] == ["bx", "by", "lame", "shear"]
    centres = mesh.points[mesh.cells["triangle"]].mean(axis=1)
    np.testing.assert_allclose(sample.cell_inputs[:, :2], centres, rtol=1e-13)
    moduli = np.broadcast_to([2 * 0.25 / (1.25 * 0.5), 2 / 2.5], (mesh.num_cells, 2))
    np.testing.assert_allclose(sample.cell_inputs[:, 2:], moduli, rtol=1e-15)
    young = np.linspace(1, 2, mesh.num_cells)  # by cell: as it is given
    given = LinearElasticity(young, 0.0, body=(1.0, lambda x: x[..., 0]), dirichlet={"*": 0.0})
    expected = np.stack([np.ones(len(young)), centres[:, 0], 0 * young, young / 2], axis=1)
    np.testing.assert_allclose(given.sample(mesh).cell_inputs, expected, atol=1e-14)
    assert sample.meta["mode"] == "plane strain"
    roller = LinearElasticity(
        dirichlet={"left": (0.0, None), "rest": (None, 0.0)}, traction={"left": 1.0}
    )
    assert len(roller.sample(mesh).boundary.facets) == len(mesh.facets_of("left"))


def test_refusals() -> None:
    flat, solid = box("triangle", 3), box("tetra", 2)
    walls = {"*": 0.0}

    def refused(mesh: Mesh, match: str, **given: object) -> None:
        with pytest.raises(ValueError, match=match):
            LinearElasticity(**({"dirichlet": walls} | given)).solve(mesh)

    refused(flat, "mode: expected one of plane strain, .* got 'shell'", mode="shell")
    refused(flat, "mode '3d' needs a mesh of 3D cells", mode="3d")
    refused(solid, "mode 'plane stress' needs a mesh of 2D cells in 2D", mode="plane stress")
    refused(octasphere(1), "got 2D cells in 3D; bars and shells are not covered")
    refused(flat, "poisson: expected -1 < ν < 1/2, got values from 0.5 to 0.5", poisson=0.5)
    refused(flat, "young: expected positive values, the smallest is -1", young=-1.0)
    refused(flat, "both over the nodes .* or both over the cells, got 20 and 24",
            young=np.ones(20), poisson=np.full(24, 0.2))  # fmt: skip
    refused(flat, "young: .* NaN", young=np.full(20, np.nan))
    refused(flat, "body: expected 2 components, got 3", body=(0.0, 0.0, 1.0))
    refused(
        flat, "Dirichlet value on '.*': expected 2 components", dirichlet={"*": (0.0, None, 1.0)}
    )
    refused(flat, "10 of 14 boundary facets have no condition", dirichlet={"left": (0.0, None)})
    refused(flat, r"source|body: expected values of shape", body=lambda x: x[..., :1].repeat(3, -1))
