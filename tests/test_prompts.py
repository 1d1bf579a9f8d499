"""Prompts: Compel's syntax works, malformed ones are sentences, and nothing takes for ever."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PromptError
from pipeline.prompts import CACHED_PROMPTS, PromptEncoder, TextEncoder
from tests.conftest import TEXT_WIDTH, tiny_text_encoder, tiny_tokenizer


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


@pytest.mark.parametrize(
    "prompt", ["", "a", "a cat " * 100, "(neon)1.4 house", '("a", "b").blend(0.7, 0.3)', '5" é漢😀']
)
def test_embeddings_have_77_tokens(encoder: PromptEncoder, prompt: str) -> None:
    assert encoder.encode(prompt).tokens.shape == (1, 77, TEXT_WIDTH)


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
    start = time.perf_counter()
    embeds_or_says_why(encoder, prompt)
    assert time.perf_counter() - start < 5


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
     "\n", "withLora(", "[", "]", "{", "}", ":", "nan", "inf", "1e9", '("a", "b")', "(a)1.2"]
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
