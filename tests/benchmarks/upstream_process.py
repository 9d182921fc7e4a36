"""A process that holds upstream's pipeline and draws one picture.

``python -m tests.benchmarks.upstream_process MODEL SIDE STEPS``
"""

import sys
from pathlib import Path

from tests.support.upstream import load_pipeline

from .models import SAMPLING
from .whole import draw_upstream

if __name__ == "__main__":
    model, side, steps = sys.argv[1:]
    pipe = load_pipeline(Path(model))
    pipe.vision_language_encoder.generation_config = SAMPLING
    draw_upstream(pipe, int(side), int(steps))
