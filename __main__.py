"""The command line for ``python FOLDER COMMAND``, with the folder of this pack.

ComfyUI's portable Python needs it: with a file ``python312._pth`` beside it, Python does not look for modules in the
current folder, so that ``-m glm_core`` finds none.
"""

import runpy

runpy.run_module("glm_core", run_name="__main__", alter_sys=True)
