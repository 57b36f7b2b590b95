"""What every notebook keeps to, read off its percent file; and, where it has been executed, off the result."""

import ast
import json
import re
import shlex
import tokenize
from io import StringIO
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from number_rule import CODE_BLOCK, typed_numbers

from devinterp_core.companion.captions import captions_of

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
HEADER = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---
"""
TYPES = {"int", "float", "str", "bool", "list[int]", "list[float]", "list[str]"}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return jupytext.read(path, fmt="py:percent")


def code(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def tree(path):
    return ast.parse("\n\n".join(cell.source for cell in code(path)))


def calls(node, name):
    """Calls whose function is `name` or ends in `.name`."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
            if called == name:
                yield call


def test_the_header_names_the_kernel_and_nothing_else(path):
    assert path.read_text(encoding="utf-8").startswith(HEADER)


def test_the_round_trip_changes_nothing(path):
    settings = jupytext.config.load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
    notebook = read(path)
    as_json = nbformat.writes(notebook)  # which sorts the keys, as Jupyter does on saving
    back = nbformat.reads(as_json, as_version=4)
    filters = {"notebook_metadata_filter": settings.notebook_metadata_filter}
    back.metadata.setdefault("jupytext", {}).update(filters | {"cell_metadata_filter": settings.cell_metadata_filter})
    again = jupytext.writes(back, fmt="py:percent").splitlines()
    changed = [line for line in path.read_text(encoding="utf-8").splitlines() if line not in again]
    assert not changed, f"header keys in alphabetical order, no other metadata: {[line[:80] for line in changed]}"
    assert again == path.read_text(encoding="utf-8").splitlines()


def test_it_opens_with_a_title_and_ends_with_what_to_try_next(path):
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    titles = [re.findall(r"^# .*", CODE_BLOCK.sub("", text), re.M) for text in prose]
    assert len(sum(titles, [])) == 1, "one title a page"
    last = prose[-1]
    assert re.search(r"^## Further", last, re.M)
    assert f"devinterp_core.companion run {path.stem}" in last


def test_parameters_are_typed_commented_literals_one_a_line(path):
    (cell,) = [cell for cell in code(path) if "parameters" in tags(cell)]
    statements = ast.parse(cell.source).body
    comments = {
        token.start[0]: token.string.strip("# ")
        for token in tokenize.generate_tokens(StringIO(cell.source).readline)
        if token.type == tokenize.COMMENT
    }
    names = []
    for statement in statements:
        line = cell.source.splitlines()[statement.lineno - 1]
        assert isinstance(statement, ast.AnnAssign), line
        assert statement.lineno == statement.end_lineno, line
        assert ast.unparse(statement.annotation) in TYPES, line
        ast.literal_eval(statement.value)
        assert len(comments.get(statement.lineno, "")) >= 8, f"say what it is: {line}"
        names.append(statement.target.id)
    assert "seed" in names
    used = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert set(names) <= used, f"unused: {set(names) - used}"


@pytest.mark.parametrize("preset", ["smoke", "paper"])
def test_presets_name_parameters_that_exist(path, preset):
    from devinterp_core.companion.parameters import check_overrides, read_notebook, read_parameters

    content = yaml.safe_load((path.parent / "params" / f"{path.stem}.{preset}.yaml").read_text(encoding="utf-8"))
    assert check_overrides(read_parameters(read_notebook(path), path.name), content)


def test_the_commands_in_the_prose_can_be_given(path):
    from devinterp_core.companion.parameters import check_overrides, parse_values, read_notebook, read_parameters

    prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    known = read_parameters(read_notebook(path), path.name)
    commands = re.findall(rf"devinterp_core\.companion run {path.stem}\b(.*)", prose.replace("\\\n", " "))
    for words in map(shlex.split, commands):
        pairs = [(words[i + 1], words[i + 2]) for i, word in enumerate(words) if word == "-p"]
        check_overrides(known, parse_values(known, pairs))
        assert all((ROOT / words[i + 1]).is_file() for i, word in enumerate(words) if word == "-f"), words


def test_every_figure_has_a_name_a_caption_and_alt_text(path):
    captions, names = captions_of(read(path)), []
    for cell in code(path):
        shows = [call for call in calls(ast.parse(cell.source), "show") if ast.unparse(call.func) == "figures.show"]
        if not shows:
            continue
        assert len(shows) == 1, "one figure a cell"
        name = ast.literal_eval(shows[0].args[0])
        assert re.fullmatch(r"fig(-[a-z0-9]+)+", name), f"name of the figure: {name!r}"
        assert name in captions, f"{name} has no caption"
        assert len(captions[name].text) >= 40, f"caption of {name}"
        alt = captions[name].alt
        assert len(alt) >= 40, f"alt text of {name}"
        assert alt != captions[name].text
        assert not re.search(r"[$`{}]|\d\.\d|\d\s*%", alt), f"words only in the alt text of {name}"
        assert {"hide-input", "remove-output"} <= set(tags(cell)), f"{name} is set with its caption"
        names.append(name)
    assert names, "a notebook shows a figure"
    assert sorted(names) == sorted(captions), "each figure once, with its caption"


