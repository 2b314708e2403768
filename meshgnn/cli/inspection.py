"""`meshgnn info` and `meshgnn list`: what is in a file, what is in the package."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

if TYPE_CHECKING:
    from rich.table import Table

    from meshgnn.mesh import Mesh


def info(
    file: Annotated[
        Path, typer.Argument(help="A mesh (.msh .vtu .vtk …) or geometry (.geo .step).")
    ],
    size: Annotated[float | None, typer.Option(help="Target edge length of a geometry.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the groups into a .png.")] = None,
) -> None:
    """Points, cells, groups, extent, quality and defects of a mesh, and the fields on it."""
    from rich.console import Console

    from meshgnn.io import read, read_fields

    mesh, point, cell = read_fields(file) if size is None else (read(file, size), {}, {})
    console = Console()
    console.print(_summary(file, mesh))
    console.print(_groups(mesh))
    if point or cell:
        console.print(_fields(point, cell))
    try:
        mesh.check()
    except ValueError as error:
        console.print(f"[bold red]cannot carry a finite-element solution:[/] {error}")
    if picture is not None:
        from meshgnn.viz import plot

        plot(mesh, path=picture)


def _summary(file: Path, mesh: "Mesh") -> "Table":
    from rich.table import Table

    table = Table(title=str(file), show_header=False, title_justify="left")
    d = mesh.points.shape[1]
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    box = " × ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(low, high, strict=True))
    measure = ("", "length", "area", "volume")[mesh.dim]
    table.add_row("points", f"{mesh.num_nodes} in {d}D")
    for name, block in mesh.cells.items():
        table.add_row(name, str(len(block)))
    table.add_row("edges", str(len(mesh.edges)))
    table.add_row("boundary facets", str(len(mesh.boundary_facet_cells)))
    table.add_row("bounding box", box.replace("[", r"\["))
    table.add_row(measure, f"{np.abs(mesh.volumes).sum():.6g}")
    table.add_row("quality", f"min {mesh.quality.min():.3f}, mean {mesh.quality.mean():.3f}")
    table.add_row("components", str(int(mesh.components.max()) + 1))
    return table


def _groups(mesh: "Mesh") -> "Table":
    from rich.table import Table

    from meshgnn.mesh import KINDS

    table = Table(title="groups", title_justify="left")
    for heading in ("name", "kind", "entities", "nodes"):
        table.add_column(heading, justify="left" if heading in ("name", "kind") else "right")
    for name, group in mesh.groups.items():
        count = sum(len(block) for block in group.cells.values())
        table.add_row(name, KINDS[group.dim], str(count), str(len(mesh.nodes_of(name))))
    return table


def _fields(point: dict[str, np.ndarray], cell: dict[str, np.ndarray]) -> "Table":
    from rich.table import Table

    table = Table("name", "on", "shape", "least", "largest", title="fields", title_justify="left")
    for place, arrays in (("nodes", point), ("cells", cell)):
        for name, array in arrays.items():
            if not name.startswith("group:"):
                shape = " × ".join(map(str, array.shape))
                table.add_row(name, place, shape, f"{array.min():.6g}", f"{array.max():.6g}")
    return table


def show_list() -> None:
    """Models, problems, families of shapes and packaged weights."""
    from rich.console import Console
    from rich.table import Table

    from meshgnn.geometry.domains import FAMILIES
    from meshgnn.models import MODELS
    from meshgnn.problems import PROBLEMS

    table = Table(show_header=False)
    table.add_row("models", ", ".join(MODELS))
    table.add_row("problems", ", ".join(PROBLEMS))
    table.add_row("families", ", ".join(FAMILIES))
    table.add_row("weights", ", ".join(_packaged()) or "none")
    Console().print(table)


def _packaged() -> list[str]:
    """Names of the weights that come with the package."""
    folder = files("meshgnn") / "weights"
    return sorted(Path(f.name).stem for f in folder.iterdir()) if folder.is_dir() else []
