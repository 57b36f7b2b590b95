"""`content_key`: values become a graph of nodes, and the graph a hash that depends on content alone.

Every value is a node with a label (its kind, or all that it is) and children (what it is made of). A node is hashed
when its children are, from the leaves upwards. What lies on a cycle, or above one, is refined round by round from its
labels until no more nodes become different, so that two graphs have one hash where no walk through them can tell them
apart. Nothing depends on addresses, on the order of a set, or on which of two equal values was shared.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from .code import Library
from .values import Part, atom, describe, module_parts

VERSION = b"devinterp_core content 1"  # raise it when the meaning of a key changes


@dataclass
class _Node:
    """Of the graph: `children` are steps with what they lead to, the text of an atom or the number of a node."""

    parent: int
    step: str
    label: bytes = b""
    ordered: bool = True
    children: list[tuple[bytes, bytes | int]] = field(default_factory=list)


def content_key(*values: object) -> str:
    """SHA-256 of the content of `values`, the same in every process.

    It covers plain values, containers, tensors, arrays, modules (class, parameters, buffers, attributes, hooks),
    functions (code, defaults, what they capture, and the globals that they read), bound methods, partial functions,
    classes, and objects of any class by their attributes. Code of `devinterp_core` enters by the sources it depends on,
    code of an installed package by name and version of the package.

    Not part of it: names and addresses of functions, comments, positions in a file, the order of a set or of a dict,
    values held by `functools.cached_property`, gradients.

    Args:
        values: anything.

    Raises:
        ValueError: where a value on the way has no content of its own: an open file, an iterator, a lock, a random
            generator. The message names it and the way to it.
    """
    return _Graph().key(values)


def module_difference(first: nn.Module, other: nn.Module) -> str | None:
    """Where two modules of one class differ in anything but parameters and buffers; None: nowhere.

    Returns:
        Such as `.blocks.0.scale: 1.0 and 2.0`: a class, the training mode, a hook, an attribute, a submodule.

    Raises:
        ValueError: as `content_key`, for an attribute that is not the same object in both.
    """
    names = [dict(module.named_modules(remove_duplicate=False)) for module in (first, other)]
    if names[0].keys() != names[1].keys():
        return f"submodules: {sorted(names[0].keys() ^ names[1].keys())[:3]} are in one only"
    known = [{id(module): name for name, module in own.items()} for own in names]
    for name in names[0]:
        parts = [module_parts(own[name]) for own in names]
        if [step for step, _ in parts[0]] != [step for step, _ in parts[1]]:
            odd = {step for step, _ in parts[0]} ^ {step for step, _ in parts[1]}
            return f"attributes of {name or 'the model'}: {sorted(odd)[:3] or 'hooks'} are in one only"
        for (step, a), (_, b) in zip(*parts, strict=True):
            where = f"{'.' if name else ''}{name}{step}"
            if a is b or (atom(a) is not None and atom(a) == atom(b)):
                continue
            if atom(a) is not None or atom(b) is not None:
                return f"{where}: {a!r} and {b!r}"
            if _Graph(known[0]).digest((a,)) != _Graph(known[1]).digest((b,)):
                return where
    return None


class _Graph:
    """Nodes by number; `alive` keeps every described value, so that no two of them share an `id`."""

    def __init__(self, known: Mapping[int, str] | None = None) -> None:
        self.nodes: list[_Node] = []
        self.alive: list[object] = []
        self.numbers: dict[int, int] = {}
        self.known = known or {}  # `id` of objects that a name stands for
        self.library = Library()

    def key(self, values: tuple[object, ...]) -> str:
        digest = hashlib.sha256(VERSION + self.digest(values))
        for name, content in self.library.contents():
            digest.update(_joined([name.encode(), content]))
        return digest.hexdigest()

    def digest(self, values: tuple[object, ...]) -> bytes:
        """Hash of the values without the sources of the library."""
        root = self._number(values, -1, "")
        described = 0
        while described < len(self.nodes):  # without recursion: a chain of a million objects is no problem
            self._describe(described)
            described += 1
        return self._hash(root)

    def _number(self, value: object, parent: int, step: str) -> int:
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.nodes)
            self.alive.append(value)
            self.nodes.append(_Node(parent, step))
        return self.numbers[id(value)]

    def _describe(self, number: int) -> None:
        node = self.nodes[number]
        if id(self.alive[number]) in self.known:
            node.label = _joined([b"known", self.known[id(self.alive[number])].encode()])
            return
        try:
            part: Part = describe(self.alive[number], self.library)
        except ValueError as error:
            raise ValueError(f"{self._way(number)}{error}") from None
        node.label, node.ordered = _joined(part.label), part.ordered
        for step, value in part.children:
            plain = atom(value)
            child = self._number(value, number, step) if plain is None else plain
            node.children.append((step.encode("utf-8", "surrogatepass"), child))

    def _way(self, number: int) -> str:
        steps = []
        while number > 0:
            step = self.nodes[number].step
            steps.append(step if len(step) < 60 else f"{step[:56]}...]")
            number = self.nodes[number].parent
        way = "".join(reversed(steps))
        return f"in values{way}: " if way else ""

    def _hash(self, root: int) -> bytes:
        digests: list[bytes | None] = [None] * len(self.nodes)
        inside = [{child for _, child in node.children if isinstance(child, int)} for node in self.nodes]
        missing = [len(children) for children in inside]
        above: list[list[int]] = [[] for _ in self.nodes]
        for number, children in enumerate(inside):
            for child in children:
                above[child].append(number)
        ready = [number for number, count in enumerate(missing) if not count]
        while ready:
            number = ready.pop()
            digests[number] = self._digest(number, digests)
            for parent in above[number]:
                missing[parent] -= 1
                if not missing[parent]:
                    ready.append(parent)
        rest = [number for number, digest in enumerate(digests) if digest is None]
        if not rest:
            return digests[root]
        for number in rest:
            digests[number] = hashlib.sha256(self.nodes[number].label).digest()
        classes = 0
        while True:
            refined = {number: self._digest(number, digests) for number in rest}
            steps = sorted({digests[number] + refined[number] for number in rest})
            for number in rest:
                digests[number] = refined[number]
            found = len(set(refined.values()))
            if found == classes:
                # The steps from the last round to this one: without them graphs of one look but other loops might meet.
                return hashlib.sha256(digests[root] + _joined(steps)).digest()
            classes = found

    def _digest(self, number: int, digests: list[bytes | None]) -> bytes:
        node = self.nodes[number]
        children = [
            _joined([step, b"=" + child if isinstance(child, bytes) else b"#" + digests[child]])
            for step, child in node.children
        ]
        return hashlib.sha256(node.label + _joined(children if node.ordered else sorted(children))).digest()


def _joined(parts: Iterable[bytes]) -> bytes:
    """The parts so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)
