"""Words that a model is to know: each becomes one token with a row of its own in the text encoder's table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import AddedToken
from transformers import CLIPTextModel, CLIPTokenizer


def add_words(tokenizer: CLIPTokenizer, encoder: CLIPTextModel, words: Sequence[str], seed: int = 1) -> int:
    """Make one token of each word that is several, with a random row in the encoder's table. Returns how many."""
    split = [word for word in words if word.isalpha() and len(tokenizer(word).input_ids) > 3]
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in split])
    if split:
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table = encoder.get_input_embeddings().weight
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            rows = torch.randn(len(split), table.shape[1], generator=generator)
            table[-len(split) :] = rows * table[: -len(split)].std()
    return len(split)
