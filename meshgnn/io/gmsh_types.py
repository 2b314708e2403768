"""gmsh's element types, by number. Corners come first in all of them."""

_BY_FAMILY = {
    "vertex": "15:1",
    "line": "1:2 8:3 26:4 27:5 28:6 62:7 63:8 64:9 65:10 66:11",
    "triangle": "2:3 9:6 20:9 21:10 22:12 23:15 24:15 25:21 42:28 43:36 44:45 45:55 46:66 52:18 "
    "53:21 54:24 55:27 56:30",
    "quad": "3:4 10:9 16:8 36:16 37:25 38:36 39:12 40:16 41:20 47:49 48:64 49:81 50:100 51:121 "
    "57:24 58:28 59:32 60:36 61:40",
    "tetra": "4:4 11:10 29:20 30:35 31:56 32:22 33:28 71:84 72:120 73:165 74:220 75:286 79:34 "
    "80:40 81:46 82:52 83:58 137:16",
    "pyramid": "7:5 14:14 19:13 118:30 119:55 120:91 121:140 122:204 123:285 124:385 125:21 126:29 "
    "127:37 128:45 129:53 130:61 131:69",
    "wedge": "6:6 13:18 18:15 90:40 91:75 106:126 107:196 108:288 109:405 110:550",
    "hexahedron": "5:8 12:27 17:20 92:64 93:125 94:216 95:343 96:512 97:729 98:1000 99:32 100:44 "
    "101:56 102:68 103:80 104:92 105:104",
    # Flat glue between a quadrangle and two triangles: no volume.
    "trihedron": "140:4",
}

ELEMENTS: dict[int, tuple[str, int]] = {
    int(number): (family, int(nodes))
    for family, listed in _BY_FAMILY.items()
    for number, nodes in (pair.split(":") for pair in listed.split())
}
"""{number: (linear type, number of nodes)}."""

LINEAR = {family: int(listed.split(":")[0]) for family, listed in _BY_FAMILY.items()}
"""{linear type: number}."""

_OTHER = {34: "polygon", 35: "polyhedron", 69: "polygon with a border", 138: "3-node MINI triangle"}


def element(number: int) -> tuple[str, int]:
    """Linear type and number of nodes of an element type.

    Raises:
        ValueError: a type without a linear counterpart.
    """
    if number not in ELEMENTS:
        name = _OTHER.get(number, "unknown")
        raise ValueError(
            f"gmsh element type {number} ({name}) has no linear counterpart here; the cells are "
            f"{', '.join(list(LINEAR)[:-1])}"
        )
    return ELEMENTS[number]
