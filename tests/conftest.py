"""Tiny models of the very layout of the real ones, with random weights, and engines over them."""

from __future__ import annotations

import gc

# Before the imports: what they and the tests are made of stays, and is not to be walked through for garbage.
gc.disable()

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline import Engine, FrameSettings, Model, load_model
from pipeline.frames.codec import Frame
from pipeline.memory import MemoryLayout, MemoryRow
from pipeline.models.catalogue import Distillation
from pipeline.models.load import ModelEntry
from pipeline.prompts.encoder import TextEncoder

TEXT_WIDTH = 32
TINY_SIZE = 32
SDXL_WIDTHS = (32, 24)
SDXL_POOLED, SDXL_TIME_WIDTH = 16, 8
FULL_CONDITIONING = ("source", "phase", "strength")

SLOWEST_FIRST = (
    "benchmarks/test_attack.py",
    "deploy/test_deploy.py",
    "browser/page/test_page_live.py",
    "browser/studio/test_view.py",
    "browser/page/test_page_line.py",
    "browser/studio/test_sources.py",
    "browser/studio/test_keeping.py",
    "pipeline/models/test_embedded.py",
    "browser/page/test_page_controls.py",
    "pipeline/calls/test_compiled.py",
    "browser/studio/test_capture.py",
    "browser/page/test_page_rest.py",
    "browser/studio/test_drawing.py",
    "browser/test_lent.py",
    "browser/page/test_studio_page.py",
    "browser/page/test_page_wire.py",
    "browser/studio/test_looks.py",
    "browser/studio/test_like.py",
    "benchmarks/test_benchmarks.py",
    "benchmarks/test_load.py",
    "browser/page/test_page_embedded.py",
    "training/test_train.py",
    "browser/page/test_page_status.py",
    "browser/test_welcome.py",
    "test_shutdown.py",
    "browser/studio/test_recording.py",
    "demo/space/test_space_push.py",
    "demo/live/test_behind_proxy.py",
    "pipeline/memory/test_fusion_kernel.py",
    "training/memory/test_memory_training.py",
)
"""Files that take longest. Each worker takes one after the other, so that none is left with a slow one at the end."""

WAYS: tuple[Distillation, ...] = ("lcm", "euler", "tcd")
every_way = pytest.mark.parametrize("way", WAYS, indirect=True)
"""For what has to hold in each way of few steps: noised anew between them, kept to, or both."""

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {TESTS / name: place for place, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tests compile is not kept beside what their user's own apps have compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REARVIEW_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def byte_vocabulary() -> dict[str, int]:
    """CLIP's byte alphabet without merges: one token a byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
    words = [*symbols, *[f"{symbol}</w>" for symbol in symbols], "<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


def tiny_tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77)


def tiny_text_encoder() -> CLIPTextModel:
    words = len(byte_vocabulary())
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=TEXT_WIDTH,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
        # Large enough that prompts and their weights show in the picture.
        initializer_factor=5.0,
    )
    return CLIPTextModel(config).eval()


def tiny_unet(in_channels: int, latent_channels: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=TINY_SIZE // 8,
        in_channels=in_channels,
        out_channels=latent_channels,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    )


def tiny_vae(latent_channels: int) -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_channels=latent_channels,
    )


def save_tiny_model(
    folder: Path, latent_channels: int, conditioning: tuple[str, ...], prediction_type: str = "sample"
) -> Path:
    """A folder as `pipeline/embedded/` is one: parts in diffusers' layout and, with a conditioning, rearview.json."""
    widths = {"source": latent_channels, "phase": 4, "strength": 1}
    in_channels = latent_channels + sum(widths[name] for name in conditioning)
    torch.manual_seed(0)
    tiny_unet(in_channels, latent_channels).save_pretrained(folder / "unet")
    tiny_vae(latent_channels).save_pretrained(folder / "vae")
    tiny_text_encoder().save_pretrained(folder / "text_encoder")
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    LCMScheduler(prediction_type=prediction_type).save_pretrained(folder / "scheduler")
    index = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderTiny"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    if conditioning:
        described = {
            "native_size": TINY_SIZE,
            "latent_conditioning": conditioning,
            "memory_layout": {"extend": [""], "fuse": ["mid_block", "up_blocks.1"], "fuse_at": "block"},
        }
        (folder / "rearview.json").write_text(json.dumps(described))
    return folder


def tiny_sdxl_text_encoders() -> tuple[TextEncoder, TextEncoder]:
    """Two, as Stable Diffusion XL has them: of two widths, the second with a projection, and padded with "!"."""
    words = len(byte_vocabulary())
    configs = [
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=SDXL_POOLED,
            num_hidden_layers=3,
            num_attention_heads=2,
            bos_token_id=words - 2,
            eos_token_id=words - 1,
            pad_token_id=words - 1,
            initializer_factor=5.0,
        )
        for width in SDXL_WIDTHS
    ]
    padded = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77, pad_token="!")
    return (
        TextEncoder(tiny_tokenizer(), CLIPTextModel(configs[0]).eval()),
        TextEncoder(padded, CLIPTextModelWithProjection(configs[1]).eval()),
    )


