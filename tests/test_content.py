"""The content key: it changes with everything that a result depends on, with nothing else, and in no process."""

import collections
import dataclasses
import enum
import functools
import io
import itertools
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from devinterp_core import potentials
from devinterp_core.content import content_key, module_difference
from devinterp_core.content.sources import source_files

SETTINGS = {"factor": 1.0, "inner": [1, {2}]}
ARRAY = np.ones(2)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Plain:
    """Any object."""

    kind = "plain"

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __call__(self, model, batch):
        return self.scale * model(batch)

    @functools.cached_property
    def found(self):
        return 3


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x):
        self.x = x


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Record:
    x: int = 1
    y: list = dataclasses.field(default_factory=list)


Pair = collections.namedtuple("Pair", "a b")


def scaled(factor, offset=0.0):
    return lambda model, batch: factor * model(batch) + offset


def other(factor, offset=0.0):
    return lambda model, batch: factor * model(batch) - offset


def reads_a_dict(model, batch):
    return SETTINGS["factor"] * model(batch)


def reads_an_array(model, batch):
    return model(batch) * float(ARRAY.sum())


def mutual_a(n):
    return mutual_b(n - 1) if n else 0


def mutual_b(n):
    return mutual_a(n - 1) if n else 1


def network(**changes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(changes.get("p", 0.5)))
    for name, value in changes.get("attributes", {}).items():
        setattr(model[0], name, value)
    return model


def hooked(function, kind="register_forward_hook"):
    model = network()
    getattr(model[0], kind)(function)
    return model


def changed(change):
    model = network()
    with torch.no_grad():
        change(model)
    return model


def cycle(length, scale=1.0):
    nodes = [Plain(scale=scale) for _ in range(length)]
    for a, b in zip(nodes, [*nodes[1:], nodes[0]]):
        a.next = b
    return nodes[0]


def closing_over_itself(factor):
    def function(n):
        return factor * function(n - 1) if n else 1

    return function


