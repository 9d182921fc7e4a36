"""GLM-Image's nodes: each is a schema and a few lines that call glm_core."""

from types import ModuleType

from comfy_api.latest import ComfyExtension, io

from . import choose, decoder, loaders, plan_files, planner, plans, prompts, redraw, references

# menus list categories, and the nodes in each, in this order
MODULES = loaders, planner, redraw, plans, plan_files, references, decoder, prompts, choose


def node_classes(module: ModuleType) -> list[type[io.ComfyNode]]:
    """The nodes that ``module`` itself defines, without those that it imports."""
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return [cls for cls in classes if issubclass(cls, io.ComfyNode) and cls.__module__ == module.__name__]


class GLMImageExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Every node of MODULES; a new node needs no entry of its own."""
        return [node for module in MODULES for node in node_classes(module)]
