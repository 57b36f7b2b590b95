"""One key for everything that a result depends on: equal keys mean that computing again would give the same.

    graph     `content_key`: values as a graph, hashed by content; `module_difference`, in what two modules differ
    values    what a value consists of: tensors, arrays, modules, containers, objects
    code      what a function or a class consists of: its code, and all that the code reads
    sources   the files of `devinterp_core` that a part of it depends on
"""

from devinterp_core.content.graph import content_key, module_difference

__all__ = ["content_key", "module_difference"]
