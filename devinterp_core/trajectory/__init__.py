r"""Trajectories of training: where a model's outputs move, how they turn, and when its learning coefficient changes.

`pca` projects the outputs of many checkpoints and runs on joint principal components, `smoothing` makes essential
dynamics of them, `curvature` has their osculating circles, vertices, cusps and forms; `stages` finds the boundaries of
stages in a curve of learning coefficients, which `gaussian_process` smooths.
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
from devinterp_core.trajectory.gaussian_process import SmoothCurve, smooth_curve
from devinterp_core.trajectory.pca import JointPCA
from devinterp_core.trajectory.smoothing import smooth
from devinterp_core.trajectory.stages import Boundary, Stage, Stages, find_stages

__all__ = [
    "Boundary",
    "Form",
    "JointPCA",
    "Mark",
    "OsculatingCircles",
    "SmoothCurve",
    "Stage",
    "Stages",
    "cusps",
    "find_stages",
    "forms",
    "osculating_circles",
    "smooth",
    "smooth_curve",
    "vertices",
]
