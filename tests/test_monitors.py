"""Monitors against closed forms and their invariances; the filter keeps what it says it keeps."""

import numpy as np
import pytest
import torch
from mesh_builders import octasphere, wavy

from meshgnn.monitors import KINDS, Monitor, smoothed
from meshgnn.operators import lumped_mass

CELLS = {1: ("line", 40), 2: ("triangle", 16), 3: ("tetra", 3)}


def case(d: int, dtype: torch.dtype = torch.float64, n: int | None = None):
    """A wavy box and a spherical front on it, with a linear second component."""
    name, size = CELLS[d]
    mesh = wavy(name, n or size)
    pos, simplices = torch.tensor(mesh.points, dtype=dtype), torch.tensor(mesh.simplices)
    front = torch.tanh(((pos - 0.45).norm(dim=1) - 0.3) * 10)
    return pos, simplices, torch.stack([front, 3 * pos[:, 0] + 1], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_constant_fields_give_one(d: int, kind: str, dtype: torch.dtype) -> None:
    """u = c: m = 1 in every bit, for any c, with rounding noise too; "hessian" for linear u."""
    pos, simplices, u = case(d, dtype)
    monitor = Monitor(kind)
    fields = [torch.full_like(u, c) for c in (0.0, 1.1, -1e30, 1e-30)]
    fields.append(fields[1] * (1 + torch.finfo(dtype).eps * torch.randint_like(u, -1, 2)))
    if kind == "hessian":
        fields.append(u[:, 1:])
    for field in fields:
        m = monitor(pos, simplices, field)
        assert m.dtype == dtype and (m == 1).all()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_closed_forms(d: int) -> None:
    """Linear u: |∇u| is its mean, so m = 1 + 1/s, √(1 + 1/s²), 1 + log(1 + 1/s). Quadratic u:
    |H| is its maximum, and m = 1 + 1/s."""
    pos, simplices, u = case(d)
    values = {"gradient": 3, "arc length": 5**0.5, "log gradient": 1 + np.log(3), "hessian": 3}
    for kind, value in values.items():
        field = (pos**2).sum(dim=1, keepdim=True) if kind == "hessian" else u[:, 1:]
        m = Monitor(kind, scale=0.5)(pos, simplices, field)
        torch.testing.assert_close(m, torch.full_like(m, value), rtol=1e-9, atol=0)


def test_nodes_go_to_the_front_and_not_to_its_mirror_image() -> None:
    """A front along x = 1/4: m is largest there, in "hessian" on both of its sides."""
    pos, simplices, _ = case(2, n=40)
    u = torch.tanh((pos[:, :1] - 0.25) * 15)
    for kind in KINDS:
        m = Monitor(kind)(pos, simplices, u)
        near = (pos[:, 0] - 0.25).abs() < 0.1
        assert near[m.argmax()] and m[near].mean() > 1.5 * m[~near].mean()
    exact = 1 + (15 / torch.cosh((pos[:, 0] - 0.25) * 15) ** 2) / (
        np.tanh(0.75 * 15) + np.tanh(0.25 * 15)
    )
    m = Monitor("gradient", smoothing=0.0)(pos, simplices, u)
    assert (m - exact).abs().max() < 0.1 * exact.max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 3])
