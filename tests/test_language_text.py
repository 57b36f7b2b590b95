"""Texts, tokenizer, streams of batches and the next-token loss."""

import gzip
import io
import json
import math
import tarfile

import numpy as np
import pytest
import torch

from devinterp_core.language.corpora import documents
from devinterp_core.language.loss import check_tokens, next_token_loss, next_token_losses
from devinterp_core.language.stream import LanguageStream, TextStream, text_sequences
from devinterp_core.language.synthetic import SyntheticLanguage
from devinterp_core.language.tokenizer import HELD_OUT_EVERY, text_corpus, train_tokenizer

WORDS = ["river", "stone", "light", "winter", "bridge", "garden", "letter", "morning"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty documents whose words follow each other in a known order."""
    path = tmp_path_factory.mktemp("texts")
    for index in range(40):
        text = " ".join(WORDS[(index + step * (1 + index % 3)) % 8] + str(step * index % 97) for step in range(300))
        (path / f"{index:02}.txt").write_text(f"document {index}: {text}", "utf8")
    return path


@pytest.fixture(scope="module")
def corpus(folder):
    return text_corpus((f"folder:{folder}",), num_tokens=300)


def test_folder_documents_come_in_order_and_only_once(folder):
    found = documents(f"folder:{folder}")
    assert [int(text.split()[1][:-1]) for text in found] == list(range(40))
    assert documents(f"folder:{folder}", limit=3) == found[:3]


def test_a_debian_package_is_read_without_installing_it(tmp_path):
    members = {
        "./usr/share/doc/book/a.html": b"<p>first &amp; <b>bold</b></p><script>no()</script>",
        "./usr/share/doc/book/b.txt.gz": gzip.compress("zweites, größer".encode("latin-1")),
        "./usr/share/doc/book/copyright": b"a licence",
        "./usr/share/doc/book/changelog.gz": gzip.compress(b"changes"),
        "./usr/bin/book.txt": b"elsewhere",
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    package = tmp_path / "book.deb"
    with package.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in (("debian-binary", b"2.0"), ("data.tar.xz", data.getvalue())):
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content)
            file.write(b"\n" * (len(content) % 2))
    first, second = documents(f"debian:{package}")
    assert first.split() == ["first", "&", "bold"]
    assert second == "zweites, größer"


def test_data_in_the_hubs_format_is_streamed(tmp_path):
    rows = [{"meta": {"source": index}, "text": f"row {index}"} for index in range(5)]
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf8")
    assert documents(f"huggingface:{tmp_path}", limit=4) == [f"row {index}" for index in range(4)]
    (tmp_path / "train.jsonl").write_text(json.dumps({"number": 3}), "utf8")
    with pytest.raises(ValueError, match="no column.*'number'"):
        documents(f"huggingface:{tmp_path}")


def test_the_declared_texts_are_there():
    assert len(documents("prose", limit=3)) == 3
    code = documents("code", limit=30)
    assert sum("import" in text for text in code) > 15


@pytest.mark.parametrize(
    ("source", "message"),
    [("poems", "unknown source"), ("folder:", "unknown source"), ("folder:nowhere", "not a folder")],
)
def test_unknown_sources_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        documents(source)


def test_an_empty_corpus_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(ValueError, match="holds no text"):
        text_corpus((f"folder:{tmp_path}",))
    with pytest.raises(ValueError, match="corpus is empty"):
        train_tokenizer([""], 300)
    with pytest.raises(ValueError, match="at least 257"):
        train_tokenizer(["some text"], 200)
    with pytest.raises(ValueError, match="give more text"):
        train_tokenizer(["some text"], 5000)
    (tmp_path / "b.deb").write_bytes(b"not one")
    with pytest.raises(ValueError, match="not a Debian package"):
        documents(f"debian:{tmp_path / 'b.deb'}")


def test_the_tokenizer_loses_nothing_and_is_the_same_twice(folder):
    texts = documents(f"folder:{folder}")
    first, second = (train_tokenizer(texts, 320) for _ in range(2))
    strange = "größer, 漢字 \t\n river12"
    assert first.decode(first.encode(strange).ids) == strange
    assert first.to_str() == second.to_str()
    assert first.token_to_id("<bos>") == 0
    assert first.get_vocab_size() == 320


def test_held_out_documents_are_not_trained_on(corpus, folder):
    source = corpus.sources[0]
    tokenizer = corpus.tokenizer()
    held_out, training = (tokenizer.decode(corpus.tokens(source, kept).tolist()) for kept in (True, False))
    for index in range(40):
        assert (f"document {index}:" in held_out) == (index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)
        assert (f"document {index}:" in training) == (index % HELD_OUT_EVERY != HELD_OUT_EVERY - 1)
    assert int((corpus.tokens(source) == 0).sum()) == 38  # one <bos> a document
    texts = documents(f"folder:{folder}")
    own = [texts[i] for i in (19, 39)]
    count = sum(len(tokenizer.encode(text).ids) for text in own)
    assert corpus.bytes_per_token(source) == pytest.approx(sum(len(t.encode()) for t in own) / count)


def test_sequences_are_pieces_of_the_text(corpus):
    source = corpus.sources[0]
    tokens = corpus.tokens(source)
    rows = text_sequences(corpus, source, 20, 12, seed=3)
    assert rows.shape == (20, 12)
    assert (rows[:, 0] == 0).all()
    windows = {tuple(w) for w in np.lib.stride_tricks.sliding_window_view(tokens, 11)}
    assert all(tuple(row[1:].tolist()) in windows for row in rows)
    assert torch.equal(rows, text_sequences(corpus, source, 20, 12, seed=3))
    assert not torch.equal(rows, text_sequences(corpus, source, 20, 12, seed=4))
    whole = text_sequences(corpus, source, 2, len(tokens) + 1, seed=0)
    assert torch.equal(whole[0, 1:], torch.from_numpy(tokens.astype(np.int64)))
    with pytest.raises(ValueError, match="too few for sequences"):
        text_sequences(corpus, source, 1, len(tokens) + 2, seed=0)
    with pytest.raises(ValueError, match="length >= 2"):
        text_sequences(corpus, source, 1, 1, seed=0)


def test_a_stream_mixes_its_sources_and_differs_by_step_and_seed(folder, tmp_path):
    for index in range(20):
        (tmp_path / f"{index:02}.txt").write_text("0123456789 " * 200)
    corpus = text_corpus((f"folder:{folder}", f"folder:{tmp_path}"), num_tokens=300)
    stream = TextStream(corpus, batch_size=5, length=16, seeds=(0, 1))
    (batch,) = stream(7)
    assert batch.shape == (2, 5, 16)
    digits = {int(t) for t in corpus.tokens(corpus.sources[1])}
    of_digits = [set(row.tolist()) <= digits for row in batch[0]]
    assert of_digits == [False, False, True, True, True]
    assert torch.equal(batch, stream(7)[0])
    assert not torch.equal(batch, stream(8)[0])
    assert not torch.equal(batch[0], batch[1])
    with pytest.raises(ValueError, match="each of the 2 sources"):
        TextStream(corpus, batch_size=1, length=16)
    with pytest.raises(ValueError, match="none of them twice"):
        text_corpus(("code", "code"))


def test_another_content_is_another_corpus(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    first = text_corpus((f"folder:{tmp_path}",), num_tokens=300)
    (tmp_path / "a.txt").write_text("two")
    from devinterp_core.language import tokenizer

    tokenizer._documents.cache_clear()
    assert text_corpus((f"folder:{tmp_path}",), num_tokens=300).content != first.content


class Fixed(torch.nn.Module):
    """A model with given logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, tokens):
        return self.logits


