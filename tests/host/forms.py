"""The form of each shipped workflow in the page: its subgraphs, what stands on the canvas, and the note beside it.

A workflow has a subgraph or two, their results, a note, and, where an image is edited, a Load Image node that is
bypassed, for an image of the user's own. Inside a subgraph, tests/host/arrange.py finds the places.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

Slot = tuple  # title of a node, number of its output, and, if there are more outputs with its value, the only target
Widget = tuple[str, str, str]  # title of a node, its widget, the label on the subgraph


@dataclass(frozen=True)
class Subgraph:
    """Nodes that are one node on the canvas.

    holds: whether it holds the node of a title. widgets, inputs, outputs: in their order. inputs: names, by the output
    outside that feeds them. outputs: names, by the output inside.
    """

    name: str
    holds: Callable[[str], bool]
    outputs: dict[Slot, str]
    widgets: tuple[Widget, ...]
    inputs: dict[Slot, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """places: x, y, width, height on the canvas, by title or subgraph's name. own_image: place of a Load Image node."""

    subgraphs: tuple[Subgraph, ...]
    places: dict[str, tuple[int, int, int, int]]
    own_image: tuple[int, int, int, int] | None = None


def outside(*titles: str) -> Callable[[str], bool]:
    """Holds all nodes but these, and but those of a poster."""
    return lambda title: title not in titles and "(poster" not in title


def of_poster(title: str) -> bool:
    return "(poster" in title


def seeds(plan: str = "GLM-Image Plan", sampler: str = "KSampler") -> tuple[Widget, ...]:
    return ((plan, "seed", "plan seed"), (plan, "control_after_generate", "control after generate"),
            (sampler, "seed", "noise seed"))


def steps(sampler: str = "KSampler") -> tuple[Widget, ...]:
    return (sampler, "steps", "steps"), (sampler, "cfg", "cfg")


SIDES = ("GLM-Image Plan", "width", "width"), ("GLM-Image Plan", "height", "height")
PROMPT = ("GLM-Image Plan", "prompt", "prompt")
DECODER_FILES = (("Load GLM-Image Diffusion Model", "model_name", "diffusion model"),
                 ("Load GLM-Image Glyph Encoder", "encoder_name", "glyph encoder"),
                 ("Load GLM-Image VAE", "vae_name", "VAE"))
FILES = (("Load GLM-Image Planner", "planner_name", "planner"), *DECODER_FILES)
POSTER_IMAGE = ("VAE Decode (poster)", 0)
IMAGE = {("VAE Decode", 0): "image"}
POSTER_WIDGETS = (("GLM-Image Plan (poster)", "prompt", "prompt"), ("GLM-Image Plan (poster)", "seed", "seed"))
POSTER = Subgraph("Draw a Poster", of_poster, {POSTER_IMAGE: "image"}, POSTER_WIDGETS)


def drawing(name: str, outputs: dict[Slot, str], widgets: tuple[Widget, ...], *results: str) -> Subgraph:
    """A subgraph of everything but the results on the canvas."""
    return Subgraph(name, outside("Save Image", *results), outputs, widgets)


def after_poster(name: str, inputs: dict[Slot, str], outputs: dict[Slot, str], widgets: tuple[Widget, ...],
                 *results: str) -> Subgraph:
    """A subgraph of everything that comes after the poster."""
    return Subgraph(name, outside("Save Image", *results), outputs, widgets, inputs)


EDIT_WIDGETS = (PROMPT, *seeds(), *steps(), *FILES)
PLAN = {("GLM-Image Plan", 0): "plan", ("Load GLM-Image Planner", 0): "planner"}
TEXT_TO_IMAGE = drawing("Text to Image (GLM-Image)", PLAN | IMAGE, (PROMPT, *SIDES, *seeds(), *steps(), *FILES),
                        "GLM-Image Plan Preview")
EDIT = after_poster("Image Edit (GLM-Image)", {POSTER_IMAGE: "image"}, IMAGE, EDIT_WIDGETS, "Original")
DRAFT = drawing("Draft, Choose, Finish (GLM-Image)", {("VAE Decode (sheet)", 0): "contact sheet", **IMAGE}, (
    ("GLM-Image Draft Plan", "prompt", "prompt"), ("GLM-Image Draft Plan", "width", "width"),
    ("GLM-Image Draft Plan", "height", "height"), ("GLM-Image Draft Plan", "count", "drafts"),
    ("GLM-Image Select Plan", "index", "chosen draft (from 0)"), *seeds("GLM-Image Draft Plan"), *steps(), *FILES,
), "Contact sheet")


