"""Any mesh of a family of shapes onto one reference, and fields both ways.

reference = Reference(Shape.of_mesh(mesh))
laid = reference.over(Shape.of_mesh(other)); laid.check()
laid.to_reference(u), laid.to_shape(v)
"""

from meshgnn.correspondence.reference import Correspondence, Reference
from meshgnn.correspondence.shape import Shape

__all__ = ["Correspondence", "Reference", "Shape"]
