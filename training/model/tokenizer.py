"""The tokenizer: CLIP's byte-pair encoding, learnt from words that people type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training.model.model import PROMPT_TOKENS
from training.styles.grades import GRADES
from training.things.phrases import vocabulary

VOCABULARY = 2000
START, END = "<|startoftext|>", "<|endoftext|>"
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
COMMON_WORDS = (
    "dog horse car city street building castle dragon robot flower garden forest river ocean beach island spring "
    "summer rain storm desert moon sun star stars space galaxy king queen princess warrior knight dress smile "
    "smiling laughing face eyes eye mouth nose head hand person people man woman child baby old young red green "
    "blue yellow orange purple pink black white brown gray golden silver dark light bright soft colorful abstract "
    "modern digital illustration render style by artist famous detailed intricate fantasy magical mystical "
    "cinematic low poly minimalist line flat vector poster print charcoal pastel acrylic graffiti retro vintage "
    "futuristic steampunk horror scary cute kawaii beautiful lovely chair table room window door kitchen bed book "
    "computer phone screen webcam camera selfie glasses beard hat shirt jacket house roof tree trees grass sky "
    "clouds water boat ship mountain lake sea hills road fence cat kitten fish bird rabbit apple cup vase bottle "
    "wood stone gold bad ugly blurry noisy quality worst "
).split()


def corpus(rng: np.random.Generator, count: int = 6000) -> Iterator[str]:
    """Lines of shuffled words: those of phrases, of times of day, and common ones. Things and looks get tokens of their
    own where they are learnt (`training.meaning.vocabulary`)."""
    times = [word for each in GRADES.values() for phrase in each.words for word in phrase.split()]
    words = [*COMMON_WORDS, *vocabulary([]), *times]
    for _ in range(count):
        yield " ".join(rng.permutation(words)[:12])


def train_tokenizer(folder: Path, seed: int = 5) -> CLIPTokenizer:
    """Learn the vocabulary, write it in CLIP's file layout into `folder`, and load it from there."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        corpus(np.random.default_rng(seed)),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
        ),
    )
    learnt = json.loads(learner.to_str())["model"]["merges"]
    merges = [each if isinstance(each, str) else " ".join(each) for each in learnt]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *(each.replace(" ", "") for each in merges)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys([*tokens, START, END]))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer = CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=PROMPT_TOKENS
    )
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
