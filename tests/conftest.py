"""Every array shape written in an annotation of the package is executed while the tests run."""

from jaxtyping import install_import_hook

hook = install_import_hook("meshgnn", "beartype.beartype")
