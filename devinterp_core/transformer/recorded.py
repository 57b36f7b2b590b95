"""The architecture of a recorded run, read back from what its training wrote down."""

import ast
import dataclasses

from .config import TransformerConfig


def recorded_config(architecture: str) -> TransformerConfig:
    """The configuration whose `repr` is the `architecture` of a `training.json`, so that no size need be known.

    Args:
        architecture: such as `TransformerConfig(num_layers=2, num_heads=8, ...)`.

    Raises:
        ValueError: a text that is no such configuration, or settings that this version does not have.
    """
    try:
        call = ast.parse(architecture, mode="eval").body
        settings = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        named = call.func.id == TransformerConfig.__name__ and not call.args
    except (SyntaxError, AttributeError, ValueError) as error:
        raise ValueError(f"{architecture!r} is no architecture of ours: {error}") from error
    unknown = set(settings) - {field.name for field in dataclasses.fields(TransformerConfig)}
    if not named or unknown or None in settings:
        raise ValueError(f"{architecture!r} is no TransformerConfig of this version: {sorted(map(str, unknown))}")
    return TransformerConfig(**settings)
