"""What a run can see of the machine: nothing of the user, the hour or caches; and what it leaves is the same twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import companion_tree
import nbformat
import pytest
from companion_tree import edit, results

from devinterp_core.companion import cleaning, key, project, surroundings
from devinterp_core.companion.parameters import KERNEL

ROOT = Path(__file__).resolve().parents[1]
LOOK = """\
# %%
import locale, os, time, warnings
from pathlib import Path
from IPython.display import display, HTML
import matplotlib, pandas, platformdirs
print(sorted(name for name in os.environ if name.startswith(("MPL", "LC", "MY", "XDG"))))
print(time.strftime("%Z"), locale.getlocale(), hash("a"), set("abcdefgh"), matplotlib.rcParams["lines.linewidth"])
print(sorted(path.name for path in Path(platformdirs.user_cache_dir()).iterdir()), Path("~").expanduser())
print(Path.cwd(), object())
warnings.warn("a warning of a cell")
HTML(pandas.DataFrame({"n": [1.5]}).style.format(precision=3)._repr_html_())

# %%
import arviz, xarray
display(xarray.Dataset({"x": 1.0}), pandas.DataFrame({"n": [1]}).style)
"""


def run_in(root, home, **variables):
    """Execute the first notebook of the project with this home and these variables; the notebook that it left."""
    home.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "COMPANION_ROOT": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "devinterp_core.companion", "run", "01", "--force"],
        cwd=root,
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = results(root)
    return (folder / "notebook.ipynb").read_text()


def test_a_run_is_the_same_in_an_empty_home_and_in_a_lived_in_one(tmp_path):
    one, two = companion_tree.make(tmp_path / "one"), companion_tree.make(tmp_path / "another place" / "two")
    for root in (one, two):
        edit(root / "notebooks" / "01_first.py", "# %%\nimport os\n", f"{LOOK}\n# %%\nimport os\n")
    lived_in = tmp_path / "lived-in"
    (lived_in / ".ipython" / "profile_default" / "startup").mkdir(parents=True)
    (lived_in / ".ipython" / "profile_default" / "startup" / "mine.py").write_text("raise SystemExit")
    (lived_in / ".config" / "matplotlib").mkdir(parents=True)
    (lived_in / ".config" / "matplotlib" / "matplotlibrc").write_text("lines.linewidth: 7\n")
    first = run_in(one, tmp_path / "empty")
    second = run_in(two, lived_in, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="5", MPLBACKEND="Agg", MYVAR="1")
    assert first == second
    assert "UTC ('en_US', 'UTF-8')" in first or "UTC ('C', 'UTF-8')" in first
    assert "a warning of a cell" in first
    assert "ArviZ is undergoing" not in first
    assert "T_table1_row0_col0" in first
    for trace in (tmp_path, sys.prefix, "ipykernel_", " at 0x", "~/lived-in"):
        assert str(trace) not in first
    assert run_in(one, tmp_path / "empty") == first


def test_a_home_that_is_a_file_does_not_matter(tmp_path):
    """`import devinterp_core.llc` writes nothing into the home, and works if it cannot be written."""
    home = tmp_path / "home"
    home.write_text("a file")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment["MPLCONFIGDIR"] = str(tmp_path)  # matplotlib would mention that it takes another folder
    code = "import devinterp_core.llc, devinterp_core.diagnostics, devinterp_core.lens, devinterp_core.train"
    command = [sys.executable, "-W", "error::FutureWarning", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

    home.unlink()
    home.mkdir()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # on the first import of the day, too
    assert not list(home.rglob("*arviz*"))


def test_two_books_are_equal_to_the_byte_whatever_home_place_and_hour(tmp_path):
    """One in a folder whose name breaks templates, shells and wildcards, with a home that cannot be written."""
    (tmp_path / "file").write_text("")
    pages = []
    for place, home, zone in (("a{b} {run} c=d 'e%s", tmp_path / "file", "Asia/Tokyo"), ("plain", tmp_path, "UTC")):
        root = companion_tree.make(tmp_path / place)
        edit(root / "notebooks" / "01_first.py", 'label: str = "plain"', 'label: str = "a=b {x} {{y}} %s # #"')
        done = subprocess.run(
            [sys.executable, "-m", "devinterp_core.companion", "book", "--cores", "1"],
            cwd=root,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "COMPANION_ROOT": str(root), "PYTHONPATH": str(ROOT),
                 "TZ": zone},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        html = root / "_build" / "html"
        files = [path for path in html.rglob("*") if path.is_file()]
        pages.append({path.relative_to(html).as_posix(): path.read_bytes() for path in files})
    stamped = {name for name in pages[0] if name.endswith("run.json") or name.startswith(".made-from")}
    assert len(stamped) == 3
    assert {name: text for name, text in pages[0].items() if name not in stamped} == {
        name: text for name, text in pages[1].items() if name not in stamped
    }
    assert not [name for name, text in pages[0].items() if str(tmp_path).encode() in text]


def test_continuous_integration_runs_in_an_empty_home(tmp_path):
    """Ruff and both commands; only pip keeps its settings and its cache. A command that fails is told."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "home" / ".config" / "pip").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "pip" / "pip.conf").touch()
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    told = '$1 $(ls -A "$HOME" | wc -l) $HOME $PIP_CONFIG_FILE $PIP_CACHE_DIR'
    make.write_text(f"#!/bin/sh\necho {told}\nexit $STATUS\n")
    make.chmod(0o755)
    environment = {"PATH": f"{make.parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"), "STATUS": "0"}
    environment["XDG_CACHE_HOME"] = "/old"
    command = ["bash", str(tmp_path / ".ci" / "run")]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    lint, book, test = (line.split() for line in done.stdout.splitlines())
    assert (lint[:2], book[:2], test[:2]) == (["lint", "0"], ["book", "0"], ["test", "0"])
    assert not book[2].startswith(str(tmp_path))
    assert not Path(book[2]).exists()
    assert book[3:] == [f"{tmp_path}/home/.config/pip/pip.conf", "/old/pip"]
    environment["STATUS"] = "3"
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode != 0, len(done.stdout.splitlines())) == (True, 1)


