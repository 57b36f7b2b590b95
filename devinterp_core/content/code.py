"""What a function or a class consists of: its compiled code and all that the code reads, or its name and origin.

Of a user's own code everything counts: constants, defaults, what it captures, the globals that it reads (also through a
module of the user's, `settings.SCALE`), and in turn what these are made of. Code of `devinterp_core` counts by the
sources of the modules concerned, that of Python and of installed packages by name and version.
"""

import dis
import enum
import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .sources import PACKAGE, source_files

# Members of a class that are made for it, are told elsewhere, or do not bear on what it computes.
SKIPPED = {
    "__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "__dataclass_fields__", "__match_args__",
    "__dataclass_params__", "__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__", "__qualname__",
    "__static_attributes__", "__firstlineno__", "__repr__", "__str__", "__subclasshook__", "__annotate__",
}  # fmt: skip
CHECKERS = ("jaxtyping", "beartype", "typeguard")  # their wrappers check types and change no number
NAMED = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType,
         types.GetSetDescriptorType, types.MemberDescriptorType)  # fmt: skip
OPERATIONS = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)

Children = list[tuple[str, Any]]
Described = tuple[list[bytes] | None, Children]


class Library:
    """The modules of `devinterp_core` that the values of one key use."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every file that they depend on, in one order."""
        root = Path(sys.modules[PACKAGE].__file__).parent
        for path in sorted(source_files(self.modules)):
            yield path.relative_to(root).as_posix(), hashlib.sha256(path.read_bytes()).digest()

    @staticmethod
    def digest_of(buffer: Any) -> bytes:
        """SHA-256 of the bytes of an array."""
        return hashlib.sha256(buffer).digest()


def code_of(value: object, library: Library) -> Described:
    """Label and children of a function, a class, a module or another piece of code; None for everything else."""
    if isinstance(value, types.FunctionType):
        return _function(value, library)
    if isinstance(value, type):
        return _class(value, library)
    if isinstance(value, types.ModuleType):
        return _module(value, library)
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, (staticmethod, classmethod)):
        return [type(value).__name__.encode()], [(".__func__", value.__func__)]
    if isinstance(value, property):
        return [b"property"], [(f".{name}", getattr(value, name)) for name in ("fget", "fset", "fdel")]
    if isinstance(value, functools.cached_property):
        return [b"cached property"], [(".func", value.func)]
    if isinstance(value, functools._lru_cache_wrapper):
        return [b"cache"], [(".__wrapped__", value.__wrapped__)]
    if isinstance(value, OPERATIONS):
        return [b"operation", str(value).encode()], []
    if isinstance(value, NAMED):
        return [b"named", f"{value.__objclass__.__qualname__}.{value.__name__}".encode()], []
    if _found_by_name(value):
        return [b"named", f"{value.__module__}.{value.__qualname__}".encode(), version(value.__module__)], []
    owner = getattr(value, "__self__", None)
    if isinstance(value, (types.BuiltinFunctionType, types.MethodWrapperType)):
        name = [b"named", f"{getattr(value, '__module__', '')}.{value.__qualname__}".encode()]
        return name, [] if owner is None or isinstance(owner, types.ModuleType) else [(".__self__", owner)]
    return None, []


def _function(value: types.FunctionType, library: Library) -> Described:
    if hasattr(value, "__wrapped__") and _checks(value):
        return [b"checked"], [("", value.__wrapped__)]
    captured = list(zip(value.__code__.co_freevars, map(_content, value.__closure__ or ())))
    own = {k: v for k, v in vars(value).items() if k != "__wrapped__"}
    if installed(value):
        carried = [(f" captures {k}", v) for k, v in captured if _carries(v)]
        wrapped = [(".__wrapped__", value.__wrapped__)] if hasattr(value, "__wrapped__") else []
        return [b"installed", f"{value.__module__}.{value.__qualname__}".encode(), version(value.__module__)], (
            carried + wrapped
        )
    children: Children = [(".__code__", value.__code__), (".__defaults__", value.__defaults__),
                          (".__kwdefaults__", value.__kwdefaults__)]  # fmt: skip
    children += [(f" captures {name}", content) for name, content in captured]
    children += [(f".{name}", each) for name, each in sorted(own.items())]
    if of_the_library(value):
        library.modules.add(value.__module__)
        return [b"library", f"{value.__module__}.{value.__qualname__}".encode()], children
    return [b"function"], children + [(f" reads {name}", each) for name, each in _read(value)]


def _class(value: type, library: Library) -> Described:
    name = f"{value.__module__}.{value.__qualname__}".encode()
    if of_the_library(value):
        library.modules.add(value.__module__)
        return [b"library", name], []
    if installed(value):
        return [b"installed", name, version(value.__module__)], []
    label = [b"class", value.__qualname__.encode()]
    children: Children = [(".__bases__", value.__bases__), (".__class__", type(value))]
    members = {k: v for k, v in vars(value).items() if k not in SKIPPED and not _generated(k, v)}
    if issubclass(value, enum.Enum):
        functions = (types.FunctionType, classmethod, staticmethod, property)
        members = {k: v for k, v in members.items() if isinstance(v, functions) and not installed_member(v)}
        members |= {k: v.value for k, v in value.__members__.items()}
    for field in vars(value).get("__dataclass_fields__", {}).values():
        children.append((f" field {field.name}", (field.default, field.default_factory, field.init)))
    return label, children + [(f".{name}", each) for name, each in sorted(members.items())]


