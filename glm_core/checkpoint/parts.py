"""The parts of a checkpoint, and where each layout keeps them."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """One model of a checkpoint.

    title: its name in messages.
    folder: its folder in the released layout.
    file: the file that ``convert`` writes, below ComfyUI's models folder.
    signature: a tensor that no other part has; whatever comes before this name in a file is a prefix to strip.
    """

    title: str
    folder: str
    file: str
    signature: str

    @property
    def config_tensor(self) -> str:
        """Name of the tensor that holds the part's config as text, in files that ComfyUI's own nodes saved."""
        return f"{self.folder}_config_json"

    def quantised_file(self, format_name: str) -> str:
        """The name that ``convert --quantise FORMAT_NAME`` gives ``file``."""
        return self.file.replace(".safetensors", f"_{format_name}.safetensors")


PLANNER = Part("planner", "vision_language_encoder", "text_encoders/glm_image_planner.safetensors",
               "language_model.embed_tokens.weight")
VISION = replace(PLANNER, title="vision tower", signature="vqmodel.quantize.embedding.weight")  # in the planner's files
GLYPH = Part("glyph encoder", "text_encoder", "text_encoders/glm_image_glyph_encoder.safetensors",
             "encoder.final_layer_norm.weight")
DIFFUSION = Part("diffusion model", "transformer", "diffusion_models/glm_image_diffusion_model.safetensors",
                 "prior_token_embedding.weight")
VAE = Part("VAE", "vae", "vae/glm_image_vae.safetensors", "decoder.mid_block.resnets.0.conv1.weight")
PARTS = (PLANNER, GLYPH, DIFFUSION, VAE)  # one file each
PART_NAMES = {"planner": PLANNER, "glyph": GLYPH, "diffusion": DIFFUSION, "vae": VAE}  # on the command line
EMBEDDED = Path(__file__).resolve().parents[1] / "embedded"  # the pack's own small model, in the released layout