def different() -> dict[str, object]:
    """Values no two of which are the same."""
    nan, structured = float("nan"), np.zeros(2, dtype=[("a", "i4"), ("b", "f8")])
    return {
        "one": 1, "True": True, "1.0": 1.0, "1j": 1j, "text 1": "1", "bytes 1": b"1", "None": None, "nan": nan,
        "-0.0": -0.0,
        "0.0": 0.0, "ellipsis": ..., "list": [1], "tuple": (1,), "set": {1}, "nested": [[1]], "two lists": [[1], []],
        "dict": {"a": 1, "b": 2}, "another dict": {"a": 2, "b": 1}, "dict of sets": {"a": {1, 2}},
        "ordered": collections.OrderedDict(a=1),
        "other order": collections.OrderedDict(b=2, a=1), "this order": collections.OrderedDict(a=1, b=2),
        "default dict": collections.defaultdict(list), "other default": collections.defaultdict(set),
        "named tuple": Pair(1, 2), "another": Pair(2, 1), "deque": collections.deque([1]),
        "counter": collections.Counter("aab"),
        "slice": slice(1, 2), "another slice": slice(1, 2, 1), "range": range(3), "path": Path("x"),
        "size": torch.Size([1]),
        "dtype": torch.float32, "device": torch.device("cpu"), "numpy dtype": np.dtype("f4"),
        "array": np.arange(3), "shape": np.arange(3)[None], "int32": np.arange(3, dtype=np.int32),
        "values": np.array([0, 1, 3]), "objects": np.array([0, "a"], dtype=object),
        "more objects": np.array([0, "b"], dtype=object),
        "0-d objects": np.array({"a": 1}, dtype=object), "scalar": np.float64(1.0), "scalar32": np.float32(1.0),
        "structured": structured, "masked": np.ma.array([1, 2], mask=[0, 1]), "mask": np.ma.array([1, 2], mask=[1, 0]),
        "tensor": torch.arange(3.0), "double": torch.arange(3.0).double(), "half": torch.arange(3).bfloat16(),
        "parameter": nn.Parameter(torch.arange(3.0)), "frozen": nn.Parameter(torch.arange(3.0), requires_grad=False),
        "sparse": torch.eye(3).to_sparse(), "csr": torch.eye(3).to_sparse_csr(), "complex": torch.arange(3) * 1j,
        "conjugate": (torch.arange(3) * 1j).conj(), "enum": Colour.RED, "member": Colour.BLUE, "class": Plain,
        "enum class": Colour,
        "object": Plain(scale=1), "scale": Plain(scale=2), "name": Plain(factor=1), "more": Plain(scale=1, more=1),
        "slots": Slotted(1), "other slots": Slotted(2), "text": Text("a"), "other text": Text("b"), "plain text": "a",
        "record": Record(), "x": Record(2), "y": Record(y=[1]), "pattern": re.compile("a"),
        "other pattern": re.compile("b"),
        "loss": scaled(1.0), "captured": scaled(2.0), "default": scaled(1.0, 1.0), "code": other(1.0),
        "captured list": scaled([1.0]), "captured dict": scaled({"a": 1.0}), "captured array": scaled(np.ones(1)),
        "captured object": scaled(Plain(scale=1)), "partial": functools.partial(scaled(1.0), 1),
        "other partial": functools.partial(scaled(1.0), 2), "keyword": functools.partial(scaled(1.0), batch=1),
        "method": Plain(scale=1).__call__, "other method": Plain(scale=2).__call__, "C method": [1].append,
        "other C method": [2].append,
        "cached": functools.lru_cache(scaled(1.0)), "vmap": torch.vmap(scaled(1.0)),
        "other vmap": torch.vmap(scaled(2.0)),
        "in_dims": torch.vmap(scaled(1.0), in_dims=1), "numpy function": np.sum, "another function": np.mean,
        "torch": torch.sin,
        "operation": torch.ops.aten.add, "of the library": potentials.gaussian_loss(0.5),
        "of it": potentials.gaussian_loss(2.0),
        "polynomial": potentials.monomial((1, 2)), "other polynomial": potentials.monomial((1, 3)),
        "recursive": closing_over_itself(1), "other recursive": closing_over_itself(2), "mutual": mutual_a,
        "the other": mutual_b,
        "cycle": cycle(3), "other cycle": cycle(3, 2.0), "lambda": lambda x: x, "other lambda": lambda x: -x,
        "comprehension": lambda x: [y for y in x], "other comprehension": lambda x: [-y for y in x],
        "list of it": lambda x: {y for y in x},
        "network": network(), "training": network().eval(), "probability": network(p=0.1),
        "attribute": network(attributes={"scale": 2}),
        "list attribute": network(attributes={"scale": [torch.ones(2)]}),
        "parameters": changed(lambda m: m[0].weight.mul_(2)),
        "buffer": changed(lambda m: m[1].running_mean.add_(1)), "hook": hooked(lambda *call: 2 * call[2]),
        "other hook": hooked(lambda *call: 3 * call[2]),
        "pre-hook": hooked(lambda *call: None, "register_forward_pre_hook"),
        "frozen network": network().requires_grad_(False), "submodule": nn.Sequential(*network(), nn.ReLU()),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_no_two_different_values_have_one_key():
    keys = {name: content_key(value) for name, value in different().items()}
    same = collections.defaultdict(list)
    for name, key in keys.items():
        same[key].append(name)
    assert [names for names in same.values() if len(names) > 1] == []
    assert {name: content_key(value) for name, value in different().items()} == keys
    assert len({content_key(), content_key(1), content_key(1, 2), content_key((1, 2)), content_key([1], [2])}) == 5


def test_the_key_is_the_same_in_every_process():
    source = "import test_content, devinterp_core.content as c\n"
    source += "values = {**test_content.different(), 'generation': test_content.transformers.GenerationConfig()}\n"
    source += "for name, value in values.items(): print(name, c.content_key(value))"
    outputs = []
    for seed in ("0", "1"):
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        outputs.append(subprocess.run(
            [sys.executable, "-c", source], check=True, capture_output=True, text=True, timeout=300,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
        ).stdout)  # fmt: skip
    assert outputs[0] == outputs[1] and outputs[0].count("\n") == len(different()) + 1


def test_what_does_not_count():
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key({"x", "y", "z"}) == content_key({"z", "y", "x"})
    strided = torch.arange(6.0).reshape(2, 3).T
    assert content_key(strided) == content_key(strided.contiguous())
    assert content_key(np.asfortranarray(np.eye(3)[:2])) == content_key(np.eye(3)[:2])
    shared = [1]
    assert content_key([shared, shared]) == content_key([[1], [1]])
    assert content_key(cycle(1)) == content_key(cycle(4))  # no walk tells them apart
    used = Plain(scale=1)
    assert used.found == 3 and content_key(used) == content_key(Plain(scale=1))
    model, trained = network(), network()
    model(torch.ones(2, 3)).sum().backward()  # gradients, but running statistics count
    model[1].load_state_dict(trained[1].state_dict())
    assert content_key(model) == content_key(trained)
    model[0].kept = [model(torch.ones(2, 3))]
    model[1].load_state_dict(trained[1].state_dict())
    assert content_key(model) == content_key(trained)
    for _ in range(3):
        trained[0].register_forward_hook(print).remove()  # counts on
    assert content_key(hooked(repr)) == content_key(hooked(repr))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_and_foreign_modules_are_the_same_when_made_again():
    """TorchScript counts names up, and generation settings of transformers keep a `hash`: neither may show."""

    def llama():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            num_hidden_layers=1, hidden_size=8, intermediate_size=8, num_attention_heads=2, vocab_size=11,
            bos_token_id=0, eos_token_id=0, pad_token_id=0,
        )  # fmt: skip
        return transformers.LlamaForCausalLM(config).eval()

    assert content_key(llama()) == content_key(llama()) and module_difference(llama(), llama()) is None
    makers = (torch.jit.script, lambda m: torch.jit.trace(m, torch.zeros(1, 3)), torch.fx.symbolic_trace)
    keys = [content_key(make(network().eval())) for make in makers for _ in range(2)]
    others = [content_key(make(changed(lambda m: m[0].weight.mul_(2)).eval())) for make in makers]
    assert keys[0::2] == keys[1::2] and len({*keys, *others}) == 6


