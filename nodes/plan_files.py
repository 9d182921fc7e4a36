"""Plans in ComfyUI's input and output folders, and what its page reads of them."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io, ui

from ..glm_core.errors import GLMImageError
from ..glm_core.files import quote
from ..glm_core.host.compat import search_aliases
from ..glm_core.plans import Look, draw_plan, load_plan, save_plan_image, select
from .types import PLANS, Plan, Planner

PNG, SAFETENSORS = FORMATS = "png", "safetensors"
SAVED = "plans"  # folder in ComfyUI's output folder where plans are saved unless told otherwise, and looked for
OUTPUT = "[output]"  # with a space before it, ComfyUI's mark of names in its output folder


def workflow_texts(node: type[io.ComfyNode]) -> dict[str, str]:
    """What ComfyUI's pages want in a PNG to open its workflow: nothing with --disable-metadata."""
    if args.disable_metadata:
        return {}
    values = {"prompt": node.hidden.prompt, **(node.hidden.extra_pnginfo or {})}
    return {keyword: json.dumps(value) for keyword, value in values.items() if value is not None}


def saved_names() -> list[str]:
    """Plan files that can be there in the input folder, then those in the output folder's own folder of plans."""
    saved = Path(folder_paths.get_output_directory()) / SAVED
    return [*plan_files(Path(folder_paths.get_input_directory())),
            *(f"{SAVED}/{name} {OUTPUT}" for name in plan_files(saved))]


def plan_files(folder: Path) -> list[str]:
    suffixes = tuple(f".{format_name}" for format_name in FORMATS)
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(name for name in names if name.lower().endswith(suffixes) and os.path.isfile(folder / name))


def find_plan(name: str) -> Path:
    """The file of a name that may end with [input], [output] or [temp], as ComfyUI's names of files do.

    Raises GLMImageError if it is not there, or outside that folder, which ComfyUI 0.8 does not check.
    """
    relative, folder = folder_paths.annotated_filepath(name)
    root = Path(folder or folder_paths.get_input_directory()).resolve()
    is_file = os.path.isfile(root / relative)  # False, not an error, for names that no file can have
    if not is_file or not (root / relative).resolve().is_relative_to(root):
        raise GLMImageError(f"file must be the name of a file in {root} (got {quote(name)})")
    return (root / relative).resolve()


def write_temporary_json(name: str, value: Any) -> dict[str, str]:
    """Write JSON for the page into ComfyUI's temporary folder; what /view wants to find it.

    The same content has the same file.
    """
    folder, data = Path(folder_paths.get_temp_directory()), json.dumps(value, separators=(",", ":")).encode()
    file = f"{name}_{hashlib.sha256(data).hexdigest()[:16]}.json"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(data)
    return {"filename": file, "subfolder": "", "type": io.FolderType.temp.value}


class GLMImageSavePlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageSavePlan",
            display_name="GLM-Image Save Plan",
            category=PLANS,
            **search_aliases("export plan", "write plan", "store tokens", "导出", "存储"),
            description="Saves plans to ComfyUI's output folder: as PNG pictures that show the plan and also contain "
                        "it, together with the workflow, or as a safetensors file.",
            inputs=[
                Plan.Input("plan", tooltip="The plans to save."),
                io.String.Input("filename_prefix", default=f"{SAVED}/plan",
                                tooltip="Start of the file names, with a subfolder of the output folder. GLM-Image "
                                        f"Load Plan lists what is in {SAVED}."),
                io.Combo.Input("format", options=list(FORMATS), default=PNG,
                               tooltip="png: a picture for each plan of the batch, which GLM-Image Load Plan reads; "
                                       "dropped onto the page, it opens the workflow. safetensors: one file for the "
                                       "whole batch."),
                Planner.Input("planner", optional=True,
                              tooltip="Gives the pictures their colours, as in GLM-Image Plan Preview."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, plan, filename_prefix, format, planner=None) -> io.NodeOutput:
        palette = None if planner is None else planner.code_colours
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), plan.width, plan.height)
        if format == SAFETENSORS:
            plan.save(os.path.join(folder, f"{name}_{counter:05}_.{format}"))
            return io.NodeOutput(ui=ui.PreviewImage(draw_plan(plan, Look(), palette), cls=cls))
        saved = []
        for i in range(plan.batch):
            file = f"{name.replace('%batch_num%', str(i))}_{counter + i:05}_.{format}"
            save_plan_image(select(plan, i), os.path.join(folder, file), palette, workflow_texts(cls))
            saved.append(ui.SavedResult(file, subfolder, io.FolderType.output))
        return io.NodeOutput(ui=ui.SavedImages(saved))


class GLMImageLoadPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageLoadPlan",
            display_name="GLM-Image Load Plan",
            category=PLANS,
            **search_aliases("import plan", "open plan", "read tokens", "导入", "打开"),
            description="Loads a plan that GLM-Image Save Plan or the command line saved. It is loaded again if the "
                        "file changes.",
            inputs=[
                io.Combo.Input("file", options=saved_names(), upload=io.UploadType.image,
                               tooltip="A saved plan, PNG or safetensors, in ComfyUI's input folder or in the folder "
                                       f"{SAVED} of its output folder."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def validate_inputs(cls, file=None) -> bool | str:
        """file: None if it comes by a link; ``execute`` then checks it."""
        try:
            return file is None or bool(find_plan(file))
        except GLMImageError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, file=None) -> str | float:
        """Not a number, by which ComfyUI runs the node each time, if the name comes by a link."""
        return float("nan") if file is None else hashlib.sha256(find_plan(file).read_bytes()).hexdigest()

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        return io.NodeOutput(load_plan(find_plan(file)))
