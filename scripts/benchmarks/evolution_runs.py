"""The configurations of `evolution.py`."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """One configuration.

    Args:
        train: set and number of trajectories, seed 0.
        tests: {title: (set, number)}, seed 2.
        model: options of the model; its window and bundle among them.
        fit: options of `fit`.
        name: of the model in `MODELS`.
        every: frames of the data from one state of the model to the next.
        stride: states between the starts of two training windows.
        depth: calls of the model in a training window.
        loss: what is trained for: "one_step", "pushforward", "random_pushforward", "unrolled",
            "derivative", "published".
        blind: leaves the parameters of the equation out.
        alone: probability of a start from fewer than all known states in training.
        wrapper: a name in `MODELS` around the model, and its options.
        seed: of weights and order.
        after: the run whose trained weights this one starts from.
        beside: a second set to train on, and its number.
    """

    train: tuple[str, int]
    tests: dict[str, tuple[str, int]]
    model: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    name: str = "MPPDE"
    every: int = 1
    stride: int = 1
    depth: int = 1
    loss: str = "one_step"
    blind: bool = False
    alone: float = 0.0
    wrapper: tuple[str, dict[str, Any]] | None = None
    seed: int = 0
    after: str = ""
    beside: tuple[str, int] | None = None


WINDOW = {"history": 25, "bundle": 25}
COMBINED = {"width": 64, "layers": 4, "hops": 3, "slices": 8, "library": False} | WINDOW
SHORT = {"epochs": 3}
MORE = {"epochs": 4, "lr": 5e-4}
PUBLISHED = {"preset": "paper", **WINDOW, "length": 16.0}


def _combined(family: str, cells: int, count: int = 2048, **changes: Any) -> Run:
    """The 1D equation: starts every 7 frames, so that an epoch sees each trajectory 29 times."""
    kind = f"{family}-{cells}"
    plan = {"model": COMBINED, "depth": 2, "loss": "random_pushforward", "stride": 7}
    plan |= {"fit": {"epochs": 6}} | changes
    return Run((kind, count), {"as trained": (kind, 128)}, **plan)


def _burgers(option: str, **changes: Any) -> Run:
    """2D Burgers from one state: steps of 0.01 s."""
    kind, net = f"burgers-{option}", {"width": 64, "layers": 4, "history": 1, "bundle": 1}
    plan = {"model": net, "every": 10, "stride": 4, "depth": 4, "loss": "unrolled"}
    plan |= {"fit": {"epochs": 12, "batch_size": 4}} | changes
    return Run((kind, 10), {"new starts": (kind, 10)}, **plan)


GRAPH_NET = {"name": "MeshGraphNet"}
GRAPH_NET |= {"model": {"width": 64, "blocks": 4, "hidden": 1, "history": 1, "bundle": 1}}


SMALL = {"width": 32, "layers": 3, "history": 1, "bundle": 1, "library": False}
KINDS: dict[str, dict[str, Any]] = {
    "one_step": {"depth": 1, "loss": "one_step"},
    "noise": {"depth": 1, "loss": "one_step", "fit": {"noise": 0.01}},
    "pushforward": {"depth": 4, "loss": "pushforward"},
    "unrolled": {"depth": 4, "loss": "unrolled"},
    "derivative": {"depth": 4, "loss": "derivative", "wrapper": ("Integrated", {"scheme": "rk4"})},
}
"""Ways to train for a stable march, at equal numbers of steps, without the fitted terms."""


def _kind(name: str, seed: int) -> Run:
    changes = KINDS[name] | {"model": SMALL, "seed": seed}
    options = {"epochs": 6, "batch_size": 4} | changes.pop("fit", {})
    return _burgers("square", fit=options, **changes)


LATER = {"epochs": 5, "batch_size": 4, "noise": 0.01, "lr": 3e-4}


def _wake(**changes: Any) -> Run:
    """Flow past cylinders of random place and size, Re 80 to 160; tests on other shapes too.

    A frame is 0.01 s, about 1/30 of a period; a call of the model gives 4.
    """
    net = {"width": 64, "layers": 5, "slices": 16, "history": 2, "bundle": 4, "library": False}
    plan = {"model": net, "stride": 8, "depth": 2, "loss": "pushforward"}
    plan |= {"fit": {"epochs": 12, "batch_size": 4, "noise": 0.01}} | changes
    tests = {"cylinders": ("wake", 4), "other shapes": ("wake-shapes", 4)}
    return Run(("wake", 16), tests, **plan)


RUNS: dict[str, Run | None] = {
    "e1_classical": None,
    "e2_classical": None,
    "e3_classical": None,
    "burgers_classical": None,
    "wake_classical": None,
    "e1_100": _combined("E1", 100),
    "e1_50": _combined("E1", 50, fit={"epochs": 4}),
    "e1_40": _combined("E1", 40, fit={"epochs": 4}),
    "e1_100_paper": _combined("E1", 100, model=PUBLISHED, loss="published"),
    "e3_50": _combined("E3", 50, fit=SHORT),
    "e3_50_blind": _combined("E3", 50, fit=SHORT, blind=True),
    "e3_50_long": _combined("E3", 50, after="e3_50", fit=MORE),
    "e3_50_long_blind": _combined("E3", 50, after="e3_50_blind", fit=MORE, blind=True),
    "e3_50_film": _combined("E3", 50, fit=SHORT, model=COMBINED | {"conditioning": "film"}),
    "e3_50_attention": _combined(
        "E3", 50, fit=SHORT, model=COMBINED | {"conditioning": "attention"}
    ),
    "burgers": _burgers("square"),
    "burgers_net": _burgers("square", **GRAPH_NET),
    "burgers_hole": _burgers("hole"),
    "burgers_hole_net": _burgers("hole", **GRAPH_NET),
    **{f"burgers_{k}_seed{seed}": _kind(k, seed) for k in KINDS for seed in range(3)},
    "wake": _wake(),
    "wake_long": _wake(after="wake", depth=8, loss="random_pushforward", fit=LATER),
    "wake_shapes": _wake(
        after="wake_long",
        beside=("wake-ellipses", 16),
        depth=8,
        loss="random_pushforward",
        fit=LATER,
    ),
    "wake_net": _wake(
        name="MeshGraphNet",
        model={"width": 64, "blocks": 5, "hidden": 1, "slices": 16, "history": 2, "bundle": 4},
    ),
}

SECTIONS = {
    "The combined equation in 1D": [n for n in RUNS if n.startswith("e")],
    "Burgers in 2D": [n for n in RUNS if n.startswith("burgers")],
    "The wake of a cylinder": [n for n in RUNS if n.startswith("wake")],
}