CUSTOM = drawing("Text to Image, Custom Sampler (GLM-Image)", PLAN | IMAGE, (
    PROMPT, *SIDES, *seeds(sampler="RandomNoise")[:2], ("RandomNoise", "noise_seed", "noise seed"),
    ("KSamplerSelect", "sampler_name", "sampler"), ("GLM-Image Scheduler", "steps", "steps"),
    ("CFGGuider", "cfg", "cfg"), *FILES), "GLM-Image Plan Preview")
BEST = drawing("Best of Eight (GLM-Image)", {("GLM-Image Best Plans", 1): "ranking", **IMAGE}, (
    PROMPT, *SIDES, ("GLM-Image Plan", "batch_size", "plans"), ("GLM-Image Best Plans", "keep", "images"),
    *seeds(), *steps(), *FILES), "Ranking")
REDO = drawing("Draw, Read, Redraw (GLM-Image)", {("GLM-Image Read Text", 0): "report",
                                                  ("GLM-Image Replace Images", 0): "images"}, (
    ("Prompt", "value", "prompt"), *SIDES, ("GLM-Image Plan", "batch_size", "images"), *seeds(),
    ("GLM-Image Plan (again)", "batch_size", "plans to choose from"), *steps(), *FILES), "Report")
MULTI_EDIT = after_poster("Edit with Two Images (GLM-Image)", {
    ("VAE Decode (poster 1)", 0): "first image", ("VAE Decode (poster 2)", 0): "second image",
}, IMAGE, EDIT_WIDGETS, "First image", "Second image")
TWO_POSTERS = Subgraph("Draw Two Posters", of_poster, {("VAE Decode (poster 1)", 0): "first image",
                                                       ("VAE Decode (poster 2)", 0): "second image"}, (
    ("GLM-Image Plan (poster 1)", "prompt", "first prompt"), ("GLM-Image Plan (poster 2)", "prompt", "second prompt"),
    ("GLM-Image Plan (poster 1)", "seed", "first seed"), ("GLM-Image Plan (poster 2)", "seed", "second seed")))
INPAINT = after_poster("Inpaint (GLM-Image)", {POSTER_IMAGE: "image", ("GLM-Image Plan Preview", 1): "mask"},
                       {("Keep the other pixels", 0): "image"}, EDIT_WIDGETS, "Original", "GLM-Image Plan Preview")
POSTER_WITH_PLAN = Subgraph("Draw a Poster", of_poster, {
    POSTER_IMAGE: "image", ("GLM-Image Plan (poster)", 0): "plan", ("Load GLM-Image Planner (poster)", 0): "planner",
}, POSTER_WIDGETS)
VARIATION = after_poster("Image Variation (GLM-Image)", {POSTER_IMAGE: "image"}, {
    ("GLM-Image Tokenize", 0): "plan", ("Load GLM-Image Planner", 0): "planner", **IMAGE,
}, (("Texts", "value", "texts"), *seeds()[2:], *steps(), *FILES), "Original", "GLM-Image Plan Preview")
OUTPAINT = after_poster("Outpaint (GLM-Image)", {POSTER_IMAGE: "image"}, {("Keep the old pixels", 0): "image"}, (
    ("GLM-Image Replan", "prompt", "prompt"),
    *((side.capitalize(), "value", f"add {side}") for side in ("left", "top", "right", "bottom")),
    *seeds("GLM-Image Replan"), *steps(), *FILES), "Image to extend")
SMALL_POSTER = Subgraph("Draw a Small Poster", lambda title: of_poster(title) or title == "Make it small",
                        {("Make it small", 0): "image"}, POSTER_WIDGETS)
UPSCALE = Subgraph("Upscale (GLM-Image)", outside("Save Image", "Small image", "Make it small"), IMAGE, (
    ("Prompt", "value", "texts"), ("Enlarge", "scale_by", "enlarge by"), ("KSampler", "denoise", "denoise"),
    *seeds()[2:], *steps(), *FILES), {("Make it small", 0): "image"})