def test_losses_are_the_cross_entropy_of_the_next_token():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 6, 11, generator=generator, dtype=torch.float64)
    tokens = torch.randint(11, (3, 6), generator=generator)
    losses = next_token_losses(logits, tokens)
    expected = -logits.log_softmax(-1)[1, 2, tokens[1, 3]]
    assert losses[1, 2] == pytest.approx(float(expected), abs=1e-12)
    uniform = next_token_loss(Fixed(torch.zeros(3, 6, 11)), (tokens,))
    assert torch.allclose(uniform, torch.full((3,), math.log(11)))
    assert torch.equal(next_token_loss(Fixed(logits), tokens), losses.mean(1))
    with pytest.raises(ValueError, match="do not predict"):
        next_token_losses(logits[:, :1], tokens[:, :1])


def test_tokens_out_of_range_are_refused():
    check_tokens(torch.tensor([[0, 10]]), 11)
    with pytest.raises(ValueError, match="token 11 is outside the vocabulary of 11"):
        check_tokens(torch.tensor([[0, 11]]), 11)
    with pytest.raises(ValueError, match="token -1"):
        check_tokens(torch.tensor([[-1, 1]]), 11)
    with pytest.raises(ValueError, match="empty"):
        check_tokens(torch.zeros(0, 4, dtype=torch.int64), 11)


