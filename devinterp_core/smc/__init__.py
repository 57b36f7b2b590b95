"""Tempered sequential Monte Carlo for low-dimensional posteriors with many modes.

    tempering     `temper`: from the prior to the posterior through temperatures, with the evidence of each
    assimilation  `assimilate`: the same along a growing data set, block by block
    weights       effective sample sizes, step lengths and resampling
"""

from devinterp_core.smc.assimilation import assimilate
from devinterp_core.smc.tempering import temper
from devinterp_core.smc.weights import effective_sample_size, systematic_resample

__all__ = ["assimilate", "effective_sample_size", "systematic_resample", "temper"]
