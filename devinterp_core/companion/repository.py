"""Where this project is to be found on the network, taken from what builds it; nowhere if nothing tells.

`make book REPOSITORY=owner/name` (or an address) says it; else the service that builds (`$GITHUB_REPOSITORY`); else the
remote `origin` of the clone, where that is an address and not a folder. With an address the pages have buttons for
the source, an edit, an issue and Binder; without one they have none.
"""

import os
import re
import subprocess

from devinterp_core.companion import project

VARIABLE = "COMPANION_REPOSITORY"
DEFAULT = "https://github.com"
NAME = re.compile(r"[\w.-]+/[\w.-]+")
REMOTE = re.compile(
    r"(?:(?:https|ssh)://(?:[^@/\s]+@)?|git@)(?P<host>[\w-]+(?:\.[\w-]+)+)(?::\d+)?[/:](?P<name>[\w./-]+?)/?"
)


def address() -> str:
    """The address, such as `https://github.com/owner/name`; empty if there is none.

    Raises:
        CompanionError: if one was given that cannot be read.
    """
    if given := os.environ.get(VARIABLE, "").strip():
        if found := _address(given):
            return found
        raise project.CompanionError(
            f"REPOSITORY={given} is neither owner/name nor an address such as {DEFAULT}/owner/name"
        )
    if name := os.environ.get("GITHUB_REPOSITORY", "").strip():
        return f"{os.environ.get('GITHUB_SERVER_URL') or DEFAULT}/{name}"
    return _address(_origin(), owner_and_name=False)


def _address(text: str, owner_and_name: bool = True) -> str:
    text = text.removesuffix(".git")
    if owner_and_name and NAME.fullmatch(text):
        return f"{DEFAULT}/{text}"
    found = REMOTE.fullmatch(text)
    return f"https://{found['host']}/{found['name']}" if found else ""


def _origin() -> str:
    """The remote `origin` of the clone; empty where there is none."""
    command = ["git", "-C", str(project.root()), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
