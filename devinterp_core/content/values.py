"""What a value consists of, for `content_key`: one function for each family, the first that knows the value decides."""

import collections
import copyreg
import enum
import functools
import io
import random
import re
import types
import typing
import weakref
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .code import Library, code_of, installed, of_the_library

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented), torch.dtype, torch.device,
         torch.layout, torch.memory_format)  # fmt: skip
# Of a module, beside parameters, buffers, submodules and hooks: what torch keeps for itself.
MODULE_INTERNALS = {
    "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook",
    "_compiled_call_impl", "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
}  # fmt: skip
HOOKS = {"_forward_hooks": "_forward_hooks_with_kwargs", "_forward_pre_hooks": "_forward_pre_hooks_with_kwargs",
         "_backward_hooks": "", "_backward_pre_hooks": ""}  # fmt: skip
WITHOUT_CONTENT = (
    io.IOBase, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.FrameType,
    np.random.Generator, np.random.RandomState, np.random.BitGenerator, torch.Generator, random.Random,
)  # fmt: skip
VOLATILE = {"_original_object_hash"}  # `hash` of a text, another in every process: generation settings of transformers
HEAP_TYPE = 1 << 9  # of a class that Python code made


class Part(NamedTuple):
    """A node: label, children with the step that leads to each, and whether their order counts."""

    label: list[bytes]
    children: list[tuple[str, Any]]
    ordered: bool = True


def atom(value: object) -> bytes | None:
    """All that a plain value is; None for what is made of other values."""
    kind = type(value)
    return f"{kind.__name__} {value!r}".encode("utf-8", "surrogatepass") if kind in PLAIN else None


def describe(value: object, library: Library) -> Part:
    """The node of a value.

    Raises:
        ValueError: if it has no content of its own.
    """
    for family in (_plain, _tensor, _array, _container, _callable, _module, _enum, _refused, _object):
        part = family(value, library)
        if part is not None:
            return part
    raise AssertionError(f"no family takes {value!r}")


def _plain(value: object, library: Library) -> Part | None:
    plain = atom(value)
    if plain is not None:
        return Part([b"plain", plain], [])
    if isinstance(value, (PurePath, np.dtype, torch.Size, range)) and installed(type(value)):
        return Part([b"plain", type(value).__name__.encode(), str(value).encode("utf-8", "surrogatepass")], [])
    if isinstance(value, slice):
        return _tuple("slice", start=value.start, stop=value.stop, step=value.step)
    if type(value) in (bytearray, memoryview):
        return Part([b"bytes of", type(value).__name__.encode(), bytes(value)], [])
    is_type_hint = isinstance(value, (types.GenericAlias, types.UnionType, typing.TypeVar))
    if is_type_hint or type(value).__module__ == "typing":
        return Part([b"type hint", repr(value).encode()], [])
    return None


def _tensor(value: object, library: Library) -> Part | None:
    if not isinstance(value, Tensor):
        return None
    kind = b"parameter" if isinstance(value, nn.Parameter) else b"tensor"
    own = [] if type(value) in (Tensor, nn.Parameter, nn.Buffer) else [(".__class__", type(value))]
    extra = {k: v for k, v in vars(value).items() if not k.startswith("_dynamo")}
    own += [(f".{name}", each) for name, each in sorted(extra.items())]
    trained = b"trained" if value.is_leaf and value.requires_grad else b"constant"
    with torch.no_grad():
        plain = value.detach()
        if plain.layout != torch.strided:
            plain = plain.coalesce() if plain.layout == torch.sparse_coo else plain
            names = ("indices", "values") if plain.layout == torch.sparse_coo else _COMPRESSED[plain.layout]
            parts = [(f".{name}()", getattr(plain, name)()) for name in names]
            return Part([kind, trained, str(plain.layout).encode(), repr(tuple(plain.shape)).encode()], parts + own)
        if plain.is_meta:
            raise ValueError(f"a tensor of shape {tuple(value.shape)} on the device meta has no content and cannot be "
                             "part of a key: give it values first")  # fmt: skip
        if plain.is_quantized:
            plain, quantization = plain.int_repr(), repr((value.qscheme(), value.dtype)).encode()
            own.append((".dequantize()", value.detach().dequantize()))
        else:
            quantization = b""
        plain = plain.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1).view(torch.uint8)
        content = library.digest_of(plain.numpy())
    return Part([kind, trained, str(value.dtype).encode(), repr(tuple(value.shape)).encode(), content, quantization],
                own)  # fmt: skip


