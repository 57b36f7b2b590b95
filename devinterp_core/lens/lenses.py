"""The two lenses: what a layer's hidden state predicts, read out as it is, or after a learned affine map."""

import hashlib
import os

import torch
from jaxtyping import Float
from torch import Tensor, nn

from devinterp_core.files import load_tensors, save_tensors

from .model import LensModel

FORMAT = "devinterp_core tuned lens 1"


class LogitLens(nn.Module):
    r"""$\mathrm{LogitLens}(h) = W_U\,\mathrm{norm}(h)$: every layer read out as if it were the last.

    Args:
        model: whose layers are read.

    Reference: nostalgebraist (2020).
    """

    def __init__(self, model: LensModel):
        super().__init__()
        self.model = model  # no module, so that its parameters are not the lens's

    @property
    def num_layers(self) -> int:
        """Hidden states that the lens reads, $L$; state $L$ is the model's own last one."""
        return self.model.num_layers

    def transform(self, hidden: Float[Tensor, "*batch d_model"], layer: int) -> Float[Tensor, "*batch d_model"]:
        """The hidden state of a layer brought into the basis of the last: here, unchanged.

        Raises:
            ValueError: if there is no such layer.
        """
        if not 0 <= layer <= self.num_layers:
            raise ValueError(f"no layer {layer}: the lens reads 0 to {self.num_layers}, the last as the model does")
        return hidden

    def forward(self, hidden: Float[Tensor, "*batch d_model"], layer: int) -> Float[Tensor, "*batch token"]:
        """Logits of the prediction at a layer; at layer $L$ those of the model."""
        return self.model.readout.logits(self.transform(hidden, layer))


class TunedLens(LogitLens):
    r"""$\mathrm{TunedLens}_l(h) = \mathrm{LogitLens}(h + W_l h + b_l)$, with $W_l$ and $b_l$ zero at first.

    One translator for each of $h_0, \dots, h_{L-1}$; the residual form makes weight decay pull towards the logit lens.

    Args:
        model: whose layers are read.

    Attributes:
        weight: $W$, `[layer, out, in]`.
        bias: $b$, `[layer, out]`.

    Reference: Belrose et al. (2023), section 3.
    """

    def __init__(self, model: LensModel):
        super().__init__(model)
        like = {"device": model.device, "dtype": model.readout.weight.dtype}
        self.weight = nn.Parameter(torch.zeros(model.num_layers, model.d_model, model.d_model, **like))
        self.bias = nn.Parameter(torch.zeros(model.num_layers, model.d_model, **like))

    def transform(self, hidden: Float[Tensor, "*batch d_model"], layer: int) -> Float[Tensor, "*batch d_model"]:
        """The hidden state of a layer through its translator; the last state as it is."""
        super().transform(hidden, layer)
        if layer == self.num_layers:
            return hidden
        return hidden + nn.functional.linear(hidden, self.weight[layer], self.bias[layer])

    def save(self, path: str | os.PathLike, dtype: torch.dtype = torch.float32) -> None:
        """Write the translators as safetensors, with hashes of the model they were trained for and a checksum.

        Args:
            path: of the file; a kill while writing leaves the old one.
            dtype: `torch.float16` halves the file.

        Raises:
            ValueError: values that `dtype` cannot hold.
        """
        tensors = {name: p.detach().to("cpu", dtype) for name, p in self.named_parameters()}
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError(f"the translators hold values that are not finite in {dtype}; nothing was written")
        about = {"format": FORMAT, "unembedding_hash": self.model.readout.hash(), "model_hash": _hash(self.model.model)}
        save_tensors(path, tensors, about)

    @classmethod
    def load(cls, path: str | os.PathLike, model: LensModel, *, allow_other_model: bool = False) -> "TunedLens":
        """The lens saved in a file.

        Args:
            path: of the file.
            model: for which it was trained.
            allow_other_model: take it although the model is another one, for example to ask how a lens transfers to a
                fine-tuned model.

        Raises:
            ValueError: a file that is missing, damaged or no tuned lens; a lens of another size or for another model.
        """
        try:  # lenses saved before there were checksums have none
            tensors, metadata = load_tensors(path, require=False, remedy="save or train the lens again")
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot read a tuned lens from {path}: {error}") from error
        lens = cls(model)
        if metadata.get("format") != FORMAT or set(tensors) != {"weight", "bias"}:
            raise ValueError(
                f"{path} is no tuned lens saved by TunedLens.save: it holds {sorted(tensors)}; load another file"
            )
        if tensors["weight"].shape != lens.weight.shape or tensors["bias"].shape != lens.bias.shape:
            found, expected = tuple(tensors["weight"].shape), tuple(lens.weight.shape)
            raise ValueError(f"the lens in {path} has translators {found}, this model needs {expected}")
        if metadata["unembedding_hash"] != model.readout.hash() and not allow_other_model:
            raise ValueError(
                f"the lens in {path} was trained for another model: the hash of its unembedding is "
                f"{metadata['unembedding_hash'][:12]}, of this model's {model.readout.hash()[:12]}; "
                "train a lens for this model, or pass allow_other_model=True to ask how it transfers"
            )
        known = metadata.get("model_hash")
        if known is not None and not allow_other_model and known != _hash(model.model):
            raise ValueError(
                f"the lens in {path} was trained for another model: its unembedding is that of this model, its other "
                "parameters are not; train a lens for this model, or pass allow_other_model=True to ask how it "
                "transfers"
            )
        with torch.no_grad():
            for name, parameter in lens.named_parameters():
                parameter.copy_(tensors[name])
        return lens


def _hash(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers, as float32 like that of the readout."""
    digest = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()
