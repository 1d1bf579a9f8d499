"""Prompts: Compel's syntax works, malformed ones are sentences, and nothing takes for ever."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from compel import Compel, CompelForSD
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import Engine, FrameSettings, PromptError
from pipeline.frames.codec import Frame
from pipeline.prompts.encoder import CACHED_PROMPTS, MOST_CHUNKS, PromptEncoder, TextEncoder
from tests.conftest import TEXT_WIDTH, tiny_text_encoder, tiny_tokenizer

# The tiny tokenizer has a token for each letter, so that 75 letters fill a chunk.
LONG = "a cat on a mat, a red house in the fog; " * 3
TOO_LONG = "a cat on a mat, a red house in the fog; " * 12


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    torch.manual_seed(0)
    return PromptEncoder([TextEncoder(tiny_tokenizer(), tiny_text_encoder())])


def test_plain_prompt_is_what_the_text_encoder_gives() -> None:
    tokenizer, text_encoder = tiny_tokenizer(), tiny_text_encoder()
    tokens = tokenizer("a red house", padding="max_length", truncation=True, return_tensors="pt").input_ids
    expected = text_encoder(tokens).last_hidden_state
    embeddings = PromptEncoder([TextEncoder(tokenizer, text_encoder)]).encode("a red house")
    torch.testing.assert_close(embeddings.tokens, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prompt", ["", "a", "a" * 75, "(neon)1.4 house", '("a", "b").blend(0.7, 0.3)', '5" é漢😀'])
def test_up_to_75_words_are_77_tokens_as_ever(encoder: PromptEncoder, prompt: str) -> None:
    embeddings = encoder.encode(prompt)
    assert embeddings.tokens.shape == (1, 77, TEXT_WIDTH)
    assert embeddings.pooled is None and embeddings.notice == ""
    (compel,) = encoder._compels
    cut = Compel(compel.conditioning_provider.tokenizer, compel.conditioning_provider.text_encoder)
    with torch.inference_mode():
        assert torch.equal(embeddings.tokens, cut(prompt))


@pytest.mark.parametrize(
    "prompt",
    ["a" * 76, LONG, f"{LONG} (neon)1.4 night", f"(fog)0.5 {LONG} (neon)0.6 night", f'("{LONG}", "a").blend(0.7, 0.3)'],
)
def test_a_long_prompt_goes_on_in_chunks_as_in_compel(encoder: PromptEncoder, prompt: str) -> None:
    (compel,) = encoder._compels
    pipe: Any = SimpleNamespace(
        tokenizer=compel.conditioning_provider.tokenizer, text_encoder=compel.conditioning_provider.text_encoder
    )
    embeddings = encoder.encode(prompt)
    assert embeddings.tokens.shape[1] in (2 * 77, 3 * 77) and embeddings.notice == ""
    with torch.inference_mode():
        torch.testing.assert_close(embeddings.tokens, CompelForSD(pipe)(prompt).embeds)


def test_words_of_every_chunk_act(encoder: PromptEncoder) -> None:
    one, other = (encoder.encode(f"{LONG} {word}").tokens for word in ("night", "(night)1.4"))
    assert one.shape == other.shape and torch.equal(one[:, :77], other[:, :77])
    assert not torch.equal(one[:, -77:], other[:, -77:])


@pytest.mark.parametrize(
    "prompt",
    [f"(fog)0.5 {TOO_LONG} (neon)0.6", "😀" * 1000, "one. " * 80,
     f'("{TOO_LONG}", "a").blend(0.7, 0.3)',
     f'("{TOO_LONG}", "{TOO_LONG}").and(1, 0.5)'],
)  # fmt: skip
def test_what_does_not_fit_into_four_chunks_is_left_out_and_told(encoder: PromptEncoder, prompt: str) -> None:
    embeddings = encoder.encode(prompt)
    assert embeddings.tokens.shape[1] <= MOST_CHUNKS * 77
    assert bool(embeddings.tokens.isfinite().all())
    assert re.search(r'"\S+" and what comes after it do not act.*shorten it', embeddings.notice)


def test_a_cut_prompt_keeps_all_that_fits(encoder: PromptEncoder) -> None:
    words = [f"w{number:03d}" for number in range(100)]
    cut = encoder.encode(" ".join(words))
    first_gone = words.index(cut.notice.split('"')[1])
    kept = encoder.encode(" ".join(words[:first_gone]))
    assert kept.notice == "" and torch.equal(kept.tokens, cut.tokens)
    assert encoder.encode(" ".join(words[: first_gone + 1])).notice
    assert cut.tokens.shape[1] == MOST_CHUNKS * 77


def test_a_cut_prompt_paints_and_says_so_until_it_is_shorter(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    cut, long, short = (FrameSettings(prompt=prompt) for prompt in (TOO_LONG, LONG, "a cat"))
    for wanted, told in ((cut, True), (cut.changed(steps=2), True), (long, False), (short, False)):
        assert bool(session.submit(frames[0], wanted).result(60).notice) is told
    for field in ("second_prompt", "negative_prompt"):
        acting = short.changed(**{field: TOO_LONG}, guidance=2.0, prompt_blend=0.5)
        assert "do not act" in session.submit(frames[0], acting).result(60).notice


def test_short_and_long_prompts_work_side_by_side(engine: Engine, frames: list[Frame]) -> None:
    """In one frame's rows, and in the frames of two sessions, which are under way at once but share no UNet call."""
    both = FrameSettings(prompt="a cat", negative_prompt=LONG, guidance=2.0)
    short, long = FrameSettings(prompt="a cat"), FrameSettings(prompt=LONG)
    alone = [np.asarray(engine.open().translate(frames[0], each)) for each in (both, short, long)]
    sessions = [engine.open() for _ in alone]
    futures = [each.submit(frames[0], wanted) for each, wanted in zip(sessions, (both, short, long), strict=True)]
    together = [future.result(60).picture for future in futures]
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    assert not np.array_equal(alone[1], alone[2])


