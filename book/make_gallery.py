"""The pictures of the README's gallery, from the built book: `make book`, then `.venv/bin/python book/make_gallery.py`.

They are the only figures kept in git, small and as bitmaps, so that the README has something to show where it is read.
Which figure stands for which chapter is said in `chapters.yml`.
"""

import os
import shutil
import sys
from pathlib import Path

from devinterp_core.companion import chapters

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 640


def main() -> int:
    """Render each picture; say which is missing."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 400}, device_scale_factor=1.5)
        for chapter in chapters.read():
            source = ROOT / "_build" / "html" / "downloads" / chapter.stem / f"{chapter.picture}.svg"
            if not source.exists():
                print(f"{source.relative_to(ROOT)} is missing: make book", file=sys.stderr)
                return 1
            picture = source.read_text(encoding="utf-8")
            picture = picture[picture.index("<svg") :]
            page.set_content(f"<style>body {{margin: 0}} svg {{width: {WIDTH}px; height: auto}}</style>{picture}")
            destination = chapters.picture_file(chapter)
            destination.parent.mkdir(exist_ok=True)
            page.locator("svg").first.screenshot(path=destination)
            print(destination.relative_to(ROOT))
        browser.close()
    chapters.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