RESTYLE = after_poster("Style Transfer (GLM-Image)", {POSTER_IMAGE: "image"}, IMAGE, EDIT_WIDGETS, "Image to restyle")
SHOWN = "GLM-Image Plan Preview"
PASSED_ON = {
    ("GLM-Image Plan (before)", 0): "plan", ("Load GLM-Image Planner", 0): "planner",
    ("ModelSamplingGLMImage", 0): "model", ("Load GLM-Image Glyph Encoder", 0): "glyph encoder",
    ("KSampler (before)", 0): "latent", ("Load GLM-Image VAE", 0): "VAE", ("VAE Decode (before)", 0): "image",
}
REPLANNED = ("GLM-Image Replan", "GLM-Image Conditioning (after)", "Set Latent Noise Mask", "KSampler (after)",
             "VAE Decode (after)", "Keep the other pixels")
BEFORE = Subgraph("Draw an Image (GLM-Image)", outside(*REPLANNED, SHOWN, "Preview Image (before)", "Save Image"), {
    ("GLM-Image Plan (before)", 0, SHOWN): "plan to show", ("Load GLM-Image Planner", 0, SHOWN): "planner to show",
    **PASSED_ON,
}, (("GLM-Image Plan (before)", "prompt", "prompt"), ("GLM-Image Plan (before)", "width", "width"),
    ("GLM-Image Plan (before)", "height", "height"), *seeds("GLM-Image Plan (before)", "KSampler (before)"),
    *steps("KSampler (before)"), *FILES))
AFTER = Subgraph("Replan a Region (GLM-Image)", lambda title: title in REPLANNED, {
    ("Keep the other pixels", 0): "image",
}, (("GLM-Image Replan", "prompt", "prompt"), *seeds("GLM-Image Replan", "KSampler (after)"),
    *steps("KSampler (after)")), {(SHOWN, 1): "mask", **PASSED_ON})
WRITERS = "Load GLM-Image Planner", "GLM-Image Plan 1", "GLM-Image Plan 2"
TWO_PLANS = Subgraph("Write Two Plans (GLM-Image)", lambda title: title in WRITERS, {
    ("GLM-Image Plan 1", 0): "plan 1", ("GLM-Image Plan 2", 0): "plan 2", ("Load GLM-Image Planner", 0): "planner",
}, (("GLM-Image Plan 1", "prompt", "prompt 1"), ("GLM-Image Plan 2", "prompt", "prompt 2"),
    ("GLM-Image Plan 1", "seed", "seed 1"), ("GLM-Image Plan 2", "seed", "seed 2"), FILES[0]))
DRAW_PLAN = Subgraph("Draw a Plan (GLM-Image)", outside(
    *WRITERS, "GLM-Image Plan Preview (plan 2)", "GLM-Image Compose Plans", "Save Image",
), IMAGE, (("KSampler", "seed", "noise seed"), *steps(), *DECODER_FILES), {("GLM-Image Compose Plans", 0): "plan"})
LOADERS = tuple(title for title, _, _ in FILES)
TO_LEARN = {
    ("Large pixels (poster)", 0): "images",
    **{(f"GLM-Image Conditioning (poster {i})", 0): f"texts {i}" for i in (1, 2, 3)},
    ("Load GLM-Image Planner", 0): "planner", ("Load GLM-Image Glyph Encoder", 0): "glyph encoder",
    ("ModelSamplingGLMImage (poster)", 0): "model", ("Load GLM-Image VAE", 0): "VAE",
}
LEARN_FROM = Subgraph("Draw Images to Learn From (GLM-Image)", lambda title: of_poster(title) or title in LOADERS,
                      TO_LEARN, (*((f"GLM-Image Plan (poster {i})", "prompt", f"prompt {i}") for i in (1, 2, 3)),
                                 *FILES))
LEARNT = "Images to learn from", "Save LoRA", "Without the LoRA"
TRAIN = Subgraph("Train and Draw (GLM-Image)", lambda title: not LEARN_FROM.holds(title)
                 and title not in (*LEARNT, "Save Image"), {
    ("Train LoRA", 0): "LoRA", ("Train LoRA", 2): "trained steps", ("VAE Decode (without)", 0): "image without",
    ("VAE Decode", 0): "image",
}, (("Train LoRA", "steps", "training steps"), ("Train LoRA", "learning_rate", "learning rate"),
    ("Train LoRA", "rank", "rank"), ("Load LoRA Model", "strength_model", "strength"), PROMPT, *seeds(),
    ("KSampler", "steps", "drawing steps"), ("KSampler", "cfg", "cfg")), TO_LEARN)


