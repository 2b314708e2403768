"""What `Poisson` refuses, and what the message says: names, counts, values and the remedy."""

from inspect import signature

import numpy as np
import pytest
from mesh_builders import box, cells_of_box

from meshgnn.fem import Space, means, project
from meshgnn.fem.values import PerCell
from meshgnn.mesh import Group, Mesh
from meshgnn.problems import Heat, LinearElasticity, Poisson


def refused(mesh: Mesh, match: str, **problem: object) -> None:
    with pytest.raises(ValueError, match=match):
        Poisson(**problem).solve(mesh)


def test_wrong_conditions_are_refused() -> None:
    mesh = box("triangle", 3)
    refused(mesh, "no group 'wall' in this mesh; its groups: .*'left'", dirichlet={"wall": 0.0})
    refused(mesh, "no group 'hot'", dirichlet={"*": 0.0}, neumann={"hot": 0.0})
    refused(
        mesh, r"10 of 14 boundary facets have no condition: 'rest' \(10\)", dirichlet={"left": 0}
    )
    refused(mesh, "14 of 14 boundary facets have no condition", dirichlet={"origin": 0})
    refused(mesh, "group 'half' has dim 2, expected dim 1", dirichlet={"*": 0}, neumann={"half": 0})
    refused(
        mesh,
        "'left' has a Dirichlet and a flux",
        dirichlet={"left": 0, "*": 0},
        neumann={"left": 0},
    )
    refused(mesh, "'rest' has a Neumann and a Robin", neumann={"rest": 0.0}, robin={"rest": (1, 0)})
    refused(
        mesh, "Robin coefficient on 'left': expected values >= 0", dirichlet={"rest": 0},
        robin={"left": (-1.0, 0)},
    )  # fmt: skip
    bare = Mesh(mesh.points, mesh.cells, {"left": mesh.groups["left"]})
    refused(bare, r"no condition: no group \(10\)", dirichlet={"left": 0})
    both = Mesh(mesh.points, mesh.cells, {**mesh.groups, "twin": mesh.groups["left"]})
    refused(
        both, "4 facets belong to 'left' and to 'twin'", dirichlet={"rest": 0},
        neumann={"left": 0.0, "twin": 1.0},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "first"), [(Poisson, {}), (Heat, {"times": np.array([0.0, 1.0])})]
)
def test_conditions_that_are_no_dict_of_parts_are_refused(problem, first) -> None:
    for kind in ("dirichlet", "neumann", "robin"):
        for given in (0.0, ["*"], None):
            with pytest.raises(ValueError, match=f"{kind}: expected a dict with a value for each"):
                made(problem, **first, **{kind: given})
    for pair in (2.0, (1.0,), (1.0, 0.0, 0.0)):
        with pytest.raises(ValueError, match=r"robin: .* a pair \(alpha, g\) .*'\*': \(1.0, 0.0\)"):
            made(problem, **first, robin={"*": pair})
    with pytest.raises(ValueError, match=r"traction: expected a dict .*, got 3.0"):
        made(LinearElasticity, dirichlet={"*": 0.0}, traction=3.0)


def made(problem: type, **arguments: object) -> None:
    """As users make it, without the types checked."""
    problem.__init__.__wrapped__(object.__new__(problem), **arguments)


def test_flux_through_inner_facets() -> None:
    mesh = box("triangle", 4)
    line = mesh.edges[(mesh.points[mesh.edges][:, :, 0] == 0.5).all(axis=1)]
    inner = Group(1, {"line": line})
    cut = Mesh(mesh.points, mesh.cells, {**mesh.groups, "cut": inner})
    refused(cut, "'cut' .* none of its 5 facets", dirichlet={"*": 0}, neumann={"cut": 1.0})
    rows = np.concatenate([line, mesh.groups["left"].cells["line"]])
    both = Mesh(mesh.points, mesh.cells, {**mesh.groups, "left": Group(1, {"line": rows})})
    with pytest.warns(UserWarning, match="'left': its flux condition leaves out 5 facets inside"):
        Poisson(dirichlet={"rest": 0.0}, neumann={"left": 1.0}).solve(both)


