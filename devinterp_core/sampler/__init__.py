"""The localised tempered posterior of a model, and vectorised chains that sample it.

    target      the posterior of a validated problem
    checks      what a loss must be
    settings    what a run is asked to do
    methods     one update rule a module
    noise       the chains' random numbers
    observe     what is looked at beside the loss
    records     what is kept while a run goes on
    chains      chains that advance together
    engine      jobs of chains, one after the other, saved and resumed
    checkpoint  the file of a run
    run, many   `sample`, `sample_many`
    components  parts of a model, each with coordinates of its own
    lockstep    their chains
    curvature   the largest of the potential
"""

from .engine import DivergenceError
from .many import sample_many
from .observe import Observable
from .run import sample

__all__ = ["DivergenceError", "Observable", "sample", "sample_many"]
