"""`meshgnn bench`: measurements on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meshgnn.cli.targets import check_folder

app = typer.Typer(help="Measure on this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure on this machine."""


@app.command()
def core(
    nodes: Annotated[
        list[int] | None, typer.Option(help="Nodes of the mesh; repeatable.", min=4)
    ] = None,
    width: Annotated[int, typer.Option(help="Hidden size H.", min=1)] = 128,
    blocks: Annotated[int, typer.Option(help="Interaction blocks.", min=1)] = 15,
    repeats: Annotated[int, typer.Option(help="Measured steps of each form.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option("-o", help="A .json file for the rows.")] = None,
) -> None:
    """Compare the fast form of the interaction block with the plain one: time and memory."""
    from meshgnn import benchmark
    from meshgnn.atomic import replacing

    if out is not None:
        check_folder(out)
    sizes = tuple(nodes or (2_000, 20_000))
    rows = benchmark.core(nodes=sizes, width=width, blocks=blocks, repeats=repeats)
    heads = ("forward_ms", "floor_forward_ms", "train_ms", "floor_train_ms", "train_ratio")
    table = Table("nodes", "form", *heads, "peak_mb", "difference", title="CPU time, one thread")
    for row in rows:
        figures = [f"{row[head]:.3g}" for head in (*heads, "peak_mb", "difference")]
        table.add_row(str(row["nodes"]), str(row["form"]), *figures)
    console = Console()
    (console if console.is_terminal else Console(width=130)).print(table)
    if out is not None:
        with replacing(out) as aside:
            aside.write_text(json.dumps(rows, indent=1) + "\n")
