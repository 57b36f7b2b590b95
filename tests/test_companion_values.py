"""Values mean what the type of their parameter says, or are refused with how to write them; none is guessed."""

import json

import companion_tree
import jupytext
import pytest
from click.testing import CliRunner
from companion_tree import companion, edit, results

from devinterp_core.companion import jobs, parameters, project, sweep, values
from devinterp_core.companion.__main__ import main

KNOWN = parameters.read_parameters(
    jupytext.reads(
        '# %% tags=["parameters"]\nseed: int = 7\nscale: float = 0.25\nexact: bool = False\nlabel: str = "x"\n'
        "widths: list[int] = []\nrates: list[float] = []\nnames: list[str] = []\n",
        fmt="py:percent",
    )
)


def from_command_line(name, text):
    return parameters.check_overrides(KNOWN, parameters.parse_values(KNOWN, [(name, text)]))[name]


def from_file(name, text, folder):
    (folder / "preset.yaml").write_text(f"{name}: {text}\n", encoding="utf-8")
    return parameters.check_overrides(KNOWN, parameters.read_yaml(folder / "preset.yaml"))[name]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "10", 10), ("seed", "-3", -3), ("seed", "+5", 5), ("seed", "0", 0),
        ("seed", "12345678901234567890", 12345678901234567890),
        ("scale", "3", 3.0), ("scale", "1e3", 1000.0), ("scale", ".5", 0.5), ("scale", "5.", 5.0),
        ("scale", "-1.5E-3", -0.0015),
        ("scale", "1e-4", 1e-4), ("scale", "0", 0.0), ("exact", "true", True), ("exact", "True", True),
        ("label", "010", "010"), ("label", "yes", "yes"), ("label", "null", "null"), ("label", "1:30", "1:30"),
        ("label", "a=b", "a=b"), ("label", "=", "="), ("label", "1e3", "1e3"), ("label", "2020-01-01", "2020-01-01"),
        ("widths", "[1, 20]", [1, 20]), ("rates", "[1, .5, 1e-4]", [1.0, 0.5, 1e-4]),
        ("names", "[on, 010, '3', \"é\"]", ["on", "010", "3", "é"]),
    ],
)  # fmt: skip
def test_a_value_is_what_its_type_says(tmp_path, name, text, value):
    for found in (from_command_line(name, text), from_file(name, text, tmp_path)):
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "proposal"),
    [
        ("seed", "010", "write 10"), ("seed", "0o10", "write 8"), ("seed", "0x10", "write 16"),
        ("seed", "0b11", "write 3"),
        ("seed", "1_000", "write 1000"), ("seed", "1e3", "write 1000"), ("seed", "3.0", "write 3"),
        ("seed", "1:30", ""), ("seed", "yes", ""),
        ("seed", "1.5", ""), ("seed", "'3'", ""), ("seed", "~", ""), ("seed", "9" * 5000, ""), ("seed", "[3]", ""),
        ("seed", "٣", "write 3"),
        ("scale", "010", "write 10"), ("scale", "00.5", "write 0.5"), ("scale", "1_0.5", "write 10.5"),
        ("scale", "0x10", "write 16"),
        ("scale", "1:30", ""), ("scale", ".inf", ""), ("scale", "nan", ""), ("scale", "inf", ""),
        ("scale", "1e400", ""), ("scale", "1e-400", ""),
        ("scale", ".", ""), ("scale", "e5", ""), ("scale", "9" * 399, ""), ("scale", "1,5", ""),
        ("scale", "true", ""), ("scale", "1e", ""),
        ("exact", "yes", "write true"), ("exact", "on", "write true"), ("exact", "No", "write false"),
        ("exact", "OFF", "write false"),
        ("exact", "TRUE", "write true"), ("exact", "1", ""), ("exact", "y", ""),
        ("widths", "[1, 010]", "write 10"), ("widths", "[1:30]", ""), ("widths", "3", "in brackets"),
        ("widths", "[[1]]", ""), ("widths", "{a: 1}", "in brackets"),
        ("rates", "[1_0]", "write 10"), ("names", "[]a", ""), ("widths", "[1, ]]", "brackets"),
        ("names", "[[a]]", ""), ("widths", "[!!int '3']", ""),
    ],
)  # fmt: skip
def test_what_another_rule_would_guess_is_refused_with_how_to_write_it(tmp_path, name, text, proposal):
    with pytest.raises(project.CompanionError, match=f"parameter '{name}' is of type") as problem:
        from_command_line(name, text)
    assert "write" in str(problem.value)
    assert proposal in str(problem.value)
    assert len(str(problem.value)) < 500
    with pytest.raises(project.CompanionError, match="is of type|not YAML"):
        from_file(name, text, tmp_path)


