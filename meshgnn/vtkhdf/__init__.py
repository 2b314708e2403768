""".vtkhdf: a mesh stored once and arrays over time, as VTK and ParaView read them.

    /VTKHDF                attributes Version, Type
      Points               [N, 3], or [T N, 3] where they move
      Connectivity, Offsets, Types, NumberOfPoints, NumberOfCells, NumberOfConnectivityIds
      PointData/<name>     [N, ...], or [T N, ...] over time; CellData/<name> the same for cells
      Steps                when there are times: Values [T], and where each time's part begins
    /meshgnn               what is no part of a VTK grid (VTK leaves it alone)
      index                one JSON text: the groups' names and sizes, and the caller's meta
      group_connectivity   vertices of all groups in a row
      <name>               the caller's extra arrays

The only module that imports h5py. Arrays go through its low-level interface, which takes half the
time of the high-level one: training sets are thousands of small files.

Source: VTKHDF file format 2.2, https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format.
"""

from meshgnn.vtkhdf.appending import growing
from meshgnn.vtkhdf.reading import read_grid, read_vtkhdf
from meshgnn.vtkhdf.writing import write_vtkhdf

__all__ = ["growing", "read_grid", "read_vtkhdf", "write_vtkhdf"]
