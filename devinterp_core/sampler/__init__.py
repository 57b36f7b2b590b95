"""The localised tempered posterior of a model, and vectorised chains that sample it."""

from .run import DivergenceError, sample

__all__ = ["DivergenceError", "sample"]