def test_what_a_function_reads_counts(monkeypatch, tmp_path):
    before = content_key(reads_a_dict), content_key(reads_an_array), content_key(mutual_a)
    monkeypatch.setitem(SETTINGS, "inner", [1, {3}])
    monkeypatch.setattr(sys.modules[__name__], "ARRAY", np.zeros(2))
    monkeypatch.setattr(sys.modules[__name__], "mutual_b", lambda n: 5)
    after = content_key(reads_a_dict), content_key(reads_an_array), content_key(mutual_a)
    assert all(a != b for a, b in zip(before, after, strict=True))
    kind = content_key(Plain(scale=1))
    monkeypatch.setattr(Plain, "kind", "other")
    assert content_key(Plain(scale=1)) != kind


def test_attributes_of_the_users_own_modules_count(monkeypatch, tmp_path):
    (tmp_path / "my_settings.py").write_text("SCALE = 1.0\nOTHER = 1.0\nLOG = open(__file__)\n")
    (tmp_path / "my_losses.py").write_text(
        "import my_settings\ndef loss(model, batch):\n    return my_settings.SCALE * model(batch)\n"
        "def lazy(model, batch):\n    import my_settings as s\n    return s.SCALE * model(batch)\n"
        "def whole(model, batch):\n    s = my_settings\n    return s.SCALE * model(batch)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_losses
    import my_settings

    keys = [content_key(my_losses.loss), content_key(my_losses.lazy), content_key(my_losses.whole)]
    monkeypatch.setattr(my_settings, "OTHER", 2.0)
    assert content_key(my_losses.loss) == keys[0]
    monkeypatch.setattr(my_settings, "SCALE", 2.0)
    assert content_key(my_losses.loss) != keys[0]
    (tmp_path / "my_settings.py").write_text("SCALE = 2.0\n")  # used as a whole it counts by its source
    assert content_key(my_losses.lazy) != keys[1] and content_key(my_losses.whole) != keys[2]
    my_settings.LOG.close()
    del sys.modules["my_losses"], sys.modules["my_settings"]


@pytest.mark.parametrize(
    "value",
    [
        io.StringIO(), (i for i in [1]), iter([1]), map(abs, [1]), itertools.count(),
        threading.Lock(), np.random.default_rng(0),
        random.Random(0), torch.Generator(), torch.empty(2, device="meta"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_has_no_content_is_refused_with_the_way_to_it(value):
    message = r"in values\[0\] captures factor\[0\]\.held: .* cannot be part of a key"
    with pytest.raises(ValueError, match=message):
        content_key(scaled([Plain(held=value)]))


def test_deep_and_long_values_are_no_problem():
    deep = []
    for _ in range(20_000):
        deep = [deep]
    chain = cycle(500)
    assert content_key(deep) != content_key([deep])
    assert content_key(chain) == content_key(cycle(500))
    assert content_key(list(range(10_000))) != content_key(list(range(10_001)))


def test_the_library_enters_by_the_modules_that_are_used(monkeypatch):
    names = lambda *modules: {path.name for path in source_files(modules)}
    assert names("devinterp_core.potentials") == {"potentials.py"}
    stream = names("devinterp_core.language.stream")
    assert {"stream.py", "corpora.py"} <= stream and not {"passages.py", "__init__.py"} & stream
    training = names("devinterp_core.train.run")
    assert {"run.py", "key.py", "checks.py", "files.py", "evaluator.py", "graph.py"} <= training
    before = content_key(potentials.two_component)
    real = Path.read_bytes
    edited = lambda end: lambda path: real(path) + (b"#" if path.as_posix().endswith(end) else b"")
    monkeypatch.setattr(Path, "read_bytes", edited("devinterp_core/potentials.py"))
    assert content_key(potentials.two_component) != before
    monkeypatch.setattr(Path, "read_bytes", edited("devinterp_core/language/tokenizer.py"))
    assert content_key(potentials.two_component) == before


def test_in_what_two_modules_differ():
    assert module_difference(network(), changed(lambda m: m[0].weight.mul_(2))) is None
    assert module_difference(network(), network().eval()) == ".training: True and False"
    assert module_difference(network(), network(p=0.1)) == ".2.p: 0.5 and 0.1"
    assert module_difference(network(), network(attributes={"x": 1})) == "attributes of 0: ['.x'] are in one only"
    assert module_difference(*(network(attributes={"x": [n]}) for n in (1, 2))) == ".0.x"
    assert module_difference(*(network(attributes={"x": [1]}) for n in (1, 2))) is None
    doubled, tripled = hooked(lambda *call: 2 * call[2]), hooked(lambda *call: 3 * call[2])
    assert module_difference(doubled, tripled) == ".0._forward_hooks"
    holding = [network() for _ in range(2)]
    for model, factor in zip(holding, (1.0, 2.0)):
        model[0].neighbours = [model[1], model]  # by name, not by their parameters
        with torch.no_grad():
            model[0].weight.mul_(factor)
    assert module_difference(*holding) is None
