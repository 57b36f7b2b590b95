"""What all tests share: shapes and types of `devinterp_core` are checked, one thread, no screen.

The import hook has to be installed before any module of the package is imported; that is why it stands here, at import.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from jaxtyping import install_import_hook

install_import_hook("devinterp_core", "typechecker.check")

import torch  # noqa: E402

torch.set_num_threads(1)
