"""Sphinx extension: what scripts a page loads.

The theme's kit brings thebe, which the book does not use: its settings are written twice, which every browser reports
as an error, and name another host. They are taken out of every page. The search page gets `search_excerpts.js`.
"""

UNUSED = "thebe"


def choose_scripts(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Remove the scripts and style sheets of thebe from a page; add ours to the page of the search."""
    if pagename == "search":
        app.add_js_file("search_excerpts.js", loading_method="defer")
    for kind in ("script_files", "css_files"):
        context[kind] = [each for each in context.get(kind, []) if not _is_unused(each)]


def _is_unused(file) -> bool:
    name = str(getattr(file, "filename", file) or "")
    body = str(getattr(file, "attributes", {}).get("body") or "")
    return UNUSED in f"{name} {body}".lower()


def setup(app) -> dict:
    """Register the handler, after those of the other extensions."""
    app.connect("html-page-context", choose_scripts, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
