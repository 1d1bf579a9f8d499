"""What comes out of an encoder, as rows that are joined, moved and continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """Prompts as a UNet reads them, one row a prompt: `tokens` `[B, L, C]`, where the model has them `pooled` `[B, P]`,
    and a sentence where words were left out."""

    tokens: Tensor
    pooled: Tensor | None = None
    notice: str = ""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def shape(self) -> tuple[int, ...]:
        """What rows must have in common to share a UNet call."""
        return tuple(self.tokens.shape[1:])

    def first(self, rows: int) -> PromptEmbeddings:
        """The first so many rows, without a notice: what a UNet call takes must not depend on what is said of it."""
        return PromptEmbeddings(self.tokens[:rows], None if self.pooled is None else self.pooled[:rows])

    def to(self, device: torch.device, dtype: torch.dtype) -> PromptEmbeddings:
        """The same on another device, in another dtype."""
        pooled = None if self.pooled is None else self.pooled.to(device, dtype)
        return PromptEmbeddings(self.tokens.to(device, dtype), pooled, self.notice)

    @classmethod
    def joined(cls, rows: Sequence[PromptEmbeddings]) -> PromptEmbeddings:
        """All rows as one batch; they are of one `shape` and of one model. Of their notices, the first."""
        pooled = [each.pooled for each in rows if each.pooled is not None]
        notice = next((each.notice for each in rows if each.notice), "")
        return cls(torch.cat([each.tokens for each in rows]), torch.cat(pooled) if pooled else None, notice)


def zeros(embeddings: PromptEmbeddings) -> PromptEmbeddings:
    """Zeros of the same shapes."""
    pooled = None if embeddings.pooled is None else torch.zeros_like(embeddings.pooled)
    return replace(embeddings, tokens=torch.zeros_like(embeddings.tokens), pooled=pooled)


def continued(tokens: Tensor, filling: Tensor, length: int) -> Tensor:
    """tokens `[1, L, C]`, followed by filling `[1, 77, C]` until they are `length`."""
    return torch.cat([tokens, *[filling] * ((length - tokens.shape[1]) // filling.shape[1])], dim=1)
