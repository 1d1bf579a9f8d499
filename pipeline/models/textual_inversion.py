"""Textual inversion: words that a text encoder has learned after its training (Gal et al., arXiv 2208.01618).

A learned word is one vector or several in the table of the text encoder, and an entry of the tokenizer.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import AddedToken
from torch import Tensor, nn

from pipeline.compute.host import in_passing_thread
from pipeline.errors import LoraError
from pipeline.models.load import Model
from pipeline.models.lora_files import SUFFIX, weight_files
from pipeline.prompts.encoder import TextEncoder

MOST_VECTORS = 75
UNREADABLE = "()[]\"'\\,+"
"""What the syntax of prompts, or the page's lists, would take for their own."""

_NUMBERS = "string_to_token"
"""What A1111's files call the words' numbers in the tokenizer that they were trained with."""
_SDXL = ("clip_l", "clip_g")
_TECHNICAL = re.compile(r"clip_[lgh]|emb_params|embeddings?|string_to_param|weight|tensor|vectors?|\*|<\*>|\d+|.*[.].*")
"""What programs call a tensor, which no person calls a word; `string_to_param.*` is A1111's too."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """A learned word: `vectors` `[n, C]` for each text encoder of a model, n the same for all."""

    word: str
    vectors: tuple[Tensor, ...]


@dataclass(frozen=True)
class EmbeddingShelf:
    """What a folder holds: the words that fit the model, and a sentence for each file that does not."""

    embeddings: tuple[Embedding, ...] = ()
    refused: tuple[str, ...] = ()


def read_embeddings(places: Path | Sequence[Path], model: Model) -> EmbeddingShelf:
    """The learned words in one or several folders, without those in folders below, and in the files that `places` names
    themselves; raises `LoraError` for what is neither."""
    return in_passing_thread(_read_embeddings, places, model)


def _read_embeddings(places: Path | Sequence[Path], model: Model) -> EmbeddingShelf:
    embeddings: list[Embedding] = []
    refused = []
    taken = {word.lower() for encoder in model.text_encoders for word in encoder.tokenizer.get_vocab()}
    for file in weight_files(places):
        try:
            embedding = read_embedding(file, model)
            names = {name.lower() for name in names_of(embedding)}
            if clashes := sorted(names & taken):
                raise LoraError(
                    f"{file.name} calls itself {clashes[0]!r}, which is a word already; needed: another one. "
                    "Rename the file."
                )
        except LoraError as error:
            refused.append(str(error))
        else:
            embeddings.append(embedding)
            taken |= names
    return EmbeddingShelf(tuple(embeddings), tuple(refused))


def names_of(embedding: Embedding) -> list[str]:
    """What the tokenizer calls the vectors; a person writes the first."""
    return [embedding.word, *(f"{embedding.word}_{index}" for index in range(1, len(embedding.vectors[0])))]


def read_embedding(file: Path, model: Model) -> Embedding:
    """The learned word in a file; raises `LoraError` where it does not fit the model."""
    if file.suffix.lower() != SUFFIX:
        raise LoraError(
            f"{file.name} is a pickle, which can run any code; needed: {SUFFIX}. Get the file in that form."
        )
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise LoraError(
            f"{file.name} cannot be read ({error}); needed: a whole {SUFFIX} file. Get it again."
        ) from error
    word, vectors = word_and_vectors(file, tensors)
    if word.endswith("-"):
        raise LoraError(
            f"{file.name} calls itself {word!r}; needed: a word that does not end in '-', which prompts take for a "
            "weight. Rename the file."
        )
    if not word or word != " ".join(word.split()) or not word.isprintable() or set(word) & set(UNREADABLE):
        raise LoraError(f"{file.name} calls itself {word!r}; needed: a word without {UNREADABLE}. Rename the file.")
    return Embedding(word, checked(file.name, vectors, model.text_encoders))


def word_and_vectors(file: Path, tensors: Mapping[str, Tensor]) -> tuple[str, tuple[Tensor, ...]]:
    """The word of a file, and its vectors for each text encoder; raises `LoraError` for another kind of file.

    A1111 and SDXL's files are called like their word, and so are those whose tensor has a technical name; diffusers'
    hold the word as the name of their one tensor.
    """
    names = {each for each in tensors if not each.startswith(_NUMBERS)}
    if names == set(_SDXL):
        return file.stem, tuple(tensors[name] for name in _SDXL)
    if len(names) == 1 and not any(mark in name for name in names for mark in (".weight", "lora")):
        (word,) = names
        return file.stem if _TECHNICAL.fullmatch(word) else word, (tensors[word],)
    raise LoraError(
        f"{file.name} holds no textual inversion; needed: one tensor, or {' and '.join(_SDXL)}. "
        "Take it out; LoRA files belong into the folder of --loras."
    )


def checked(name: str, vectors: Sequence[Tensor], encoders: Sequence[TextEncoder]) -> tuple[Tensor, ...]:
    """The vectors as `[n, C]` float32, one tensor for each text encoder; raises `LoraError`."""
    widths = [table_of(each).shape[1] for each in encoders]
    shaped = [each.float().reshape(-1, each.shape[-1]) if each.dim() else each.float() for each in vectors]
    if [each.shape[-1] if each.dim() else 0 for each in shaped] != widths:
        raise LoraError(
            f"{name} came with vectors of {[list(each.shape) for each in vectors]}; needed: of width "
            f"{' and '.join(map(str, widths))} for this model's text encoders. Take a file of this model's family."
        )
    counts = {len(each) for each in shaped}
    if len(counts) != 1 or not 0 < max(counts) <= MOST_VECTORS:
        raise LoraError(
            f"{name} came with {' and '.join(str(len(each)) for each in shaped)} vectors; needed: 1 to {MOST_VECTORS}, "
            "as many for each text encoder. Get the file again."
        )
    if not all(bool(each.isfinite().all()) for each in shaped):
        raise LoraError(f"{name} came with NaN or infinity; needed: numbers. Get the file again.")
    return tuple(shaped)


def table_of(encoder: TextEncoder) -> Tensor:
    """The vectors of all words, `[words, C]`."""
    table: Tensor = encoder.model.get_input_embeddings().weight
    return table


def with_embeddings(model: Model, embeddings: Sequence[Embedding]) -> Model:
    """A model that knows these words too. It shares all weights with `model`, but for the tables of words, and `model`
    stays as it is."""
    return in_passing_thread(_with_embeddings, model, embeddings) if embeddings else model


def _with_embeddings(model: Model, embeddings: Sequence[Embedding]) -> Model:
    encoders = [
        with_words(encoder, {each.word: (names_of(each), each.vectors[index]) for each in embeddings})
        for index, encoder in enumerate(model.text_encoders)
    ]
    return replace(model, text_encoders=tuple(encoders))


def with_words(encoder: TextEncoder, words: Mapping[str, tuple[Sequence[str], Tensor]]) -> TextEncoder:
    """A text encoder that knows words, each by the names of its vectors, and these `[n, C]`."""
    tokenizer = copy.deepcopy(encoder.tokenizer)
    names = [name for each, _ in words.values() for name in each]
    # As words: else one called "art" would show in "party".
    tokenizer.add_tokens([AddedToken(name, single_word=True) for name in names])
    numbers = {word: tuple(tokenizer.convert_tokens_to_ids(list(each))) for word, (each, _) in words.items()}
    table = table_of(encoder)
    longer = table.new_zeros(max(len(table), *(max(each) + 1 for each in numbers.values())), table.shape[1])
    longer[: len(table)] = table
    for word, (_, vectors) in words.items():
        longer[list(numbers[word])] = vectors.to(longer)
    several = {each[0]: each for each in numbers.values() if len(each) > 1}
    taught = with_table(encoder.model, longer, int(tokenizer.eos_token_id))
    return replace(encoder, tokenizer=tokenizer, model=taught, expansions={**encoder.expansions, **several})


def with_table(text_model: Any, table: Tensor, end: int) -> Any:
    """A text encoder with another table of words, all other weights shared; `end` is the number of the end of a text.

    Old configs name another end and have the pooled embedding taken at the highest number, which a new word's would be.
    """
    shared = {id(each): each for each in (*text_model.parameters(), *text_model.buffers())}
    taught = copy.deepcopy(text_model, shared)
    layer = nn.Embedding(len(table), table.shape[1], device="meta")
    layer.weight = nn.Parameter(table, requires_grad=False)
    taught.set_input_embeddings(layer)
    for module in taught.modules():
        if hasattr(module, "eos_token_id"):
            module.eos_token_id = end
    taught.config.vocab_size, taught.config.eos_token_id = len(table), end
    return taught.eval()
