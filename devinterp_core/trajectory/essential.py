"""Essential dynamics of a model in one table: joint components of its outputs, smoothed along training, with forms."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from devinterp_core.trajectory.curvature import forms
from devinterp_core.trajectory.pca import JointPCA
from devinterp_core.trajectory.smoothing import smooth

TOLERANCE = 3  # checkpoints by which the marks of a form may differ from one pair of components to the next


def essential_path(
    outputs: Float[np.ndarray, "checkpoint output"], steps: Sequence[int] | np.ndarray, *, smoothing_end: float
) -> tuple[pd.DataFrame, Float[np.ndarray, " component"]]:
    """The smoothed trajectory of one model through the space of its outputs, in three principal components.

    Args:
        outputs: on fixed inputs, flattened, a row for each checkpoint.
        steps: of the checkpoints, in order.
        smoothing_end: width of the smoothing kernel at the end of training, in checkpoints; at the start it is one.

    Returns:
        A row for each checkpoint with `step`, `pc_1`, `pc_2`, `pc_3` and `form`, whether it is one; and the shares of
        the variance that the three components explain, before smoothing.

    Raises:
        ValueError: another number of steps than of outputs; as `JointPCA.fit` and `smooth`.
    """
    if len(outputs) != len(steps):
        raise ValueError(f"{len(outputs)} outputs were given with {len(steps)} steps")
    outputs = outputs.astype(np.float64)
    pca = JointPCA.fit(outputs, num_components=3)
    smoothed = smooth(pca.transform(outputs), start=1, end=smoothing_end)
    path = pd.DataFrame(smoothed, columns=["pc_1", "pc_2", "pc_3"]).assign(step=np.asarray(steps), form=False)
    path.loc[[form.index for form in forms(smoothed, tolerance=TOLERANCE)], "form"] = True
    return path, pca.explained_variance_ratio


def forms_of_random_walks(
    num_checkpoints: int, *, smoothing_end: float, num_walks: int = 20, seed: int = 0
) -> Float[np.ndarray, " walk"]:
    """How many forms a curve has that turns for no reason: random walks in three dimensions, smoothed alike.

    Args:
        num_checkpoints: points of a walk.
        smoothing_end: as of `essential_path`.
        num_walks: how many.
        seed: of walk 0, others following.
    """
    counts = []
    for walk in range(num_walks):
        noise = np.random.default_rng(1000 * seed + walk).standard_normal((num_checkpoints, 3)).cumsum(0)
        counts.append(len(forms(smooth(noise, start=1, end=smoothing_end), tolerance=TOLERANCE)))
    return np.array(counts, dtype=np.float64)
