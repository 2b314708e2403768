"""The history of a training run (matplotlib)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from meshgnn.viz import page
from meshgnn.viz.curves import of_history
from meshgnn.viz.lines import COLOURS, DASHES, finish
from meshgnn.viz.picture import (
    Picture,
    check_path,
    figure_image,
    matplotlib_figure,
    window_wanted,
)


def plot_history(losses: Mapping[str, Sequence[float]], path: str | Path | None = None) -> Picture:
    """Loss over epochs, one curve per name, on a logarithmic scale.

    Args:
        losses: {name: one value per epoch}, such as {"train": …, "validation": …}; NaN is a gap.
        path: a .png, .jpg or .html (to zoom and read values from) to write as well.

    Raises:
        ValueError: nothing to draw.
        ImportError: matplotlib is missing.
    """
    curves = {name: np.asarray(values, float) for name, values in losses.items() if len(values)}
    if not curves:
        raise ValueError("plot_history: expected at least one epoch, got an empty history")
    target = None if path is None else check_path(path)
    figure = matplotlib_figure((7.0, 3.6))
    axes = figure.subplots()
    for place, (name, values) in enumerate(curves.items()):
        style = {"color": COLOURS[place % 6], "linestyle": DASHES[place % 4], "linewidth": 1.8}
        axes.plot(np.arange(1, len(values) + 1), values, label=name, **style)
    log = all(np.nanmin(values) > 0 for values in curves.values())
    if log:
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    finish(axes)
    picture = Picture(figure_image(figure)[None])
    if target is not None and target.suffix.lower() == ".html":
        page.write_curves(target, of_history(curves, log), picture)
    elif target is not None:
        picture.save(target)
    elif window_wanted(path):
        picture.show()
    return picture
