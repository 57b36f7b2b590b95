"""The built book as a reader meets it: in a real browser, with no network, one page after the other."""

import contextlib
import functools
import http.server
import os
import shutil
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

HTML = Path(__file__).resolve().parents[1] / "_build" / "html"
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
NOT_WRITTEN_BY_US = {"search.html", "genindex.html", "py-modindex.html"}

PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
PAGES = [page for page in PAGES if not page.startswith(("_modules/", "downloads/"))]

pytestmark = [
    pytest.mark.skipif(not PAGES, reason="no book in _build/html: make book"),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium; install chromium, or name one in $CHROMIUM"),
    pytest.mark.xdist_group("browser"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the pages without a line a request."""

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Takes it calmly when the browser leaves before an answer is complete."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture(scope="module")
def site():
    with Server(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def visits(site):
    """Every page visited once: what it asked for, what it complained of, and what stands in it."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in PAGES:
            found[name] = visit(browser, site, name)
        found["search"] = search(browser, site)
        browser.close()
    return found


@contextlib.contextmanager
def opened(browser, site, path, requests, complaints):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.goto(site + path, wait_until="load")
    yield page
    page.close()


def visit(browser, site, name):
    requests, complaints = [], []
    with opened(browser, site, name, requests, complaints) as page:
        page.wait_for_load_state("networkidle")
        page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise : null")
        # images below the first screens load when they are scrolled to: ask for them now; broken ones have no width
        page.evaluate(
            "Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode().catch(() => null) }))"
        )
        content = page.evaluate(
            """() => ({
                url: location.href,
                height: document.documentElement.scrollHeight,
                functions: document.querySelectorAll('#pst-page-toc-nav a[href^="#devinterp_core"]').length,
                images: [...document.images].map(
                    i => ({src: i.currentSrc || i.src, alt: i.alt, width: i.naturalWidth})),
                links: [...document.querySelectorAll('a[href]')].map(a => a.href),
                ids: [...document.querySelectorAll('[id], a[name]')].flatMap(e => [e.id, e.name].filter(Boolean)),
                headings: document.querySelectorAll('article.bd-article h1').length,
                mathErrors: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
                rawMath: [...document.querySelectorAll('.math')].filter(
                    e => !e.querySelector('mjx-container') && !e.closest('pre')).length,
                figures: [...document.querySelectorAll('figure')].map(
                    f => ({id: f.id, caption: (f.querySelector('figcaption') || {}).innerText || ''})),
            })"""
        )
    return content | {"requests": requests, "complaints": complaints}


def search(browser, site):
    requests, complaints = [], []
    with opened(browser, site, "search.html?q=localisation", requests, complaints) as page:
        page.wait_for_selector("#search-results li a", state="attached")
        links = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")
        page.wait_for_selector("#search-results li p.context", state="attached")
        page.wait_for_load_state("networkidle")
        excerpts = page.eval_on_selector_all("#search-results li p.context", "all => all.map(p => p.textContent)")
    return {"links": links, "excerpts": excerpts, "requests": requests, "complaints": complaints}


def each(visits):
    return ((name, visits[name]) for name in PAGES)


def test_pages_load_without_a_complaint(visits):
    assert not {name: visit["complaints"] for name, visit in visits.items() if visit["complaints"]}


def test_no_page_asks_another_host_for_anything(visits, site):
    foreign = {
        name: [url for url in visit["requests"] if not url.startswith((site, "data:", "blob:"))]
        for name, visit in visits.items()
    }
    assert not {name: urls for name, urls in foreign.items() if urls}


def test_every_image_loads_and_has_alt_text(visits):
    for name, visit in each(visits):
        for image in visit["images"]:
            assert image["alt"].strip(), f"{name}: {image['src']}"
            assert image["width"] > 0, f"{name}: {image['src']} does not load"
            assert not image["alt"].endswith((".png", ".svg")), f"{name}: the alt text of {image['src']} is a file name"


def test_every_figure_of_a_notebook_has_a_number_and_a_caption(visits):
    seen = 0
    for name, visit in each(visits):
        for figure in visit["figures"]:
            assert figure["caption"].strip().startswith("Fig."), f"{name}: {figure['id']}"
            seen += name.startswith("notebooks/")
    assert seen


def test_mathematics_is_typeset(visits):
    for name, visit in each(visits):
        assert visit["mathErrors"] == 0, name
        assert visit["rawMath"] == 0, name


def test_links_within_the_book_lead_somewhere(visits, site):
    ids = {visit["url"]: set(visit["ids"]) for _, visit in each(visits)}
    broken = []
    for name, visit in each(visits):
        for link in visit["links"]:
            target, fragment = urldefrag(link)
            if not target.startswith(site):
                continue
            path = HTML / unquote(urlsplit(urljoin(visit["url"], target)).path).lstrip("/")
            path = path / "index.html" if path.is_dir() else path
            missing = fragment and target in ids and unquote(fragment) not in ids[target]
            if missing or not path.is_file():
                broken.append(f"{name}: {link}")
    assert not broken


def test_each_page_has_one_title(visits):
    for name, visit in each(visits):
        if name not in NOT_WRITTEN_BY_US | {"index.html"}:
            assert visit["headings"] == 1, name


def test_pages_of_the_api_are_short_and_list_their_functions(visits):
    pages = {name: visit for name, visit in each(visits) if name.startswith("book/api/")}
    assert len(pages) >= 18
    assert not {name: visit["height"] for name, visit in pages.items() if visit["height"] > 15_000}
    assert not [name for name, visit in pages.items() if not visit["functions"]]


def test_search_finds_a_word(visits):
    assert any("/book/llc.html" in link for link in visits["search"]["links"])


def test_excerpts_of_the_search_show_the_word(visits):
    excerpts = visits["search"]["excerpts"]
    assert excerpts and all("locali" in text.lower() for text in excerpts)
    assert all(len(text) <= 270 and "\n" not in text for text in excerpts)


WIDE, NARROW = 1400, 390
SIZES = """() => {
    const figure = document.querySelector("article figure");
    return {
        height: document.documentElement.scrollHeight, width: document.documentElement.scrollWidth,
        figure: figure ? figure.getBoundingClientRect().bottom + scrollY : null,
        code: [...document.querySelectorAll("div.cell_input pre")].filter(
            e => e.scrollWidth > e.clientWidth + 1).length,
        verdicts: [...document.querySelectorAll("table.scorecard td:last-child")].filter(
            e => e.getBoundingClientRect().right > innerWidth).length,
    };
}"""


@pytest.fixture(scope="module")
def sizes(site):
    """How large every page is at two widths."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        for name in (each for each in PAGES if each != "index.html"):  # which only leads to the first page
            for width in (WIDE, NARROW):
                page.set_viewport_size({"width": width, "height": 1000})
                page.goto(site + name, wait_until="load")
                page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise : null")
                found[name, width] = page.evaluate(SIZES)
        browser.close()
    return found


def test_the_first_figure_of_a_chapter_stands_on_its_first_screens(sizes):
    ends = {name: size["figure"] for (name, width), size in sizes.items() if is_chapter(name) and width == WIDE}
    assert not {name: end for name, end in ends.items() if end is None or end > 1400}


def test_no_page_and_no_code_of_a_chapter_scrolls_sideways(sizes):
    wide = {key: size["width"] for key, size in sizes.items() if size["width"] > key[1] and written_by_us(key[0])}
    assert not wide
    assert not {key: size["code"] for key, size in sizes.items() if size["code"]}


def test_the_scorecard_can_be_read(sizes):
    assert sizes["book/scorecard.html", WIDE]["height"] <= 12_000
    assert not sizes["book/scorecard.html", NARROW]["verdicts"]


def test_pages_of_the_api_are_not_endless(sizes):
    heights = {name: size["height"] for (name, width), size in sizes.items() if width == WIDE and "api" in name}
    assert heights and not {name: height for name, height in heights.items() if height > 15_000}


def is_chapter(name):
    return name.startswith("notebooks/")


def written_by_us(name):
    return name not in NOT_WRITTEN_BY_US


def test_the_chapters_are_there():
    notebooks = {path.stem for path in (HTML.parents[1] / "notebooks").glob("[0-9][0-9]_*.py")}
    assert {f"notebooks/{stem}.html" for stem in notebooks} <= set(PAGES)
