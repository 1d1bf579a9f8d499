"""Textual inversion: a learned word stands for the vectors of its file, in every text encoder and with weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline import LoraError, Model, read_embeddings, with_embeddings
from pipeline.models.textual_inversion import read_embedding, table_of, word_and_vectors
from pipeline.prompts.encoder import PromptEncoder, TextEncoder
from tests.conftest import TEXT_WIDTH


def vectors(count: int, seed: int = 0, width: int = TEXT_WIDTH) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"emb_params": vectors(3)}, tmp_path / "sketchy.safetensors")
    save_file({"<my-cat>": vectors(1, 1)[0]}, tmp_path / "learned_embeds.safetensors")
    return tmp_path


@pytest.fixture
def taught(tiny_model: Model, folder: Path) -> Model:
    return with_embeddings(tiny_model, read_embeddings(folder, tiny_model).embeddings)


def seen_vectors(encoder: TextEncoder, prompt: str, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The vectors `[77, C]` with which the text encoder reads a prompt, before positions are added."""
    seen: list[Tensor] = []
    forward = encoder.model.forward

    def remembered(input_ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(encoder.model.get_input_embeddings()(input_ids)[0])
        return forward(input_ids, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(encoder.model, "forward", remembered)
        PromptEncoder([encoder]).encode(prompt)
    return seen[0]


@pytest.mark.parametrize("prompt", ["a SKETCHY <my-cat>", "a (sketchy)1.3 <my-cat>", "(a sketchy)0.6 (<my-cat>)1.2"])
def test_a_learned_word_stands_for_its_vectors(taught: Model, prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (encoder,) = taught.text_encoders
    read = seen_vectors(encoder, prompt, monkeypatch)
    a = table_of(encoder)[encoder.tokenizer.convert_tokens_to_ids("a</w>")]
    torch.testing.assert_close(read[1:6], torch.cat([a[None], vectors(3), vectors(1, 1)]), rtol=0, atol=0)


def test_weights_act_on_all_vectors_of_a_word(taught: Model) -> None:
    encoder = PromptEncoder(taught.text_encoders)
    plain, more, less = (encoder.encode(each).tokens for each in ("a sketchy", "a (sketchy)1.4", "a (sketchy)0.5"))
    changed = [(each - plain).abs().amax(dim=-1)[0] > 1e-6 for each in (more, less)]
    assert all(bool(each[2:5].all()) and not bool(each[:2].any()) for each in changed)


def test_a_word_is_not_looked_for_inside_of_others(taught: Model, tiny_model: Model) -> None:
    known, unknown = PromptEncoder(taught.text_encoders), PromptEncoder(tiny_model.text_encoders)
    for prompt in ("", "a sketchyness", "a my-cat", "(neon)1.4 house"):
        assert torch.equal(known.encode(prompt).tokens, unknown.encode(prompt).tokens)


def test_the_model_without_them_stays_as_it_is(tiny_model: Model, taught: Model) -> None:
    (before,), (after,) = tiny_model.text_encoders, taught.text_encoders
    assert len(table_of(after)) == len(table_of(before)) + 4
    assert "sketchy" not in before.tokenizer.get_vocab()
    assert before.model.config.vocab_size == len(table_of(before))
    shared = dict(after.model.named_parameters())
    names = [name for name, each in before.model.named_parameters() if shared[name] is not each]
    assert names == ["embeddings.token_embedding.weight"]
    assert with_embeddings(tiny_model, ()) is tiny_model


def test_the_pooled_embedding_is_that_of_the_end(tiny_model: Model, folder: Path) -> None:
    """With the number for the end that old configs have, a new word's would be taken for it."""
    (encoder,) = tiny_model.text_encoders
    end = encoder.model.eos_token_id
    encoder.model.eos_token_id = 2
    try:
        embeddings = read_embeddings(folder, tiny_model).embeddings
        (after,) = with_embeddings(tiny_model, embeddings).text_encoders
    finally:
        encoder.model.eos_token_id = end
    tokens = after.tokenizer("a sketchy", return_tensors="pt").input_ids
    output = after.model(tokens)
    assert torch.equal(output.pooler_output, output.last_hidden_state[:, -1])


def test_sdxl_has_vectors_for_each_text_encoder(tiny_model: Model, tmp_path: Path) -> None:
    both = replace(tiny_model, text_encoders=tiny_model.text_encoders * 2)
    file = tmp_path / "lace.safetensors"
    save_file({"clip_g": vectors(2, 5), "clip_l": vectors(2, 4)}, file)
    taught = with_embeddings(both, [read_embedding(file, both)])
    for encoder, seed in zip(taught.text_encoders, (4, 5), strict=True):
        assert torch.equal(table_of(encoder)[-2:], vectors(2, seed))
        numbers = encoder.tokenizer.convert_tokens_to_ids(["lace", "lace_1"])
        assert encoder.expansions == {numbers[0]: tuple(numbers)}
    with pytest.raises(LoraError, match="width 32 for"):
        read_embedding(file, tiny_model)


@pytest.mark.parametrize(
    ("name", "tensors", "words"),
    [
        ("wide.safetensors", {"emb_params": torch.zeros(1, 48)}, r"\[1, 48\].*width 32"),
        ("none.safetensors", {"emb_params": torch.zeros(0, TEXT_WIDTH)}, "1 to 75"),
        ("long.safetensors", {"emb_params": torch.zeros(76, TEXT_WIDTH)}, "1 to 75"),
        ("nan.safetensors", {"emb_params": torch.full((1, TEXT_WIDTH), torch.nan)}, "NaN"),
        ("number.safetensors", {"emb_params": torch.tensor(1.0)}, "width 32"),
        ("two words (1).safetensors", {"emb_params": torch.zeros(1, TEXT_WIDTH)}, "Rename the file"),
        ("style-.safetensors", {"emb_params": torch.zeros(1, TEXT_WIDTH)}, "does not end in '-'"),
        ("style.safetensors", {"style--": torch.zeros(1, TEXT_WIDTH)}, "does not end in '-'"),
        ("[style].safetensors", {"emb_params": torch.zeros(1, TEXT_WIDTH)}, "Rename the file"),
        ("lora.safetensors", {"lora_unet_x.lora_up.weight": torch.zeros(1, 1)}, "--loras"),
        ("more.safetensors", {"a": torch.zeros(1), "b": torch.zeros(1)}, "no textual inversion"),
        ("x.safetensors", {"emb_params": torch.zeros(1, TEXT_WIDTH)}, "is a word already"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    tiny_model: Model, tmp_path: Path, name: str, tensors: dict[str, Tensor], words: str
) -> None:
    save_file(tensors, tmp_path / name)
    shelf = read_embeddings(tmp_path, tiny_model)
    assert not shelf.embeddings
    assert re.search(words, shelf.refused[0])
    assert "needed" in shelf.refused[0] and name in shelf.refused[0]


def test_pickles_and_broken_files_are_sentences(tiny_model: Model, tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_bytes(b"")
    (tmp_path / "torn.safetensors").write_bytes(b"\x00" * 9)
    refused = read_embeddings(tmp_path, tiny_model).refused
    assert ["pickle" in refused[0], "cannot be read" in refused[1]] == [True, True]


def test_two_files_of_one_word_are_told_apart(tiny_model: Model, folder: Path) -> None:
    save_file({"Sketchy": vectors(1)}, folder / "zz.safetensors")
    shelf = read_embeddings(folder, tiny_model)
    assert [each.word for each in shelf.embeddings] == ["<my-cat>", "sketchy"]
    assert "word already" in shelf.refused[0]


def test_the_word_of_a_file() -> None:
    assert word_and_vectors(Path("ink.safetensors"), {"emb_params": vectors(1)})[0] == "ink"
    assert word_and_vectors(Path("ink.safetensors"), {"<wash>": vectors(1)})[0] == "<wash>"


TECHNICAL = ("emb_params", "clip_l", "clip_g", "string_to_param.*", "string_to_param", "*", "<*>", "embedding", "0")


@pytest.mark.parametrize("name", TECHNICAL)
def test_what_programs_call_a_tensor_is_no_word(name: str) -> None:
    tensors = {name: vectors(2), "string_to_token.*": torch.tensor(265)}
    word, (found,) = word_and_vectors(Path("FastNegative.safetensors"), tensors)
    assert word == "FastNegative" and torch.equal(found, tensors[name])
