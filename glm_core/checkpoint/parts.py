"""The four parts of a checkpoint and where each layout keeps them."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import GLMImageError

QUANTISED = "fp8", "int8", "nvfp4"  # see quantise.py


@dataclass(frozen=True)
class Part:
    """title: for messages. folder: in the released layout. file: as ``convert`` writes it, below ComfyUI's models folder.

    signature: a tensor that this part alone has; what stands before it in a file is the prefix to strip.
    """

    title: str
    folder: str
    file: str
    signature: str

    def quantised_file(self, name: str) -> str:
        """As ``convert --quantise`` names what it writes in one of QUANTISED."""
        return self.file.replace(".safetensors", f"_{name}.safetensors")


PLANNER = Part("planner", "vision_language_encoder", "text_encoders/glm_image_planner.safetensors",
               "language_model.embed_tokens.weight")
VISION = replace(PLANNER, title="vision tower", signature="vqmodel.quantize.embedding.weight")  # in the planner's files
GLYPH = Part("glyph encoder", "text_encoder", "text_encoders/glm_image_glyph_encoder.safetensors",
             "encoder.final_layer_norm.weight")
DIFFUSION = Part("diffusion model", "transformer", "diffusion_models/glm_image_diffusion_model.safetensors",
                 "prior_token_embedding.weight")
VAE = Part("VAE", "vae", "vae/glm_image_vae.safetensors", "decoder.mid_block.resnets.0.conv1.weight")
PARTS = (PLANNER, GLYPH, DIFFUSION, VAE)
EMBEDDED = Path(__file__).resolve().parents[1] / "embedded"  # the small model that comes with the pack, in the released layout


def locate(model: Path, part: Part) -> Path:
    """Where a part lies in a released folder or in the folder that ``convert`` wrote."""
    for candidate in (part.file, *map(part.quantised_file, QUANTISED), part.folder):
        if (model / candidate).exists():
            return model / candidate
    raise GLMImageError(f"model folder {model}: no {part.title} found; expected {part.folder}/ (released layout) "
                        f"or {part.file} (written by 'convert')")