_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def _array(value: object, library: Library) -> Part | None:
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    if isinstance(value, np.ma.MaskedArray):
        return _tuple("masked", data=value.filled(), mask=np.ma.getmaskarray(value), fill=value.fill_value)
    kind = b"array" if isinstance(value, np.ndarray) else b"scalar"
    own = [] if type(value) is np.ndarray or installed(type(value)) else _attributes(value)
    array = np.asarray(value)
    label = [kind, array.dtype.str.encode(), repr(array.shape).encode()]
    if array.dtype.names is not None:  # field by field: what lies between the fields is no content
        return Part(label, [(f"[{name!r}]", array[name]) for name in array.dtype.names] + own)
    if array.dtype.hasobject:
        return Part(label, [(f".flat[{i}]", each) for i, each in enumerate(array.ravel().tolist())] + own)
    return Part([*label, library.digest_of(np.ascontiguousarray(array).reshape(-1).view(np.uint8))], own)


def _container(value: object, library: Library) -> Part | None:
    for kind in (list, tuple, collections.deque, collections.OrderedDict, dict, set, frozenset):
        if isinstance(value, kind):
            break
    else:
        return _tuple("mapping proxy", of=dict(value)) if isinstance(value, types.MappingProxyType) else None
    own = [] if type(value) is kind else [(".__class__", type(value)), *_attributes(value)]
    if isinstance(value, collections.defaultdict):
        own.append((".default_factory", value.default_factory))
    if own:  # a subclass, such as a named tuple: what it contains is one child, its class and attributes are others
        return Part([b"subclass"], [("", kind(value.items() if isinstance(value, dict) else value)), *own])
    if isinstance(value, dict):
        items = [
            (f"[{key!r}]", each) if atom(key) is not None else (f"[{type(key).__name__}]", (key, each))
            for key, each in value.items()
        ]
        return Part([kind.__name__.encode()], items, ordered=kind is not dict)
    if isinstance(value, (set, frozenset)):
        return Part([b"set"], [("{...}", each) for each in value], ordered=False)
    return Part([kind.__name__.encode()], [(f"[{i}]", each) for i, each in enumerate(value)])


def _callable(value: object, library: Library) -> Part | None:
    if isinstance(value, functools.partial):
        own = [("", type(value)), *_attributes(value)]
        return Part([b"partial"], [(".func", value.func), (".args", value.args), (".keywords", value.keywords), *own])
    if isinstance(value, types.MethodType):
        return _tuple("method", __func__=value.__func__, __self__=value.__self__)
    if isinstance(value, (torch._C.ScriptFunction, torch._C.ScriptMethod)):
        return Part([b"script", _graph_text(value.graph)], [])
    label, children = code_of(value, library)
    return None if label is None else Part(label, children)


def _module(value: object, library: Library) -> Part | None:
    if not isinstance(value, nn.Module):
        return None
    own = vars(value)
    if "_orig_mod" in own.get("_modules", {}):  # of torch.compile: the same numbers, to rounding
        return _tuple("compiled", _orig_mod=value._orig_mod)
    if isinstance(value, torch.jit.ScriptModule):  # its graph has those of its submodules in it
        tensors = [*value.named_parameters(), *value.named_buffers()]
        return Part([b"script module"], [(f".{name}", each) for name, each in tensors] + module_parts(value))
    children: list[tuple[str, Any]] = []
    for kind in ("_parameters", "_buffers", "_modules"):  # their order is that of the coordinates
        children += [(f".{name}", each) for name, each in own[kind].items()]
    return Part([b"module"], children + module_parts(value))


