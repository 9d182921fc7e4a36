"""Nodes for the tests alone: they write the values on the wires to safetensors, and read noise from one."""

import gc
import os
import sys
import weakref
from dataclasses import replace
from importlib.machinery import ModuleSpec
from json import loads as json_loads
from types import ModuleType, SimpleNamespace

import folder_paths
import numpy
import torch
from comfy.cli_args import args
from comfy_api.latest import ComfyExtension, io
from safetensors.torch import load_file, save_file

MADE = {}  # name → passes of reference images so far, and weak references to the tensors that they gave


def output_file(name: str) -> str:
    return os.path.join(folder_paths.get_output_directory(), name)


class SavePlan(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestSavePlan", category="test", is_output_node=True,
                         inputs=[io.Custom("GLM_IMAGE_PLAN").Input("plan"), io.String.Input("name")])

    @classmethod
    def execute(cls, plan, name):
        plan.save(output_file(name))
        return io.NodeOutput()


class LogProbs(io.ComfyNode):
    """The plan with log-probabilities of 0, and of -1 for one token, counted from 0 in the order of writing."""

    @classmethod
    def define_schema(cls):
        plan = io.Custom("GLM_IMAGE_PLAN")
        return io.Schema(node_id="TestLogProbs", category="test", outputs=[plan.Output()],
                         inputs=[plan.Input("plan"), io.Int.Input("token")])

    @classmethod
    def execute(cls, plan, token):
        log_probs = torch.zeros(plan.batch, plan.tokens)
        log_probs[:, token] = -1
        return io.NodeOutput(replace(plan, log_probs=log_probs))


class Ocr(io.ComfyNode):
    """Instead of the OCR packages, which the tests' ComfyUIs do not have: reads one of these texts in each image.

    Hands the images on, so that what reads them runs after it. Without texts, the packages are missing again.
    """

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestOcr", category="test", outputs=[io.Image.Output()],
                         inputs=[io.Image.Input("image"), io.String.Input("texts")])

    @classmethod
    def execute(cls, image, texts):
        for name in ("rapidocr", "onnxruntime"):
            sys.modules.pop(name, None)
            if texts:
                sys.modules[name] = ModuleType(name)
                sys.modules[name].__spec__ = ModuleSpec(name, None)
        if texts:
            read = iter(texts.split(","))
            sys.modules["rapidocr"].RapidOCR = lambda params: lambda pixels: ocr_result(next(read))
        return io.NodeOutput(image)


def ocr_result(text):
    """As RapidOCR gives it."""
    corners = numpy.array([[[4.0, 4], [44, 4], [44, 20], [4, 20]]])
    return SimpleNamespace(txts=(text,), boxes=corners, word_results=())


class WithoutMetadata(io.ComfyNode):
    """Passes a plan on, as if ComfyUI had been started with --disable-metadata, or without it again."""

    @classmethod
    def define_schema(cls):
        plan = io.Custom("GLM_IMAGE_PLAN")
        return io.Schema(node_id="TestWithoutMetadata", category="test", outputs=[plan.Output()],
                         inputs=[plan.Input("plan"), io.Boolean.Input("disable")])

    @classmethod
    def execute(cls, plan, disable):
        args.disable_metadata = disable
        return io.NodeOutput(plan)


class SaveTensors(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestSaveTensors", category="test", is_output_node=True, inputs=[
            io.String.Input("name"), io.Latent.Input("latent", optional=True), io.Image.Input("image", optional=True),
            io.Sigmas.Input("sigmas", optional=True), io.Conditioning.Input("conditioning", optional=True),
            io.Custom("LOSS_MAP").Input("loss", optional=True)])

    @classmethod
    def execute(cls, name, latent=None, image=None, sigmas=None, conditioning=None, loss=None):
        tensors = {"latent": latent and latent["samples"], "image": image, "sigmas": sigmas,
                   "conditioning": conditioning and conditioning[0][0], "loss": loss and torch.tensor(loss["loss"])}
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
        return io.Schema(node_id="TestReadNoise", category="test", inputs=[io.String.Input("path")],
                         outputs=[io.Noise.Output()])

    @classmethod
    def execute(cls, path):
        return io.NodeOutput(FixedNoise(load_file(path)["noise"]))


class CountReferences(io.ComfyNode):
    """A clone of the model that counts its passes of reference images, see MADE."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestCountReferences", category="test", outputs=[io.Model.Output()],
                         inputs=[io.Model.Input("model"), io.String.Input("name")])

    @classmethod
    def execute(cls, model, name):
        made = MADE.setdefault(name, {"passes": 0, "tensors": []})
        run = model.get_model_object("diffusion_model").reference_keys_values

        def counting(*args, **kwargs):
            made["passes"] += 1
            for keys, values in run(*args, **kwargs):
                made["tensors"] += [weakref.ref(keys), weakref.ref(values)]
                yield keys, values

        counted = model.clone()
        counted.add_object_patch("diffusion_model.reference_keys_values", counting)
        return io.NodeOutput(counted)


class ReportReferences(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TestReportReferences", category="test", is_output_node=True, inputs=[
            io.Model.Input("model"), io.Latent.Input("latent"), io.String.Input("name")])

    @classmethod
    def execute(cls, model, latent, name):
        gc.collect()
        made = MADE[name]
        alive = sum(tensor() is not None for tensor in made["tensors"]) + len(model.model.references.entries)
        assert made["tensors"], "no reference pass was seen"
        counts = {"passes": torch.tensor(made["passes"]), "alive": torch.tensor(alive)}
        save_file(counts, output_file(f"{name}.count.safetensors"))
        return io.NodeOutput()


def value_node(node_id, kind, make):
    """A node that puts on a wire of this kind what ``make`` makes of the JSON in its widget."""

    class Value(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id=node_id, category="test", inputs=[io.String.Input("json")],
                             outputs=[kind.Output()])

        @classmethod
        def execute(cls, json):
            return io.NodeOutput(make(json_loads(json)))

    return Value


def make_latent(shape):
    """Noise, or zeros where the shape ends with "empty"."""
    is_empty = shape[-1] == "empty"
    return {"samples": torch.zeros(shape[:-1]) if is_empty else torch.randn(shape)}


VALUES = [value_node("TestInt", io.Int, lambda value: value), value_node("TestFloat", io.Float, lambda value: value),
          value_node("TestLatent", io.Latent, make_latent),
          value_node("TestConditioning", io.Conditioning, lambda shape: [[torch.randn(shape), {}]])]


class Support(ComfyExtension):
    async def get_node_list(self):
        return [SavePlan, LogProbs, Ocr, WithoutMetadata, SaveTensors, ReadNoise, CountReferences, ReportReferences,
                *VALUES]


async def comfy_entrypoint():
    return Support()
