"""`plot`: a sample beside its truth, a mesh with its groups, a time series as an animation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from meshgnn.mesh import Mesh
from meshgnn.sample import Sample
from meshgnn.viz import scene
from meshgnn.viz.groups import draw_groups
from meshgnn.viz.lines import draw_lines
from meshgnn.viz.picture import Picture, check_path, window_wanted

# Side of a drawing in pixels; frames of an animation are smaller, for the sake of its file.
_PIXELS, _FRAME_PIXELS = 620, 400


def plot(
    what: Sample | Mesh,
    truth: Sample | None = None,
    *,
    name: str | None = None,
    time: int = -1,
    cut: str | None = None,
    points: Float[np.ndarray, "T N d"] | None = None,
    path: str | Path | None = None,
) -> Picture:
    """A picture of a field u(x), of prediction | truth | |error|, or of a mesh with its groups.

    Prediction and truth share one colour scale; the error has its own and its title says the
    relative L2 norm ‖u − u_truth‖ / ‖u_truth‖, weighted by the lumped mass. A mesh (or a sample
    without solution) is drawn with its named groups. On an interval the fields are curves.

    In a notebook the result is shown inline; in plain Python with a display and no `path` a window
    opens (PYVISTA_OFF_SCREEN=1 prevents it); without a display nothing is needed but EGL.

    Args:
        what: a sample or a mesh.
        truth: a sample on the same mesh with the field to compare with.
        name: of a channel of u or of an input; None takes the only channel, the magnitude of a
            vector (C = d), else the first channel.
        time: index into `times`; a .gif shows them all.
        cut: "x", "y" or "z": take away the half of a volume on that side of its centre.
        points: [T, N, d] positions of the nodes at each time, m, where the mesh moves.
        path: .png, .jpg or .gif to write as well.

    Raises:
        ValueError: neither a sample nor a mesh; unknown name, time or suffix; a truth of another
            mesh or without solution; points that are not those of the nodes at each time,
            or of a picture of groups.
        OSError: the picture cannot be written.
        ImportError: PyVista or its system library is missing.
    """
    target = None if path is None else check_path(path)
    if not isinstance(what, Sample | Mesh):
        raise ValueError(
            f"plot: expected a sample or a mesh, got {type(what).__name__}; the history of a "
            "training run is drawn by viz.plot_history"
        )
    groups = isinstance(what, Mesh) or (what.u is None and name is None)
    if groups and points is not None:
        raise ValueError("plot: points are for fields; draw the groups of mesh.moved(points)")
    if isinstance(what, Mesh):
        picture = _groups_picture(what, window_wanted(path))
    elif groups:
        picture = _groups_picture(what.mesh, window_wanted(path))
    else:
        _check(what, truth, time)
        _check_points(what, points)
        animated = target is not None and target.suffix.lower() == ".gif"
        steps = range(len(what.times)) if animated else [time]
        frames = _panels(what, truth, name, steps, points)
        picture = _field_picture(what.mesh, frames, cut, window_wanted(path))
    if target is not None:
        picture.save(target)
    return picture


def _groups_picture(mesh: Mesh, window: bool) -> Picture:
    plotter = draw_groups(mesh, _PIXELS, window)
    picture = Picture(scene.shown(plotter, window)[None])
    plotter.close()
    return picture


def _field_picture(
    mesh: Mesh, frames: list[list[scene.Panel]], cut: str | None, window: bool
) -> Picture:
    if mesh.points.shape[1] == 1:
        drawn = [draw_lines(scene.placed(mesh, panels[0]), panels) for panels in frames]
        picture = Picture(np.stack(drawn))
        if window:
            picture.show()
        return picture
    pixels = _PIXELS if len(frames) == 1 else _FRAME_PIXELS
    places = frames if frames[0][0].points is not None else frames[:1]
    view = scene.View.of([scene.placed(mesh, panels[0]) for panels in places], pixels)
    plotter = scene.plotter_for(view, len(frames[0]), window)
    images: list[UInt8[np.ndarray, "H W 3"]] = []
    drawn = scene.draw(plotter, mesh, view, frames[0], cut)
    for panels in frames:
        for one, panel in zip(drawn, panels, strict=True):
            one.show(panel)
        images.append(scene.shown(plotter, window))
    plotter.close()
    return Picture(np.stack(images))


def _panels(
    sample: Sample,
    truth: Sample | None,
    name: str | None,
    steps: Sequence[int],
    points: Float[np.ndarray, "T N d"] | None = None,
) -> list[list[scene.Panel]]:
    """The panels of every frame, on scales that hold for all of them."""
    places = [None if points is None else points[k] for k in steps]
    label, values = _field(sample, name, steps)
    times = [f", t = {sample.times[k]:.3g}" if len(sample.times) > 1 else "" for k in steps]
    if truth is None:
        limits = _limits(values)
        return [
            [scene.Panel(label + time, u, limits, points=at)]
            for time, u, at in zip(times, values, places, strict=True)
        ]
    from meshgnn.metrics import relative_l2  # brings torch along, which no other picture needs

    expected = _field(truth, name, steps)[1]
    limits, worst = _limits(values, expected), float(np.abs(values - expected).max())
    frames = []
    for time, u, v, at in zip(times, values, expected, places, strict=True):
        mesh = sample.mesh if at is None else sample.mesh.moved(at)
        error = relative_l2(u[None, :, None], v[None, :, None], mesh.lumped_mass)
        title = f"absolute error, relative L2 {error:.2g}"
        frames.append(
            [
                scene.Panel(f"prediction: {label}{time}", u, limits, points=at),
                scene.Panel(f"truth: {label}{time}", v, limits, points=at),
                scene.Panel(title, np.abs(u - v), (0.0, worst), "magma", at),
            ]
        )
    return frames


def _limits(*fields: Float[np.ndarray, "S N"]) -> tuple[float, float]:
    return min(float(f.min()) for f in fields), max(float(f.max()) for f in fields)


def _field(
    sample: Sample, name: str | None, steps: Sequence[int]
) -> tuple[str, Float[np.ndarray, "S N"]]:
    """Label and values of the field with this name, at these steps (an input never changes)."""
    outputs = sample.names.get("u") or ["u", *(f"u_{i}" for i in range(1, sample.channels))]
    inputs = sample.names.get("inputs") or [f"input_{i}" for i in range(sample.inputs.shape[1])]
    chosen = list(steps)
    if name is None and sample.u is not None:
        if sample.channels > 1 and sample.channels == sample.mesh.points.shape[1]:
            label = _with_unit(sample, f"magnitude of {', '.join(outputs)}", outputs[0])
            return label, np.linalg.norm(sample.u[chosen], axis=2)
        name = outputs[0]
    if name in outputs and sample.u is not None:
        return _with_unit(sample, name, name), sample.u[chosen, :, outputs.index(name)]
    if name in inputs:
        values = sample.inputs[:, inputs.index(name)]
        return _with_unit(sample, name, name), np.tile(values, (len(chosen), 1))
    there = [*(outputs if sample.u is not None else []), *inputs]
    raise ValueError(f"plot: no field named '{name}'; there are {', '.join(there) or 'none'}")


def _with_unit(sample: Sample, label: str, name: str) -> str:
    unit = sample.units.get(name)
    return f"{label} [{unit}]" if unit else label


def _check(sample: Sample, truth: Sample | None, time: int) -> None:
    count = len(sample.times)
    if not -count <= time < count:
        raise ValueError(f"plot: time index {time} is out of range, there are {count} times")
    if truth is None:
        return
    if truth.u is None:
        raise ValueError("plot: the truth has no solution; pass a solved sample")
    if sample.u is None:
        raise ValueError("plot: a truth was given, but the sample has no solution to compare")
    if truth.mesh.points.shape != sample.mesh.points.shape or truth.u.shape != sample.u.shape:
        raise ValueError(
            f"plot: the truth does not fit: its points and u are {truth.mesh.points.shape} and "
            f"{truth.u.shape}, the sample's {sample.mesh.points.shape} and {sample.u.shape}; "
            "solve on the same mesh at the same times"
        )


def _check_points(sample: Sample, points: Float[np.ndarray, "T N d"] | None) -> None:
    expected = (len(sample.times), *sample.mesh.points.shape)
    if points is not None and points.shape != expected:
        raise ValueError(
            f"plot: expected points {expected}, of the nodes at each time, got {points.shape}"
        )
