"""Solvers. `MODELS` maps a name to its class, imported on access; a new solver is one line here."""

from meshgnn.lazy import LazyMapping

MODELS = LazyMapping(
    {
        "BENO": "meshgnn.models.beno:BENO",
        "DMM": "meshgnn.models.dmm:DMM",
        "GIOROM": "meshgnn.models.giorom:GIOROM",
        "MMGP": "meshgnn.models.mmgp:MMGP",
        "MMPDE": "meshgnn.models.mm_pde:MMPDE",
        "MPPDE": "meshgnn.models.mp_pde:MPPDE",
        "MeshGraphNet": "meshgnn.models.mesh_graph_net:MeshGraphNet",
        "Observer": "meshgnn.models.observer:Observer",
        # around a model in time
        "Integrated": "meshgnn.models.wrappers:Integrated",
        "MeanConserving": "meshgnn.models.wrappers:MeanConserving",
        "Refined": "meshgnn.models.wrappers:Refined",
        # around a steady model
        "Dropout": "meshgnn.models.wrappers:Dropout",
        "Ensemble": "meshgnn.models.wrappers:Ensemble",
    }
)
__all__ = ["MODELS", *MODELS]


def __getattr__(name: str) -> type:
    if name in MODELS:
        return MODELS[name]
    raise AttributeError(f"meshgnn.models has no model {name!r}; it has {', '.join(MODELS)}")