@pytest.mark.parametrize("value", [True, 3, 1.5, None, [], "3"])
def test_python_values_are_taken_as_they_are(value):
    taken = {name: 0 for name in ("int", "float", "str", "bool")}
    for kind in taken:
        try:
            taken[kind] = values.scalar(value, kind) is not None
        except ValueError:
            taken[kind] = False
    allowed = {bool: {"bool"}, int: {"int", "float"}, float: {"float"}, str: {"str", "float"}}.get(type(value), set())
    assert {kind for kind, fits in taken.items() if fits} == allowed


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
def test_a_number_that_no_float_can_hold_is_refused(number):
    with pytest.raises(project.CompanionError, match="finite"):
        parameters.check_overrides(KNOWN, {"scale": number})


@pytest.mark.parametrize(
    "text",
    [
        "seed: 1\nseed: 2", "a: {b: 1, b: 2}", "seed: !!int 3", "a: !!python/name:os.system", "a: &x [*x]",
        "\tseed: 1", "a: 1\n---\nb: 2",
    ],
)  # fmt: skip
def test_a_file_that_says_two_things_or_runs_something_is_refused(tmp_path, text):
    (tmp_path / "preset.yaml").write_text(text)
    with pytest.raises(project.CompanionError):
        parameters.check_overrides(KNOWN, parameters.read_yaml(tmp_path / "preset.yaml"))


def test_values_survive_the_command_line_of_a_sweep():
    wanted = {
        "label": "010 'a\"=b' {x} %s $HOME \n #", "names": ["é😀\u007f", "yes", "", "a, b", "\\", "{}"],
        "rates": [1e-300, -0.0, 5e22], "widths": [10**30, -1], "scale": 0.1 + 0.2, "seed": 10, "exact": True,
    }  # fmt: skip
    arguments = parameters.as_arguments(parameters.check_overrides(KNOWN, wanted))
    pairs = list(zip(arguments[1::3], arguments[2::3], strict=True))
    assert parameters.check_overrides(KNOWN, parameters.parse_values(KNOWN, pairs)) == wanted


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The small project, in a folder whose name templates would fill in."""
    root = companion_tree.make(tmp_path / "a{seed} {0}")
    monkeypatch.setenv("COMPANION_ROOT", str(root))
    return root


def test_the_command_line_says_how_to_write_it_before_a_kernel_starts(tree):
    result = CliRunner().invoke(main, ["run", "01", "-p", "seed", "010"])
    assert result.exit_code == 1
    assert "parameter 'seed' is of type int (for example 3), not 010" in result.output
    assert "if you mean 10, write 10" in result.output
    assert not (tree / "_build").exists()


def test_a_grid_is_read_by_the_same_rules(tree):
    (tree / "grid.yaml").write_text("notebook: 01\nfixed: {label: no}\ngrid: {seed: [1], scale: [1e-3]}\n")
    (job,) = sweep.read(tree / "grid.yaml").jobs
    assert job.overrides == {"label": "no", "seed": 1, "scale": 0.001}
    (tree / "grid.yaml").write_text("notebook: 01\ngrid: {seed: [010]}\n")
    with pytest.raises(project.CompanionError, match="write 10"):
        sweep.read(tree / "grid.yaml")


def test_text_with_an_equals_sign_and_braces_anywhere_reach_the_notebook(tree):
    """A notebook without a kernel, run and swept with real kernels, in a folder with braces in its name."""
    percent = tree / "notebooks" / "01_first.py"
    percent.write_text(percent.read_text().partition("# ---\n\n")[2])
    edit(percent, 'print("threads"', 'print("label", repr(label))\nprint("threads"')
    label = "a=b {seed} {{x}} %s 'c'"
    status, output = companion(tree, "run", "01", "-p", "label", label, "--output", "out {x}/of {seed}.ipynb")
    assert status == 0, output
    notebook = json.loads((tree / "out {x}" / "of {seed}.ipynb").read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    printed = [line for cell in notebook["cells"] for each in cell.get("outputs", []) for line in each.get("text", [])]
    assert f"label {label!r}\n" in printed

    (tree / "g{x}: 1.yaml").write_text(f"notebook: 01\nfixed: {{label: {json.dumps(label)}}}\ngrid: {{seed: [0, 1]}}\n")
    status, output = companion(tree, "sweep", "g{x}: 1.yaml", "--output", "t{x}.csv")
    assert status == 0, output
    assert len((tree / "t{x}.csv").read_text().splitlines()) == 3
    assert len(results(tree)) == 2
    assert {job.folder for job in sweep.read(tree / "g{x}: 1.yaml").jobs} == set(results(tree))


def test_a_notebook_in_another_language_is_refused(tree):
    edit(tree / "notebooks" / "01_first.py", "language: python", "language: R")
    with pytest.raises(project.CompanionError, match="01_first.py is a notebook in R"):
        jobs.job(project.find_notebook("01"), {})
