"""`meshgnn bench`: measurements on this machine."""

from typing import Annotated

import typer

app = typer.Typer(help="Measure on this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure on this machine."""


@app.command()
def core(
    nodes: Annotated[list[int] | None, typer.Option(help="Nodes of the mesh; repeatable.")] = None,
    width: Annotated[int, typer.Option(help="Hidden size H.")] = 128,
    blocks: Annotated[int, typer.Option(help="Interaction blocks.")] = 15,
) -> None:
    """Compare the fast form of the interaction block with the plain one: time and memory."""
    from meshgnn import benchmark

    benchmark.core(nodes=tuple(nodes or (2_000, 20_000)), width=width, blocks=blocks)
