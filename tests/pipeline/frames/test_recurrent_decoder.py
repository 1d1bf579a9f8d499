"""A decoder whose blocks see the frame before: as TAESDV decodes, frame by frame, row by row."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn.functional import pad

from pipeline.frames.codec import decode
from pipeline.frames.recurrent_decoder import (
    RecurrentDecoder,
    Remembered,
    apart,
    decode_after,
    joined,
    remembers,
    with_recurrent_decoder,
)
from tests.conftest import tiny_vae
from tests.support.weights.decoder_files import decoder_weights

FRAMES = 4


@pytest.fixture(scope="module")
def plain() -> AutoencoderTiny:
    torch.manual_seed(2)
    return tiny_vae(4).eval().requires_grad_(False)


@pytest.fixture(scope="module", params=[True, False], ids=["all blocks", "some blocks"])
def vae(request: pytest.FixtureRequest, plain: AutoencoderTiny) -> AutoencoderTiny:
    return with_recurrent_decoder(plain, decoder_weights(plain, all_blocks=request.param))


@pytest.fixture(scope="module")
def clip() -> Tensor:
    """Latents of frames that follow each other, `[T, 4, 6, 5]`."""
    return torch.randn(FRAMES, 4, 6, 5, generator=torch.Generator().manual_seed(3))


def decoded_at_once(decoder: RecurrentDecoder, clip: Tensor) -> Tensor:
    """Pixels of all frames, `[T, 3, H, W]`, in one go: what a block remembers is its own input one frame earlier."""
    values = torch.tanh(clip / 3) * 3
    for place, layer in enumerate(decoder.layers):
        if place not in decoder.places:
            values = layer(values)
            continue
        earlier = pad(values, (0, 0, 0, 0, 0, 0, 1, 0))[:-1]
        values = torch.relu(layer.conv(torch.cat([values, earlier], dim=1)) + values)
    return values * 2 - 1


def decoded_in_turn(vae: AutoencoderTiny, clip: Tensor) -> Tensor:
    left: Remembered = ()
    pictures = []
    for frame in clip.split(1):
        pixels, left = decode_after(vae, frame, joined(vae, frame, [left]))
        pictures.append(pixels)
    return torch.cat(pictures)


def test_frames_in_turn_are_those_of_a_clip_at_once(vae: AutoencoderTiny, clip: Tensor) -> None:
    at_once = decoded_at_once(vae.decoder, clip)
    torch.testing.assert_close(decoded_in_turn(vae, clip), at_once, rtol=1e-5, atol=1e-5)
    alone = decode(vae, clip)
    torch.testing.assert_close(alone[:1], at_once[:1], rtol=1e-5, atol=1e-5)
    assert (alone[1:] - at_once[1:]).abs().mean() > 0.01


def test_blocks_that_give_the_past_no_weight_draw_as_the_plain_decoder(plain: AutoencoderTiny, clip: Tensor) -> None:
    weights = decoder_weights(plain)
    for name, each in weights.items():
        if name.startswith("decoder.") and name.endswith(".conv.0.weight") and each.shape[1] == 2 * each.shape[0]:
            each[:, each.shape[0] :] = 0
    drawn = decoded_in_turn(with_recurrent_decoder(plain, weights), clip)
    torch.testing.assert_close(drawn, decode(plain, clip), rtol=1e-5, atol=1e-5)


def test_each_row_looks_back_at_its_own_past(vae: AutoencoderTiny, clip: Tensor) -> None:
    first, second = clip[:2].split(1)
    pasts = [decode_after(vae, each, joined(vae, each, [()]))[1] for each in (first, second)]
    together = clip[1:4]
    before = [pasts[0], (), pasts[1]]
    pixels, left = decode_after(vae, together, joined(vae, together, before))
    for row, (own, kept) in enumerate(zip(before, apart(left, 3), strict=True)):
        alone, alone_left = decode_after(vae, together[row : row + 1], joined(vae, together[:1], [own]))
        torch.testing.assert_close(pixels[row : row + 1], alone, rtol=1e-5, atol=1e-5)
        for one, other in zip(kept, alone_left, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
            assert one.untyped_storage().nbytes() == one.nbytes


def test_its_own_names_of_weights_are_known_too(vae: AutoencoderTiny, plain: AutoencoderTiny, clip: Tensor) -> None:
    again = with_recurrent_decoder(plain, vae.state_dict())
    assert torch.equal(decoded_in_turn(again, clip), decoded_in_turn(vae, clip))
    assert remembers(again) and not remembers(plain)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda weights: {name: each for name, each in weights.items() if "encoder" in name}, "none of its blocks"),
        (lambda weights: weights | {"decoder.1.weight": torch.zeros(8, 5, 3, 3)}, "size mismatch"),
        (lambda weights: {name: each for name, each in weights.items() if name != "decoder.1.bias"}, "Missing key"),
    ],
)
def test_weights_that_do_not_fit_are_refused(plain: AutoencoderTiny, spoil: object, words: str) -> None:
    assert callable(spoil)
    with pytest.raises(ValueError, match=words):
        with_recurrent_decoder(plain, spoil(decoder_weights(plain)))


def test_the_plain_autoencoder_stays_as_it_is(plain: AutoencoderTiny, vae: AutoencoderTiny) -> None:
    assert not any(isinstance(each, RecurrentDecoder) for each in plain.modules())
    assert not any(each.requires_grad for each in vae.parameters())
    assert isinstance(vae.decoder.layers[0], nn.Conv2d)
