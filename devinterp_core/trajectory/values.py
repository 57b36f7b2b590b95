"""Numbers as the functions of this package take them: real, in float64 or as they are, never cut to something else."""

import numpy as np


def real_array(values: object, name: str) -> np.ndarray:
    """`values` as an array of floating type: floats as they are, integers and truth values in float64.

    Args:
        values: an array, a list or a tensor.
        name: of the argument, for the message.

    Raises:
        ValueError: complex numbers, whose imaginary part would be lost, or what is no number.
    """
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}")
    return array
