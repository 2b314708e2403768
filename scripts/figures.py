"""Makes the figures of README and documentation: python scripts/figures.py [names] [--out folder]

Each is one call of `mg.plot`, on meshes that come with the project or are drawn from a seed. Files
are small: at most 1200 pixels wide, 256 colours.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np

import meshgnn as mg
from meshgnn.geometry import domains
from meshgnn.problems import Burgers, Poisson
from meshgnn.sample import Boundary
from meshgnn.viz import Picture

ROOT = Path(__file__).resolve().parent.parent
MOST = 150_000  # bytes of a file


def plate() -> tuple[mg.Mesh, Poisson]:
    mesh = mg.read(ROOT / "meshes" / "plate.msh")
    return mesh, Poisson(
        source=lambda x: np.sin(3 * x[..., 0]),
        dirichlet={"outer": 0.0, "holes": 0.02},
        neumann={"notch": 0.0},
    )


def comparison() -> Picture:
    """The packaged model on a shape that it was not trained on, beside finite elements."""
    mesh, problem = plate()
    predicted = mg.predict(mg.load("poisson"), problem.sample(mesh))
    return mg.plot(predicted, truth=problem.solve(mesh))


def groups() -> Picture:
    return mg.plot(mg.read(ROOT / "meshes" / "bracket.msh"))


def gallery() -> Picture:
    """Fields of twelve random shapes on one scale."""
    names = ["cut_square", "polygon", "annulus", "plate_with_holes"]
    meshes = [domains.draw(names[i % 4], seed=i, size=0.07) for i in range(12)]
    drawn = [Poisson.draw(m, np.random.default_rng(i)) for i, m in enumerate(meshes)]
    return mg.plot([p.solve(m) for p, m in zip(drawn, meshes, strict=True)])


def indicators() -> Picture:
    """Where the certificate of a prediction sees its error: cells, the worst one marked."""
    mesh, problem = plate()
    predicted = mg.predict(mg.load("poisson"), problem.sample(mesh))
    return mg.plot(predicted, fields=mg.certify(problem, predicted).fields())


def heated() -> mg.Sample:
    """A steel bracket held at 0 at its base, with a source inside."""
    mesh = mg.read(ROOT / "meshes" / "bracket.msh")
    others = {name: 0.0 for name in mesh.groups if name not in ("steel", "base")}
    sample = Poisson(source=1.0, dirichlet={"base": 0.0}, neumann=others).solve(mesh)
    return replace(sample, names=sample.names | {"u": ["temperature"]}, units={"temperature": "K"})


def slices() -> Picture:
    return mg.plot(heated(), slices="xyz")


def isosurfaces() -> Picture:
    return mg.plot(heated(), levels=5)


def band() -> Picture:
    """Mean and standard deviation of 40 solutions with an uncertain source, beside one more:
    components named `u_std` are drawn as a band is, dots are where the truth is outside."""
    mesh, problem = plate()
    modes = np.random.default_rng(4).normal(size=(41, 6, 4)) * [6.0, 6.0, 3.0, 0.5]

    def solved(mode: np.ndarray) -> mg.Sample:
        def source(x: np.ndarray) -> np.ndarray:
            waves = np.sin(x @ mode[:, :2].T + mode[:, 2]) @ mode[:, 3]
            return np.sin(3 * x[..., 0]) + 0.3 * waves

        return replace(problem, source=source).solve(mesh)

    truth, *others = [solved(mode) for mode in modes]
    u = np.stack([one.u for one in others if one.u is not None])
    spread = np.concatenate([u.mean(axis=0), u.std(axis=0)], axis=2)
    free = Boundary.none(mesh.num_nodes, 2)
    mean = replace(truth, u=spread, boundary=free, names=truth.names | {"u": ["u", "u_std"]})
    return mg.plot(mean, truth=truth)


def march() -> Picture:
    """Three times of a march, its fronts where the mesh is too coarse for them."""
    mesh = domains.draw("cut_square", seed=3, size=0.03)
    rng = np.random.default_rng(1)
    return mg.plot(Burgers.draw(mesh, rng, frames=20, dt=0.02).solve(mesh), time=[0, 10, 20])


def adapted() -> Picture:
    """A mesh that moved to a front."""
    mesh = domains.draw("polygon", seed=6, size=0.09)
    middle = mesh.points.mean(axis=0)

    def front(mesh: mg.Mesh) -> np.ndarray:
        x, y = (mesh.points - middle).T
        return np.tanh((y - 0.2 * np.sin(4 * x)) / 0.06)

    moved = mg.adapt(mesh, front(mesh))
    return mg.plot(moved, fields={"front": front(moved)}, mark=False)


FIGURES: dict[str, Callable[[], Picture]] = {
    one.__name__: one
    for one in (
        comparison,
        groups,
        gallery,
        indicators,
        slices,
        isosurfaces,
        band,
        march,
        adapted,
    )
}


def save(picture: Picture, path: Path, width: int = 1200) -> None:
    """As a PNG of few colours, narrower until it is small enough."""
    from PIL import Image

    while True:  # the palette of a .gif keeps rare shades, such as the ends of a scale
        few = Image.open(BytesIO(picture.shrunk(width).encoded(".gif")))
        few.save(path, "PNG", optimize=True)
        if path.stat().st_size <= MOST:
            return
        width = int(0.85 * width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", help=f"some of {', '.join(FIGURES)}; all when none is named"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or FIGURES:
        path = args.out / f"{name}.png"
        save(FIGURES[name](), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    if not args.names:  # the same as `slices`, to turn, zoom and read
        mg.plot(heated(), slices="xyz", path=args.out / "bracket.html")


if __name__ == "__main__":
    main()
