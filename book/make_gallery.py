"""The gallery of the README, from the built book: `make book`, then `.venv/bin/python book/make_gallery.py`.

Its pictures are the only figures kept in git, small and as bitmaps, so that the README has something to show where it
is read. Their alt text is that of the notebooks.
"""

import os
import shutil
import sys
from pathlib import Path

import jupytext

from devinterp_core.companion.captions import captions_of

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {
    "01_llc_ground_truth": "fig-reduced-rank",
    "02_dln_scaling": "fig-dln-estimated-true",
    "03_tms_kgons": "fig-energy-levels",
    "04_tms_bayesian_phases": "fig-phase-diagram",
    "05_icl_stages": "fig-icl-stages",
    "06_transient_ridge": "fig-transient-d8",
    "07_language_model_development": "fig-language-stages",
    "08_rllc_head_specialization": "fig-rllc-curves",
    "09_tuned_lens": "fig-lens-bits",
}
WIDTH = 640
BEGIN, END = "<!-- gallery: written by book/make_gallery.py -->\n", "<!-- end of gallery -->\n"


def alt_text(notebook: str, figure: str) -> str:
    """The alt text of a figure, as its caption in the notebook has it."""
    return captions_of(jupytext.read(ROOT / "notebooks" / f"{notebook}.py", fmt="py:percent"))[figure].alt


def write_readme() -> None:
    """Put the gallery between its two marks in the README."""
    path = ROOT / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    pictures = [f"![{alt_text(*each)}](book/gallery/{each[0]}.png)" for each in PICTURES.items()]
    body = "\n\n".join(["## Gallery", *pictures])
    path.write_text(f"{before}{BEGIN}\n{body}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Render each picture; say which is missing."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 400}, device_scale_factor=1.5)
        for notebook, figure in PICTURES.items():
            source = ROOT / "_build" / "html" / "downloads" / notebook / f"{figure}.svg"
            if not source.exists():
                print(f"{source.relative_to(ROOT)} is missing: make book", file=sys.stderr)
                return 1
            picture = source.read_text(encoding="utf-8")
            picture = picture[picture.index("<svg") :]
            page.set_content(f"<style>body {{margin: 0}} svg {{width: {WIDTH}px; height: auto}}</style>{picture}")
            destination = ROOT / "book" / "gallery" / f"{notebook}.png"
            destination.parent.mkdir(exist_ok=True)
            page.locator("svg").first.screenshot(path=destination)
            print(destination.relative_to(ROOT))
        browser.close()
    write_readme()
    return 0


if __name__ == "__main__":
    sys.exit(main())
