"""Architecture and recorded trainings of the language models; sinusoidal positions against their formula."""

import json
import math

import pytest
import torch

from devinterp_core.companion.recorded import recorded_text_run
from devinterp_core.files import save_json
from devinterp_core.language import TextStream, next_token_loss, text_corpus
from devinterp_core.train import TrainingSettings, train
from devinterp_core.transformer import Transformer, TransformerConfig, attention_only


def test_the_papers_architecture_has_its_number_of_parameters():
    model = Transformer(attention_only(5000, 256, 8, 1024))
    without = sum(p.numel() for name, p in model.named_parameters() if "pos_embed" not in name and "ln" not in name)
    assert without == 5000 * 256 * 2 + 5000 + 2 * 4 * (256 * 256 + 256)  # 3,091,336, as the paper counts
    assert model.config.d_mlp == 0 and model.config.positions == "shortformer" and model.config.num_layers == 2
    assert attention_only(9, 8, 2, 4, num_layers=1, d_head=3).head_size == 3


def test_sinusoidal_positions_are_their_formula_and_a_shift_is_a_rotation():
    config = attention_only(9, 12, 2, 10, sinusoidal_positions=True)
    table = Transformer(config, seed=0).pos_embed["W_pos"].detach().double()
    for position in (0, 3, 9):
        for pair in range(6):
            angle = position / 40 ** (2 * pair / 12)
            assert table[position, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(
                [math.sin(angle), math.cos(angle)], abs=1e-6
            )
    shift = torch.linalg.lstsq(table[:-1], table[1:]).solution  # one matrix for all positions
    torch.testing.assert_close(table[:-1] @ shift, table[1:], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="sinusoidal_positions needs position embeddings"):
        TransformerConfig(num_layers=1, num_heads=1, d_model=4, num_positions=4, num_tokens=4, positions="rotary",
                          sinusoidal_positions=True)  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Two steps on a folder of texts, exported as a recorded run."""
    folder = tmp_path_factory.mktemp("texts")
    for index in range(40):
        (folder / f"{index:02d}.txt").write_text(f"The {index} ships of the fleet sail on day {index % 7}. " * 20)
    corpus = text_corpus([f"folder:{folder}"], 300)
    run = train(
        [Transformer(attention_only(300, 8, 2, 12, sinusoidal_positions=True), seed=1)],
        TextStream(corpus, 3, 12),
        next_token_loss,
        TrainingSettings(num_steps=2, learning_rate=1e-3),
        checkpoint_steps=[0, 2],
        folder=tmp_path_factory.mktemp("cache"),
    )
    out = tmp_path_factory.mktemp("recorded") / "run"
    run.export(out, [0, 2], dtype=torch.float32)
    return out, run, corpus


def test_a_recorded_run_gives_model_corpus_and_sizes(exported):
    out, run, corpus = exported
    found = recorded_text_run(out)
    assert (found.length, found.batch_size, found.corpus) == (12, 3, corpus)
    assert found.checkpoints.template.config == run.template.config
    for mine, theirs in zip(found.checkpoints.model(2).parameters(), run.model(2).parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(found.stream(4, seed=5)(7)[0], TextStream(corpus, 4, 12, (5,))(7)[0])


def test_other_texts_and_other_streams_are_refused(exported, tmp_path):
    out, _, _ = exported
    record = json.loads((out / "training.json").read_text())
    for change, message in [
        ({"content": "0" * 64}, "trained on other texts than those installed"),
        (None, "was not trained on a TextStream"),
    ]:
        folder = tmp_path / message[:6]
        folder.mkdir()
        for file in out.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        changed = json.loads(json.dumps(record))
        if change:
            changed["stream"]["TextStream"]["corpus"].update(change)
        else:
            changed["stream"] = {"LanguageStream": {}}
        changed.pop("checksum", None)
        save_json(folder / "training.json", changed)
        with pytest.raises(ValueError, match=message):
            recorded_text_run(folder)
