"""What a march ends with when its state leaves every bound."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from meshgnn.sample import Sample


class BlownUp(ValueError):
    """A state that holds NaN, infinity or values beyond the limit; the states before it are kept.

    Attributes:
        step: number of the state, 1 for the first new one.
        time: its time, s.
        node: index of the (first, or worst) node.
        component: index of the component.
        sample: the states before it, where the march kept them in memory; else None.
        path: the file that holds the states before it; None without one.

    Its message is `what`, and where the states are.
    """

    def __init__(self, step: int, time: float, node: int, component: int, what: str) -> None:
        super().__init__(step, time, node, component, what)
        self.step, self.time, self.node, self.component = step, time, node, component
        self.sample: Sample | None = None
        self.path: Path | None = None

    def __str__(self) -> str:
        kept = ""
        if self.path is not None:
            kept = f"; {self.path} holds the states before it"
        elif self.sample is not None:
            kept = "; the states before it are in the error's attribute sample"
        return f"{self.args[-1]}{kept}"


def check_state(
    sample: Sample, state: Float[np.ndarray, "N C"], step: int, time: float, bound: float
) -> None:
    """Raises: BlownUp: NaN, infinity or an entry beyond the bound, with its place."""
    size = np.abs(state)
    largest = size.max(initial=0.0)
    if np.isfinite(largest) and largest <= bound:
        return
    wrong = ~np.isfinite(size)
    place = int(wrong.argmax() if wrong.any() else size.argmax())
    node, component = divmod(place, state.shape[1])
    names = sample.names.get("u", [])
    name = repr(names[component]) if names else str(component)
    what = f"reaches {largest:.3g}" if np.isfinite(largest) else "holds NaN or infinity"
    nodes = int(wrong.any(axis=1).sum())
    where = ", ".join(f"{x:.4g}" for x in sample.mesh.points[node])
    also = f" (and {nodes - 1} other nodes)" if nodes > 1 else ""
    message = (
        f"rollout: the state of step {step} (t = {time:g} s) {what} in component {name} at node "
        f"{node} at ({where}){also}: the march has blown up; train with noise or "
        "losses.pushforward, or take fewer steps"
    )
    raise BlownUp(step, time, node, component, message)