def module_parts(module: nn.Module) -> list[tuple[str, Any]]:
    """What a module is beside its parameters, buffers and submodules, each with the step that leads to it."""
    own = vars(module)
    parts: list[tuple[str, Any]] = [(".__class__", type(module)), (".training", module.training)]
    for kind, with_kwargs in HOOKS.items():  # their keys are counted over the process
        flags = own.get(with_kwargs, {})
        parts += [(f".{kind}", (hook, key in flags)) for key, hook in own.get(kind, {}).items()]
    if isinstance(module, torch.jit.ScriptModule):
        return [*parts, (".inlined_graph", _graph_text(module.inlined_graph))]
    if isinstance(module, torch.fx.GraphModule):
        return [*parts, (".code", module.code)]
    plain = {k: v for k, v in own.items() if k not in MODULE_INTERNALS | {"training", *HOOKS} and not _made(v)}
    return parts + [(f".{name}", each) for name, each in sorted(plain.items())]


def _graph_text(graph: Any) -> bytes:
    """TorchScript without the files and lines that it came from, and without the numbers that a process counts up."""
    return re.sub(r"___torch_mangle_\d+\.?", "", graph.str(False)).encode()


def _made(value: object) -> bool:
    """Whether an attribute of a module is left there by its last forward pass, such as activations."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_made, value))
    if isinstance(value, dict):
        return bool(value) and all(map(_made, value.values()))
    return isinstance(value, Tensor) and value.grad_fn is not None


def _enum(value: object, library: Library) -> Part | None:
    if not isinstance(value, enum.Enum):
        return None
    return _tuple("enum", __class__=type(value).__qualname__, name=value.name, value=value.value)


def _refused(value: object, library: Library) -> Part | None:
    if isinstance(value, weakref.ref):
        return _tuple("weak", referent=value())
    if isinstance(value, WITHOUT_CONTENT) or (isinstance(value, Iterator) and installed(type(value))):
        raise _no_content(value)
    return None


def _object(value: object, library: Library) -> Part:
    """Any other object: its class and attributes. Of one that a package made, what it would put into a pickle."""
    kind = type(value)
    foreign = installed(kind) and not of_the_library(kind)
    of_c = any(base is not object and not base.__flags__ & HEAP_TYPE for base in kind.__mro__)  # as a subclass of str
    parts = [("", _reduced(value))] if foreign or of_c else []
    return Part([b"object"], [(".__class__", kind), *parts, *([] if foreign else _attributes(value))])


def _reduced(value: object) -> Any:
    """What the pickle protocol asks an object for, without making a pickle."""
    try:
        told = copyreg.dispatch_table.get(type(value))
        found = value.__reduce_ex__(4) if told is None else told(value)
        if isinstance(found, str):
            return found
        plain = [{k: v for k, v in x.items() if k not in VOLATILE} if isinstance(x, dict) else x for x in found]
        return tuple(list(x) if isinstance(x, Iterator) else x for x in plain)
    except Exception as error:  # noqa: BLE001  whatever a class raises here, it does not tell its content
        raise _no_content(value) from error


def _attributes(value: object) -> list[tuple[str, Any]]:
    """Attributes in `__dict__` and `__slots__` but what `cached_property` keeps, each with its name."""
    found = dict(getattr(value, "__dict__", {})) | {name: getattr(value, name) for name in _slots(value)}
    cached = {k for k in found if isinstance(getattr(type(value), k, None), functools.cached_property)}
    return [(f".{name}", found[name]) for name in sorted(found, key=str) if name not in cached]


def _slots(value: object) -> list[str]:
    own = [vars(c) for c in type(value).__mro__ if "__slots__" in vars(c)]
    names = [n for members in own for n, d in members.items() if isinstance(d, types.MemberDescriptorType)]
    return [name for name in names if hasattr(value, name)]


def _tuple(kind: str, **parts: object) -> Part:
    return Part([kind.encode()], [(f".{name}", part) for name, part in parts.items()])


def _no_content(value: object) -> ValueError:
    text = repr(value)
    return ValueError(
        f"{text if len(text) < 200 else text[:197] + '...'} (a {type(value).__module__}.{type(value).__qualname__}) "
        "cannot be part of a key: it has no content of its own that could be compared. Let the function or object hold "
        "plain values, tensors, arrays, modules or functions instead, such as a path, a seed or a list, and open or "
        "make the rest inside"
    )
