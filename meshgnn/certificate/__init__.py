"""Certificates: the error of any field on a linear problem, estimated, bounded and taken away."""

from meshgnn.certificate.certificate import Certificate, certify
from meshgnn.certificate.truth import Effectivity, effectivity

__all__ = ["Certificate", "Effectivity", "certify", "effectivity"]