def test_wrong_data_are_refused() -> None:
    mesh = box("triangle", 3)
    walls = {"*": 0.0}
    nan = np.where(np.arange(20) == 3, np.nan, 0.0)
    refused(mesh, r"source: 1 values are NaN .* index \(3,\)", source=nan, dirichlet=walls)
    refused(
        mesh,
        r"source: expected an array of length 20, over the nodes, .* got \(7,\)",
        source=np.zeros(7),
        dirichlet=walls,
    )
    refused(mesh, "source: .* NaN", source=lambda x: x[..., 0] * np.nan, dirichlet=walls)
    refused(mesh, "diffusivity: expected positive", diffusivity=0.0, dirichlet=walls)
    refused(
        mesh,
        r"the nodes \(20\) or the cells \(24\), got 21",
        diffusivity=np.ones(21),
        dirichlet=walls,
    )
    refused(mesh, "none of the regions half", diffusivity={"half": 1.0}, dirichlet=walls)
    refused(mesh, "no group 'core'", diffusivity={"core": 1.0}, dirichlet=walls)
    refused(
        mesh, r"∫ f dx \+ ∫ g ds = 0 .* but it is 3; subtract 3 ", source=1.0, neumann={"*": 0.5}
    )


def test_wrong_meshes_are_refused() -> None:
    points, cells = cells_of_box("triangle", 2)
    walls = {"*": 0.0}
    flipped = cells["triangle"].copy()
    flipped[3] = flipped[3, ::-1]
    inverted = Mesh(points, {"triangle": flipped})
    with pytest.raises(ValueError, match="inverted or degenerate .*: 3"):
        Poisson(dirichlet=walls).solve(inverted)
    twice = np.concatenate([cells["triangle"], cells["triangle"] + len(points)])
    apart = Mesh(np.concatenate([points, points + 2]), {"triangle": twice})
    with pytest.raises(ValueError, match="disconnected: 2 components of 12, 12 nodes"):
        Poisson(dirichlet=walls).solve(apart)


def test_draws_that_make_no_sense_are_refused() -> None:
    mesh, rng = box("triangle", 3), np.random.default_rng(0)
    for contrast in (np.nan, np.inf):
        with pytest.raises(
            ValueError, match="contrast: expected max k / min k >= 1, got (nan|inf)"
        ):
            Poisson.draw(mesh, rng, contrast=contrast)
    with pytest.raises((ValueError, TypeError), match="phases"):  # the types of tests are checked
        Poisson.draw(mesh, rng, contrast=9.0, phases=2.5)
    for limits in ((0.1, 0.5), (-1.0, 0.3), (0.1, np.nan)):
        with pytest.raises(ValueError, match=r"poisson_range: expected values in \(-1, 0.5\), got"):
            LinearElasticity.draw(mesh, rng, poisson_range=limits)


def test_data_by_cell_of_another_mesh_are_refused() -> None:
    """In every place that takes them: nothing is read beyond its end, or silently cut short."""
    mesh = box("triangle", 3)
    count, space = mesh.num_cells, Space(mesh)
    for data, message in (
        (
            np.ones(count + 3),
            rf"v: expected values over the {count} cells of the mesh, got \({count + 3},\)",
        ),
        (
            np.ones(3),
            rf"v: expected values over the {count} cells of the mesh, got \(3,\); data by",
        ),
        (np.full(count, np.nan), f"v: {count} values are NaN or infinite, the first at index"),
    ):
        by_cell = data.view(PerCell)
        for use in (
            lambda v: means(space, v, "v"),
            lambda v: project(space, v, "v"),
            lambda v: space.interpolate(v, "v"),
            lambda v: space.stiffness(v, "v"),
        ):
            with pytest.raises(ValueError, match=message):
                use(by_cell)
    drawn = Poisson.draw(mesh, np.random.default_rng(0), contrast=10.0, phases=3)
    with pytest.raises(ValueError, match="diffusivity: expected values over the 4 cells"):
        drawn.solve(box("triangle", 1))


def test_problems_are_found_by_name() -> None:
    from meshgnn import problems

    assert problems.PROBLEMS["Poisson"] is Poisson
    in_time = {"Heat", "AdvectionDiffusion", "Burgers", "CombinedEquation", "FitzHughNagumo"}
    in_time |= {"NavierStokes", "Wave", "Elastodynamics", "MaterialPoints"}
    assert set(problems.PROBLEMS) == {"Poisson", "LinearElasticity"} | in_time
    assert set(problems.PROBLEMS) <= set(dir(problems))
    for name, problem in problems.PROBLEMS.items():
        assert problem.__name__ == name and callable(problem.draw)
        assert ("times" in signature(problem).parameters) == (name in in_time)
    with pytest.raises(AttributeError, match="has no 'Stokes'; it has .*Poisson"):
        problems.Stokes  # noqa: B018