def test_weights_act(encoder: PromptEncoder) -> None:
    plain, more, less = (encoder.encode(each).tokens for each in ("neon house", "(neon)1.4 house", "(neon)0.5 house"))
    assert not torch.allclose(plain, more) and not torch.allclose(plain, less)


def test_a_blend_is_the_weighted_mean(encoder: PromptEncoder) -> None:
    blend, house, boat = (
        encoder.encode(each).tokens for each in ('("house", "boat").blend(0.75, 0.25)', "house", "boat")
    )
    torch.testing.assert_close(blend, 0.75 * house + 0.25 * boat)


def test_a_conjunction_is_longer_and_a_batch_of_one_length(encoder: PromptEncoder) -> None:
    conjunction = '("house", "boat").and()'
    assert encoder.encode(conjunction).tokens.shape[1] == 2 * 77
    batch = encoder.encode_batch((conjunction, "ugly"))
    assert batch.tokens.shape == (2, 2 * 77, TEXT_WIDTH)
    assert torch.equal(batch.tokens[1:, 77:], encoder.encode("").tokens)


@pytest.mark.parametrize(
    "prompt",
    [
        '("a", "b").blend(0.7',
        '("a", "b").blend(0.7)',
        '("a", "b").blend(0, 0)',
        '("a", "b").nothing(1)',
        '("a", "b").blend(1, 1) and more',
        '"cat".swap("dog")',
        "a withLora(x, 1)",
        "()",
        "(cat",
        "cat)",
        ")(",
        "(a)1000",
        '("a", "b", "c", "d", "e").and()',
        "(" * 9 + "a" + ")" * 9,
        "\ud800",
        "(a)0.9 (b)0.8 " * 45,
        f"({', '.join('a' * 100)})".replace("a", '"a"') + f".blend({', '.join('1' * 100)})",
    ],
)
def test_malformed_prompts_are_sentences(encoder: PromptEncoder, prompt: str) -> None:
    with pytest.raises(PromptError, match="came with|came in") as raised:
        encoder.encode(prompt)
    assert "needed" in str(raised.value)


@pytest.mark.parametrize(
    "prompt",
    ["(" * 8 + "a" + ")" * 8, "((((a))))" * 40, "(a (b)1.2 c)1.1 " * 50, '("a", ' * 8 + ")" * 8],
)
def test_nested_prompts_take_no_exponential_time(encoder: PromptEncoder, prompt: str) -> None:
    start = time.process_time()
    embeds_or_says_why(encoder, prompt)
    assert time.process_time() - start < 5


def embeds_or_says_why(encoder: PromptEncoder, prompt: str) -> None:
    try:
        embeddings = encoder.encode(prompt)
    except PromptError as error:
        assert "needed" in str(error)
    else:
        tokens = embeddings.tokens
        assert tokens.shape[1] % 77 == 0 and bool(tokens.isfinite().all())


SYNTAX = st.sampled_from(
    ["(", ")", '"', "'", ",", ".", "+", "-", "\\", " ", "1", "0.5", "-2", "cat", "a", ".blend(", ".and()", ".swap(",
     "\n", "a, b. c d " * 9, "withLora(", "[", "]", "{", "}", ":", "nan", "inf", "1e9", '("a", "b")', "(a)1.2"]
)  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=60), st.lists(SYNTAX, max_size=14).map("".join)))
def test_any_text_is_an_embedding_or_a_sentence(encoder: PromptEncoder, prompt: str) -> None:
    embeds_or_says_why(encoder, prompt)


def test_prompts_are_cached_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = PromptEncoder([TextEncoder(tiny_tokenizer(), tiny_text_encoder())])
    first = encoder.encode("first")
    assert encoder.encode("first") is first
    for index in range(CACHED_PROMPTS - 1):
        encoder.encode(f"prompt {index}")
    assert encoder.encode("first") is first
    for index in range(CACHED_PROMPTS):
        encoder.encode(f"other {index}")
    assert encoder.encode("first") is not first


def test_words_that_were_never_taught_are_left_out_where_that_can_be_told() -> None:
    tokenizer, encoder = tiny_tokenizer(), tiny_text_encoder()
    tokenizer.add_tokens(["redish"])
    whole, any_words = (TextEncoder(tokenizer, encoder, whole_words=each) for each in (True, False))
    text = "a redish zuqvorpli, ukiyo-e don't 8-bit"
    assert any_words.without_unknown(text) == text
    assert whole.without_unknown("redish, zuqvorpli, xantiquor, redish, quenfild") == "redish, redish"
    assert whole.without_unknown("redish, ") == "redish, "
    kept = whole.without_unknown(text)
    assert "redish" in kept and "zuqvorpli" not in kept
    assert all(each in kept for each in ("ukiyo-e", "don't", "8-bit", ", "))