def _module(value: types.ModuleType, library: Library) -> Described:
    """A module as a whole; where a function reads only attributes of a user's module, these count instead."""
    name, file = value.__name__, getattr(value, "__file__", None)
    if f"{name}.".startswith(f"{PACKAGE}."):
        library.modules.add(name)
        return [b"library", name.encode()], []
    if _installed_module(value) or file is None or not Path(file).is_file():
        return [b"installed", name.encode(), version(name)], []
    return [b"module", hashlib.sha256(Path(file).read_bytes()).digest()], []


def _code(code: types.CodeType) -> Described:
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    table = getattr(code, "co_exceptiontable", b"")
    return [b"code", code.co_code, table, repr((counts, names)).encode()], [(".co_consts", code.co_consts)]


def _read(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Globals that a function reads, each with its dotted name; of a user's module the attributes that it reads."""
    found: dict[str, Any] = {}
    for path in sorted(_paths(function.__code__)):
        if path[0] == "import":
            package = function.__globals__.get("__package__") or ""
            for name in (path[1], f"{package}.{path[1]}"):
                module = sys.modules.get(name)
                if module is not None and not _installed_module(module):
                    found[f"import {path[1]}"] = module
        elif path[0] in function.__globals__:
            value, name = function.__globals__[path[0]], path[0]
            for step in path[1:]:
                if not isinstance(value, types.ModuleType) or _installed_module(value) or not hasattr(value, step):
                    break
                value, name = getattr(value, step), f"{name}.{step}"
            found[name] = value
    return sorted(found.items())


def _paths(code: types.CodeType) -> set[tuple[str, ...]]:
    """Global names with the attributes read from them directly, `("settings", "SCALE")`, also in functions inside."""
    found: set[tuple[str, ...]] = set()
    path: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if path and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path = (*path, instruction.argval)
            continue
        found |= {path} if path else set()
        path = (instruction.argval,) if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") else ()
        if instruction.opname == "IMPORT_NAME":
            found.add(("import", instruction.argval))
    found |= {path} if path else set()
    return found.union(*(_paths(inner) for inner in code.co_consts if isinstance(inner, types.CodeType)))


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return ...


def _carries(value: object) -> bool:
    """Whether what a package's function captures can be a user's, such as the function inside `torch.vmap(loss)`."""
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_carries, value))
    if isinstance(value, dict):
        return all(map(_carries, value.values()))
    kinds = (bool, int, float, complex, str, bytes, type(None), torch.Tensor, torch.nn.Module, types.FunctionType,
             types.MethodType, functools.partial, type)  # fmt: skip
    return isinstance(value, kinds)


def _checks(function: types.FunctionType) -> bool:
    file = function.__code__.co_filename
    return file.startswith("<@beartype(") or any(f"/{name}/" in Path(file).as_posix() for name in CHECKERS)


def _generated(name: str, member: object) -> bool:
    """Whether `dataclasses` or `attrs` wrote this method, from the fields."""
    member = getattr(member, "__wrapped__", member)
    file = getattr(getattr(member, "__code__", None), "co_filename", "")
    by_dataclass = file == "<string>" or file.endswith("dataclasses.py")
    return (by_dataclass and name.startswith("__")) or file.startswith("<attrs generated")


def _found_by_name(value: object) -> bool:
    """Whether an installed module has this very object under its own name: a `numpy` function, a compiled one."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not callable(value) or module not in sys.modules:
        return False
    return _installed_module(sys.modules[module]) and functools.reduce(
        lambda found, step: getattr(found, step, None), name.split("."), sys.modules[module]
    ) is value  # fmt: skip


def of_the_library(value: Any) -> bool:
    """Whether a function or class belongs to `devinterp_core`."""
    return str(getattr(value, "__module__", "")).startswith(f"{PACKAGE}.")


def installed(value: Any) -> bool:
    """Whether the code of a function or class belongs to Python or to an installed package."""
    if of_the_library(value):
        return False
    if hasattr(value, "__code__"):
        return _installed_file(value.__code__.co_filename)
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or module == "__main__":  # a notebook's `__file__` is that of the installed kernel
        return False
    if module in sys.modules:
        return _installed_module(sys.modules[module])
    return module.split(".")[0] in sys.stdlib_module_names


def installed_member(member: Any) -> bool:
    """The same of a member of a class."""
    member = getattr(member, "fget", getattr(member, "__func__", member))
    return hasattr(member, "__code__") and installed(member)


def _installed_module(module: types.ModuleType) -> bool:
    if f"{module.__name__}.".startswith(f"{PACKAGE}.") or module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is None:  # built in, or made by a program
        return module.__name__.split(".")[0] in sys.stdlib_module_names or getattr(module, "__spec__", None) is not None
    return _installed_file(file)


@functools.cache
def _installed_file(file: str) -> bool:
    parts = Path(file).parts
    inside = "site-packages" in parts or "dist-packages" in parts or file.startswith("<frozen ")
    return inside or Path(file).is_relative_to(sysconfig.get_path("stdlib"))


def version(module: str) -> bytes:
    """Of the package that a module belongs to; CPU and GPU builds of torch have one."""
    found = getattr(sys.modules.get(module.split(".")[0]), "__version__", "")
    return str(found).split("+")[0].encode() if isinstance(found, str) else b""
