"""Every array shape written in an annotation of the package is executed while the tests run."""

import os

import torch
from jaxtyping import install_import_hook

if not torch.cuda.is_available():  # kernels for GPUs are interpreted; read when Triton is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")
hook = install_import_hook("meshgnn", "beartype.beartype")
