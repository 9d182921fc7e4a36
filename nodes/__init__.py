"""GLM-Image's nodes: each a schema and a few lines that hand over to glm_core."""

from comfy_api.latest import ComfyExtension, io

from . import decoder, loaders, planner, plans, references


class GLMImageExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Every node class of the modules above; a new node needs no entry here."""
        return [node for module in (loaders, planner, plans, decoder, references) for node in vars(module).values()
                if isinstance(node, type) and issubclass(node, io.ComfyNode) and node.__module__ == module.__name__]
