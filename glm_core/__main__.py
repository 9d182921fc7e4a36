"""Command line: python -m glm_core generate | evaluate | convert | check | train."""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch loads; on shared cores spinning threads cost time

from .cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
