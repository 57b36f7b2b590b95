"""`LensModel`: any language model as embedding, residual blocks and readout."""

import inspect
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .readout import Readout
from .structure import find_parts, first_tensor, stream_of, with_stream

Replacement = Callable[[Tensor], Tensor]


class _Reached(Exception):
    """The last hidden state is there: what follows in the model is not wanted."""


class LensModel:
    r"""A causal language model seen as $h_0 \to h_1 \to \dots \to h_L \to$ logits.

    $h_l$ is the input of block $l$, $h_L$ the input of the final norm. Found by structure (see `structure`): our
    `Transformer`, any Hugging Face causal language model, and any module built the same way. The model is neither
    copied nor modified; its parameters may be of any device, in float32 or float64.

    Args:
        model: tokens `[batch, position]` to logits, or to an object with `logits`; in evaluation mode.

    Attributes:
        num_layers: $L$, number of blocks.
        d_model: width of the stream.
        num_tokens: number of logits.
        readout: final norm, unembedding and what belongs to it.

    Raises:
        ValueError: half-precision parameters, parts that are compiled, a model without a head for tokens, dropout that
            is switched on, blocks or unembedding that cannot be found.
    """

    def __init__(self, model: nn.Module):
        model = _eager(model)
        half = {p.dtype for p in model.parameters()} - {torch.float32, torch.float64}
        if half:
            raise ValueError(f"lenses work in float32 (or float64), the model has {half}: load it with dtype float32")
        if not any(True for _ in model.parameters()) or any(p.is_meta for p in model.parameters()):
            raise ValueError(f"{type(model).__name__} has no parameters with values: load or make it first")
        self.model = model
        self.device = next(model.parameters()).device
        self._cacheless = "use_cache" in inspect.signature(model.forward).parameters
        probe = torch.arange(min(4, self._vocabulary()), device=self.device)[None]
        self.parts = find_parts(model, self.logits, probe)
        self.num_layers, self.d_model = len(self.parts.blocks), self.parts.d_model
        self.num_tokens = self.parts.num_tokens
        self.readout = Readout(model, self.parts)

    def logits(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position token"]:
        """The model's own logits."""
        output = self.model(tokens, use_cache=False) if self._cacheless else self.model(tokens)
        logits = output.logits if hasattr(output, "logits") else first_tensor(output)
        if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != tokens.shape:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
            raise ValueError(
                f"{type(self.model).__name__} gives no logits [batch, position, token] but {found}: a lens needs the "
                "model with its head for tokens (of Hugging Face: AutoModelForCausalLM, not AutoModel)"
            )
        return logits

    @torch.no_grad()
    def hidden_states(
        self, tokens: Int[Tensor, "batch position"], replace: Mapping[int, Replacement] | None = None
    ) -> list[Float[Tensor, "batch position d_model"]]:
        r"""$h_0, \dots, h_L$; the unembedding of the model is not run.

        Args:
            tokens: sequences.
            replace: layer to a function of its hidden state; what it returns takes the place of the state, also in
                the list, and the model goes on from there.

        Raises:
            ValueError: tokens of another shape or out of range, a layer that is not there, replacing in a model whose
                blocks do not carry the residual stream themselves.
        """
        self.check_tokens(tokens)
        replace = replace or {}
        if unknown := sorted(set(replace) - set(range(self.num_layers + 1))):
            raise ValueError(f"no layers {unknown}: the hidden states are 0 to {self.num_layers}")
        if replace and not self.parts.carries_residual:
            raise ValueError("this model adds to the stream outside its blocks: its hidden states cannot be replaced")
        states: list[Tensor] = []
        handles = []

        def keep(state: Tensor) -> Tensor:
            layer = len(states)
            states.append(replace[layer](state) if layer in replace else state)
            return states[-1]

        def before(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            state = keep(stream_of(args, kwargs))
            if len(states) > self.num_layers:
                raise _Reached
            return with_stream(args, kwargs, state)

        try:
            for module in [*self.parts.blocks, *([self.parts.end] if self.parts.end is not None else [])]:
                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            if self.parts.end is None:  # nothing is called after the last block: its output is the last state
                handles.append(self.parts.blocks[-1].register_forward_hook(lambda m, a, out: keep(first_tensor(out))))
            self.logits(tokens.to(self.device))
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return states

    def check_tokens(self, tokens: Tensor) -> None:
        """Raise a ValueError unless these are tokens of the model, `[batch, position]`."""
        if tokens.ndim != 2 or tokens.dtype not in (torch.int32, torch.int64) or not tokens.numel():
            raise ValueError(f"expected int64 tokens [batch, position], got {tokens.dtype} {tuple(tokens.shape)}")
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self._vocabulary():
            raise ValueError(f"tokens lie in {low}..{high}, the model knows 0..{self._vocabulary() - 1}")

    def _vocabulary(self) -> int:
        """Number of input tokens: rows of the embedding."""
        if hasattr(self.model, "get_input_embeddings"):
            return self.model.get_input_embeddings().weight.shape[0]
        size = getattr(getattr(self.model, "config", None), "num_tokens", None)
        if size is not None:
            return size
        tables = [m.num_embeddings for m in self.model.modules() if isinstance(m, nn.Embedding)]
        if not tables:
            raise ValueError(f"{type(self.model).__name__} has no token embedding: looked for nn.Embedding, "
                             "get_input_embeddings and config.num_tokens")  # fmt: skip
        return max(tables)


def _eager(model: nn.Module) -> nn.Module:
    """The model as it was before `torch.compile`: the hooks that find its parts would each be compiled as well."""
    model = getattr(model, "_orig_mod", model)
    for name, module in model.named_modules():
        scripted = isinstance(module, torch.jit.ScriptModule)
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None or scripted:
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}) is compiled: give LensModel the model as it was "
                "before torch.compile or torch.jit (the result of torch.compile(model) itself is taken as model)"
            )
    return model
