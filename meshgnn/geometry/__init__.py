"""Shapes: random families of domains, and variation of a given mesh."""
