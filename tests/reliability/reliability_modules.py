"""Small models around the modules of `torch.nn`, and of Hugging Face, each with a batch and per-sample losses."""

from collections.abc import Callable

import reliability_problems as problems
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

N = 6  # samples


def vectors(width: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(N, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def sequences(length: int = 5, width: int = 4) -> Tensor:
    return torch.randn(N, length, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def images(*size: int) -> Tensor:
    return torch.randn(N, 2, *size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def words(most: int = 7, length: int = 5) -> Tensor:
    return torch.randint(0, most, (N, length), generator=torch.Generator().manual_seed(4))


def squares(model: nn.Module, batch: Tensor) -> Tensor:
    """A loss without symmetries: every output counts with a weight of its own."""
    out = model(batch)
    out = out.flatten(1)
    weights = torch.linspace(0.5, 1.5, out.shape[1], dtype=torch.float64)
    return ((out - 0.3).abs().square() * weights).mean(1)


class Around(nn.Module):
    """A module with its own way of being called."""

    def __init__(self, inner: nn.Module, call: Callable):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.inner, x)


class Wave(nn.Module):
    """Parameters used by a function of its own."""

    def __init__(self, parts: nn.Module | None, function: Callable, **tensors: Tensor):
        super().__init__()
        self.parts, self.function = parts, function
        for name, tensor in tensors.items():
            if name.startswith("buffer_"):
                self.register_buffer(name, tensor)
            else:
                setattr(self, name, nn.Parameter(tensor.clone()))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def rescaled(inner: nn.Module) -> nn.Module:
    """Between two linear layers."""
    return nn.Sequential(nn.Linear(4, 4), inner, nn.Linear(4, 2))


class Double(torch.autograd.Function):
    """A function with a gradient of its own and no rule for vectorising."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * x.cos()


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = self.first(x)
        h[:, 0] = h[:, 0] * 2
        h.relu_()
        return self.second(h)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.write = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.write.weight = self.read.weight

    def forward(self, x):
        return self.write(self.read(x).mean(1).tanh())


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        return self.a(x) if float(self.a.weight.sum()) > 0 else self.b(x)


class Counting(nn.Module):
    """State of Python's: every call is another."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = nn.Linear(4, 2), 0

    def forward(self, x):
        self.calls += 1
        return self.inner(x)


class Shared(nn.Module):
    """One layer three times."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(self.layer(x).tanh()).tanh())


class Keeping(nn.Module):
    """Its activations stay in it, as interpretability code likes."""

    def __init__(self):
        super().__init__()
        self.layer, self.kept = nn.Linear(4, 2), []
        self.last = None

    def forward(self, x):
        self.last = self.layer(x).tanh()
        return self.last


def kept(model: nn.Module, batch: Tensor) -> nn.Module:
    """After a call that recorded a graph: what it keeps is no leaf, and cannot be copied."""
    model(batch)
    return model


def _recomputed(reentrant: bool) -> nn.Module:
    body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
    return Around(body, lambda m, x: checkpoint(m, x, use_reentrant=reentrant).tanh())


def _hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].register_forward_hook(lambda module, args, out: out * 2)
    return model


def _recurrent(kind: type) -> nn.Module:
    return Around(kind(4, 3, batch_first=True), lambda m, x: m(x)[0])


def _attention() -> nn.Module:
    return Around(nn.MultiheadAttention(4, 2, batch_first=True), lambda m, x: m(x, x, x, need_weights=False)[0])


def _norm_hook() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.Linear(4, 2))


def _statistics(layer: nn.Module) -> nn.Module:
    """Running statistics that are not those of a fresh layer."""
    with torch.no_grad():
        layer.running_mean.copy_(torch.linspace(-0.3, 0.4, layer.num_features))
        layer.running_var.copy_(torch.linspace(0.5, 1.5, layer.num_features))
    return layer


EYE = torch.eye(4, dtype=torch.float64)
# name: (model, batch); parameters become those of a seed, in float64 unless the name says otherwise
MODULES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "Linear": (lambda: nn.Linear(4, 2), vectors),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3), lambda: images(7)),
    "Conv2d, padded, grouped": (lambda: nn.Conv2d(2, 4, 3, padding=1, groups=2), lambda: images(5, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 2, 2), lambda: images(3, 3, 3)),
    "Conv2d, circular": (lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), lambda: images(5, 5)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 3, 3), lambda: images(5)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 2, 3, stride=2), lambda: images(3, 3)),
    "LSTM": (lambda: _recurrent(nn.LSTM), sequences),
    "LSTM, two layers, both ways": (
        lambda: Around(nn.LSTM(4, 3, 2, bidirectional=True, batch_first=True), lambda m, x: m(x)[0]),
        sequences,
    ),
    "GRU": (lambda: _recurrent(nn.GRU), sequences),
    "RNN": (lambda: _recurrent(nn.RNN), sequences),
    "LSTMCell": (lambda: Around(nn.LSTMCell(4, 3), lambda m, x: m(x)[0]), vectors),
    "GRUCell": (lambda: nn.GRUCell(4, 3), vectors),
    "MultiheadAttention": (_attention, sequences),
    "MultiheadAttention, weights": (
        lambda: Around(nn.MultiheadAttention(4, 2, batch_first=True), lambda m, x: m(x, x, x)[0]),
        sequences,
    ),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), sequences),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2, enable_nested_tensor=False
        ),
        sequences,
    ),
    "TransformerDecoderLayer": (
        lambda: Around(nn.TransformerDecoderLayer(4, 2, 8, batch_first=True), lambda m, x: m(x, x.flip(1))),
        sequences,
    ),
    "Embedding": (lambda: nn.Embedding(7, 3), words),
    "Embedding, padding_idx": (lambda: nn.Embedding(7, 3, padding_idx=0), words),
    "Embedding, max_norm": (lambda: nn.Embedding(7, 3, max_norm=0.4), words),
    "Embedding, scale_grad_by_freq": (lambda: nn.Embedding(7, 3, scale_grad_by_freq=True), words),
    "Embedding, sparse": (lambda: nn.Embedding(7, 3, sparse=True), words),
    "EmbeddingBag, mean": (lambda: nn.EmbeddingBag(7, 3), words),
    "EmbeddingBag, sum": (lambda: nn.EmbeddingBag(7, 3, mode="sum"), words),
    "EmbeddingBag, max": (lambda: nn.EmbeddingBag(7, 3, mode="max"), words),
    "LayerNorm": (lambda: rescaled(nn.LayerNorm(4)), vectors),
    "RMSNorm": (lambda: rescaled(nn.RMSNorm(4)), vectors),
    "GroupNorm": (lambda: rescaled(nn.GroupNorm(2, 4)), vectors),
    "InstanceNorm1d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.InstanceNorm1d(4, affine=True)), lambda: images(7)),
    "InstanceNorm2d, tracked": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
        lambda: images(5, 5),
    ),
    "BatchNorm1d, eval": (lambda: rescaled(_statistics(nn.BatchNorm1d(4))), vectors),
    "BatchNorm2d, eval": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), _statistics(nn.BatchNorm2d(3))),
        lambda: images(5, 5),
    ),
    "BatchNorm without statistics": (lambda: rescaled(nn.BatchNorm1d(4, track_running_stats=False)), vectors),
    "Dropout, eval": (lambda: rescaled(nn.Dropout(0.5)), vectors),
    "LocalResponseNorm": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.LocalResponseNorm(2)), lambda: images(7)),
    "Bilinear": (lambda: Around(nn.Bilinear(4, 4, 2), lambda m, x: m(x, x.flip(1))), vectors),
    "PReLU": (lambda: rescaled(nn.PReLU(4)), vectors),
    "RReLU, eval": (lambda: rescaled(nn.RReLU()), vectors),
    "GLU": (lambda: nn.Sequential(nn.Linear(4, 6), nn.GLU()), vectors),
    "Softmax and LogSoftmax": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 3), nn.LogSoftmax(1)),
        vectors,
    ),
    "MaxPool and AvgPool": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.MaxPool2d(2), nn.AvgPool2d(2)),
        lambda: images(6, 6),
    ),
    "AdaptiveAvgPool": (lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.AdaptiveAvgPool2d(2)), lambda: images(6, 6)),
    "FractionalMaxPool": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.FractionalMaxPool2d(2, output_size=2)),
        lambda: images(6, 6),
    ),
    "PixelShuffle and Upsample": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 2), nn.PixelShuffle(2), nn.Upsample(scale_factor=2)),
        lambda: images(4, 4),
    ),
    "Fold and Unfold": (lambda: nn.Sequential(nn.Conv2d(2, 2, 2), nn.Unfold(2)), lambda: images(4, 4)),
    "CosineSimilarity": (
        lambda: Around(nn.Linear(4, 4), lambda m, x: nn.CosineSimilarity()(m(x), x)[:, None]),
        vectors,
    ),
    "weight_norm": (lambda: parametrizations.weight_norm(nn.Linear(4, 2)), vectors),
    "weight_norm, the old hook": (_norm_hook, vectors),
    "spectral_norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 2)), vectors),
    "orthogonal": (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), vectors),
    "recomputed, use_reentrant=False": (lambda: _recomputed(False), vectors),
    "recomputed, use_reentrant=True": (lambda: _recomputed(True), vectors),
    "compiled": (
        lambda: torch.compile(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)), backend="eager"),
        vectors,
    ),
    "tied weights": (Tied, words),
    "one layer three times": (Shared, vectors),
    "a buffer in the forward pass": (
        lambda: Wave(nn.Linear(4, 4), lambda m, x: m.parts(x) @ m.buffer_a, buffer_a=EYE * 2 - 0.3),
        vectors,
    ),
    "a buffer that the forward pass changes": (
        lambda: Wave(nn.Linear(4, 4), _changing, buffer_a=torch.ones(4, dtype=torch.float64)),
        vectors,
    ),
    "complex parameters": (
        lambda: Wave(None, lambda m, x: (x * m.w).abs(), w=torch.ones(4, dtype=torch.complex128)),
        vectors,
    ),
    "a Fourier transform": (
        lambda: Wave(None, lambda m, x: torch.fft.rfft(x * m.w).abs(), w=torch.ones(4, dtype=torch.float64)),
        vectors,
    ),
    "bfloat16 parameters": (lambda: nn.Linear(4, 2).bfloat16(), lambda: vectors(dtype=torch.bfloat16)),
    "float16 parameters": (lambda: nn.Linear(4, 2).half(), lambda: vectors(dtype=torch.float16)),
    "float32 parameters": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).float(),
        lambda: vectors(dtype=torch.float32),
    ),
    "ParameterList": (
        lambda: Wave(
            nn.ParameterList([torch.ones(4, 4), torch.ones(4)]), lambda m, x: (x @ m.parts[0]).tanh() * m.parts[1]
        ),
        vectors,
    ),
    "ParameterDict": (
        lambda: Wave(
            nn.ParameterDict({"a": torch.ones(4, 4), "b": torch.ones(4)}),
            lambda m, x: (x @ m.parts["a"]).tanh() + m.parts["b"],
        ),
        vectors,
    ),
    "ModuleDict": (
        lambda: Wave(
            nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 2)}),
            lambda m, x: m.parts["b"](m.parts["a"](x).tanh()),
        ),
        vectors,
    ),
    "a parameter without dimensions": (
        lambda: Wave(None, lambda m, x: (x * m.w).sin(), w=torch.tensor(0.5, dtype=torch.float64)),
        vectors,
    ),
    "a parameter without elements": (
        lambda: Wave(nn.Linear(4, 2), lambda m, x: m.parts(x) + m.w.sum(), w=torch.zeros(0, dtype=torch.float64)),
        vectors,
    ),
    "a parameter that is not used": (
        lambda: Wave(nn.Linear(4, 2), lambda m, x: m.parts(x), w=torch.ones(3, dtype=torch.float64)),
        vectors,
    ),
    "a function with a gradient of its own": (
        lambda: Around(nn.Linear(4, 2), lambda m, x: Double.apply(m(x))),
        vectors,
    ),
    "in place": (InPlace, vectors),
    "a branch on the parameters": (Branching, vectors),
    "a forward hook": (_hooked, vectors),
    "a counter in Python": (Counting, vectors),
    "activations kept": (lambda: kept(Keeping().double(), vectors()), vectors),
    "a solved system": (
        lambda: Wave(None, lambda m, x: torch.linalg.solve(m.w @ m.w.T + 2 * EYE, x.T).T, w=EYE),
        vectors,
    ),
    "eigenvalues": (
        lambda: Wave(
            None, lambda m, x: x * torch.linalg.eigvalsh(m.w + m.w.T + torch.diag(torch.arange(4.0).double())), w=EYE
        ),
        vectors,
    ),
    "a cumulative product and a sort": (
        lambda: Wave(None, lambda m, x: (x * m.w).sort(1).values.cumsum(1), w=torch.linspace(1, 2, 4).double()),
        vectors,
    ),
    "scaled_dot_product_attention": (lambda: Wave(nn.Linear(4, 12), _sdpa, w=torch.ones(4).double()), sequences),
    "tensors indexed and scattered": (
        lambda: Wave(
            None, lambda m, x: torch.zeros_like(x).scatter(1, x.argsort(1), x * m.w), w=torch.ones(4).double()
        ),
        vectors,
    ),
    "jit.script": (
        lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).double()),
        vectors,
    ),
}


def _changing(m: nn.Module, x: Tensor) -> Tensor:
    out = m.parts(x) * m.buffer_a
    m.buffer_a.mul_(1.5)
    return out


def _sdpa(m: nn.Module, x: Tensor) -> Tensor:
    q, k, v = (m.parts(x) * m.w.repeat(3)).chunk(3, -1)
    return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def module_case(name: str) -> tuple[nn.Module, Tensor, Callable]:
    make, batch = MODULES[name]
    special = any(word in name for word in ("bfloat16", "float16", "float32"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    model = model if special else model.double()
    if "complex" not in name and "norm" not in name and "orthogonal" not in name:
        problems.drawn(model, 1)
    return model.eval(), batch(), squares


# ------------------------------------------------------------------------------------------------ Hugging Face

VOCABULARY, WIDTH = 19, 8


def _common(**more):
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "max_position_embeddings": 32,
    } | more


def _hugging_face(architecture: str, config: str, **settings) -> nn.Module:
    import transformers

    return getattr(transformers, architecture)(getattr(transformers, config)(**settings))


HUGGING_FACE: dict[str, Callable[[], nn.Module]] = {
    "GPT-2": lambda: _hugging_face(
        "GPT2LMHeadModel",
        "GPT2Config",
        vocab_size=VOCABULARY,
        n_embd=WIDTH,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "GPT-NeoX": lambda: _hugging_face("GPTNeoXForCausalLM", "GPTNeoXConfig", **_common()),
    "GPT-Neo": lambda: _hugging_face(
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_layers=2,
        num_heads=2,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=32,
        window_size=4,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "Llama": lambda: _hugging_face("LlamaForCausalLM", "LlamaConfig", **_common(num_key_value_heads=1)),
    "Llama, eager": lambda: _hugging_face(
        "LlamaForCausalLM", "LlamaConfig", **_common(num_key_value_heads=1, attn_implementation="eager")
    ),
    "Mistral": lambda: _hugging_face(
        "MistralForCausalLM", "MistralConfig", **_common(num_key_value_heads=1, sliding_window=4)
    ),
    "Qwen2": lambda: _hugging_face("Qwen2ForCausalLM", "Qwen2Config", **_common(num_key_value_heads=1)),
    "Qwen3": lambda: _hugging_face("Qwen3ForCausalLM", "Qwen3Config", **_common(num_key_value_heads=1, head_dim=6)),
    "Gemma 2": lambda: _hugging_face("Gemma2ForCausalLM", "Gemma2Config", **_common(num_key_value_heads=1, head_dim=6)),
    "OPT": lambda: _hugging_face(
        "OPTForCausalLM", "OPTConfig", **_common(ffn_dim=12, word_embed_proj_dim=WIDTH, dropout=0.0)
    ),
    "Bloom": lambda: _hugging_face(
        "BloomForCausalLM", "BloomConfig", vocab_size=VOCABULARY, hidden_size=WIDTH, n_layer=2, n_head=2
    ),
    "Falcon": lambda: _hugging_face("FalconForCausalLM", "FalconConfig", **_common()),
    "Phi": lambda: _hugging_face("PhiForCausalLM", "PhiConfig", **_common()),
    "Mixtral, float32": lambda: _hugging_face(
        "MixtralForCausalLM", "MixtralConfig", **_common(num_key_value_heads=1, num_local_experts=3)
    ),
    "Mamba": lambda: _hugging_face(
        "MambaForCausalLM", "MambaConfig", vocab_size=VOCABULARY, hidden_size=WIDTH, state_size=4, num_hidden_layers=1
    ),
    "BERT": lambda: _hugging_face("BertForMaskedLM", "BertConfig", **_common()),
    "RoBERTa": lambda: _hugging_face("RobertaForMaskedLM", "RobertaConfig", **_common(pad_token_id=1)),
    "T5": lambda: _hugging_face(
        "T5ForConditionalGeneration",
        "T5Config",
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        d_kv=4,
        d_ff=12,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    ),
    "BART": lambda: _hugging_face(
        "BartForConditionalGeneration",
        "BartConfig",
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=12,
        max_position_embeddings=32,
    ),
    "ViT": lambda: _hugging_face(
        "ViTForImageClassification",
        "ViTConfig",
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        image_size=8,
        patch_size=4,
        num_labels=3,
    ),
}


def token_losses(model: nn.Module, batch: Tensor) -> Tensor:
    """Cross-entropy of every token after the first, a mean for each sequence."""
    if "pixel" in model.main_input_name:
        return nn.functional.cross_entropy(
            model(batch).logits, torch.zeros(len(batch), dtype=torch.int64), reduction="none"
        )
    more = {"decoder_input_ids": batch} if model.config.is_encoder_decoder else {}
    logits = model(input_ids=batch, **more).logits[:, :-1]
    return nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none").mean(1)


def hugging_face_case(name: str) -> tuple[nn.Module, Tensor, Callable]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = HUGGING_FACE[name]()
    model = problems.drawn(model, 2, 0.3).to(torch.float32 if "float32" in name else torch.float64).eval()
    if name == "ViT":
        generator = torch.Generator().manual_seed(3)
        return model, torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64), token_losses
    return model, torch.randint(2, VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(5)), token_losses


# ------------------------------------------------------------------------------------------------ against autograd


def compared(kind: str, name: str, num_steps: int, batch_size: int | None = None) -> dict:
    """Largest errors of the sampler's losses and directional gradients at its own draws, by plain autograd.

    The virial of a draw is (w - w*) . (nb grad L(w) + g (w - w*)): a derivative of the loss along a random direction, a
    new one for each draw and chain, at a point away from w*.
    """
    case = {"module": module_case, "hugging face": hugging_face_case}[kind]
    model, batch, loss = case(name)
    reference, _, _ = case(name)  # nothing that happens to the caller's model reaches this one
    before = {k: v.clone() for k, v in reference.state_dict().items()}
    n_beta, localization, draws_kept = 3.0, 2.0, 3
    draws = problems.sample(
        model,
        batch,
        loss,
        step_size=1e-3,
        n_beta=n_beta,
        localization=localization,
        num_chains=2,
        num_draws=draws_kept,
        num_burnin=0,
        num_steps_between_draws=num_steps,
        batch_size=batch_size,
        keep_parameters=True,
        progress=False,
    )
    changed = [
        k
        for k, v in model.state_dict().items()
        if k in before and v.is_floating_point() and not torch.equal(v, before[k])
    ]
    if changed and not name.startswith("a buffer that"):
        raise AssertionError(f"the caller's model was changed: {changed}")
    names = [n for n, p in reference.named_parameters() if p.requires_grad]
    sizes = [p.numel() for n, p in reference.named_parameters() if p.requires_grad]
    found, expected = [], []
    for chain in range(2):
        for draw in range(draws_kept):
            w = torch.as_tensor(draws.parameters.values[chain, draw])
            own, _, _ = case(name)
            start = torch.cat([own.get_parameter(n).detach().flatten() for n in names])
            at_start = loss(own, batch).detach().double()
            own, _, _ = case(name)
            for part in own.modules():  # whose gradient of the padding's row is zero by fiat: not that of the loss
                if isinstance(part, nn.Embedding):
                    part.padding_idx = None
            with torch.no_grad():
                for n, piece in zip(names, w.split(sizes), strict=True):
                    parameter = own.get_parameter(n)
                    parameter.copy_(piece.view_as(parameter))
            with torch.enable_grad():
                losses = loss(own, batch)
                gradient = torch.autograd.grad(losses.mean(), [own.get_parameter(n) for n in names], allow_unused=True)
            gradient = torch.cat(
                [
                    torch.zeros_like(own.get_parameter(n)).flatten() if g is None else g.to_dense().flatten()
                    for n, g in zip(names, gradient, strict=True)
                ]
            )
            offset = (w - start).double()
            virial = float(offset @ (n_beta * gradient.double() + localization * offset))
            expected.append((float((losses.detach().double() - at_start).mean()), virial))
            found.append((float(draws.loss_difference[chain, draw]), float(draws.virial[chain, draw])))
    found, expected = torch.tensor(found), torch.tensor(expected)
    scale = expected.abs().amax(0).clamp_min(1e-12)
    errors = ((found - expected).abs() / scale).amax(0)
    return {
        "loss": float(errors[0]),
        "gradient": float(errors[1]),
        "scale": scale.tolist(),
        "finite": bool(found.isfinite().all()),
    }