def test_a_stream_of_languages_gives_each_model_its_own():
    languages = tuple(SyntheticLanguage(num_trigram_rules=count) for count in (0, 100))
    stream = LanguageStream(languages, batch_size=3, length=40, seeds=(5, 5))
    (batch,) = stream(2)
    assert batch.shape == (2, 3, 40)
    assert torch.equal(batch, stream(2)[0])
    assert not torch.equal(batch, stream(3)[0])
    alone = LanguageStream(languages[1:], batch_size=3, length=40, seeds=(5,))
    assert torch.equal(alone(2)[0][0], batch[1])
    with pytest.raises(ValueError, match="one seed for each"):
        LanguageStream(languages, batch_size=3, length=40)
    with pytest.raises(ValueError, match="vocabularies of one size"):
        LanguageStream((SyntheticLanguage(), SyntheticLanguage(num_words=70)), 3, 40, seeds=(0, 1))


def test_repeated_passages_stand_twice_and_the_rest_is_as_without(corpus):
    plain = TextStream(corpus, batch_size=200, length=64, seeds=(3,))
    (before,), (after,) = plain(4), TextStream(corpus, batch_size=200, length=64, seeds=(3,), repeat_share=0.4)(4)
    changed = 0
    for old, new in zip(before[0], after[0], strict=True):
        places = (old != new).nonzero().flatten()
        if not len(places):
            continue
        changed += 1
        span = new[places[0] : places[-1] + 1]  # what was written lies in the copied passage
        windows = new[: int(places[0])].unfold(0, len(span), 1)
        assert (windows == span).all(1).any() and old[0] == new[0] == 0
        assert len(span) < 32
    assert abs(changed - 80) < 4 * (200 * 0.4 * 0.6) ** 0.5
    with pytest.raises(ValueError, match="repeat_share lies in 0..1 and needs sequences of 36"):
        TextStream(corpus, batch_size=2, length=35, repeat_share=0.5)
    with pytest.raises(ValueError, match="repeat_share lies in 0..1"):
        TextStream(corpus, batch_size=2, length=64, repeat_share=1.5)


def test_a_part_of_the_tokens_is_evenly_spaced_documents(corpus):
    source = corpus.sources[0]
    whole, part = corpus.tokens(source), corpus.tokens(source, about=len(corpus.tokens(source)) // 4)
    assert len(whole) / 8 < len(part) < len(whole) / 2
    documents_of = [np.split(each, np.flatnonzero(each == 0)[1:]) for each in (whole, part)]
    kept = [i for i, text in enumerate(documents_of[0]) if any(np.array_equal(text, own) for own in documents_of[1])]
    assert len(kept) == len(documents_of[1]) and len(set(np.diff(kept))) == 1
    assert np.array_equal(corpus.tokens(source, about=10**9), whole)
