"""P1 operators against closed forms, scikit-fem, finite differences and brute force."""

import numpy as np
import pytest
import skfem
import torch
from skfem.models.poisson import laplace, mass

from meshgnn import operators as op

MESHES = {1: skfem.MeshLine, 2: skfem.MeshTri, 3: skfem.MeshTet}
ELEMENTS = {1: skfem.ElementLineP1, 2: skfem.ElementTriP1, 3: skfem.ElementTetP1}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def jittered(d, refinements, amount=0.2, dtype=torch.float64, seed=0):
    """Unit interval, square, cube with displaced inner nodes: irregular, boundary flat."""
    mesh = MESHES[d]().refined(refinements)
    inner = ((mesh.p > 1e-9) & (mesh.p < 1 - 1e-9)).all(axis=0)
    shift = np.random.default_rng(seed).uniform(-1, 1, mesh.p.shape) * amount / 2**refinements
    points = torch.tensor((mesh.p + shift * inner).T.copy(), dtype=dtype)
    return points, torch.tensor(mesh.t.T.copy(), dtype=torch.int64)


def skfem_basis(pos, simplices):
    d = pos.shape[1]
    mesh = MESHES[d](pos.numpy().T.copy(), simplices.numpy().T.copy())
    return skfem.Basis(mesh, ELEMENTS[d]())


def test_closed_forms():
    """∇φ and |s| of the unit segment, triangle, tetrahedron; mirrored cells are negative."""
    for d in (1, 2, 3):
        pos = torch.cat([torch.zeros(1, d), torch.eye(d)]).double()
        hats, volume = op.hat_gradients(pos, torch.arange(d + 1)[None])
        assert torch.equal(hats[0], torch.cat([-torch.ones(1, d), torch.eye(d)]).double())
        assert volume.item() == pytest.approx([1, 1 / 2, 1 / 6][d - 1])
        swapped = torch.tensor([[1, 0, *range(2, d + 1)]])
        mirrored, negative = op.hat_gradients(pos, swapped)
        assert torch.equal(negative, -volume)
        torch.testing.assert_close(mirrored[0, [1, 0, *range(2, d + 1)]], hats[0])


