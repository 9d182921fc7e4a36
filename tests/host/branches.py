"""Many samplers in one graph, so that one run shows what many nodes do."""

from torch import Tensor

from tests.host.graphs import id_of, inputs_of, load_saved, make_node, save_tensors, small_workflow
from tests.support.servers import Server


class Branches:
    """A graph with many samplers, and the latents of all of them after one run. steps: of each sampler."""

    def __init__(self, steps: int = 1):
        self.graph = small_workflow("text_to_image")
        self.loader = [id_of(self.graph, "GLMImageDiffusionModelLoader"), 0]
        self.sampler = {**inputs_of(self.graph, "KSampler"), "steps": steps}
        self.shift = inputs_of(self.graph, "ModelSamplingGLMImage")

    def add(self, name: str, model: list, **conditioning) -> None:
        """A sampler with this MODEL, whose latent is saved as ``name``."""
        self.graph |= {
            f"{name}.shift": make_node("ModelSamplingGLMImage", **self.shift | {"model": model}),
            f"{name}.sampler": make_node("KSampler", **self.sampler | {"model": [f"{name}.shift", 0]} | conditioning),
        }
        self.save(name, [f"{name}.sampler", 0])

    def save(self, name: str, latent: list) -> None:
        self.graph[f"{name}.save"] = save_tensors(name, latent=latent)

    def add_loader(self, name: str, node: dict) -> None:
        node["inputs"]["model"] = self.loader
        self.graph[f"{name}.lora"] = node
        self.add(name, [f"{name}.lora", 0])

    def add_hook(self, name: str, file: str) -> None:
        self.graph[f"{name}.hook"] = make_node("CreateHookLora", lora_name=file, strength_model=1.0, strength_clip=0.0)
        for side in ("positive", "negative"):
            self.graph[f"{name}.{side}"] = make_node(
                "ConditioningSetProperties", cond_NEW=self.sampler[side], strength=1.0, set_cond_area="default",
                hooks=[f"{name}.hook", 0])
        self.add(name, self.loader, positive=[f"{name}.positive", 0], negative=[f"{name}.negative", 0])

    def latents(self, server: Server) -> dict[str, Tensor]:
        """Those of all samplers, after one run; by name."""
        server.run(self.graph)
        names = [key.removesuffix(".save") for key in self.graph if key.endswith(".save")]
        return {name: load_saved(server, name)["latent"] for name in names}
