"""Quantised formats: how each is written, marked and read."""

from .quantise import FORMATS, LAYERS, dequantise, marks, quantise

__all__ = ["FORMATS", "LAYERS", "dequantise", "marks", "quantise"]
