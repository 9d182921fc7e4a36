"""Semantic-VQ: image → token grid."""

from .model import SemanticVQ, VisionConfig
from .tokenize import encoder_pixels, tokenize

__all__ = ["SemanticVQ", "VisionConfig", "encoder_pixels", "tokenize"]
