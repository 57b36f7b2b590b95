"""The typed parameters cell: what is read from it and what is refused."""

import jupytext
import pytest

from devinterp_core.companion.parameters import (
    as_arguments,
    check_overrides,
    parse_values,
    preset_file,
    presets,
    read_parameters,
    read_yaml,
)
from devinterp_core.companion.project import CompanionError

CELL = """\
# %% tags=["parameters"]
seed: int = 0  # random seed, "the" seed
step_size: float = 1  # an integer default of a float
label: str = "a # b"  # holds a hash sign
exact: bool = False
widths: list[int] = [1, 2]  # layer widths
rates: list[float] = [1, 0.5]  # mixed
names: list[str] = []  # none
"""


def parameters_of(text):
    return read_parameters(jupytext.reads(text, fmt="py:percent"))


@pytest.fixture
def known():
    return parameters_of(CELL)


def test_name_type_default_and_help_are_read(known):
    found = [(each.name, each.type, each.default, each.help) for each in known.values()]
    assert found[:4] == [
        ("seed", "int", 0, 'random seed, "the" seed'),
        ("step_size", "float", 1.0, "an integer default of a float"),
        ("label", "str", "a # b", "holds a hash sign"),
        ("exact", "bool", False, ""),
    ]
    assert known["rates"].default == [1.0, 0.5]


def test_a_notebook_without_parameters_has_none():
    assert parameters_of("# %%\nseed = 3\n") == {}


@pytest.mark.parametrize(
    "line", ["seed = 0", "seed: int", "import os", "seed: dict = {}", "seed: int = f()", "seed: int = 1.5"]
)
def test_a_line_that_is_no_typed_parameter_is_refused(line):
    with pytest.raises(CompanionError, match="seed|import"):
        parameters_of(f'# %% tags=["parameters"]\n{line}\n')


def test_an_unknown_name_is_refused_with_the_closest_and_all_valid_names(known):
    with pytest.raises(
        CompanionError, match=r"'sead' \(did you mean 'seed'\?\).*seed, step_size, label, exact, widths"
    ):
        check_overrides(known, {"sead": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1.5), ("seed", "three"), ("seed", True), ("seed", None), ("step_size", "fast"), ("step_size", True),
        ("label", 3), ("exact", 1), ("exact", "yes"), ("widths", 3), ("widths", [1, 2.5]), ("rates", ["a"]),
        ("names", [1]),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(known, name, value):
    with pytest.raises(CompanionError, match=f"parameter '{name}' is of type"):
        check_overrides(known, {name: value})


def test_an_integer_serves_as_a_float_and_yaml_exponents_are_numbers(known):
    assert check_overrides(known, {"step_size": 2, "rates": [1, "1e-4"]}) == {"step_size": 2.0, "rates": [1.0, 1e-4]}


def test_overrides_that_repeat_the_defaults_are_dropped_and_the_order_does_not_matter(known):
    given = {"widths": [3], "seed": 0, "step_size": 1, "exact": True}
    assert list(check_overrides(known, given)) == ["exact", "widths"]


def test_values_survive_the_command_line(known):
    overrides = {"label": "true", "exact": True, "rates": [0.1, 1e-7], "names": ["a b", "'"], "seed": -3}
    arguments = as_arguments(check_overrides(known, overrides))
    pairs = list(zip(arguments[1::3], arguments[2::3], strict=True))
    assert check_overrides(known, parse_values(known, pairs)) == check_overrides(known, overrides)


@pytest.mark.parametrize(("text", "problem"), [("- 1\n", "name: value"), ("a: [1", "not YAML")])
def test_a_preset_that_is_no_mapping_is_refused(tmp_path, text, problem):
    (tmp_path / "preset.yaml").write_text(text)
    with pytest.raises(CompanionError, match=problem):
        read_yaml(tmp_path / "preset.yaml")


def test_a_missing_preset_is_named(tmp_path):
    with pytest.raises(CompanionError, match="nothing.yaml"):
        read_yaml(tmp_path / "nothing.yaml")


LIMITS = """\
# %% tags=["parameters"]
share: float = 0.1  # of the features that are off, in [0, 1)
chains: int = 4  # at least one, in [1, inf)
rule: str = "sgld"  # update rule, one of {"sgld", "mala"}
sizes: list[int] = [1, 2]  # each of them one of {1, 2, 4}
"""


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("share", [0, 0.5], [1, 1.0, -0.1]),
        ("chains", [1, 10**9], [0, -1]),
        ("rule", ["mala"], ["mal", "SGLD", ""]),
        ("sizes", [[4, 1], []], [[3], [1, 2, 0]]),
    ],
)
def test_a_value_outside_the_limits_that_the_help_states_is_refused(name, good, bad):
    known = parameters_of(LIMITS)
    for value in good:
        assert known[name].coerce(value) == value
    for value in bad:
        with pytest.raises(CompanionError, match=f"parameter '{name}' is (in|one of) .*, not"):
            check_overrides(known, {name: value})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("share: float = 1.0  # in [0, 1)", "not 1.0"),  # the default itself
        ("share: float = 0.5  # in [1, 0]", "an empty range"),
        ("share: float = 0.5  # in [zero, 1]", "ends are no numbers"),
        ("rule: str = 'a'  # in [0, 1]", "a range, of a str"),
        ("rule: str = 'a'  # one of {a, b}", "something else than literals"),
        ("chains: int = 1  # one of {1.5, 1}", "something else than int"),
        ("chains: int = 1  # one of {}", "something else than int"),
    ],
)
def test_limits_that_make_no_sense_are_refused(line, problem):
    with pytest.raises(CompanionError, match=problem):
        parameters_of(f'# %% tags=["parameters"]\n{line}\n')


def test_words_that_are_no_limits_are_help():
    assert (
        parameters_of('# %% tags=["parameters"]\nn: int = 1  # in [the first] layer, one of a few\n')["n"].limits
        is None
    )


def test_a_preset_is_known_by_name_or_path(tmp_path):
    notebook = tmp_path / "01_first.py"
    (tmp_path / "params").mkdir()
    smoke, dotted = (tmp_path / "params" / f"01_first.{name}.yaml" for name in ("smoke", "v1.2"))
    smoke.write_text("a: 1\n")
    dotted.write_text("a: 2\n")
    assert preset_file(notebook, "smoke") == smoke and presets(notebook) == ["smoke", "v1.2"]
    assert preset_file(notebook, str(dotted)) == dotted
    assert preset_file(notebook, "elsewhere/own.yaml").name == "own.yaml"
    with pytest.raises(CompanionError, match="has no preset 'smok'; its presets: smoke, v1.2"):
        preset_file(notebook, "smok")