def test_cotangent_weights():
    """w_ij = (cot α + cot β) / 2: on two equilateral triangles 1/√3 inside, 1/(2√3) outside."""
    pos = torch.tensor([[0.0, 0], [1, 0], [0.5, 3**0.5 / 2], [0.5, -(3**0.5) / 2]])
    edges, weight = op.stiffness_weights(pos, torch.tensor([[0, 1, 2], [1, 0, 3]]))
    assert edges[1].tolist() == sorted(edges[1].tolist())
    found = {
        tuple(pair): value for pair, value in zip(edges.T.tolist(), weight.tolist(), strict=True)
    }
    assert len(found) == 10 and (2, 3) not in found
    for pair, value in found.items():
        assert value == pytest.approx(3**-0.5 * (1.0 if set(pair) == {0, 1} else 0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_linear_fields_are_exact(d, dtype):
    """u = b·x + c: ∇u_h = b per simplex and recovered at the nodes, A u = 0 inside."""
    pos, simplices = jittered(d, 2, dtype=dtype)
    slope = torch.linspace(-1, 2, 2 * d, dtype=dtype).reshape(2, d)
    u = pos @ slope.T + 3
    close = {"rtol": 0, "atol": 2e-4 if dtype == torch.float32 else 1e-12}
    assert op.gradient(u, pos, simplices).dtype == dtype
    for values in (
        op.gradient(u, pos, simplices),
        op.recovered_gradient(u, pos, simplices),
        op.quadratic_fit(u, pos, simplices)[0],
    ):
        torch.testing.assert_close(values, slope.expand_as(values), **close)
    inner = ((pos > 0) & (pos < 1)).all(dim=1)
    residual = op.stiffness(u, pos, simplices)[inner]
    torch.testing.assert_close(residual, torch.zeros_like(residual), **close)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_equal_to_scikit_fem(d):
    """A_ij = ∫ k ∇φ_i·∇φ_j and m_i = Σ_j ∫ φ_i φ_j as scikit-fem's; A u without A, by edges."""
    pos, simplices = jittered(d, 2)
    basis = skfem_basis(pos, simplices)
    k = torch.rand(len(simplices), dtype=torch.float64) + 0.5

    @skfem.BilinearForm
    def form(u, v, w):
        return k.numpy()[:, None] * sum(u.grad[i] * v.grad[i] for i in range(d))

    reference = torch.tensor(form.assemble(basis).toarray())
    matrix = op.stiffness_matrix(pos, simplices, k)
    torch.testing.assert_close(matrix.to_dense(), reference, rtol=0, atol=1e-13)
    unit = torch.tensor(laplace.assemble(basis).toarray())
    torch.testing.assert_close(op.stiffness_matrix(pos, simplices).to_dense(), unit)
    rows = torch.tensor(np.asarray(mass.assemble(basis).sum(axis=1)).ravel())
    torch.testing.assert_close(op.lumped_mass(pos, simplices), rows)
    u = torch.randn(len(pos), 2, dtype=torch.float64)
    torch.testing.assert_close(op.stiffness(u, pos, simplices, k), reference @ u)
    (j, i), weight = op.stiffness_weights(pos, simplices, k)
    by_edges = torch.zeros_like(u).index_add(0, i, weight[:, None] * (u[i] - u[j]))
    torch.testing.assert_close(by_edges, reference @ u)


@pytest.mark.parametrize("d", [1, 2])
def test_surfaces_in_space(d):
    """A rotated copy in 3D has the same measures, mass and stiffness; ∇ is the tangential one."""
    pos, simplices = jittered(d, 2)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    space = torch.nn.functional.pad(pos, (0, 3 - d)) @ rotation
    torch.testing.assert_close(op.lumped_mass(space, simplices), op.lumped_mass(pos, simplices))
    flat = op.stiffness_matrix(pos, simplices).to_dense()
    torch.testing.assert_close(op.stiffness_matrix(space, simplices).to_dense(), flat)
    slope = torch.tensor([[1.0, -2, 3]], dtype=torch.float64)
    tangential = slope @ rotation[:d].T @ rotation[:d]
    found = op.gradient(space @ slope.T, space, simplices)[:, 0]
    torch.testing.assert_close(found, tangential.expand_as(found))
    centre = space[simplices].mean(dim=1)
    location = op.locate(centre, space, simplices)
    assert location.inside.all() and torch.equal(location.simplex, torch.arange(len(simplices)))
    above = op.locate(centre + 0.01 * rotation[2], space, simplices)
    assert not above.inside.any()
    torch.testing.assert_close(op.interpolate(space, simplices, above), centre)


OPERATORS = {
    "measure": lambda u, x, s: op.hat_gradients(x, s)[1],
    "hats": lambda u, x, s: op.hat_gradients(x, s)[0],
    "gradient": op.gradient,
    "recovered_gradient": op.recovered_gradient,
    "lumped_mass": lambda u, x, s: op.lumped_mass(x, s),
    "stiffness": lambda u, x, s: op.stiffness(u, x, s, 1 + x[s].mean(dim=1)[:, 0] ** 2),
    "stiffness_matrix": lambda u, x, s: op.stiffness_matrix(x, s) @ u,
    "quadratic_fit": op.quadratic_fit,
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_derivatives(d, name):
    """Every operator has the derivative of its finite differences in u and in the positions."""
    pos, simplices = jittered(d, {1: 2, 2: 1, 3: 0}[d], amount=0.1)
    u = torch.randn(len(pos), 2, dtype=torch.float64, requires_grad=True)
    pos = (pos + 0.02 * torch.rand_like(pos)).requires_grad_()
    fast = name == "quadratic_fit"  # by random directions: its full Jacobian takes seconds
    function = OPERATORS[name]
    assert torch.autograd.gradcheck(
        lambda u, x: function(u, x, simplices), (u, pos), fast_mode=fast
    )


def test_derivative_of_an_energy():
    """dE/dx of E = ½ ∫ |∇u_h|² against central differences: directional, on a mesh of 81 nodes."""
    pos, simplices = jittered(2, 3)
    u = torch.sin(3 * pos[:, :1]) * pos[:, 1:]

    def energy(x):
        return 0.5 * (u * op.stiffness(u, x, simplices)).sum()

    pos.requires_grad_()
    (slope,) = torch.autograd.grad(energy(pos), pos)
    way = torch.randn_like(slope)
    with torch.no_grad():
        difference = (energy(pos + 1e-6 * way) - energy(pos - 1e-6 * way)) / 2e-6
    torch.testing.assert_close((slope * way).sum(), difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", OPERATORS)
def test_disjoint_union(name):
    """One call on a batch of meshes gives what single calls give."""
    parts = [jittered(2, 2, seed=1), jittered(2, 3, seed=2), jittered(2, 1, seed=3)]
    fields = [torch.randn(len(pos), 2, dtype=torch.float64) for pos, _ in parts]
    offsets = np.cumsum([0] + [len(pos) for pos, _ in parts])
    pos = torch.cat([p for p, _ in parts])
    simplices = torch.cat([s + int(o) for (_, s), o in zip(parts, offsets, strict=False)])
    together = OPERATORS[name](torch.cat(fields), pos, simplices)
    single = [OPERATORS[name](u, p, s) for u, (p, s) in zip(fields, parts, strict=True)]
    if not isinstance(together, tuple):
        together, single = (together,), [(value,) for value in single]
    for i, value in enumerate(together):
        torch.testing.assert_close(value, torch.cat([part[i] for part in single]))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_quadratic_fields_are_fitted_exactly(d):
    """u = ½ xᵀHx + b·x: gradient and Hessian exact at every node, corners and edges included."""
    pos, simplices = jittered(d, 2)
    hessian = torch.randn(d, d, dtype=torch.float64)
    hessian, slope = hessian + hessian.T, torch.randn(d, dtype=torch.float64)
    u = 0.5 * torch.einsum("ni,ij,nj->n", pos, hessian, pos) + pos @ slope
    gradient, second = op.quadratic_fit(torch.stack([u, -2 * u], dim=1), pos, simplices)
    torch.testing.assert_close(gradient[:, 0], pos @ hessian + slope, rtol=0, atol=1e-10)
    torch.testing.assert_close(second[:, 0], hessian.expand(len(pos), d, d), rtol=0, atol=1e-8)
    torch.testing.assert_close(second[:, 1], -2 * second[:, 0])


def test_orders_of_recovery():
    """u = sin 3x cos 2y: max |g - ∇u| is O(h²) and max |H - ∇²u| O(h), boundary included."""
    errors = []
    for refinements in (4, 5, 6):
        pos, simplices = jittered(2, refinements)
        x, y = (3 * pos[:, 0], 2 * pos[:, 1])
        u = (torch.sin(x) * torch.cos(y))[:, None]
        exact = torch.stack([3 * torch.cos(x) * torch.cos(y), -2 * torch.sin(x) * torch.sin(y)], 1)
        mixed = -6 * torch.cos(x) * torch.sin(y)
        gradient, hessian = op.quadratic_fit(u, pos, simplices)
        errors.append(
            [(gradient[:, 0] - exact).abs().max(), (hessian[:, 0, 0, 1] - mixed).abs().max()]
        )
    rates = torch.log2(torch.tensor(errors)[0] / torch.tensor(errors)[2]) / 2
    assert rates[0] > 1.8 and rates[1] > 0.8, rates


def test_components_too_small_for_a_quadratic():
    """A single tetrahedron: linear fields are exact and the smallest Hessian, zero, is taken."""
    pos = torch.rand(4, 3, dtype=torch.float64)
    slope = torch.tensor([[1.0, 2, 3]], dtype=torch.float64)
    gradient, hessian = op.quadratic_fit(pos @ slope.T, pos, torch.arange(4)[None])
    torch.testing.assert_close(gradient, slope.expand(4, 1, 3), rtol=1e-6, atol=1e-6)
    assert hessian.abs().max() < 1e-6


@pytest.mark.parametrize("d", [1, 2, 3])
def test_locate_against_brute_force(d):
    """Every point is in its simplex; outside, the nearest of all simplices; linear u is exact."""
    pos, simplices = jittered(d, 3)
    pos = pos**3  # graded: sizes differ by two orders of magnitude
    points = torch.rand(300, d, dtype=torch.float64) * 1.6 - 0.3
    location = op.locate(points, pos, simplices)
    assert torch.equal(location.inside, ((points >= 0) & (points <= 1)).all(dim=1))
    assert (location.weights >= -1e-12).all()
    foot = op.interpolate(pos, simplices, location)
    torch.testing.assert_close(foot, points.clamp(0, 1), rtol=0, atol=1e-12)
    slope = torch.randn(d, 2, dtype=torch.float64)
    u = op.interpolate(pos @ slope, simplices, location)
    torch.testing.assert_close(u, points.clamp(0, 1) @ slope)


def test_locate_nodes_and_float32():
    """Nodes themselves, in float32, are inside and get their own values back."""
    pos, simplices = jittered(2, 3, dtype=torch.float32)
    location = op.locate(pos, pos, simplices)
    assert location.inside.all() and location.weights.dtype == torch.float32
    torch.testing.assert_close(op.interpolate(pos, simplices, location), pos)


def test_locate_is_differentiable():
    """u(x) of the interpolant: du/dx = (∇u)_s, and λ follow the node positions."""
    pos, simplices = jittered(2, 2)
    u = torch.randn(len(pos), 1, dtype=torch.float64)
    # strictly inside, and one point beyond an edge, whose value only changes along that edge
    points = torch.cat([pos[simplices].mean(dim=1)[::3], torch.tensor([[0.6, 1.2]])])

    def value(points, pos):
        return op.interpolate(u, simplices, op.locate(points, pos, simplices))

    points.requires_grad_()
    pos.requires_grad_()
    assert torch.autograd.gradcheck(value, (points, pos))
    (slope,) = torch.autograd.grad(value(points, pos).sum(), points)
    location = op.locate(points, pos, simplices)
    inner = op.gradient(u, pos, simplices)[location.simplex[:-1], 0]
    torch.testing.assert_close(slope[:-1], inner)
    assert slope[-1, 1] == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_an_accelerator():
    """The same numbers on CUDA."""
    pos, simplices = jittered(3, 2)
    u, points = torch.randn(len(pos), 2, dtype=torch.float64), torch.rand(50, 3).double() * 1.2
    for name, operator in OPERATORS.items():
        here, there = operator(u, pos, simplices), operator(u.cuda(), pos.cuda(), simplices.cuda())
        for a, b in zip(*(v if isinstance(v, tuple) else (v,) for v in (here, there)), strict=True):
            torch.testing.assert_close(a, b.cpu(), msg=name)
    location = op.locate(points.cuda(), pos.cuda(), simplices.cuda())
    value = op.interpolate(u.cuda(), simplices.cuda(), location)
    expected = op.interpolate(u, simplices, op.locate(points, pos, simplices))
    torch.testing.assert_close(value.cpu(), expected)


def test_errors():
    """Wrong corner counts and dimensions are named."""
    pos, simplices = jittered(2, 1)
    with pytest.raises(
        ValueError, match="expected simplices of 2 to d \\+ 1 corners.*got 4 corners in 2"
    ):
        op.hat_gradients(pos, torch.arange(4)[None])
    with pytest.raises(ValueError, match="expected points of dimension 2.*shape \\(5, 3\\)"):
        op.locate(torch.zeros(5, 3).double(), pos, simplices)
    with pytest.raises(ValueError, match="at least one simplex.*and 0 simplices"):
        op.locate(torch.zeros(5, 2).double(), pos, simplices[:0])
    space = torch.nn.functional.pad(pos, (0, 1))
    with pytest.raises(
        ValueError, match="expected simplices with d \\+ 1 = 4 corners.*got 3; use rec"
    ):
        op.quadratic_fit(pos[:, :1], space, simplices)
