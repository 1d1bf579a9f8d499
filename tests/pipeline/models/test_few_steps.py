"""The catalogue's models that Euler's and TCD's steps make fast: fetched from a hub, and equal to diffusers' pipelines.

Their networks are small and random, in the layouts and under the file names of the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    TCDScheduler,
    UNet2DConditionModel,
)

from pipeline import Engine, FrameSettings, Model, load_model
from pipeline.engine.stream import StreamState, noise_for
from pipeline.engine.translator import Asked, Translator
from pipeline.frames.codec import Frame
from pipeline.memory import create_memory
from pipeline.models.catalogue import CATALOGUE, FAMILIES, FamilyName
from pipeline.models.hub import Hub
from pipeline.models.hub_names import read_name
from pipeline.prompts.encoder import PromptEncoder
from tests.support.weights.hub_layout import FakeHub, save_lora, save_model, save_tiny_vae, serving, unet_of

NAMES = ("sd15-hyper", "sd15-tcd", "sdxl-hyper", "sdxl-lightning")
SIDE, SEED = 32, 7
ASKED = {"prompt": "a red house", "negative_prompt": "fog"}

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers' own


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The repositories of these entries by their names."""
    root = tmp_path_factory.mktemp("hub")
    families: tuple[FamilyName, ...] = ("sd15", "sdxl")
    found = {}
    for family in families:
        common = FAMILIES[family]
        found[common.base] = save_model(root / common.base, family, variant="fp16")
        # One whose pictures are not all of one colour.
        torch.manual_seed(1)
        found[common.tiny_vae] = save_tiny_vae(root / common.tiny_vae)
    for name in NAMES:
        lora = read_name(CATALOGUE[name].lora)
        assert lora is not None
        found[lora.repository] = folder = root / lora.repository
        save_lora(folder, unet_of(CATALOGUE[name].family))
        (folder / "pytorch_lora_weights.safetensors").rename(folder / lora.file)
    return found


@pytest.fixture(scope="module")
def hub(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with serving(FakeHub(dict(folders))) as served:
        yield Hub(endpoint=served.url, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, hub: Hub) -> Model:
    return load_model(request.param, device="cpu", dtype=torch.float32, hub=hub)


@pytest.fixture(scope="module")
def theirs(model: Model, folders: dict[str, Path]) -> Any:
    """diffusers' own pipeline of the same files, put together as the models' pages say."""
    entry, encoders = model.entry, [each.model for each in model.text_encoders]
    lora = read_name(entry.lora)
    assert lora is not None
    base = folders[FAMILIES[entry.family].base]
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", variant="fp16")
    config = {**model.scheduler.config, "timestep_spacing": "trailing"}
    kind = TCDScheduler if entry.distillation == "tcd" else EulerDiscreteScheduler
    parts: dict[str, Any] = {"unet": unet, "vae": model.vae, "scheduler": kind.from_config(config)}
    parts |= {"text_encoder": encoders[0], "tokenizer": model.text_encoders[0].tokenizer}
    if entry.family == "sdxl":
        parts |= {"text_encoder_2": encoders[1], "tokenizer_2": model.text_encoders[1].tokenizer}
        pipeline: Any = StableDiffusionXLImg2ImgPipeline(**parts, requires_aesthetics_score=False)
    else:
        pipeline = StableDiffusionImg2ImgPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.load_lora_weights(folders[lora.repository], weight_name=lora.file)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn() -> Frame:
    return np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def latents_of(model: Model, settings: FrameSettings) -> torch.Tensor:
    """What our steps make of the drawing, without a memory."""
    memory = create_memory("none", model.entry.memory_layout, "sdpa")
    with memory.installed(model.unet):
        translator = Translator(model, memory, PromptEncoder(model.text_encoders), model.schedule)
        frame = translator.begun(Asked(drawn(), settings, SEED), StreamState())
        while not frame.is_denoised:
            (frame,) = translator.stepped([(frame, StreamState())])
    return frame.latents


def latents_of_theirs(pipeline: Any, settings: FrameSettings, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """What theirs make of it, from the same noise."""
    shape, count = (1, 4, SIDE // 8, SIDE // 8), iter(range(settings.steps))
    for module in (type(pipeline).__module__, "diffusers.schedulers.scheduling_tcd"):
        monkeypatch.setattr(f"{module}.randn_tensor", lambda *_, **__: noise_for(SEED, next(count), shape))
    result = pipeline(
        **ASKED,
        image=torch.from_numpy(drawn()).permute(2, 0, 1)[None] / 255,
        strength=settings.strength,
        num_inference_steps=round(settings.steps / settings.strength),
        guidance_scale=settings.guidance,
        output_type="latent",
        **({"eta": settings.gamma} if isinstance(pipeline.scheduler, TCDScheduler) else {}),
    )
    latents: torch.Tensor = result.images
    return latents


@pytest.mark.parametrize(
    "strength, steps, gamma, guidance", [(0.6, 3, 0.3, 3.5), (0.5, 2, 1.0, 1.0), (1.0, 4, 0.3, 2.0)]
)
def test_pictures_are_those_of_diffusers_image_to_image(
    model: Model, theirs: Any, strength: float, steps: int, gamma: float, guidance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if model.entry.distillation == "tcd":
        # Their image to image leaves out timesteps of more steps; TCD's own scheduler spreads few over the strength.
        strength = 1.0
    settings = FrameSettings(**ASKED, strength=strength, steps=steps, gamma=gamma, guidance=guidance)
    ours = latents_of(model, settings)
    torch.testing.assert_close(ours, latents_of_theirs(theirs, settings, monkeypatch), rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_on_a_card_the_same_pictures_come(name: str, hub: Hub) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    settings = FrameSettings(**ASKED, strength=0.6, steps=3, guidance=3.5)
    here, there = (latents_of(load_model(name, each, torch.float32, hub), settings) for each in ("cpu", "cuda"))
    torch.testing.assert_close(there.cpu(), here, rtol=1e-2, atol=1e-2)


def test_a_model_paints_with_what_a_fresh_page_asks(model: Model) -> None:
    with Engine(model, size=(SIDE, SIDE)) as engine:
        plain = np.asarray(engine.open().translate(drawn(), model.entry.defaults))
        negative = np.asarray(engine.open().translate(drawn(), model.entry.defaults.changed(negative_prompt="fog")))
    assert plain.std() > 0
    # The negative prompt is awake where the model begins with guidance.
    assert np.array_equal(plain, negative) != model.entry.guides


def test_gamma_acts_on_the_very_next_frame_of_tcd_alone(model: Model) -> None:
    settings = FrameSettings(steps=3, steadiness=0.0, bank_frames=0.0)
    with Engine(model, size=(SIDE, SIDE)) as engine:
        session = engine.open()
        pictures = [np.asarray(session.translate(drawn(), settings.changed(gamma=gamma))) for gamma in (0.0, 1.0)]
    assert np.array_equal(*pictures) != (model.entry.distillation == "tcd")
