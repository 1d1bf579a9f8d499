"""Prompt to embedding by Compel: weights, blends and conjunctions, long prompts, a small cache."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyparsing
import torch
from compel import Compel, ReturnedEmbeddingsType
from compel.embeddings_provider import BaseTextualInversionManager
from compel.prompt_parser import Conjunction, FlattenedPrompt, Fragment
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.errors import ModelError, PromptError
from pipeline.prompts.blend import blended
from pipeline.prompts.embeddings import PromptEmbeddings, continued, zeros
from pipeline.prompts.notations import StyleTag, escaped, named, quoted, reading
from pipeline.prompts.parsing import COMPEL_ERRORS, flat_prompts, not_understood, parsed
from pipeline.settings import PromptBlend

CACHED_PROMPTS = 32
MOST_READINGS = 80
"""By a text encoder, of one chunk each, for one prompt: everybody waits for them."""
MOST_CHUNKS = 4
"""Of 77 tokens each, for all parts of a prompt together: what a UNet's cross-attention reads grows with them."""
_PIECES = re.compile(r"\s*\S{1,20}")
_WORD = re.compile(r"(?<![\w'’-])[^\W\d_]+(?![\w'’-])")
"""Of letters alone: what a hyphen or an apostrophe holds together is several tokens to any tokenizer."""
_COMMAS = re.compile(r",\s*(?=,|$)")


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A text encoder and the tokenizer whose numbers it reads.

    `expansions` has all the numbers that stand for a learned word of several vectors, by the first of them, which is
    the one that the tokenizer gives. `whole_words` says that a word of several tokens was never taught.
    """

    tokenizer: CLIPTokenizer
    model: CLIPTextModel | CLIPTextModelWithProjection
    expansions: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    whole_words: bool = False

    def without_unknown(self, text: str) -> str:
        """The text without words that were never taught, where that can be told, and commas that held only these."""
        if not self.whole_words:
            return text
        known = _WORD.sub(lambda word: word[0] if self._knows(word[0]) else "", text)
        return text if known == text else _COMMAS.sub("", known)

    def _knows(self, word: str) -> bool:
        return len(self.tokenizer(word, add_special_tokens=False).input_ids) == 1


@dataclass(frozen=True)
class LearnedWords(BaseTextualInversionManager):  # type: ignore[misc]  # Compel has no types
    """What Compel asks about learned words of several vectors."""

    expansions: Mapping[int, tuple[int, ...]]

    def expand_textual_inversion_token_ids_if_necessary(self, token_ids: list[int]) -> list[int]:
        """The numbers of a text with all those of each learned word."""
        return [number for each in token_ids for number in self.expansions.get(each, (each,))]


class PromptEncoder:
    """Encodes prompts with a model's text encoders and remembers the last 32. One thread at a time may use it.

    One encoder is Stable Diffusion's: a UNet reads its last hidden states (in version 2 those are CLIP's last but one,
    because its files leave the last layer out). Two are Stable Diffusion XL's (section 2.1 of arXiv 2307.01952): the
    last but one of both, side by side, and the second one's pooled embedding. Both ways are Compel's, `CompelForSD` and
    `CompelForSDXL`.
    """

    def __init__(self, encoders: Sequence[TextEncoder]) -> None:
        """Raises `ModelError` for any other number of encoders."""
        if len(encoders) not in (1, 2):
            raise ModelError(
                f"the model came with {len(encoders)} text encoders; needed: Stable Diffusion's one, or the two of "
                "Stable Diffusion XL. Take another model."
            )
        # Without memoization Compel's grammar takes a time exponential in the depth of parentheses: minutes for nine.
        pyparsing.ParserElement.enable_packrat()
        self._is_xl = len(encoders) == 2
        self._encoders = tuple(encoders)
        self.readings = 0
        """Of chunks, by a text encoder, so far: what prompts have cost."""
        self.styles: tuple[str, ...] = ()
        self.forget()

    def offer(self, styles: Sequence[str]) -> None:
        """Before the first prompt: the names of the LoRA that one may ask for by `<lora:name:0.8>`. Whoever offers them
        picks them."""
        self.styles = tuple(styles)

    def forget(self) -> None:
        """Drop what was encoded so far: a text encoder has changed."""
        # New ones, because Compel remembers the empty prompt.
        self._compels = [
            Compel(
                each.tokenizer,
                each.model,
                LearnedWords(each.expansions),
                truncate_long_prompts=False,
                returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
                if self._is_xl
                else ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED,
            )
            for each in self._encoders
        ]
        self._cache: OrderedDict[str, PromptEmbeddings | PromptError] = OrderedDict()

    def knows(self, prompt: str) -> bool:
        """Whether `encode` has its answer at once."""
        return prompt in self._cache

    def encode(self, prompt: str) -> PromptEmbeddings:
        """Prompt embeddings, tokens `[1, 77 * chunks, C]`, with a pooled `[1, P]` where the model has two encoders.

        A prompt of more than 75 tokens goes on in further chunks, as Compel splits them, and so does each part of an
        `.and()`; what does not fit into four chunks in all is left out, and the notice says so. The pooled embedding is
        that of the first 75 tokens as they are written: weights and blends do not act in it, as in Compel.
        Raises `PromptError` for a prompt that cannot be understood.
        """
        if prompt not in self._cache:
            self._remember(prompt)
        self._cache.move_to_end(prompt)
        known = self._cache[prompt]
        if isinstance(known, PromptError):
            raise PromptError(*known.args)
        return known

    def _remember(self, prompt: str) -> None:
        """What a prompt comes to, also that it cannot be understood: to find that out may take as long."""
        try:
            self._cache[prompt] = self._encoded(prompt)
        except PromptError as error:
            # Without what it stands on, which would be kept alive.
            self._cache[prompt] = PromptError(*error.args)
        if len(self._cache) > CACHED_PROMPTS:
            self._cache.popitem(last=False)

    def encode_batch(self, prompts: Sequence[str], blend: PromptBlend | None = None) -> PromptEmbeddings:
        """One row a prompt: the frame's own, blended, then what it is guided away from; the shorter ones continued with
        tokens of the empty prompt.

        To be guided away from nothing is zeros for Stable Diffusion XL, as in diffusers' pipeline: it was trained so.
        """
        first, *others = (self.encode(prompt) for prompt in prompts)
        first, *others = self._of_one_length([self._blended(first, blend), *others])
        if self._is_xl:
            others = [row if prompt.strip() else zeros(row) for prompt, row in zip(prompts[1:], others, strict=True)]
        return PromptEmbeddings.joined([first, *others])

    def _blended(self, embeddings: PromptEmbeddings, blend: PromptBlend | None) -> PromptEmbeddings:
        """After the cache, which a moving slider would fill. All of the way is the other prompt itself."""
        if blend is None:
            return embeddings
        other = self.encode(blend.prompt)
        if blend.share == 1:
            return other
        with torch.inference_mode():
            first, second = self._of_one_length([embeddings, other])
            tokens = blended(first.tokens, second.tokens, blend.share, blend.curve)
            if first.pooled is None or second.pooled is None:
                return PromptEmbeddings(tokens, notice=first.notice or second.notice)
            pooled = blended(first.pooled, second.pooled, blend.share, blend.curve)
            return PromptEmbeddings(tokens, pooled, first.notice or second.notice)

    def _of_one_length(self, rows: Sequence[PromptEmbeddings]) -> list[PromptEmbeddings]:
        """The same, the shorter ones continued with tokens of the empty prompt."""
        longest = max(row.tokens.shape[1] for row in rows)
        if all(row.tokens.shape[1] == longest for row in rows):
            return list(rows)
        empty = self.encode("").tokens
        return [replace(row, tokens=continued(row.tokens, empty, longest)) for row in rows]

    def _encoded(self, prompt: str) -> PromptEmbeddings:
        read = reading(prompt)
        conjunction = parsed(read.text)
        for flat in flat_prompts(conjunction):
            flat.children = [
                Fragment(self._encoders[0].without_unknown(each.text), each.weight) for each in flat.children
            ]
        try:
            with torch.inference_mode():
                gone = self._shorten(conjunction)
                self._check_readings(conjunction)
                tokens = self._tokens_of(conjunction)
                pooled = (
                    self._compels[1].conditioning_provider.get_pooled_embeddings([escaped(read.text)])
                    if self._is_xl
                    else None
                )
        except PromptError:
            raise
        except COMPEL_ERRORS as error:
            raise not_understood(error) from error
        if not bool(tokens.isfinite().all()):
            raise PromptError(
                "the prompt came with weights that cancel out; needed: weights whose sum is not zero. Raise one."
            )
        notes = (*self._missing(read.styles), *read.notes, *([_left_out(gone)] if gone else []))
        return PromptEmbeddings(tokens, pooled, " ".join(notes))

    def _missing(self, asked: Sequence[StyleTag]) -> list[str]:
        """A sentence for each LoRA that a prompt asks for and nobody can pick."""
        there = f"there are {', '.join(self.styles)}" if self.styles else "this host has none"
        return [
            f"{quoted(f'<lora:{each.name}:{each.scale:g}>')} does not act: {there}."
            for each in asked
            if not named(each.name, self.styles)
        ]

    def _tokens_of(self, conjunction: Conjunction) -> Tensor:
        """What each encoder makes of a prompt, side by side on the channels: `[1, L, C]`."""
        parts = [each.build_conditioning_tensor_for_conjunction(conjunction)[0] for each in self._compels]
        # Tokenizers that know other words may need other numbers of chunks.
        longest = max(part.shape[1] for part in parts)
        empties = [each.conditioning_provider.empty_z for each in self._compels]
        return torch.cat([continued(*each, longest) for each in zip(parts, empties, strict=True)], dim=-1)

    def _shorten(self, conjunction: Conjunction) -> str:
        """Take out of a conjunction what does not fit into `MOST_CHUNKS`, which its parts share; the first of the words
        that are gone, if any."""
        most = MOST_CHUNKS // len(conjunction.prompts)
        gone = [self._cut(flat, most) for flat in flat_prompts(conjunction)]
        return next(filter(None, gone), "")

    def _cut(self, flat: FlattenedPrompt, most: int) -> str:
        """Leave in a prompt its first words, as many as fit into `most` chunks; the first one after them."""
        whole = flat.children
        if self._chunks(whole) <= most:
            return ""
        pieces: list[str] = [piece for each in whole for piece in _PIECES.findall(each.text)]
        counts = range(len(pieces) + 1)
        kept = bisect_right(counts, most, key=lambda count: self._chunks(first_pieces(whole, count))) - 1
        flat.children = first_pieces(whole, kept)
        return pieces[kept].strip()

    def _check_readings(self, conjunction: Conjunction) -> None:
        """Raise `PromptError` where Compel would read too often: each chunk once, and again without each fragment whose
        weight is below 1."""
        readings = sum(
            self._chunks(flat.children) * (1 + sum(each.weight < 1 for each in flat.children))
            for flat in flat_prompts(conjunction)
        )
        if readings > MOST_READINGS:
            raise PromptError(
                f"the prompt came with weights below 1 or blends that take {readings} readings of it; needed: at most "
                f"{MOST_READINGS}. Put such words together, as in (old red)0.5, or blend fewer prompts."
            )
        self.readings += readings

    def _chunks(self, fragments: Sequence[Fragment]) -> int:
        """How many chunks Compel makes of the fragments of one prompt."""
        provider = self._compels[0].conditioning_provider
        texts, weights = [each.text for each in fragments], [each.weight for each in fragments]
        tokens, _, _ = provider.get_token_ids_and_expand_weights(texts, weights, device="cpu")
        return len(tokens) // int(provider.max_token_count)


def first_pieces(fragments: Sequence[Fragment], count: int) -> list[Fragment]:
    """The fragments of a prompt up to its piece number `count`; pieces are words, or 20 signs of what has no spaces."""
    kept = []
    for each in fragments:
        pieces = _PIECES.findall(each.text)[:count]
        count -= len(pieces)
        if pieces:
            kept.append(Fragment("".join(pieces), each.weight))
    return kept


def _left_out(piece: str) -> str:
    return (
        f'A prompt is longer than a model can read: "{piece}" and what comes after it do not act. '
        f"About {75 * MOST_CHUNKS} words and signs are read; shorten it."
    )