def with_poster(subgraph: Subgraph, poster: Subgraph = POSTER, original: str = "Original") -> Form:
    """A poster is drawn, and the subgraph changes it."""
    return Form((poster, subgraph), {
        poster.name: (460, 0, 340, 280), original: (980, -60, 300, 320), subgraph.name: (980, 380, 400, 540),
        "Save Image": (1480, 380, 420, 480)}, (460, 480, 340, 330))


def with_plan(form: Form, place: tuple[int, int, int, int]) -> Form:
    """The form with a plan that is shown."""
    return Form(form.subgraphs, {**form.places, SHOWN: place}, form.own_image)


def one(subgraph: Subgraph, height: int, **results: tuple[int, int, int, int]) -> Form:
    """One subgraph and its results, one below the other."""
    return Form((subgraph,), {subgraph.name: (460, 0, 400, height),
                              **{title.replace("_", " "): place for title, place in results.items()}})


FIRST, SECOND, SHORT = (1040, 0, 420, 480), (1040, 590, 420, 480), (1040, 0, 420, 240)  # places of results
FORMS = {
    "text_to_image": with_plan(one(TEXT_TO_IMAGE, 640, Save_Image=SECOND), FIRST),
    "text_to_image_custom_sampler": with_plan(one(CUSTOM, 660, Save_Image=SECOND), FIRST),
    "draft_choose_finish": one(DRAFT, 680, Contact_sheet=FIRST, Save_Image=SECOND),
    "best_of_eight": one(BEST, 680, Ranking=SHORT, Save_Image=(1040, 350, 420, 480)),
    "redo_wrong_once": one(REDO, 680, Report=SHORT, Save_Image=(1040, 350, 420, 480)),
    "replan_region": Form((BEFORE, AFTER), {
        BEFORE.name: (460, 400, 400, 760), SHOWN: (1040, 0, 340, 480), AFTER.name: (1560, 400, 400, 560),
        "Preview Image (before)": (1040, 1060, 340, 380), "Save Image": (2060, 400, 420, 480)}),
    "outpaint": with_poster(OUTPAINT, original="Image to extend"),
    "compose_two_plans": Form((TWO_PLANS, DRAW_PLAN), {
        TWO_PLANS.name: (460, 0, 400, 520), "GLM-Image Plan Preview (plan 2)": (1040, 380, 340, 480),
        "GLM-Image Compose Plans": (1560, 0, 300, 130), DRAW_PLAN.name: (1960, 0, 340, 260),
        "Save Image": (2400, 0, 420, 480)}),
    "upscale": with_poster(UPSCALE, SMALL_POSTER, "Small image"),
    "edit_image": with_poster(EDIT),
    "edit_multi_image": Form((TWO_POSTERS, MULTI_EDIT), {
        TWO_POSTERS.name: (460, 0, 340, 420), "First image": (980, -380, 300, 320),
        "Second image": (980, 620, 300, 320), MULTI_EDIT.name: (1460, 0, 400, 540),
        "Save Image": (1960, 0, 420, 480)}, (460, 640, 340, 330)),
    "style_transfer": with_poster(RESTYLE, original="Image to restyle"),
    "inpaint": Form((POSTER_WITH_PLAN, INPAINT), {
        POSTER_WITH_PLAN.name: (460, 0, 340, 300), "Original": (980, -380, 300, 320),
        SHOWN: (980, 300, 340, 480), INPAINT.name: (1460, 0, 400, 560), "Save Image": (1960, 0, 420, 480)},
        (460, 480, 340, 330)),
    "image_variation": Form((POSTER, VARIATION), {
        "Draw a Poster": (460, 0, 340, 280), "Original": (980, -380, 300, 320), VARIATION.name: (980, 100, 400, 500),
        SHOWN: (1560, 0, 420, 480), "Save Image": (1560, 590, 420, 480)}, (460, 480, 340, 330)),
    "train_decoder_lora": Form((LEARN_FROM, TRAIN), {
        LEARN_FROM.name: (460, 0, 400, 560), LEARNT[0]: (1000, -420, 420, 300), TRAIN.name: (1000, 0, 420, 560),
        "Save LoRA": (1560, -330, 340, 130), LEARNT[2]: (1560, -80, 420, 480), "Save Image": (1560, 510, 420, 480)}),
}
