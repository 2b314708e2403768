"""`meshgnn predict` and `rollout`: a trained model on a mesh or a sample."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshgnn.cli.targets import check_folder

if TYPE_CHECKING:
    from torch import nn

    from meshgnn.sample import Sample

_FRAMES = 60  # of an animation, whatever the march has
ModelFile = Annotated[str, typer.Argument(help="A file of `train`, or packaged weights.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="What to write: .vtu .vtkhdf .pvd …")]
MaxNodes = Annotated[
    int | None,
    typer.Option(help="Nodes that a local model sees at once, halo included: less memory.", min=1),
]
Picture = Annotated[Path | None, typer.Option(help="A .png (or .gif) to draw as well.")]


def predict(
    model: ModelFile,
    mesh: Annotated[Path, typer.Argument(help="A mesh, or a geometry with --size.")],
    problem: Annotated[
        Path, typer.Option("-p", "--problem", help="A TOML file, see scripts/problems.")
    ],
    out: Out,
    truth: Annotated[
        bool, typer.Option("--truth", help="Solve by finite elements too, and compare.")
    ] = False,
    size: Annotated[float | None, typer.Option(help="Target edge length of a geometry.")] = None,
    max_nodes: MaxNodes = None,
    picture: Picture = None,
) -> None:
    """The field of a steady problem on a mesh, and its error beside the trivial predictors."""
    from meshgnn import checkpoint
    from meshgnn.cli.problem_file import problem_from
    from meshgnn.io import read

    _check_targets(out, picture)
    described = problem_from(problem)
    shape = read(mesh, size=size)
    network = checkpoint.load(model)
    asked = described.sample(shape)
    found = checkpoint.predict(network, asked, max_nodes=max_nodes)
    solved = described.solve(shape) if truth else None
    if solved is not None:
        _compare(network, solved, max_nodes)
    _deliver(found, solved, out, picture)


def rollout(
    model: ModelFile,
    start: Annotated[
        Path,
        typer.Argument(help="A sample (.vtkhdf) with the first states; with -p a mesh."),
    ],
    steps: Annotated[int, typer.Option(help="New states.", min=1)],
    out: Out,
    problem: Annotated[
        Path | None, typer.Option("-p", "--problem", help="A TOML file: START is a mesh.")
    ] = None,
    truth: Annotated[
        bool, typer.Option("--truth", help="Solve on the mesh by finite elements too, and compare.")
    ] = False,
    size: Annotated[float | None, typer.Option(help="Target edge length of a geometry.")] = None,
    dt: Annotated[float | None, typer.Option(help="Time step; that of START if none.")] = None,
    known: Annotated[
        int | None, typer.Option(help="States to start from; those of the model if none.", min=1)
    ] = None,
    max_nodes: MaxNodes = None,
    picture: Picture = None,
) -> None:
    """March a time-dependent model from the first states of a sample, or of a problem on a mesh.

    No truth is needed. On a mesh the problem file says what acts, the time step and the initial
    state, and nothing is solved but for --truth. A .vtkhdf grows while the model marches: it may be
    opened meanwhile, holds what there is when the march is stopped or blows up, and takes a march
    of any length. The march of a body is written when it ends, with points that move.
    """
    from meshgnn import checkpoint, marching
    from meshgnn.cli.bodies import is_body
    from meshgnn.partition import InParts
    from meshgnn.sample import Sample

    _check_targets(out, picture)
    if out.suffix.lower() not in (".vtkhdf", ".pvd"):
        raise ValueError(f"cannot write the states of a march to {out}; take .vtkhdf or .pvd")
    described, asked = _start(start, problem, truth, size)
    network = checkpoint.load(model)
    if max_nodes is not None:
        network = InParts(network, max_nodes)
    if truth or is_body(asked) or out.suffix != ".vtkhdf":

        def march(count: int) -> Sample:
            return marching.rollout(network, asked, count, dt, known=known)

        _deliver(*_in_memory(march, described if truth else None, steps, out), out, picture)
        return
    last = marching.rollout(network, asked, steps, dt, known=known, path=out)
    if picture is not None:
        _draw(Sample.load(out) if picture.suffix == ".gif" else last, None, picture)
    names = ", ".join(last.names.get("u", []))
    print(f"{out}: {last.mesh.num_nodes} nodes, {steps} steps to t = {last.times[-1]:g} s, {names}")


def _start(
    start: Path, problem: Path | None, truth: bool, size: float | None
) -> "tuple[Any, Sample]":
    """What a march begins from: a problem with its data on a mesh, or a sample of a file."""
    from meshgnn.cli.problem_file import problem_from
    from meshgnn.io import read
    from meshgnn.sample import Sample

    if problem is not None:
        described = problem_from(problem)
        return described, described.sample(read(start, size=size))
    if truth or size is not None or start.suffix.lower() != ".vtkhdf":
        raise ValueError(
            f"rollout: without a problem file {start} must be a sample (.vtkhdf) with its first "
            "states; for a mesh (and --size, --truth) say by -p problem.toml what acts on it, its "
            "initial state and its times, see scripts/problems/thrown.toml"
        )
    return None, Sample.load(start)


def _in_memory(
    march: "Callable[[int], Sample]", problem: Any, steps: int, out: Path
) -> "tuple[Sample, Sample | None]":
    """The march, and where a problem is given its solution at the same times, compared.

    Of a march that blows up what there is is written.
    """
    from meshgnn.cli.bodies import places
    from meshgnn.io import write
    from meshgnn.marching import BlownUp

    try:
        if problem is not None:
            march(1)  # what is done at first use only is no part of the time
        begin = perf_counter()
        found = march(steps)
    except BlownUp as error:
        if error.sample is not None:
            write(out, error.sample, points=places(error.sample))
            error.path = out
        raise
    if problem is None:
        return found, None
    learned = perf_counter() - begin
    replace(problem, times=found.times[:2]).solve(found.mesh)
    begin = perf_counter()
    solved = replace(problem, times=found.times).solve(found.mesh)
    _compare_in_time(found, solved, (learned, perf_counter() - begin))
    return found, solved


def _compare_in_time(found: "Sample", solved: "Sample", seconds: tuple[float, float]) -> None:
    """Errors over all times beside those of the trivial predictors, and both times for a frame."""
    from meshgnn import metrics
    from meshgnn.cli.bodies import ballistic, is_body

    fields = {"learned": found.u, "frozen": metrics.persistence(solved)}
    if is_body(solved):
        fields["ballistic"] = ballistic(solved)
    table = metrics.evaluate([solved], {k: lambda _, u=u: u for k, u in fields.items()})
    for row in table.rows.values():
        del row["seconds"]
    table.rows["learned"]["seconds"] = seconds[0]
    table.rows["finite elements"] = {"seconds": seconds[1]}
    count = len(found.times) - 1
    table.show(f"errors over {count} steps against finite elements on the same mesh")
    learned, classical = (1e3 * s / count for s in seconds)
    print(f"a frame: learned {learned:.3g} ms, finite elements {classical:.3g} ms")


def _compare(network: "nn.Module", solved: "Sample", max_nodes: int | None) -> None:
    from meshgnn import checkpoint, metrics

    table = metrics.evaluate(
        [solved],
        {
            "learned": lambda sample: checkpoint.predict(network, sample, max_nodes=max_nodes),
            "zero": metrics.zero,
            "IDW": metrics.inverse_distance,
        },
    )
    table.show("errors against the finite-element solution on the same mesh")


def _check_targets(out: Path, picture: Path | None) -> None:
    """Before the work: whether there are folders for its results."""
    check_folder(out)
    if picture is not None:
        from meshgnn.viz.picture import check_path

        check_path(picture)


def _deliver(found: "Sample", solved: "Sample | None", out: Path, picture: Path | None) -> None:
    from meshgnn.cli.bodies import places
    from meshgnn.io import write

    write(out, found, truth=solved, points=places(found))
    if picture is not None:
        _draw(found, solved, picture)
    times = f"{len(found.times)} times, " if len(found.times) > 1 else ""
    print(f"{out}: {found.mesh.num_nodes} nodes, {times}{', '.join(found.names.get('u', []))}")


def _draw(found: "Sample", solved: "Sample | None", picture: Path) -> None:
    """The last state, or some of all in a .gif; a body where it is, coloured by its error."""
    from meshgnn.cli.bodies import distances, places, thinned
    from meshgnn.viz import plot

    found = thinned(found, _FRAMES)
    solved = None if solved is None else thinned(solved, _FRAMES)
    points = places(found)
    if points is not None and solved is not None:
        found, solved = distances(found, solved), None
    plot(found, truth=solved, points=points, path=picture)
