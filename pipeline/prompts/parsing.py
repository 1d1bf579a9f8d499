"""A prompt as Compel's tree of parts and weights, checked; for a malformed one, a sentence that says what to do."""

from __future__ import annotations

import re
from typing import Any

import pyparsing
from compel import Compel, PromptParser
from compel.prompt_parser import Blend, Conjunction, FlattenedPrompt

from pipeline.errors import PromptError
from pipeline.prompts.notations import plain

DEEPEST_NESTING = 8
HIGHEST_WEIGHT = 10.0
MOST_PARTS = 4

# What Compel's parser and its tree of prompts are known to raise on odd input.
COMPEL_ERRORS = (
    PromptParser.ParsingException,
    pyparsing.ParseBaseException,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_OPERATOR = re.compile(r"(?<!\S)\.(?:\w+|\s*(?:blend|swap|attend))\s*\(")
_OPERAND = re.compile(r"[)\"]\s*\.")


def parsed(prompt: str) -> Conjunction:
    """Compel's tree of the text of a `Reading`, its masked signs put back; raises `PromptError`."""
    _check_parentheses(prompt)
    try:
        prompt.encode()
        conjunction = Compel.parse_prompt_string(prompt)
    except COMPEL_ERRORS as error:
        raise not_understood(error) from error
    if not conjunction.prompts:
        raise PromptError("the prompt came with nothing between its parentheses; needed: words. Write some.")
    if len(conjunction.prompts) > MOST_PARTS:
        raise PromptError(
            f"the prompt came with {len(conjunction.prompts)} parts in .and(); needed: at most {MOST_PARTS}. Join some."
        )
    if conjunction.lora_weights:
        raise PromptError("the prompt came with withLora(); needed: a prompt without it. Take it out.")
    for flat in flat_prompts(conjunction):
        _check_fragments(flat, may_have_operators=bool(_OPERAND.search(prompt)))
        for fragment in flat.children:
            fragment.text = plain(fragment.text)
    return conjunction


def _check_parentheses(prompt: str) -> None:
    depth = 0
    for bracket in re.findall(r"(?<!\\)[()]", prompt):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            break
        if depth > DEEPEST_NESTING:
            raise PromptError(
                f"the prompt came with more than {DEEPEST_NESTING} nested parentheses; "
                "needed: fewer. Write one weight such as (neon)1.4 instead."
            )
    if depth != 0:
        raise PromptError(
            f"the prompt came with a {'(' if depth > 0 else ')'} that has no partner; needed: pairs. "
            "Close it, or write \\( or \\) for a plain one."
        )


def flat_prompts(conjunction: Conjunction) -> list[FlattenedPrompt]:
    """All prompts of a tree, those of its blends one by one."""
    return [flat for part in conjunction.prompts for flat in (part.prompts if isinstance(part, Blend) else [part])]


def _check_fragments(flat: FlattenedPrompt, may_have_operators: bool) -> None:
    if flat.wants_cross_attention_control:
        raise PromptError('the prompt came with .swap(); needed: a prompt without it. Use ("a", "b").blend(0.5, 0.5).')
    for fragment in flat.children:
        # Compel reads an operator that it does not understand as plain words.
        if may_have_operators and _OPERATOR.search(fragment.text):
            raise PromptError(
                f"the prompt came with {plain(fragment.text).strip()!r}, which is no known operator; needed: "
                '("a", "b").blend(0.7, 0.3) or ("a", "b").and(). Check quotes, dots and parentheses.'
            )
        if not abs(fragment.weight) <= HIGHEST_WEIGHT:
            raise PromptError(
                f"the prompt came with a weight of {fragment.weight:g}; needed: at most {HIGHEST_WEIGHT:g}. Lower it."
            )


def not_understood(error: Any) -> PromptError:
    """The sentence for whatever Compel raised."""
    return PromptError(
        f"the prompt came in a form that cannot be understood ({type(error).__name__}: {str(error)[:200]}); needed: "
        'plain words, weights such as (neon)1.4, or ("a", "b").blend(0.7, 0.3). Check quotes and parentheses.'
    )
