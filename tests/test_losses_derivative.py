"""Difference quotients are exact for polynomials, and the loss of du/dt counts free entries."""

import pytest
import torch
from interval_graphs import wave
from torch_geometric.data import Batch, Data

from meshgnn.losses import derivative, derivative_target, difference_quotient, one_step


def polynomial(degree: int, history: int, ahead: int, dt: float = 0.5) -> Data:
    """States of u = Σ_m (m + x) t^m / 2^m at t = −K + 1 ... S steps; du/dt(0) = (1 + x) / 2."""
    graph = wave(history, ahead)
    t = dt * torch.arange(1 - history, ahead + 1, dtype=torch.float64)[:, None]
    x = graph.pos[:, None].double()
    u = sum((m + x) * (t / 2) ** m for m in range(degree + 1))
    graph.u, graph.y = u[:, :history].float(), u[:, history:].float()
    graph.dt = torch.tensor([dt])
    return graph


def slope(graph: Data) -> torch.Tensor:
    return (1 + graph.pos) / 2


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("history", [1, 2, 3, 5])
def test_quotients_are_exact_to_their_order(order: int, history: int) -> None:
    """Exact for polynomials of degree p, from one state or from several; not for degree p + 1."""
    graph = polynomial(order, history, 4)
    torch.testing.assert_close(
        difference_quotient(graph, order), slope(graph), rtol=1e-5, atol=1e-4
    )
    rough = polynomial(order + 1, history, 4)
    assert (difference_quotient(rough, order) - slope(rough)).abs().max() > 1e-3


def test_the_usual_formulas() -> None:
    """(y_1 − u) / Δt; (y_1 − u_−1) / 2Δt; (u_−2 − 8 u_−1 + 8 y_1 − y_2) / 12Δt."""
    graph = wave(3, 2)
    u, y, dt = graph.u, graph.y, 0.1
    expected = {
        1: (y[:, 0] - u[:, 2]) / dt,
        2: (y[:, 0] - u[:, 1]) / (2 * dt),
        4: (u[:, 0] - 8 * u[:, 1] + 8 * y[:, 0] - y[:, 1]) / (12 * dt),
    }
    for order, value in expected.items():
        torch.testing.assert_close(difference_quotient(graph, order), value, rtol=1e-4, atol=1e-4)


def test_states_that_only_repeat_the_first_are_not_used() -> None:
    """known = 1 of K = 3: the one-sided quotient of the last state, whatever the others hold."""
    graph = polynomial(2, 3, 2)
    graph.u[:, :2], graph.known = graph.u[:, 2:], torch.ones(1)
    torch.testing.assert_close(difference_quotient(graph, 2), slope(graph), rtol=1e-5, atol=1e-4)
    batch = Batch.from_data_list([graph, graph])
    batch.known = torch.tensor([3.0, 1.0])
    assert torch.allclose(difference_quotient(batch, 2)[24:], slope(graph), rtol=1e-5, atol=1e-4)


def test_the_loss_is_the_mean_square_over_the_free_volume() -> None:
    """f̂ = D u + 0.5 / Δt wherever it is free, graphs of other Δt: L = 0.25, over σ² = 4 0.0625."""
    batch = Batch.from_data_list([polynomial(1, 1, 1), polynomial(1, 1, 1, dt=0.1)])
    batch.dirichlet_mask[:7] = True
    exact = torch.cat([slope(polynomial(1, 1, 1))] * 2)
    shift = torch.tensor(0.5, requires_grad=True)

    class Known:
        def derivative(self, graph: Data) -> torch.Tensor:
            return exact + shift / graph.dt[graph.batch, None] + 9.0 * graph.dirichlet_mask

    loss = derivative_target(Known(), batch)
    loss.backward()
    assert loss.item() == pytest.approx(0.25, rel=1e-4)
    assert shift.grad is not None and shift.grad.item() == pytest.approx(1.0, rel=1e-4)
    model = Known()
    model.scale_out = type("", (), {"std": torch.tensor([2.0])})()
    assert derivative(1)(model, batch).item() == pytest.approx(0.0625, rel=1e-4)


def test_of_order_one_it_is_the_loss_of_an_euler_step() -> None:
    class Euler:
        def derivative(self, graph: Data) -> torch.Tensor:
            return torch.sin(3 * graph.u[:, -1])

        def __call__(self, graph: Data) -> torch.Tensor:
            return graph.u[:, -1:] + graph.dt * self.derivative(graph)[:, None]

    graph = wave(2, 1)
    assert derivative(1)(Euler(), graph).item() == pytest.approx(
        one_step(Euler(), graph).item(), rel=1e-4
    )


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="derivative: expected order of at least 1, got 0"):
        derivative(0)
    with pytest.raises(ValueError, match="order=0 and 1 known states"):
        difference_quotient(wave(1, 1), 0)
    steady = wave(1, 1)
    steady.u = steady.u[:, :0]
    with pytest.raises(ValueError, match="order=1 and 0 known states"):
        difference_quotient(steady)
    with pytest.raises(
        ValueError, match="order 4 with 2 known states needs 3 states to come, got 1"
    ):
        difference_quotient(wave(2, 1), 4)
