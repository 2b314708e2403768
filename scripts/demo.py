"""From nothing to a trained solver on a mesh it never saw, in a few minutes on two CPU cores.

    python scripts/demo.py      # or: bash scripts/demo.sh, which sets the environment up first

1. simulates random Poisson problems (random source, random boundary values) on three families of
   random shapes, 2. trains a graph network on them, 3. predicts on `meshes/plate.msh`, a plate with
   holes, a slot and a notch, a shape of none of the families, 4. prints the error beside that of
   trivial predictors and of finite elements, 5. writes out/demo.vtu, out/demo.vtkhdf, out/demo.png
   and the tables.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

import meshgnn as mg
from meshgnn.metrics import Table, evaluate, inverse_distance, nearest_sample, relative_l2, zero
from meshgnn.models import MODELS
from meshgnn.problems import Poisson
from meshgnn.simulate import simulate

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ["cut_square", "polygon", "annulus"]
UNSEEN_DRAWS = 30


def main() -> None:
    args = arguments()
    begin = perf_counter()
    args.out.mkdir(parents=True, exist_ok=True)

    step(f"1. {args.samples} Poisson samples on {', '.join(FAMILIES)}")
    simulate("Poisson", FAMILIES, args.samples, args.out / "samples", seed=0)
    graphs = mg.MeshDataset(args.out / "samples")
    cut = 5 * len(graphs) // 6
    train, test = graphs[:cut], graphs.samples[cut:]
    nodes = [s.mesh.num_nodes for s in graphs.samples]
    print(f"{min(nodes)} to {max(nodes)} nodes; {cut} to train on, {len(test)} to test on")

    step(f"2. training for {args.epochs} epochs")
    torch.manual_seed(0)
    model = MODELS["BENO"]()
    untrained = MODELS["BENO"]()
    untrained.load_state_dict(model.state_dict())
    mg.fit(model, train, epochs=args.epochs, batch_size=8, lr=3e-3, seed=0)
    mg.save(model, args.out / "demo.pt")

    step("3. shapes of the training families, not trained on")
    rivals = {
        "learned": lambda sample: mg.predict(model, sample),
        "the same network, untrained": lambda sample: mg.predict(untrained, sample),
        "zero": zero,
        "inverse distance": inverse_distance,
        "nearest training sample": nearest_sample(graphs.samples[:cut]),
    }
    show(evaluate(test, rivals), "in distribution", args.out / "demo_in_distribution.csv")

    step("4. meshes/plate.msh: a shape never trained on")
    mesh = mg.read(ROOT / "meshes" / "plate.msh")
    problems = [Poisson.draw(mesh, np.random.default_rng([7, i])) for i in range(UNSEEN_DRAWS)]
    truths = [labelled(problem, mesh) for problem in problems]
    table = evaluate(truths, rivals | {"finite elements (P1)": finite_elements(problems)})
    show(table, f"meshes/plate.msh, {UNSEEN_DRAWS} draws", args.out / "demo_unseen.csv")

    problem, truth = problems[0], truths[0]
    prediction = mg.predict(model, problem.sample(mesh))
    certificate = mg.certify(problem, prediction)
    print(certificate)
    fields = certificate.fields()
    mg.write(args.out / "demo.vtu", prediction, truth=truth, fields=fields)
    mg.write(args.out / "demo.vtkhdf", prediction, truth=truth, fields=fields)
    mg.plot(prediction, truth=truth, path=args.out / "demo.png")
    print(f"\nwrote {args.out}/demo.vtu, demo.vtkhdf, demo.png, demo.pt and two tables")
    print(f"in all {perf_counter() - begin:.0f} s")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--samples", type=int, default=360, help="problems to simulate")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the training samples")
    return parser.parse_args()


def labelled(problem: Poisson, mesh: mg.Mesh) -> mg.Sample:
    """P1 truth, with its own distance to quadratic elements."""
    truth, finer = problem.solve(mesh), problem.solve(mesh, order=2)
    return replace(truth, label_error=relative_l2(truth.u, finer.u, mesh.lumped_mass))


def finite_elements(problems: list[Poisson]):
    """The classical solver: assembly and sparse direct solution, timed like the others."""
    queue = iter(problems)
    return lambda sample: next(queue).solve(sample.mesh)


def show(table: Table, title: str, path: Path) -> None:
    table.show(title)
    table.to_csv(path)


def step(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    main()
