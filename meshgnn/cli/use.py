"""`meshgnn predict` and `rollout`: a trained model on a mesh or a sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshgnn.cli.targets import check_folder

if TYPE_CHECKING:
    from torch import nn

    from meshgnn.sample import Sample

ModelFile = Annotated[str, typer.Argument(help="A file of `train`, or packaged weights.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="What to write: .vtu .vtkhdf .pvd …")]
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
    found = checkpoint.predict(network, asked)
    solved = described.solve(shape) if truth else None
    if solved is not None:
        _compare(network, solved)
    _deliver(found, solved, out, picture)


def rollout(
    model: ModelFile,
    sample: Annotated[Path, typer.Argument(help="A sample (.vtkhdf) with the first states.")],
    steps: Annotated[int, typer.Option(help="New states.", min=1)],
    out: Out,
    dt: Annotated[float | None, typer.Option(help="Time step; that of the sample if none.")] = None,
    known: Annotated[
        int | None, typer.Option(help="States to start from; those of the model if none.", min=1)
    ] = None,
    picture: Picture = None,
) -> None:
    """March a time-dependent model from the first states of a sample; no truth is needed.

    A .vtkhdf grows while the model marches: it may be opened meanwhile, holds what there is when
    the march is stopped or blows up, and takes a march of any length.
    """
    from meshgnn import checkpoint, marching
    from meshgnn.sample import Sample

    _check_targets(out, picture)
    network, start = checkpoint.load(model), Sample.load(sample)
    if out.suffix != ".vtkhdf":
        found = marching.rollout(network, start, steps, dt, known=known)
        _deliver(found, None, out, picture)
        return
    last = marching.rollout(network, start, steps, dt, known=known, path=out)
    if picture is not None:
        _draw(Sample.load(out), None, picture)
    names = ", ".join(last.names.get("u", []))
    print(f"{out}: {last.mesh.num_nodes} nodes, {steps} steps to t = {last.times[-1]:g} s, {names}")


def _compare(network: "nn.Module", solved: "Sample") -> None:
    from meshgnn import checkpoint, metrics

    table = metrics.evaluate(
        [solved],
        {
            "learned": lambda sample: checkpoint.predict(network, sample),
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
    from meshgnn.io import write

    write(out, found, truth=solved)
    if picture is not None:
        _draw(found, solved, picture)
    times = f"{len(found.times)} times, " if len(found.times) > 1 else ""
    print(f"{out}: {found.mesh.num_nodes} nodes, {times}{', '.join(found.names.get('u', []))}")


def _draw(found: "Sample", solved: "Sample | None", picture: Path) -> None:
    from meshgnn.viz import plot

    plot(found, truth=solved, path=picture)
