r"""Joint principal components of many checkpoints and runs, exact, without ever holding all the rows.

The rows (one a checkpoint: the model's outputs on a fixed batch, flattened) of all runs are stacked and centred to
$X_c$. Whichever of the two products is the smaller is summed block by block, and its leading eigenvectors give the
components:

- more features than rows: the Gram matrix $X_c X_c^\top = U \Lambda U^\top$, then
  $V = \Lambda^{-1/2} U^\top X_c$ in one more pass;
- otherwise the scatter matrix $X_c^\top X_c = V^\top \Lambda V$.

Both are exact up to rounding, where scikit-learn's `IncrementalPCA` truncates after every block.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num
from scipy import linalg

from devinterp_core.trajectory.values import real_array

Blocks = np.ndarray | Iterable | Callable[[], Iterable]
ROUNDING = np.finfo(np.float64).eps


@dataclass(frozen=True)
class JointPCA:
    r"""Principal components of stacked trajectories; made by `JointPCA.fit`.

    Attributes:
        mean: of every feature over all rows of the fit.
        components: orthonormal directions, by falling variance. The entry of largest magnitude of each is positive.
        explained_variance: variance along each component, with $n - 1$ in the denominator, in squared feature units.
        explained_variance_ratio: the same over the total variance.
        num_rows: $n$, rows of the fit.
    """

    mean: Float[np.ndarray, " feature"]
    components: Float[np.ndarray, "component feature"]
    explained_variance: Float[np.ndarray, " component"]
    explained_variance_ratio: Float[np.ndarray, " component"]
    num_rows: int

    @classmethod
    def fit(cls, blocks: Blocks, num_components: int, *, memory: int = 2**30) -> "JointPCA":
        r"""Fit the components of all rows of all blocks together.

        In memory: one block, $8 \min(n, d)^2$ bytes for the product of $n$ rows of $d$ features (a second time while
        its eigenvectors are found), the components, and with more features than rows a panel of at most `memory`
        bytes, at least a row. The blocks are passed through once for the mean and once for the scatter matrix; or
        once for every panel of the Gram matrix and once for the components. Rows of any floating type are widened to
        float64 a block at a time. Since eigenvalues are squares of singular values, a component that explains a
        fraction $\rho$ of the variance is right to about $10^{-16} / \rho$.

        Args:
            blocks: one array [row, feature], or several of equal width (runs, or parts of runs) in a list or an array
                [run, row, feature]; or, where not all fit in memory, a function that returns a fresh iterator over
                the same blocks at each call.
            num_components: at most the rank of the centred rows.
            memory: bytes for the panel of rows that is held during a pass of the Gram matrix.

        Raises:
            ValueError: for no rows, blocks that are not two-dimensional or differ in width, values that are not
                finite, an iterator that can be read only once, blocks that change from pass to pass, or more
                components than the rank, or numbers that are not real.

        Reference: Carroll et al. (2025), section on joint trajectory PCA.
        """
        read = _reader(blocks)
        mean, num_rows, squared_norm = _mean(read)
        num_features = mean.size
        limit = min(num_rows - 1, num_features)
        if not 1 <= num_components <= limit:
            raise ValueError(
                f"num_components must lie in 1 to {limit}, the most that {num_rows} centred rows of {num_features} "
                f"features can have; got {num_components}"
            )
        by_rows = num_rows < num_features
        product = _gram(read, mean, num_rows, memory) if by_rows else _scatter(read, mean)
        total, size = float(np.trace(product)), len(product)
        values, vectors = linalg.eigh(product, subset_by_index=(size - num_components, size - 1))
        values, vectors = values[::-1], vectors[:, ::-1]
        floor = max(num_rows, num_features) * max(ROUNDING * values[0], ROUNDING**2 * squared_norm)
        if values[-1] <= floor:
            raise ValueError(
                f"num_components is {num_components}, but the centred rows have rank {(values > floor).sum()} only"
            )
        components = _combine_rows(read, mean, vectors) if by_rows else vectors.T
        components = components / linalg.norm(components, axis=1, keepdims=True)
        largest = np.abs(components).argmax(axis=1)
        components = components * np.sign(components[np.arange(num_components), largest])[:, None]
        return cls(mean, components, values / (num_rows - 1), values / total, num_rows)

    def transform(self, rows: Num[np.ndarray, "*batch feature"]) -> Float[np.ndarray, "*batch component"]:
        """Coordinates of rows, in the fit or not (a predictor, a later run), on the components.

        Raises:
            ValueError: if the rows have another width than those of the fit, or values that are not finite.
        """
        if rows.shape[-1] != self.mean.size:
            raise ValueError(f"rows have {rows.shape[-1]} features, those of the fit had {self.mean.size}")
        rows = real_array(rows, "rows")
        if not np.isfinite(rows).all():
            raise ValueError("rows hold NaN or infinite values")
        return (rows - self.mean) @ self.components.T


def _reader(blocks: Blocks) -> Callable[[], Iterator[Float[np.ndarray, "row feature"]]]:
    """A function that starts a fresh pass over the blocks, in float64."""
    if callable(blocks):
        start = blocks
    elif isinstance(blocks, np.ndarray) and blocks.ndim == 2:
        start = lambda: [blocks]
    elif iter(blocks) is blocks:
        raise ValueError(
            "blocks is an iterator, which can be read only once: pass a list, or a function that returns a fresh one"
        )
    else:
        start = lambda: blocks
    return lambda: (real_array(block, "blocks").astype(np.float64, copy=False) for block in start())


def _mean(read: Callable) -> tuple[Float[np.ndarray, " feature"], int, float]:
    """Mean of every feature, number of rows and sum of all squares; the one pass that also checks the blocks."""
    total, num_rows, squared_norm = None, 0, 0.0
    for index, block in enumerate(read()):
        if block.ndim != 2:
            raise ValueError(f"block {index} has shape {block.shape}, expected two dimensions [row, feature]")
        if total is not None and block.shape[1] != total.size:
            raise ValueError(f"block {index} has {block.shape[1]} features, the blocks before it {total.size}")
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            raise ValueError(f"block {index} has NaN or infinite values, first in its row {bad.argmax()}")
        total = block.sum(axis=0) if total is None else total + block.sum(axis=0)
        num_rows += len(block)
        squared_norm += float(np.vdot(block, block))
    if num_rows < 2:
        raise ValueError(f"blocks hold {num_rows} rows, expected 2 at least")
    return total / num_rows, num_rows, squared_norm


def _scatter(read: Callable, mean: Float[np.ndarray, " feature"]) -> Float[np.ndarray, "feature feature"]:
    product = np.zeros((mean.size, mean.size))
    for block in read():
        centred = block - mean
        product += centred.T @ centred
    return product


def _gram(
    read: Callable, mean: Float[np.ndarray, " feature"], num_rows: int, memory: int
) -> Float[np.ndarray, "row row"]:
    """Products of all pairs of centred rows: each pass holds a panel of rows and meets it with every later row."""
    product = np.zeros((num_rows, num_rows))
    panel_rows = max(1, memory // (8 * mean.size))
    for start in range(0, num_rows, panel_rows):
        stop = min(start + panel_rows, num_rows)
        panel = np.empty((stop - start, mean.size))
        first = 0
        for block in read():
            last = first + len(block)
            inside = slice(max(start, first), min(stop, last))
            if inside.start < inside.stop:
                panel[inside.start - start : inside.stop - start] = block[inside.start - first : inside.stop - first]
                panel[inside.start - start : inside.stop - start] -= mean
            if last > stop:  # the panel is complete: all its rows came earlier
                later = max(stop, first)
                product[start:stop, later:last] = panel @ (block[later - first :] - mean).T
            first = last
        if first != num_rows:
            raise ValueError(f"blocks held {num_rows} rows at the first pass and {first} at a later one")
        product[start:stop, start:stop] = panel @ panel.T
        product[stop:, start:stop] = product[start:stop, stop:].T
    return product


def _combine_rows(
    read: Callable, mean: Float[np.ndarray, " feature"], weights: Float[np.ndarray, "row component"]
) -> Float[np.ndarray, "component feature"]:
    """Sum of the centred rows, weighted by the entries of each eigenvector of the Gram matrix."""
    combined, first = np.zeros((weights.shape[1], mean.size)), 0
    for block in read():
        combined += weights[first : first + len(block)].T @ (block - mean)
        first += len(block)
    return combined
