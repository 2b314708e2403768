"""`meshgnn bench`: measurements on this machine."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from meshgnn.cli.targets import check_folder

app = typer.Typer(help="Measure on this machine.", no_args_is_help=True)

Nodes = Annotated[list[int] | None, typer.Option(help="Nodes of the mesh; repeatable.", min=4)]
Width = Annotated[int, typer.Option(help="Hidden size H.", min=1)]
Blocks = Annotated[int, typer.Option(help="Interaction blocks.", min=1)]
Out = Annotated[Path | None, typer.Option("-o", help="A .json file for the rows.")]
_FIGURES = ("ms", "floor_ms", "ratio", "nodes_per_second", "peak_mb")


@app.callback()
def _group() -> None:
    """Measure on this machine."""


@app.command()
def core(
    nodes: Nodes = None,
    width: Width = 128,
    blocks: Blocks = 15,
    repeats: Annotated[int, typer.Option(help="Measured steps of each form.", min=1)] = 5,
    device: Annotated[
        str | None, typer.Option(help="cuda: one block beside its roofline, with kernels.")
    ] = None,
    out: Out = None,
) -> None:
    """Compare the fast forms of the interaction block with the plain one: time and memory."""
    from meshgnn import benchmark

    _folder(out)
    sizes = tuple(nodes or (2_000, 20_000))
    if device is not None:
        rows = benchmark.core_on_device(sizes, width, repeats, device)
        shares = ("forward_ms", "roofline_forward_ms", "forward_share")
        figures = (*shares, "train_ms", "roofline_train_ms", "train_share", "peak_mb", "difference")
        _show(rows, ("nodes", "form"), figures, "Wall time of one block", out)
        return
    rows = benchmark.core(nodes=sizes, width=width, blocks=blocks, repeats=repeats)
    heads = ("forward_ms", "floor_forward_ms", "train_ms", "floor_train_ms", "train_ratio")
    figures = (*heads, "nodes_per_second", "peak_mb", "difference")
    _show(rows, ("nodes", "form"), figures, "CPU time, one thread", out)


@app.command()
def graph(nodes: Nodes = None, out: Out = None) -> None:
    """Build graphs from points and cells; the plain way sorts rows, the floor sorts integers."""
    from meshgnn import benchmark

    _folder(out)
    rows = benchmark.graph(tuple(nodes or (100_000, 1_000_000)))
    _show(rows, ("nodes", "edges"), (*_FIGURES, "plain_ms"), "CPU time, one thread", out)


@app.command()
def predict(
    nodes: Annotated[int, typer.Option(help="Nodes of the mesh.", min=4)] = 20_000,
    max_nodes: Annotated[
        int | None, typer.Option(help="Nodes in a part, halo included.", min=1)
    ] = None,
    width: Width = 128,
    blocks: Blocks = 15,
    out: Out = None,
) -> None:
    """From a mesh to a field: plain blocks, ours, and ours part by part."""
    from meshgnn import benchmark

    _folder(out)
    rows = benchmark.predict(nodes, max_nodes, width, blocks)
    figures = (*_FIGURES, "difference")
    _show(rows, ("nodes", "form"), figures, "CPU time, one thread", out)


@app.command()
def train(
    nodes: Annotated[int, typer.Option(help="Nodes of the mesh.", min=4)] = 2_000,
    width: Width = 128,
    blocks: Blocks = 15,
    steps: Annotated[int, typer.Option(help="Measured steps of each form.", min=1)] = 4,
    out: Out = None,
) -> None:
    """One step of fit: plain blocks, ours, and ours with activations computed again."""
    from meshgnn import benchmark

    _folder(out)
    rows = benchmark.train(nodes, width=width, blocks=blocks, steps=steps)
    figures = (*_FIGURES, "mb_per_node", "difference")
    _show(rows, ("nodes", "form"), figures, "CPU time of a step, one thread", out)


@app.command()
def simulate(
    problem: Annotated[str, typer.Option(help="Name of the problem.")] = "Poisson",
    family: Annotated[str, typer.Option(help="Name of the family of meshes.")] = "cut_square",
    n: Annotated[int, typer.Option(help="Samples.", min=1)] = 64,
    jobs: Annotated[
        list[int] | None, typer.Option(help="Processes; repeatable, the first is the plain way.")
    ] = None,
    out: Out = None,
) -> None:
    """Many simulations with one process and with several: wall time and speed-up."""
    from meshgnn import benchmark

    _folder(out)
    rows = benchmark.simulate(problem, family, n, tuple(jobs or (1, 2)))
    figures = ("ms", "floor_ms", "speed_up", "samples_per_second", "nodes_per_second", "peak_mb")
    _show(rows, ("problem", "jobs"), figures, "Wall time", out)


def _folder(out: Path | None) -> None:
    if out is not None:
        check_folder(out)


def _show(
    rows: Sequence[dict[str, Any]],
    names: tuple[str, ...],
    figures: tuple[str, ...],
    title: str,
    out: Path | None,
) -> None:
    """A table of the rows, and the file."""
    from meshgnn.atomic import replacing

    table = Table(*names, *figures, title=title)
    for row in rows:
        cells = [f"{row[key]:.4g}" if key in row else "" for key in figures]
        table.add_row(*(str(row[name]) for name in names), *cells)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)
    if out is not None:
        with replacing(out) as aside:
            aside.write_text(json.dumps(rows, indent=1) + "\n")
