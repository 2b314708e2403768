"""`docs/variations.md` from `results/variations.json`."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "variations.md"
HEAD = """# Families of shapes from one mesh

    x(p) = X + Σ_k c_k(p) φ_k(X)

The nodes of a mesh as a function of shape parameters p: cells and named groups stay, the
displacements φ_k are computed once, and a member costs one product and the check of its cells.

```python
from meshgnn.geometry import FreeForm, Morph, Motion, Noise, variations

family = variations(mesh, 1000, seed=0, kinds=[FreeForm(4), Motion("hole")], fixed=("clamp",))
family[7].mesh, family[7].parameters   # x(p) of these parameters, valid
morph = Morph(mesh, [FreeForm(4)], fixed=("clamp",))
morph.names, morph.bounds              # of the parameters
morph.member(p)                        # the valid member at p, or at p/2, p/4, ...
morph.points(p)                        # torch, differentiable in p, not checked
simulate("Poisson", morph, 100, "data/plates")
```

| kind | what moves | parameters |
|---|---|---|
| `FreeForm` | control points of a lattice: Bernstein, B-splines; handles, box | point and axis |
| `RadialBasis` | control points, given or on parts; polyharmonic, Wendland | point and axis |
| `Modal` | the boundary along its normals, by eigenmodes of its Laplacian | mode |
| `Noise` | the same by a Gaussian random field with a correlation length | mode, normal |
| `Offset` | parts along their normals: thickness | part |
| `Fillet` | parts by an implicit step of curvature flow: rounder corners | part |
| `Motion` | a part: shift, rotation, scaling | up to 3, 4 or 7 |

Sources: Sederberg & Parry 1986; de Boer, van der Schoot & Bijl 2007; Lindgren, Rue & Lindström
2011; Desbrun et al. 1999.
Of the last five, the boundary's motion is extended into the inside by elasticity (small cells are
stiff; Stein et al. 2003), by harmonic functions, or by radial functions. `fixed` parts do not move
by a bit; other boundary parts are held while one is moved, unless they are `free` or `slide` on
their curve. A kind of your own is an object with `deformation(body)`.

A member is valid when no simplex is inverted, every `Mesh.quality` is above the `floor`, and no two
facets of the boundary cross. Else its parameters are halved, and again, so that mesh and parameters
always belong together. With `remesh=True` gmsh meshes the moved boundary anew, where that is sound.
Families start from a `Mesh`, a file (.msh, .step, .stl, .ply, ...) or a PyVista data set; `filled`
makes a solid of a closed surface. Member i depends on (seed, i) only: the same bytes in every
process, whatever the number of threads (of one machine and one set of libraries).

## Measured

Made by `python scripts/benchmarks/variations.py`; the numbers are in
`scripts/benchmarks/results/variations.json`. CPU seconds of one thread of a shared machine, for
1,000 members; "valid" counts those that pass `Mesh.check`, signed volumes and the floor of 0.1 when
asked again. The move is the largest of a node over the diagonal of the mesh, on average. The left
side is fixed.
"""
LIMITS = """
## Limits

- Only crossing facets without common nodes are seen; facets that touch are no crossing. Curves in
  three dimensions are not checked against themselves.
- The displacements are kept as a dense array and as a tensor, 16 N d K bytes: 100 parameters on a
  million nodes in space are 4.8 GB.
- Nodes that slide stay on the polygon (the triangles) of the mesh, not on the curve behind it, and
  corners of a sliding part stay where they are. A sliding part costs some 35 ms a member here.
- `remesh` gives triangles or tetrahedra, whatever there was, and keeps the nodes of the boundary:
  what is bad on the boundary itself stays so. It takes plane meshes and solids. It is tried when
  the boundary does not cross itself; whether gmsh succeeds is not promised, and the member retreats
  where it does not.
- Eigenmodes of equal eigenvalues (of circles, spheres) are any basis of their space, so that two
  versions of the linear algebra may draw different families there.
- Periodic meshes have to keep their matched sides fixed.
- Offsets near held neighbours fade within a tenth of the diagonal, so that a side gets thicker in
  its middle; name the neighbours as `free` for an even thickness.
"""


def write() -> None:
    """Write the page."""
    found = json.loads((HERE / "results" / "variations.json").read_text())
    text = [HEAD, *_families(found), *_elements(found), *_remeshing(found), LIMITS]
    PAGE.write_text("\n".join(text).strip("\n") + "\n")


def _families(found: dict[str, Any]) -> list[str]:
    rows = [
        "",
        "| family | nodes | cells | parameters | set-up | 1,000 members | valid | halved | least "
        "quality | move |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        if "valid" in row:
            rows.append(
                f"| {name} | {row['nodes']} | {row['cells']} | {row['parameters']} | "
                f"{row['setup']:.2f} s | {row['seconds']:.1f} s | {row['valid']} | "
                f"{100 * row['halved']:.1f} % | {row['least_quality']:.2f} | "
                f"{100 * row['mean_largest_move']:.1f} % |"
            )
    same = found.get("same bytes", {}).get("equal", [])
    first = found["plate, all kinds at once"]["sha256"]
    equal = sum(value == first for value in same)
    return [*rows, f"\nThe first family made again in {len(same)} other processes: {equal} times "
            "the same bytes."]  # fmt: skip


def _elements(found: dict[str, Any]) -> list[str]:
    rows = [
        "\n## Finite elements on a moved mesh and on a new one",
        "\nFive shapes of each mesh in `meshes/`, moved by free form and motion of a part, beside "
        "the same shapes\nmeshed anew by gmsh. Relative L2 of P1 solutions; the error of each mesh "
        "is 4/3 of what a refinement\nof it changes. The difference stays below the sum of the two "
        "errors: the last column is the\nlargest ratio.\n",
        "| mesh, equation | difference | error, moved | error, new | difference / sum, worst |",
        "|---|---|---|---|---|",
    ]
    for name, row in found.items():
        if name.startswith("fem"):
            rows.append(
                f"| {name[5:]} | {row['difference']:.2e} | {row['error_morphed']:.2e} | "
                f"{row['error_remeshed']:.2e} | {row['worst_share']:.2f} |"
            )
    return rows


def _remeshing(found: dict[str, Any]) -> list[str]:
    rows = [
        "\n## Retreat or a new mesh",
        "\n100 members of `plate.msh` whose holes are shifted by up to 10 % of the diagonal and "
        "turned by 0.3,\nall else fixed, floor 0.3.\n",
        "| where the cells do not follow | halved | meshed anew | least quality | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, row in found.get("remeshing", {}).items():
        rows.append(
            f"| {name} | {row['halved']} | {row['remeshed']} | {row['least_quality']:.2f} | "
            f"{row['seconds']:.1f} |"
        )
    return rows
