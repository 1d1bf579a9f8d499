"""Stable Diffusion XL's way: two text encoders, a pooled embedding and sizes, and a bank in every transformer block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compel import CompelForSDXL
from diffusers import ControlNetModel, StableDiffusionXLPipeline

from pipeline import Engine, FrameSettings, Model, ModelError, load_control
from pipeline.compute.hooks import attention_layers, is_self_attention
from pipeline.frames.codec import Frame
from pipeline.guides.control_pictures import CONTROL_PICTURES
from pipeline.memory import create_memory
from pipeline.models.unet_call import UnetInputs, added, predicted
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import SDXL_POOLED, SDXL_WIDTHS, moving_square

WIDTH = sum(SDXL_WIDTHS)
LIVELY = FrameSettings(
    prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0, bank_renewal="together"
)


@pytest.fixture(scope="module")
def pipe(sdxl_model: Model) -> StableDiffusionXLPipeline:
    """diffusers' own pipeline over the same weights."""
    first, second = sdxl_model.text_encoders
    return StableDiffusionXLPipeline(
        sdxl_model.vae,
        first.model,
        second.model,
        first.tokenizer,
        second.tokenizer,
        sdxl_model.unet,
        sdxl_model.scheduler,
        add_watermarker=False,
    )


@pytest.fixture(scope="module")
def encoder(sdxl_model: Model) -> PromptEncoder:
    return PromptEncoder(sdxl_model.text_encoders)


