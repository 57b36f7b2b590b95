"""The localised tempered posterior of a model, and vectorised chains that sample it."""

from .many import sample_many
from .run import DivergenceError, sample

__all__ = ["DivergenceError", "sample", "sample_many"]
