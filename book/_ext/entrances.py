"""Sphinx extension: buttons that lead from a page to its source, an edit, an issue and Binder.

They need to know where the repository is (`devinterp_core.companion.repository`): the build tells it by a variable of
the environment. Without it there are no buttons. The theme's own would point to `.ipynb` files, which are not in git.
"""

import os
import re
from urllib.parse import quote, urlsplit

from devinterp_core.companion.repository import VARIABLE

BRANCH = "main"


def source(pagename: str) -> str:
    """The file in git that a page is made from; empty for pages that are made by a program."""
    if pagename.startswith("notebooks/"):
        return f"{pagename}.py"
    return f"{pagename}.md" if pagename.startswith("book/") and pagename != "book/scorecard" else ""


def buttons(address: str, pagename: str, title: str) -> list[dict]:
    """The buttons of a page, as the theme wants them; none without an address."""
    if not address:
        return []
    file, host = source(pagename), urlsplit(address).hostname
    links = [("source-repository-button", address, "Repository", "fas fa-code-branch")]
    if file:
        links.append(
            ("source-file-button", f"{address}/blob/{BRANCH}/{file}", "Source of this page", "fas fa-file-code")
        )
        links.append(("source-edit-button", f"{address}/edit/{BRANCH}/{file}", "Suggest an edit", "fas fa-pencil-alt"))
    issue = f"{address}/issues/new?template=wrong_number.yml&title={quote(f'Wrong number: {title}')}"
    links.append(("source-issues-button", issue, "A number is wrong", "fas fa-lightbulb"))
    if host == "github.com":
        path = f"notebooks/{pagename.removeprefix('notebooks/')}.ipynb" if pagename.startswith("notebooks/") else ""
        binder = (
            f"https://mybinder.org/v2/gh{urlsplit(address).path}/{BRANCH}?urlpath={quote(f'lab/tree/{path}', safe='')}"
        )
        links.append(("launch-binder-button", binder, "Open in Binder", "fas fa-rocket"))
    made = [{"type": "link", "url": url, "text": text, "tooltip": text, "icon": icon, "label": label}
            for label, url, text, icon in links]  # fmt: skip
    group = {
        "type": "group",
        "tooltip": "Source, issues, Binder",
        "icon": "fas fa-code-branch",
        "label": "source-buttons",
    }
    return [group | {"buttons": made}]


def add_buttons(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Put the buttons before those of the theme."""
    if doctree is not None and "header_buttons" in context:
        title = re.sub(r"<[^>]*>", "", context.get("title", pagename))
        found = buttons(os.environ.get(VARIABLE, ""), pagename, title)
        context["header_buttons"][:0] = found


def setup(app) -> dict:
    """Register the handler, after the theme has begun its list."""
    app.connect("html-page-context", add_buttons, priority=502)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
