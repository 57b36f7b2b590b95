"""ArviZ, imported without a trace: its diagnostics are wanted here, not its daily announcement.

At import ArviZ 0.23 announces a coming version once a day, and notes that it has in a cache in the user's home. Which
process of a day shows the warning would depend on that cache, and where the home cannot be written the import fails.
So it is imported with a cache of its own, which is deleted, and without that one warning.
"""

import sys
import tempfile
import types
import warnings
from unittest import mock

import platformdirs


def import_arviz() -> types.ModuleType:
    """The module `arviz`; nothing is announced, and its cache in the user's home is neither read nor written."""
    if "arviz" not in sys.modules:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
            with mock.patch.object(platformdirs, "user_cache_dir", return_value=folder):
                import arviz  # noqa: F401
    return sys.modules["arviz"]
