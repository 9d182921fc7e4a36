"""Run a command and print its largest resident size in bytes: ``python -m tests.benchmarks.peak_memory COMMAND ...``.

A process of its own, because a child's figure starts at the size of the process that forks it, and this one is small.
"""

import resource
import subprocess
import sys

KILOBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss

if __name__ == "__main__":
    subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * KILOBYTE)
