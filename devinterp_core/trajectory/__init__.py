r"""Trajectories of training: where a model's outputs move, how they turn, and when its learning coefficient changes.

`pca` projects the outputs of many checkpoints and runs on joint principal components, `smoothing` makes essential
dynamics of them, `curvature` has their osculating circles, vertices, cusps and forms, `essential` does all of it for
one model; `stages` finds the boundaries of stages in a curve of learning coefficients, which `gaussian_process`
smooths, by the rules of `boundaries`; `seeds` does so for several seeds and makes their tables. `skills` finds when a
language model learns what. `rise` measures how far a loss rises after its minimum, `two_predictors` how near a model of
in-context regression is to ridge and to dMMSE, `transient` makes the table of models that leave one for the other.
"""

from devinterp_core.trajectory.curvature import (
    Form,
    Mark,
    OsculatingCircles,
    cusps,
    forms,
    osculating_circles,
    vertices,
)
from devinterp_core.trajectory.essential import essential_path, forms_of_random_walks
from devinterp_core.trajectory.gaussian_process import SmoothCurve, smooth_curve
from devinterp_core.trajectory.pca import JointPCA
from devinterp_core.trajectory.rise import Rise, rise_after_minimum
from devinterp_core.trajectory.seeds import (
    curve_table,
    loss_at,
    milestones,
    stage_table,
    stages_of_mean,
    stages_of_seeds,
)
from devinterp_core.trajectory.smoothing import smooth
from devinterp_core.trajectory.stages import Boundary, Stage, Stages, find_stages
from devinterp_core.trajectory.transient import transient_table

__all__ = [
    "Boundary",
    "Form",
    "JointPCA",
    "Mark",
    "OsculatingCircles",
    "Rise",
    "SmoothCurve",
    "Stage",
    "Stages",
    "curve_table",
    "cusps",
    "essential_path",
    "find_stages",
    "forms",
    "forms_of_random_walks",
    "loss_at",
    "milestones",
    "osculating_circles",
    "rise_after_minimum",
    "smooth",
    "smooth_curve",
    "stage_table",
    "stages_of_mean",
    "stages_of_seeds",
    "transient_table",
    "vertices",
]