@pytest.mark.parametrize("prompt", ["", "a red house", "wow! 5 cats", "five letters and many more of them " * 2])
def test_tokens_and_pooled_are_those_of_diffusers(
    encoder: PromptEncoder, pipe: StableDiffusionXLPipeline, prompt: str
) -> None:
    with torch.inference_mode():
        tokens, _, pooled, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)
    embeddings = encoder.encode(prompt)
    assert embeddings.tokens.shape == (1, 77, WIDTH)
    assert embeddings.pooled is not None and embeddings.pooled.shape == (1, SDXL_POOLED)
    torch.testing.assert_close(embeddings.tokens, tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embeddings.pooled, pooled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("negative", ["", "  ", "ugly"])
def test_negative_rows_are_those_of_diffusers(
    encoder: PromptEncoder, pipe: StableDiffusionXLPipeline, negative: str
) -> None:
    with torch.inference_mode():
        tokens, negative_tokens, pooled, negative_pooled = pipe.encode_prompt(
            "a house", negative_prompt=negative.strip() or None
        )
    batch = encoder.encode_batch(("a house", negative))
    assert batch.pooled is not None
    torch.testing.assert_close(batch.tokens, torch.cat([tokens, negative_tokens]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(batch.pooled, torch.cat([pooled, negative_pooled]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "prompt",
    ["(neon)1.4 house", "a (small)0.5 cat", '("a", "b").blend(0.7, 0.3)', '("a", "b").and()', "a cat, a house. " * 9],
)
def test_weights_blends_and_long_prompts_are_those_of_compel(
    encoder: PromptEncoder, pipe: StableDiffusionXLPipeline, prompt: str
) -> None:
    with torch.inference_mode():
        expected = CompelForSDXL(pipe)(prompt)
    embeddings = encoder.encode(prompt)
    assert embeddings.pooled is not None
    torch.testing.assert_close(embeddings.tokens, expected.embeds, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embeddings.pooled, expected.pooled_embeds, rtol=1e-5, atol=1e-5)


def test_a_weighted_conjunction_is_understood(encoder: PromptEncoder) -> None:
    plain, weighted = (encoder.encode(f'("a", "b").and({weights})') for weights in ("1, 1", "1, 0.5"))
    assert weighted.tokens.shape == (1, 2 * 77, WIDTH)
    assert not torch.equal(plain.tokens, weighted.tokens)


def test_a_unet_call_is_that_of_diffusers(
    sdxl_model: Model, encoder: PromptEncoder, pipe: StableDiffusionXLPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []
    forward = sdxl_model.unet.forward

    def noted(sample: torch.Tensor, timestep: torch.Tensor, **kwargs: Any) -> Any:
        calls.append((sample, timestep, forward(sample, timestep, **kwargs)[0]))
        return (calls[-1][2],)

    height, width = 32, 48
    pipe.set_progress_bar_config(disable=True)
    with monkeypatch.context() as patch:
        patch.setattr(sdxl_model.unet, "forward", noted)
        pipe("a red house", height=height, width=width, num_inference_steps=2, guidance_scale=1.0, output_type="latent")
    assert len(calls) == 2
    memory = create_memory("none", sdxl_model.entry.memory_layout, "sdpa")
    with torch.inference_mode(), memory.installed(sdxl_model.unet):
        for sample, timestep, expected in calls:
            house = encoder.encode("a red house")
            row = UnetInputs(sample, torch.tensor([int(timestep)]), house, memory.open([]), (height, width))
            torch.testing.assert_close(predicted(sdxl_model.unet, row), expected, rtol=1e-5, atol=1e-5)
            other = predicted(sdxl_model.unet, replace(row, frame_size=(width, height)))
            assert not torch.allclose(other, expected, rtol=1e-3, atol=1e-3)


def test_rows_of_one_call_are_what_each_is_alone(sdxl_model: Model, encoder: PromptEncoder) -> None:
    prompts, timesteps = ("a house", "(night)1.3", "b"), [999, 499, 259]
    samples = torch.randn(3, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    memory = create_memory("none", sdxl_model.entry.memory_layout, "sdpa")
    with torch.inference_mode(), memory.installed(sdxl_model.unet):
        together = predicted(
            sdxl_model.unet, UnetInputs(samples, torch.tensor(timesteps), encoder.encode_batch(prompts), None, (32, 48))
        )
        for row, prompt in enumerate(prompts):
            inputs = UnetInputs(
                samples[row : row + 1], torch.tensor([timesteps[row]]), encoder.encode(prompt), None, (32, 48)
            )
            torch.testing.assert_close(
                together[row : row + 1], predicted(sdxl_model.unet, inputs), rtol=1e-5, atol=1e-5
            )


def test_other_unets_get_nothing_beside_the_prompt(tiny_model: Model, plain_model: Model) -> None:
    for model in (tiny_model, plain_model):
        embeddings = PromptEncoder(model.text_encoders).encode("a house")
        assert embeddings.pooled is None
        assert added(model.unet, embeddings, (32, 32)) is None


def test_encoders_that_do_not_fit_are_a_sentence(sdxl_model: Model, tiny_model: Model) -> None:
    embeddings = PromptEncoder(tiny_model.text_encoders).encode("a house")
    with pytest.raises(ModelError, match="pooled embeddings.*needed.*text_encoder_2"):
        added(sdxl_model.unet, embeddings, (32, 32))
    with pytest.raises(ModelError, match="3 text encoders; needed"):
        PromptEncoder([*sdxl_model.text_encoders, *tiny_model.text_encoders])


def played(model: Model, memory: str, frames: list[Frame], settings: FrameSettings) -> tuple[list[Frame], list[int]]:
    with Engine(model, memory) as engine:
        session = engine.open(3)
        pictures, nbytes = [], []
        for frame in frames:
            pictures.append(np.asarray(session.translate(frame, settings)))
            nbytes.append(session.nbytes)
        return pictures, nbytes


def test_the_bank_works_in_every_transformer_block_and_comes_off_again(sdxl_model: Model, frames: list[Frame]) -> None:
    before = {name: layer.processor for name, layer in attention_layers(sdxl_model.unet).items()}
    settings = LIVELY.changed(steps=2, guidance=1.5, bank_frames=0.5)
    with_bank, nbytes = played(sdxl_model, "feature-bank", frames[:5], settings)
    without, _ = played(sdxl_model, "none", frames[:5], settings)
    assert np.array_equal(with_bank[0], without[0])
    assert not any(np.array_equal(a, b) for a, b in zip(with_bank[1:], without[1:], strict=True))
    assert len(set(nbytes[1:])) == 1 and nbytes[0] > 0
    after = {name: layer.processor for name, layer in attention_layers(sdxl_model.unet).items()}
    assert all(after[name] is processor for name, processor in before.items()) and after.keys() == before.keys()
    assert not any(module._forward_hooks for module in sdxl_model.unet.modules())


@pytest.mark.parametrize("kind", ["full", "onetime", "self"])
def test_every_kind_of_guidance_acts(sdxl_model: Model, frames: list[Frame], kind: str) -> None:
    guided = LIVELY.changed(steps=2, guidance=2.0, guidance_kind=kind, negative_prompt="boat", strength=0.5)
    plain, _ = played(sdxl_model, "feature-bank", frames[:2], guided.changed(guidance=1.0))
    pictures, _ = played(sdxl_model, "feature-bank", frames[:2], guided)
    assert not any(np.array_equal(one, other) for one, other in zip(pictures, plain, strict=True))


def test_a_controlnet_reads_pooled_texts_and_sizes_too(
    sdxl_model: Model, encoder: PromptEncoder, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    network = ControlNetModel.from_unet(sdxl_model.unet)
    for layer in [*network.controlnet_down_blocks, network.controlnet_mid_block]:
        torch.nn.init.normal_(layer.weight, std=0.1)
    network.save_pretrained(tmp_path)
    control, house = load_control(tmp_path, sdxl_model), encoder.encode("house")
    sample = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    inputs = UnetInputs(sample, torch.tensor([499]), house, None, (32, 32))
    lines = torch.from_numpy(CONTROL_PICTURES[control.picture](moving_square(0))).permute(2, 0, 1)[None].float() / 255
    lines = torch.nn.functional.interpolate(lines, (32, 32))
    call = {"encoder_hidden_states": house.tokens, "added_cond_kwargs": added(sdxl_model.unet, house, (32, 32))}
    with torch.inference_mode():
        down, middle = control.network(sample, 499, controlnet_cond=lines, return_dict=False, **call)
        residuals = control.residuals(inputs, [(lines, 1.0)])
    assert residuals is not None and residuals.middle is not None
    torch.testing.assert_close(residuals.middle, middle, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(residuals.skips, down, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_each_of_several_blocks_has_a_bank_of_its_own(sdxl_model: Model, frames: list[Frame]) -> None:
    with Engine(sdxl_model) as engine:
        session = engine.open()
        session.translate(frames[0], LIVELY)
        held = session.state.rows[0, 0].layers
    assert set(held) == {name for name in attention_layers(sdxl_model.unet) if is_self_attention(name)}
    inside = [name for name in held if name.startswith("mid_block.attentions.0.transformer_blocks.")]
    assert len(inside) == 2
    keys = [held[name].keys for name in inside]
    assert not torch.equal(*keys) and all(held[name].outputs is not None for name in inside)


def test_the_prompt_acts_through_tokens_and_pooled(sdxl_model: Model, encoder: PromptEncoder) -> None:
    house, boat = encoder.encode("house"), encoder.encode("boat")
    sample = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    memory = create_memory("none", sdxl_model.entry.memory_layout, "sdpa")
    with torch.inference_mode(), memory.installed(sdxl_model.unet):
        of_house, other_tokens, other_pooled = (
            predicted(sdxl_model.unet, UnetInputs(sample, torch.tensor([499]), each, None, (32, 32)))
            for each in (house, replace(house, tokens=boat.tokens), replace(house, pooled=boat.pooled))
        )
    assert not torch.allclose(of_house, other_tokens, atol=1e-4)
    assert not torch.allclose(of_house, other_pooled, atol=1e-4)
