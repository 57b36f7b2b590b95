"""A catalogue of `torch.nn` modules and Hugging Face architectures against plain autograd: equal, or refused."""

import pytest
import reliability_modules as modules
from reliability_children import scaled

# What is right in float64 is right to ten digits; the kinds below have fewer to give.
TOLERANCE = {
    "bfloat16 parameters": 0.02,
    "float16 parameters": 5e-3,
    "float32 parameters": 1e-4,
    "Mixtral, float32": 1e-3,
}
UNTRACED, TRACED = 3, 40  # steps between three draws; from a hundred steps on the evaluation is traced


def judge(kind, name, num_steps, child):
    outcome = child.call(modules.compared, kind, name, num_steps, timeout=120)
    if outcome.refused:
        assert outcome.error in ("ValueError", "TypeError"), str(outcome)
        assert len(outcome.message) > 40, f"no advice: {outcome.message}"
        return
    assert not outcome.error and outcome.died is None and not outcome.timed_out, str(outcome)
    found, most = outcome.value, TOLERANCE.get(name, 1e-6)
    assert found["finite"], "not finite"
    assert found["loss"] < most and found["gradient"] < most, found


@pytest.mark.area("module catalogue")
@pytest.mark.parametrize("name", modules.MODULES)
def test_a_module(name, child):
    judge("module", name, UNTRACED, child)


TRACEABLE = list(modules.MODULES)[:: scaled(6, 1)]


@pytest.mark.area("module catalogue")
@pytest.mark.parametrize("name", TRACEABLE)
def test_a_module_in_a_long_run(name, child):
    judge("module", name, TRACED, child)


@pytest.mark.area("Hugging Face")
@pytest.mark.parametrize("name", modules.HUGGING_FACE)
def test_an_architecture(name, child):
    judge("hugging face", name, UNTRACED, child)


@pytest.mark.area("Hugging Face")
@pytest.mark.parametrize("name", list(modules.HUGGING_FACE)[:: scaled(8, 1)])
def test_an_architecture_in_a_long_run(name, child):
    judge("hugging face", name, TRACED, child)
