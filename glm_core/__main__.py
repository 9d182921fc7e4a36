"""Command line: python -m glm_core generate | prompt | evaluate | benchmark | convert | check | train | rl."""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch loads; on shared cores spinning threads cost time

if __name__ == "__main__":
    if not __package__:  # run as a folder: ComfyUI's portable Python finds no modules in the current folder
        sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        __package__ = "glm_core"
    try:
        from .cli import main
    except KeyboardInterrupt:  # loading torch takes seconds
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(main())
