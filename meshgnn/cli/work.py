"""`meshgnn mesh`, `simulate` and `train`: from a geometry to a trained model."""

from pathlib import Path
from typing import Annotated

import typer


def mesh(
    file: Annotated[
        Path, typer.Argument(help="A .geo script, CAD file (.step .brep .iges) or .stl.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The mesh to write (.msh .vtu .vtk …).")],
    size: Annotated[float | None, typer.Option(help="Target edge length.")] = None,
    dim: Annotated[int | None, typer.Option(help="Dimension of the cells.", min=1, max=3)] = None,
) -> None:
    """Mesh a geometry with gmsh."""
    from meshgnn.io import write
    from meshgnn.mesher import mesh_file

    made = mesh_file(file, size=size, dim=dim)
    write(out, made)
    print(f"{out}: {made.num_nodes} nodes, {made.num_cells} cells, groups {', '.join(made.groups)}")


def simulate(
    problem: Annotated[str, typer.Argument(help="A problem of `meshgnn list`.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the samples.")],
    family: Annotated[list[str], typer.Option("-f", "--family", help="Shapes; repeatable.")],
    n: Annotated[int, typer.Option("-n", help="Number of samples.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Sample i depends on (seed, i) only.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    engine: Annotated[
        str, typer.Option(help="joblib (this machine) or ray (RAY_ADDRESS, else this machine).")
    ] = "joblib",
    size: Annotated[float | None, typer.Option(help="Target edge length.")] = None,
) -> None:
    """Solve random problems on random shapes; a run that was interrupted goes on."""
    from meshgnn import simulate as simulation

    simulation.simulate(problem, family, n, out, seed=seed, jobs=jobs, engine=engine, size=size)
    print(f"{out}: {n} samples of {problem} on {', '.join(family)}")


def train(
    experiment: Annotated[Path, typer.Argument(help="A TOML file, see scripts/experiments.")],
) -> None:
    """Simulate, train and compare with the trivial predictors, as a TOML file says."""
    from meshgnn.cli import experiment as experiments

    folder = experiments.run(experiment)
    print(f"{folder}: model.pt, history.json, errors.csv")
