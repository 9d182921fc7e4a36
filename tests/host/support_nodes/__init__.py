"""Nodes for the tests alone: they write the values on the wires to safetensors, and read noise from one."""

import os

import folder_paths
from comfy_api.latest import ComfyExtension, io
from safetensors.torch import load_file, save_file


def output_file(name: str) -> str:
    return os.path.join(folder_paths.get_output_directory(), name)


class KeepPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestKeepPlan", category="test", is_output_node=True,
                         inputs=[io.Custom("GLM_IMAGE_PLAN").Input("plan"), io.String.Input("name")])

    @classmethod
    def execute(cls, plan, name):
        plan.save(output_file(name))
        return io.NodeOutput()


class KeepTensors(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestKeepTensors", category="test", is_output_node=True, inputs=[
            io.String.Input("name"), io.Latent.Input("latent", optional=True), io.Image.Input("image", optional=True),
            io.Sigmas.Input("sigmas", optional=True), io.Conditioning.Input("conditioning", optional=True)])

    @classmethod
    def execute(cls, name, latent=None, image=None, sigmas=None, conditioning=None):
        tensors = {"latent": latent and latent["samples"], "image": image, "sigmas": sigmas,
                   "conditioning": conditioning and conditioning[0][0]}
        save_file({key: value.contiguous() for key, value in tensors.items() if value is not None}, output_file(name))
        return io.NodeOutput()


class FixedNoise:
    def __init__(self, noise):
        self.noise, self.seed = noise, 0

    def generate_noise(self, input_latent):
        return self.noise


class ReadNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestReadNoise", category="test", inputs=[io.String.Input("path")], outputs=[io.Noise.Output()])

    @classmethod
    def execute(cls, path):
        return io.NodeOutput(FixedNoise(load_file(path)["noise"]))


class Support(ComfyExtension):
    async def get_node_list(self):
        return [KeepPlan, KeepTensors, ReadNoise]


async def comfy_entrypoint():
    return Support()
