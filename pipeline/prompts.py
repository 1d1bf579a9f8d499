"""Prompt to embedding by Compel: weights, blends and conjunctions, malformed prompts as sentences, a small cache."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyparsing
import torch
from compel import Compel, PromptParser
from compel.embeddings_provider import BaseTextualInversionManager
from compel.prompt_parser import Blend, Conjunction, FlattenedPrompt
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.errors import PromptError

CACHED_PROMPTS = 32
DEEPEST_NESTING = 8
HIGHEST_WEIGHT = 10.0
MOST_PARTS = 4

# What Compel's parser and its tree of prompts are known to raise on odd input.
_COMPEL_ERRORS = (
    PromptParser.ParsingException,
    pyparsing.ParseBaseException,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_OPERATOR = re.compile(r"\.\s*\w+\s*\(")


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A text encoder and the tokenizer whose numbers it reads.

    `expansions` has all the numbers that stand for a learned word of several vectors, by the first of them, which is
    the one that the tokenizer gives.
    """

    tokenizer: CLIPTokenizer
    model: CLIPTextModel
    expansions: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LearnedWords(BaseTextualInversionManager):  # type: ignore[misc]  # Compel has no types
    """What Compel asks about learned words of several vectors."""

    expansions: Mapping[int, tuple[int, ...]]

    def expand_textual_inversion_token_ids_if_necessary(self, token_ids: list[int]) -> list[int]:
        """The numbers of a text with all those of each learned word."""
        return [number for each in token_ids for number in self.expansions.get(each, (each,))]


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """Prompts as a UNet reads them: `tokens` `[B, L, C]`, one row a prompt."""

    tokens: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def shape(self) -> tuple[int, ...]:
        """What rows must have in common to share a UNet call."""
        return tuple(self.tokens.shape[1:])

    def to(self, device: torch.device, dtype: torch.dtype) -> PromptEmbeddings:
        """The same on another device, in another dtype."""
        return PromptEmbeddings(self.tokens.to(device, dtype))

    @classmethod
    def joined(cls, rows: Sequence[PromptEmbeddings]) -> PromptEmbeddings:
        """All rows as one batch; they are of one `shape`."""
        return cls(torch.cat([each.tokens for each in rows]))


class PromptEncoder:
    """Encodes prompts with a model's text encoders and remembers the last 32. One thread at a time may use it."""

    def __init__(self, encoders: Sequence[TextEncoder]) -> None:
        # Without memoization Compel's grammar takes a time exponential in the depth of parentheses: minutes for nine.
        pyparsing.ParserElement.enable_packrat()
        self._encoders = tuple(encoders)
        self.forget()

    def forget(self) -> None:
        """Drop what was encoded so far: a text encoder has changed."""
        (encoder,) = self._encoders
        # A new one, because Compel remembers the empty prompt.
        self._compel = Compel(encoder.tokenizer, encoder.model, LearnedWords(encoder.expansions))
        self._cache: OrderedDict[str, PromptEmbeddings] = OrderedDict()

    def encode(self, prompt: str) -> PromptEmbeddings:
        """Prompt embeddings, tokens `[1, 77, C]`, or `[1, 77 * parts, C]` for an `.and()`; too long a part is cut.

        Raises `PromptError` for a prompt that cannot be understood.
        """
        if prompt in self._cache:
            self._cache.move_to_end(prompt)
            return self._cache[prompt]
        embeddings = PromptEmbeddings(self._encoded(_parsed(prompt)))
        self._cache[prompt] = embeddings
        if len(self._cache) > CACHED_PROMPTS:
            self._cache.popitem(last=False)
        return embeddings

    def encode_batch(self, prompts: Sequence[str]) -> PromptEmbeddings:
        """One row a prompt, the shorter ones continued with tokens of the empty prompt."""
        rows = [self.encode(prompt) for prompt in prompts]
        longest = max(row.tokens.shape[1] for row in rows)
        return PromptEmbeddings.joined([self._continued(row, longest) for row in rows])

    def _continued(self, embeddings: PromptEmbeddings, length: int) -> PromptEmbeddings:
        tokens = embeddings.tokens
        while tokens.shape[1] < length:
            tokens = torch.cat([tokens, self.encode("").tokens], dim=1)
        return replace(embeddings, tokens=tokens)

    def _encoded(self, conjunction: Conjunction) -> Tensor:
        embeddings: Tensor
        try:
            with torch.inference_mode():
                embeddings, _ = self._compel.build_conditioning_tensor_for_conjunction(conjunction)
        except _COMPEL_ERRORS as error:
            raise _not_understood(error) from error
        if not bool(embeddings.isfinite().all()):
            raise PromptError(
                "the prompt came with weights that cancel out; needed: weights whose sum is not zero. Raise one."
            )
        return embeddings


def _parsed(prompt: str) -> Conjunction:
    """Compel's tree of a prompt; raises `PromptError`."""
    _check_parentheses(prompt)
    try:
        prompt.encode()
        conjunction = Compel.parse_prompt_string(prompt)
    except _COMPEL_ERRORS as error:
        raise _not_understood(error) from error
    if len(conjunction.prompts) > MOST_PARTS:
        raise PromptError(
            f"the prompt came with {len(conjunction.prompts)} parts in .and(); needed: at most {MOST_PARTS}. Join some."
        )
    if conjunction.lora_weights:
        raise PromptError("the prompt came with withLora(); needed: a prompt without it. Take it out.")
    for flat in _flat_prompts(conjunction):
        _check_fragments(flat)
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


def _flat_prompts(conjunction: Conjunction) -> list[FlattenedPrompt]:
    return [flat for part in conjunction.prompts for flat in (part.prompts if isinstance(part, Blend) else [part])]


def _check_fragments(flat: FlattenedPrompt) -> None:
    if flat.wants_cross_attention_control:
        raise PromptError('the prompt came with .swap(); needed: a prompt without it. Use ("a", "b").blend(0.5, 0.5).')
    for fragment in flat.children:
        # Compel reads an operator that it does not understand as plain words.
        if _OPERATOR.search(fragment.text):
            raise PromptError(
                f"the prompt came with {fragment.text.strip()!r}, which is no known operator; needed: "
                '("a", "b").blend(0.7, 0.3) or ("a", "b").and(). Check quotes, dots and parentheses.'
            )
        if not abs(fragment.weight) <= HIGHEST_WEIGHT:
            raise PromptError(
                f"the prompt came with a weight of {fragment.weight:g}; needed: at most {HIGHEST_WEIGHT:g}. Lower it."
            )


def _not_understood(error: Any) -> PromptError:
    return PromptError(
        f"the prompt came in a form that cannot be understood ({type(error).__name__}: {str(error)[:200]}); needed: "
        'plain words, weights such as (neon)1.4, or ("a", "b").blend(0.7, 0.3). Check quotes and parentheses.'
    )
