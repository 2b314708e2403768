"""gmsh to `Mesh`, in memory: a model built through its API, a .geo script, a CAD file or an .stl.

The only package that imports gmsh. gmsh keeps one state per process (models, options, parser), so
every use of it goes through `session`, which holds one process-wide lock: threads wait.
"""

from meshgnn.mesher.files import mesh_file
from meshgnn.mesher.model import current_mesh
from meshgnn.mesher.session import generate, session

__all__ = ["current_mesh", "generate", "mesh_file", "session"]