def test_figures_are_named_once_in_the_book(path):
    for other in NOTEBOOKS:
        assert other == path or not captions_of(read(path)).keys() & captions_of(read(other)).keys()


def test_what_a_reader_need_not_see_is_folded(path):
    for cell in code(path):
        judges = any(list(calls(ast.parse(cell.source), name)) for name in ("claim", "finish"))
        if judges or "parameters" in tags(cell) or "use_style" in cell.source:
            assert "hide-input" in tags(cell), f"folded: {cell.source[:60]!r}"


def test_lines_fit_the_page(path):
    text = path.read_text(encoding="utf-8").splitlines()
    assert not [line for line in text if len(line) > 120]


def test_no_number_is_typed_by_hand(path):
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    texts += [caption.text for caption in captions_of(read(path)).values()]
    found = [number for text in texts for number in typed_numbers(text)]
    assert not found, "glue it, name the parameter, or mark its source (tests/number_rule.py): " + "; ".join(found)


def test_what_the_prose_glues_is_glued_by_the_code(path):
    prose = " ".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    wanted = set(re.findall(r"\{glue:text\}`([^`:]+)(?::[^`]*)?`", prose))
    patterns = set()
    for call in calls(tree(path), "numbers"):
        for keyword in call.keywords:
            patterns.add(re.escape(keyword.arg) if keyword.arg else ".+")
    assert not {key for key in wanted if not any(re.fullmatch(p, key) for p in patterns)}


def test_claims_are_made_by_code_and_finished(path):
    (sheet,) = calls(tree(path), "ClaimSheet")
    assert ast.literal_eval(sheet.args[0]) == path.stem
    assert len(list(calls(tree(path), "finish"))) == 1
    studies = set(re.findall(r"(\w+_claims)\.of_", path.read_text(encoding="utf-8")))
    folder = path.parents[1] / "devinterp_core/companion/studies"
    sources = [tree(path), *(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8")) for name in studies)]
    made = [call for source in sources for call in calls(source, "claim")]
    verdicts = [k.value for call in made for k in call.keywords if k.arg in ("holds", "asks")]
    assert verdicts, "no claim"
    for verdict in verdicts:
        typed = isinstance(verdict, ast.Constant) and not isinstance(verdict.value, str)  # what is asked is words
        assert not typed, "a verdict is computed, never typed"


def test_notebooks_hold_no_algorithm_and_no_style_of_their_own(path):
    source = "\n".join(cell.source for cell in code(path))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    defined = [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]
    methods = [node for one in defined if isinstance(one, ast.ClassDef) for node in one.body]
    defined = [one for one in defined if one not in methods]
    assert len(defined) <= 2, [one.name for one in defined]
    for one in defined:
        assert one.end_lineno - one.lineno < 12, f"{one.name} belongs in the library"
    own = re.search(r"rcParams|plt\.style|savefig|set_theme|sns\.set\(|rc_context|np\.random\.seed|plt\.show\(", source)
    assert not own, own
    assert not re.search(r"[\"'](/|~/|[A-Z]:\\)\w", source), "an absolute path"
    assert "figures.use_style()" in source


def test_what_was_executed_is_clean(path):
    executed = path.with_suffix(".ipynb")
    if not executed.exists():
        pytest.skip("not executed: make book")
    notebook = nbformat.read(executed, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.source for cell in cells] != [cell.source for cell in code(path)]:
        pytest.skip("executed from other code: make book")
    assert not [cell for cell in notebook.cells if "injected-parameters" in tags(cell)]
    assert [cell.execution_count for cell in cells if cell.source] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not re.search(r"Traceback|Warning:", json.dumps([o for o in outputs if o.output_type == "stream"]))
    for cell in cells:
        if "remove-output" in tags(cell):
            shown = [o for o in cell.outputs if not o.get("metadata", {}).get("scrapbook", {}).get("mime_prefix")]
            pictures = [o for o in shown if "image/svg+xml" in o.data and "scrapbook" in o.metadata]
            assert len(pictures) == len(shown) == 1, "a figure is shown once, for its caption"
    assert [o for o in outputs if 'class="claims"' in "".join(o.get("data", {}).get("text/html", ""))]
