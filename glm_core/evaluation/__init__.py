"""How well pictures show the words and shapes that their prompts ask for."""

from .run import WITHOUT, evaluate
from .sheet import contact_sheet

__all__ = ["WITHOUT", "contact_sheet", "evaluate"]