def tiny_sdxl_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=TINY_SIZE // 8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=sum(SDXL_WIDTHS),
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=SDXL_TIME_WIDTH,
        projection_class_embeddings_input_dim=SDXL_POOLED + 6 * SDXL_TIME_WIDTH,
    ).eval()


def memory_rows(remembered: Sequence[Any], settings: FrameSettings, seed: int = 0) -> list[MemoryRow]:
    """Rows of a UNet call that remember these, under one settings, each with a generator of its own."""
    return [MemoryRow(each, settings, torch.Generator().manual_seed(seed)) for each in remembered]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model's layout: 16 latents, all conditioning channels, predicts the clean latents."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), 16, FULL_CONDITIONING)


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion's layout: 4 latents, nothing beside them, predicts the noise."""
    return save_tiny_model(tmp_path_factory.mktemp("plain"), 4, (), "epsilon")


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Model:
    return load_model(tiny_folder, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="session")
def plain_model(plain_folder: Path) -> Model:
    return load_model(plain_folder, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="session")
def sdxl_model() -> Model:
    """Stable Diffusion XL's layout: two text encoders, sizes and a pooled embedding beside the timestep, and several
    transformer blocks in one attention block."""
    torch.manual_seed(0)
    layout = MemoryLayout(fuse=("mid_block", "up_blocks.0"))
    return Model(
        entry=ModelEntry("tiny-sdxl", Path(), memory_layout=layout),
        native_size=TINY_SIZE,
        unet=tiny_sdxl_unet().requires_grad_(False),
        vae=tiny_vae(4).eval().requires_grad_(False),
        text_encoders=tiny_sdxl_text_encoders(),
        scheduler=LCMScheduler(prediction_type="epsilon"),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


@pytest.fixture
def way(request: pytest.FixtureRequest) -> Distillation:
    """The way of few steps: LCM's, unless `every_way` says otherwise."""
    way: Distillation = getattr(request, "param", WAYS[0])
    return way


def in_the_way(model: Model, way: Distillation) -> Model:
    """The same model, as if distilled so."""
    return replace(model, entry=replace(model.entry, distillation=way))


@pytest.fixture
def engine(tiny_model: Model) -> Iterator[Engine]:
    with Engine(tiny_model) as engine:
        yield engine


@pytest.fixture(scope="session")
def frames() -> list[Frame]:
    """Twelve frames `[40, 48, 3]` of a bright square that moves over a gradient."""
    return [moving_square(index) for index in range(12)]


def moving_square(index: int) -> Frame:
    frame = np.zeros((40, 48, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 200, 48).astype(np.uint8)
    frame[..., 1] = np.linspace(0, 200, 40).astype(np.uint8)[:, None]
    frame[8:20, 4 + 2 * index : 16 + 2 * index] = (250, 240, 30)
    return frame
