"""The console script `companion`: `python -m devinterp_core.companion`, or what has to be installed for it."""

import sys

from devinterp_core.extras import needs


def main() -> None:
    """Run the command line; where the packages of the book are missing, say so in one line and leave with status 1."""
    try:
        with needs("book"):
            from devinterp_core.companion.__main__ import main as command_line
    except ModuleNotFoundError as missing:
        sys.exit(f"Error: {missing}")
    try:
        command_line(prog_name="companion")
    except ModuleNotFoundError as missing:
        with needs("book"):
            raise missing
