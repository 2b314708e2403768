"""The command `meshgnn`. Errors are one line; --debug shows where they come from."""

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from meshgnn import __version__
from meshgnn.cli import bench, inspection, use, work

app = typer.Typer(
    name="meshgnn",
    help="Graph-network solvers on unstructured meshes: mesh in, field out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (inspection.info, work.mesh, work.simulate, work.train, use.predict, use.rollout):
    app.command()(command)
app.command(name="list")(inspection.show_list)
app.add_typer(bench.app, name="bench")


def _show_version(wanted: bool) -> bool:
    if wanted:
        print(f"meshgnn {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
) -> None:
    """Graph-network solvers on unstructured meshes: mesh in, field out."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 an error in the data, 2 wrong usage, 130 interrupted.

    Args:
        arguments: without the name of the program; None takes those of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    warnings.showwarning = _show_warning
    try:
        code = app(args=arguments, prog_name="meshgnn", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        if "--debug" in arguments:
            raise
        code = _report(error)
    if code == 130:
        _say("interrupted")
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception) -> int:
    """One line for the user, and the exit code."""
    usage = getattr(error, "format_message", None)
    if usage is not None:
        _say(f"error: {usage()}; see meshgnn --help")
        return 2
    text = " ".join(
        str(error.args[0] if isinstance(error, KeyError) and error.args else error).split()
    )
    expected = isinstance(error, ValueError | OSError | ImportError | KeyError)
    _say(f"error: {text}" if expected else f"error: {type(error).__name__}: {text}; see --debug")
    return 1


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say("warning: " + " ".join(str(message).split()))


def _say(text: str) -> None:
    print(text, file=sys.stderr)
