"""Models for gmsh, one for each kind of mesh, and what the gmsh API and a Mesh count in them."""

from itertools import product

from meshgnn.mesh import Mesh

FORMATS = list(product((2.2, 4.1), (0, 1)))
"""(version of .msh, binary)."""
KIND = ("point", "curve", "surface", "volume")


def rectangle(gmsh, tagged=True):
    occ = gmsh.model.occ
    occ.addRectangle(0, 0, 0, 2, 1)
    occ.addDisk(0.5, 0.5, 0, 0.2, 0.2)
    occ.fragment([(2, 1)], [(2, 2)])
    occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.2)
    if tagged:
        gmsh.model.addPhysicalGroup(2, [2, 3], name="all of it")
        gmsh.model.addPhysicalGroup(2, [2], name="disk")
        curves = [tag for _, tag in gmsh.model.getBoundary([(2, 3)], oriented=False)]
        gmsh.model.addPhysicalGroup(1, curves, name="outline")
        gmsh.model.addPhysicalGroup(1, curves[:2], name="it's a part")
        gmsh.model.addPhysicalGroup(1, curves[-1:], tag=77)
        gmsh.model.addPhysicalGroup(0, [1, 2], name="corners")


def untagged(gmsh):
    rectangle(gmsh, tagged=False)


def quads(gmsh):
    rectangle(gmsh)
    gmsh.option.setNumber("Mesh.RecombineAll", 1)
    gmsh.option.setNumber("Mesh.SubdivisionAlgorithm", 1)


def mixed(gmsh):
    rectangle(gmsh)
    gmsh.model.mesh.setRecombine(2, 3)


def tetrahedra(gmsh):
    gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
    gmsh.model.occ.addSphere(0.5, 0.5, 0.5, 0.25)
    gmsh.model.occ.fragment([(3, 1)], [(3, 2)])
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.4)
    volumes = [tag for _, tag in gmsh.model.getEntities(3)]
    surfaces = [tag for _, tag in gmsh.model.getEntities(2)]
    gmsh.model.addPhysicalGroup(3, volumes, name="everything")
    gmsh.model.addPhysicalGroup(3, volumes[:1], name="ball")
    gmsh.model.addPhysicalGroup(2, surfaces, name="faces")
    gmsh.model.addPhysicalGroup(2, surfaces[1:3], name="two")
    curves = [tag for _, tag in gmsh.model.getEntities(1)]
    gmsh.model.addPhysicalGroup(1, curves[-3:], name="edges")
    gmsh.model.addPhysicalGroup(0, [gmsh.model.getEntities(0)[-1][1]], name="corner")


def extruded(gmsh, recombine):
    surface = gmsh.model.occ.addRectangle(0, 0, 0, 1, 1)
    solids = gmsh.model.occ.extrude([(2, surface)], 0, 0, 0.5, numElements=[3], recombine=True)
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.3)
    if recombine:
        gmsh.model.mesh.setTransfiniteAutomatic([(2, surface)], recombine=True)
    gmsh.model.addPhysicalGroup(3, [solids[1][1]], name="solid")
    gmsh.model.addPhysicalGroup(2, [surface], name="bottom")
    gmsh.model.addPhysicalGroup(2, [tag for _, tag in gmsh.model.getEntities(2)], name="skin")


def prisms(gmsh):
    extruded(gmsh, False)


def hexahedra(gmsh):
    extruded(gmsh, True)


def sphere(gmsh):
    gmsh.model.occ.addSphere(0, 0, 0, 1)
    gmsh.model.occ.remove([(3, 1)])
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.5)
    gmsh.option.setNumber("Mesh.MeshSizeMin", 0.5)
    gmsh.model.addPhysicalGroup(2, [1], tag=5)


def curve(gmsh):
    gmsh.model.occ.addCircle(0, 0, 0, 1)
    gmsh.model.occ.addLine(gmsh.model.occ.addPoint(2, 0, 0), gmsh.model.occ.addPoint(3, 1, 1))
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.2)
    gmsh.model.addPhysicalGroup(1, [1], name="ring")
    gmsh.model.addPhysicalGroup(1, [1, 2], name="both")
    gmsh.model.addPhysicalGroup(0, [2, 3], name="ends")


CASES = {
    f.__name__: f
    for f in (rectangle, untagged, quads, mixed, tetrahedra, prisms, hexahedra, sphere, curve)
}


def meshed(gmsh, case, order=1):
    case(gmsh)
    gmsh.model.mesh.generate(gmsh.model.getDimension())
    gmsh.model.mesh.setOrder(order)


def saved(gmsh, path, version, binary, **options):
    gmsh.option.setNumber("Mesh.MshFileVersion", version)
    gmsh.option.setNumber("Mesh.Binary", binary)
    for name, value in options.items():
        gmsh.option.setNumber(f"Mesh.{name}", value)
    gmsh.write(str(path))
    return path


def held(gmsh):
    """Nodes of the cells, cells by number of corners, elements of the groups: by the gmsh API."""
    dim = gmsh.model.getDimension()
    nodes, cells = set(), {}
    for kind, tags, rows in zip(*gmsh.model.mesh.getElements(dim), strict=True):
        width, _, corners = gmsh.model.mesh.getElementProperties(kind)[3:6]
        cells[corners] = cells.get(corners, 0) + len(tags)
        nodes |= set(rows.reshape(-1, width)[:, :corners].ravel().tolist())
    groups = {}
    for d, tag in gmsh.model.getPhysicalGroups():
        name = gmsh.model.getPhysicalName(d, tag) or f"{KIND[d]}_{tag}"
        parts = gmsh.model.getEntitiesForPhysicalGroup(d, tag)
        lists = [gmsh.model.mesh.getElements(d, part)[1] for part in parts]
        groups[name] = (d, sum(len(tags) for found in lists for tags in found))
    return len(nodes), cells, groups


def counted(mesh: Mesh):
    cells = {rows.shape[1]: len(rows) for rows in mesh.cells.values()}
    groups = {
        name: (group.dim, sum(map(len, group.cells.values())))
        for name, group in mesh.groups.items()
    }
    return mesh.num_nodes, cells, groups
