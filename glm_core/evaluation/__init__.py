"""How well pictures show the words and shapes that their prompts ask for."""

from .run import evaluate

__all__ = ["evaluate"]