def test_the_caller_gets_its_environment_back_and_the_kernel_not_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setenv("PYTHONPATH", "/of/the/caller")
    before = dict(os.environ)
    with surroundings.of_kernel(tmp_path / "scratch", tmp_path / "result"):
        assert "SECRET" not in os.environ
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
        assert "/of/the/caller" not in os.environ["PYTHONPATH"]
        assert Path(os.environ["HOME"]).is_relative_to(tmp_path)
    assert dict(os.environ) == before


def test_what_a_run_sees_of_the_machine_is_in_its_key(monkeypatch):
    notebook = project.notebooks()[0]
    before = key.key_of(notebook, {})
    monkeypatch.setitem(surroundings.FIXED, "TZ", "CET")
    assert key.key_of(notebook, {}) != before


def output(kind, text):
    if kind in ("stdout", "stderr"):
        return nbformat.v4.new_output("stream", name=kind, text=text)
    return nbformat.v4.new_output("display_data", data={kind: text})


def cleaned(*outputs):
    cell = nbformat.v4.new_code_cell("", outputs=list(outputs))
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": KERNEL})
    found = cleaning.clean(cleaning.clean(notebook)).cells[0].outputs  # twice: a clean notebook stays as it is
    return [each["text"] if "text" in each else next(iter(each.data.values())) for each in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{project.REPOSITORY}/data/x.csv", "data/x.csv"),
        (f"in {project.REPOSITORY}.", "in .."),
        (f"{project.REPOSITORY}-other/x", f"{project.REPOSITORY}-other/x"),
        ("'/opt/env/lib/python3.11/site-packages/a/b.py', 3", "'site-packages/a/b.py', 3"),
        ("/tmp/ipykernel_41/3126.py:5: UserWarning: no", "cell.py:5: UserWarning: no"),
        ("<Axes at 0x7f5bd0a3>, <object object at 0x7f5b>", "<Axes>, <object object at 0x7f5b>"),
        ("_build/executed/.tmp-01_a~host~12~abc_d/result/fig.svg", "_output/fig.svg"),
        ("0.5 of 12/17", "0.5 of 12/17"),
    ],
)  # fmt: skip
def test_folders_processes_and_addresses_become_neutral_words(text, expected):
    assert cleaned(output("stdout", text)) == [expected]


def test_random_ids_are_numbered_and_other_text_is_left():
    table = '<style>#T_{0}_row0 {{}}</style><table id="T_{0}"><td id="T_{0}_row0_col0">{0}</td></table>'
    uuid = '<input id="attrs-{0}"><label for="attrs-{0}">9f86d081884c7d659a2feaa0c55ad015</label>'
    some, other = "8c6ea", "1f2e3"
    a, b = "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "6fa459ea-ee8a-3ca4-894e-db77e160355e"
    texts = [[table.format(t), uuid.format(u), table.format(v)] for t, u, v in ((some, a, other), (other, b, some))]
    first, second = (cleaned(*(output("text/html", text) for text in three)) for three in texts)
    assert first[0] == table.format("table1").replace(">table1<", f">{some}<")  # the id is T_8c6ea, not every 8c6ea
    assert first[1] == uuid.format("id2") == second[1]
    assert first[2] == table.format("table3").replace(">table3<", f">{other}<")
    assert [text.replace(some, "").replace(other, "") for text in first] == [
        text.replace(some, "").replace(other, "") for text in second
    ]


def test_streams_are_joined_between_displays_and_logs_with_the_hour_are_dropped():
    log = "W1125 02:07:41.591000 4179 .venv/lib/python3.11/site-packages/torch/utils/x.py:178] [0/0] No CUDA runtime\n"
    found = cleaned(
        output("stderr", "b\n"), output("stdout", "a\n"), output("stderr", log), output("stdout", "c\n"),
        output("text/plain", "shown"), output("stderr", "d\n"),
        output("application/vnd.jupyter.widget-view+json", {"model_id": "8c6ea"}), output("stderr", "UserWarning: e\n"),
    )  # fmt: skip
    assert found == ["a\nc\n", "b\n", "shown", "d\nUserWarning: e\n"]
