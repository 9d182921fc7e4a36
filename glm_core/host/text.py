"""Text on a node."""

from comfy_api.latest import io, ui
from server import PromptServer


def show_text(node: type[io.ComfyNode], text: str) -> ui.PreviewText:
    """Show text on a node in the page, as core's Get Image Size does; for the node's ``ui``, which programs read.

    Only core's Preview as Text shows what is in ``ui``. Nodes 2.0 reads the text as Markdown, so lines should be those
    of a list. node: its schema must have the hidden input unique_id.
    """
    PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
    return ui.PreviewText(text)