def test_rotations_units_and_order_of_components(d: int, kind: str) -> None:
    """m is unchanged by x → L R x + b, u_c → a_c u_c + b_c and a permutation of the components."""
    pos, simplices, u = case(d)
    monitor = Monitor(kind, scale=0.3)
    expected = monitor(pos, simplices, u)
    generator = torch.Generator().manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(d, d, dtype=pos.dtype, generator=generator))
    scaled = u * torch.tensor([-1e-12, 1e9]) + torch.tensor([2e-12, -1e9])
    for x, field in [
        (pos @ rotation.T + 3, u),
        (pos * 1e-30, u),
        (pos * 1e30, scaled),
        (pos, u.flip(1)),
    ]:
        torch.testing.assert_close(monitor(x, simplices, field), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_close_in_any_unit(kind: str) -> None:
    """Micrometres and megametres in float32, where h^4 alone would leave its range."""
    pos, simplices, u = case(3)
    expected = Monitor(kind)(pos, simplices, u)
    for size in (1e-12, 1.0, 1e12):
        m = Monitor(kind)((pos * size).float(), simplices, (u * 1e25).float())
        torch.testing.assert_close(m, expected.float(), rtol=2e-3, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_meshes(kind: str) -> None:
    """A disjoint union with `batch` gives what the meshes give alone, constant ones included."""
    parts = [case(2, n=6), case(2, n=9), case(2, n=7)]
    fields = [parts[0][2], torch.ones_like(parts[1][2]), 1e6 * parts[2][2] ** 2]
    places = [parts[0][0], parts[1][0] + 5, 100 * parts[2][0]]
    offsets = np.cumsum([0] + [len(pos) for pos, _, _ in parts])
    simplices = torch.cat([s + int(o) for (_, s, _), o in zip(parts, offsets, strict=False)])
    batch = torch.arange(3).repeat_interleave(torch.tensor([len(x) for x in places]))
    together = Monitor(kind)(torch.cat(places), simplices, torch.cat(fields), batch)
    alone = [Monitor(kind)(x, s, u) for x, (_, s, _), u in zip(places, parts, fields, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-9, atol=0)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("length", [0.3, 1.0, 2.5])
def test_the_filter_keeps_integral_range_and_constants(d: int, length: float) -> None:
    """Σ M_L m is kept, min m ≤ m' ≤ max m from node to node noise, on slivers too; constants are
    kept in every bit; isolated nodes keep their value."""
    pos, simplices, _ = case(d)
    pos = torch.cat([pos**3 * torch.tensor([1.0, 0.01, 1.0])[:d], torch.full((1, d), 9.0)])
    m = torch.rand(len(pos), dtype=pos.dtype, generator=torch.Generator().manual_seed(0)) + 0.01
    after, mass = smoothed(m, pos, simplices, length), lumped_mass(pos, simplices)
    torch.testing.assert_close(mass @ after, mass @ m, rtol=1e-13, atol=0)
    assert after.min() >= m.min() and after.max() <= m.max() and after[-1] == m[-1]
    assert after[:-1].std() < (0.95 if length < 1 else 0.8) * m[:-1].std()
    constant = torch.full_like(m, 0.1)
    assert torch.equal(smoothed(constant, pos, simplices, length), constant)
    assert torch.equal(smoothed(m, pos, simplices, 0.0), m)


def test_the_length_of_the_filter() -> None:
    """A unit mass spreads to a variance of (length · h)² in each direction; on the line exactly,
    as all edges there are h long, on squares cut in two by the mean of their edges."""
    h = 1 / 60
    x = torch.arange(61, dtype=torch.float64)[:, None] * h
    cells = torch.stack([torch.arange(60), torch.arange(1, 61)], dim=1)
    for length in (0.4, 1.0, 3.0):
        m = torch.zeros(61, dtype=x.dtype)
        m[30] = 1
        after = smoothed(m, x, cells, length)
        variance = ((x[:, 0] - x[30, 0]) ** 2 * after).sum()
        assert variance.sqrt().item() == pytest.approx(length * h, rel=1e-9)


def test_mean_of_the_gradient_monitor() -> None:
    """⟨m⟩ = 1 + 1 / scale, smoothed or not."""
    pos, simplices, u = case(2)
    mass = lumped_mass(pos, simplices)
    for scale in (0.1, 1.0, 5.0):
        for smoothing in (0.0, 2.0):
            m = Monitor("gradient", scale, smoothing)(pos, simplices, u)
            assert (mass @ m / mass.sum()).item() == pytest.approx(1 + 1 / scale, rel=1e-9)


def test_surfaces_in_space_and_gradients() -> None:
    """z on the sphere: |∇_Γ z| = √(1 − z²) with mean π/4. m is differentiable in u and pos."""
    mesh = octasphere(4)
    pos, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
    m = Monitor("gradient")(pos, simplices, pos[:, 2:])
    exact = 1 + (1 - pos[:, 2] ** 2).sqrt() * 4 / np.pi
    assert (m - exact).abs().mean() < 0.02
    pos, simplices, u = case(2, n=5)
    for kind in KINDS:
        x, v = pos.clone().requires_grad_(), u.clone().requires_grad_()
        grads = torch.autograd.grad((Monitor(kind)(x, simplices, v) ** 2).sum(), (x, v))
        assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in grads)


def test_errors() -> None:
    """What can not be a monitor, or a field, is said with its place."""
    pos, simplices, u = case(2, torch.float32)
    with pytest.raises(ValueError, match="kind gradient, arc length, .*got 'curvature'"):
        Monitor("curvature")
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a scale above 0, got"):
            Monitor(scale=scale)
    for smoothing in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="smoothing of 0 edge lengths or more, got"):
            Monitor(smoothing=smoothing)
    for value in (float("nan"), float("inf")):
        bad = u.clone()
        bad[7, 1] = value
        with pytest.raises(ValueError, match=f"got 1 of {len(u)} nodes with NaN.*first is node 7;"):
            Monitor()(pos, simplices, bad)
    with pytest.raises(ValueError, match="NaN or infinite values \\(in torch.float32\\)"):
        Monitor()(pos, simplices, u.double() * 1e60)
    with pytest.raises(ValueError, match="overflows torch.float32 with scale = 1e-40"):
        Monitor("gradient", 1e-40)(pos, simplices, u)
    flat = pos.clone()
    flat[simplices[0, 1]] = flat[simplices[0, 0]]
    with pytest.raises(ValueError, match="m is NaN or infinite at .* cells there are degenerate"):
        Monitor("gradient")(flat, simplices, u)
    with pytest.raises(ValueError, match="1 pairs of neighbours coincide, nodes .* degenerate"):
        Monitor()(flat, simplices, u)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", KINDS)
def test_on_an_accelerator(kind: str) -> None:
    """The same numbers on CUDA."""
    pos, simplices, u = case(3)
    there = Monitor(kind)(pos.cuda(), simplices.cuda(), u.cuda())
    torch.testing.assert_close(there.cpu(), Monitor(kind)(pos, simplices, u))
