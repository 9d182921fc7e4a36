"""A process that holds the reference's pipeline and draws one picture: ``python -m tests.benchmarks.held MODEL SIDE STEPS``."""

import sys
from pathlib import Path

from tests.reference.cases import load_reference

from .models import SAMPLING
from .whole import draw_reference

if __name__ == "__main__":
    model, side, steps = sys.argv[1:]
    pipe = load_reference(Path(model))
    pipe.vision_language_encoder.generation_config = SAMPLING
    draw_reference(pipe, int(side), int(steps))
