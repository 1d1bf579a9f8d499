"""The codec by PyTorch, and the seam for others that make its calls."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pipeline.frames.codec import Autoencoder, encode
from pipeline.frames.recurrent_decoder import Remembered, apart, decode_after, joined


class PlainCodec:
    """The codec as it is."""

    def prepare(self, vae: Autoencoder, pixels: Tensor, latents: Tensor, later: bool) -> None:
        """Have calls with these compiled before they come, where any are, as `Kinds.prepare` does."""

    def encode(self, vae: Autoencoder, pixels: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` to latents in the UNet's scale, float32."""
        return encode(vae, pixels).float()

    def decode(
        self, vae: Autoencoder, latents: Tensor, before: Sequence[Remembered]
    ) -> tuple[Tensor, list[Remembered]]:
        """Latents `[B, C, h, w]` to pixels, which the next call may overwrite, and what each row leaves for its next
        frame; `before` is what each one's last frame has left."""
        pixels, left = self._decoded(vae, latents, joined(vae, latents, before))
        return pixels, apart(left, len(latents))

    def _decoded(self, vae: Autoencoder, latents: Tensor, before: Remembered) -> tuple[Tensor, Remembered]:
        return decode_after(vae, latents, before)
