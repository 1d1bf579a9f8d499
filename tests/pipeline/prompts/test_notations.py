"""What the web UIs' notations mean, that Compel's own stays, and that words are never taken for either."""

from __future__ import annotations

import pytest

from pipeline import PromptError
from pipeline.prompts.encoder import PromptEncoder, TextEncoder
from pipeline.prompts.notations import StyleTag, escaped, plain, reading
from pipeline.prompts.parsing import flat_prompts, parsed
from tests.conftest import tiny_text_encoder, tiny_tokenizer


def weighed(prompt: str) -> list[tuple[str, float]]:
    """The texts and weights that a prompt comes to."""
    flats = flat_prompts(parsed(reading(prompt).text))
    return [(each.text, round(each.weight, 3)) for flat in flats for each in flat.children]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat, (neon lights:1.4)", [("a cat,", 1), ("neon lights", 1.4)]),
        ("(fog: .5 ) hills", [("fog", 0.5), ("hills", 1)]),
        ("[blurry] cat", [("blurry", 0.909), ("cat", 1)]),
        ("[[blurry]]", [("blurry", 0.826)]),
        ("((gold:1.2) ring:1.1), x", [("gold", 1.32), ("ring", 1.1), (", x", 1)]),
        ("(a:1.2)(b:1.3)[c]d", [("a", 1.2), ("b", 1.3), ("c", 0.909), ("d", 1)]),
        ("fox(red:1.3)tail", [("fox", 1), ("red", 1.3), ("tail", 1)]),
        ("(photo - realistic = true:1.3)", [("photo - realistic = true", 1.3)]),
        ('(5" nails:1.2)', [('5" nails', 1.2)]),
        (r"(rei \(eva\):1.2)", [("rei (eva)", 1.2)]),
        ('("(neon:1.3) house", "boat").blend(0.5, 0.5)', [("neon", 1.3), ("house", 1), ("boat", 1)]),
    ],
)
def test_weights_are_those_of_the_web_uis(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert weighed(prompt) == expected and reading(prompt).notes == ()


@pytest.mark.parametrize(
    "prompt", ["(neon)1.4 house", "cat++ dog-", "(a)+ b", "(a b).attend(1.4)", '("a", "b").blend(-0.1, 1)',
               '("a", "b").and(1, 0.5)', "a cat, 5\" tall", "C++ f/1.8 sd-1.5"]
)  # fmt: skip
def test_compels_own_notation_stays(prompt: str) -> None:
    assert escaped(reading(prompt).text).replace('\\"', '"') == prompt and reading(prompt).notes == ()


@pytest.mark.parametrize(
    "prompt",
    [r"dr. mario \(game\), watercolor", "Mr. Bean(actor)", "U.S.A.(flag)", r"no.1 \(best\)", r"\[x\] y", "a [b", "b]"],
)
def test_words_with_dots_and_brackets_are_words(prompt: str) -> None:
    ((text, weight),) = weighed(prompt)
    assert (text, weight) == (prompt.replace("\\", ""), 1) and reading(prompt).notes == ()


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("(fluffy). and (bold)", "fluffy . and bold"),
        ("(semi)-realistic", "semi -realistic"),
        ("(16:9) a cat", "16:9 a cat"),
        ("[cat:dog:0.5]", "[cat:dog:0.5]"),
        ("a BREAK b", "a BREAK b"),
        ("a <hypernet:x:1>", "a"),
    ],
)
def test_what_is_read_otherwise_than_it_looks_is_said(prompt: str, texts: str) -> None:
    assert weighed(prompt) == [(texts, 1)] and len(reading(prompt).notes) == 1


@pytest.mark.parametrize("prompt", ["(blurry)-0.5 cat", "(blurry:-0.5)", "(neon)+1.2"])
def test_a_weight_with_a_sign_is_refused(prompt: str) -> None:
    with pytest.raises(PromptError, match="without a sign"):
        reading(prompt)


@pytest.mark.parametrize(
    ("tag", "style"),
    [
        ("<lora:ink:0.8>", ("ink", 0.8)),
        ("<lora:ink>", ("ink", 1.0)),
        ("<lyco:my ink:1:0.5>", ("my ink", 1.0)),
        ("<lora:ink:te=0.2:unet=0.7>", ("ink", 0.7)),
    ],
)
def test_a_lora_is_asked_for_and_is_no_word(tag: str, style: tuple[str, float]) -> None:
    read = reading(f"a cat {tag}")
    assert plain(read.text) == "a cat" and read.styles == (StyleTag(*style),)


def test_a_lora_that_nobody_offers_is_said_and_one_that_is_there_is_not() -> None:
    encoder = PromptEncoder([TextEncoder(tiny_tokenizer(), tiny_text_encoder())])
    assert "this host has none" in encoder.encode("a <lora:ink:0.8>").notice
    encoder.offer(["Ink", "Lace"])
    assert encoder.encode("a cat <lora:ink:0.7>").notice == ""
    assert "there are Ink, Lace" in encoder.encode("a <lora:oil:0.8>").notice
