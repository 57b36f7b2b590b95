"""An estimate with a verdict: what `estimate_llc` returns."""

import math
from dataclasses import dataclass, field, fields

import xarray

from .estimate import Interval, LearningCoefficient, local_learning_coefficient


@dataclass(frozen=True, repr=False)
class TrustedEstimate(LearningCoefficient):
    r"""A `LearningCoefficient` with a verdict. Printing it shows everything that matters.

    Attributes:
        converged: whether the interval is as narrow as asked, and drift, R-hat, effective draws, exploration and a run
            with half the time step agree with it. Where it is false the number is no measurement.
        warnings: sentences: why not converged and what to raise; chains below $w^*$; localisation too weak or too
            strong; heat and step size bias.
        step_bias: estimate minus that of the run with half the time step; NaN where that was not run.
        step_bias_half_width: of the 95 % interval of `step_bias`.
        method, step_size, batch_size: that were chosen.
        num_chains: of the run that the estimate is from.
        num_steps: steps a chain of that run, of which the second half is kept.
        total_steps: steps of pilots, runs and check together.
        n_beta, localization: of the posterior.
        draws: all draws of the run, for `devinterp_core.diagnostics.trace_plot`.
    """

    converged: bool = False
    warnings: tuple[str, ...] = ()
    step_bias: float = math.nan
    step_bias_half_width: float = math.nan
    method: str = "sgnht"
    step_size: float = math.nan
    batch_size: int = 0
    num_chains: int = 0
    num_steps: int = 0
    total_steps: int = 0
    n_beta: float = math.nan
    localization: float = math.nan
    draws: xarray.Dataset = field(default_factory=xarray.Dataset, compare=False)

    def interval(self, level: float = 0.95) -> Interval:
        r"""As `LearningCoefficient.interval`, but only of the drift beyond its own standard error.

        In level chains the drift $d$ has the standard error $\sqrt 6\, s_E$; here, where an independent run has to
        agree, $\sqrt{\max(0, d^2 - 6 s_E^2)}$ takes its place. A significant `step_bias` adds to the part `drift`.
        """
        own = super().interval(level)
        beyond = max(0.0, 1 - 6 * self.standard_error**2 / self.drift**2) if self.drift and self.ess else 1.0
        bias = abs(self.step_bias) if abs(self.step_bias) > self.step_bias_half_width else 0.0
        return Interval(self.mean, own.parts | {"drift": math.hypot(own.parts["drift"] * beyond**0.5, bias)})

    def __repr__(self) -> str:
        interval = self.interval()
        width = f"{(interval.high - interval.low) / 2:.2g}" if math.isfinite(interval.high) else "unknown"
        bias = f", half the time step changes it by {-self.step_bias:+.2g} ± {self.step_bias_half_width:.2g}"
        bias = bias if math.isfinite(self.step_bias) else ""
        virial = f"{self.virial_ratio:.2f} ± {self.virial_standard_error:.2g}"
        lines = [
            f"{'learning coefficient' if self.converged else 'NOT CONVERGED'} {self.mean:.4g} ± {width} "
            f"(95 %, mostly {interval.dominated_by})",
            f"  R-hat {self.r_hat:.3f}, {self.ess:.0f} effective draws, drift {self.drift:+.2g}, "
            f"virial ratio {virial}{bias}",
            f"  {self.method}, step size {self.step_size:.2g}, {self.num_chains} chains of {self.num_steps:,} steps, "
            f"the second half kept; n_beta {self.n_beta:.4g}, localization {self.localization:g}, batch "
            f"{self.batch_size}",
        ]
        return "\n".join([*lines, *(f"  ! {warning}" for warning in self.warnings)])


def trusted(draws: xarray.Dataset) -> TrustedEstimate:
    """The estimate from all of `draws`, not yet judged."""
    plain = local_learning_coefficient(draws)
    return TrustedEstimate(**{f.name: getattr(plain, f.name) for f in fields(plain)})
