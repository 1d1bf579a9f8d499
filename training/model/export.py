"""Stage "export": the trained parts as fp16 safetensors that `from_pretrained` of each class loads; and back."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.models.catalogue import ENTRY_FILE
from training.model.model import (
    FINER_INK,
    FINER_STEPS,
    LATENT_CONDITIONING,
    MEMORY_LAYOUT,
    NATIVE_SIZE,
    new_scheduler,
)
from training.model.painter import Parts

SHARD_SIZE = "15MB"

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "LCMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
}


def export(parts: Parts, folder: Path) -> None:
    """Write the model into `folder`, in the place of one that was there."""
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in (("unet", parts.unet), ("vae", parts.codec), ("text_encoder", parts.text_encoder)):
        halved = copy.deepcopy(module).cpu().to(torch.float16).to(memory_format=torch.contiguous_format)
        halved.save_pretrained(folder / name, max_shard_size=SHARD_SIZE)
    drop_from_config(folder / "unet", "_name_or_path")  # where the weights came from, a folder of this machine
    # diffusers writes the other one, and warns of it when it reads it.
    drop_from_config(folder / "vae", "_name_or_path", "block_out_channels")
    parts.tokenizer.save_pretrained(folder / "tokenizer")
    new_scheduler().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX, indent=2) + "\n")
    entry = {
        "native_size": NATIVE_SIZE,
        "latent_conditioning": LATENT_CONDITIONING,
        "memory_layout": asdict(MEMORY_LAYOUT),
        "finer_steps": FINER_STEPS,
        "finer_ink": FINER_INK,
        "one_noise": True,
        "whole_words": True,
    }
    (folder / ENTRY_FILE).write_text(json.dumps(entry, indent=2) + "\n")


def name_subjects(folder: Path, subjects: Sequence[str]) -> None:
    """Let an exported model say which things it was taught by name."""
    file = folder / ENTRY_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"subjects": list(subjects)}, indent=2) + "\n")


def load_parts(folder: Path) -> Parts:
    """The float32 parts of an exported model, to train on from.

    Raises `OSError` where the folder lacks one.
    """
    weights = {"use_safetensors": True, "local_files_only": True}
    return Parts(
        UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **weights).float(),
        AutoencoderTiny.from_pretrained(folder, subfolder="vae", **weights).float(),
        # Plain products of matrices: at this size PyTorch's flash attention goes backwards several times as slowly.
        CLIPTextModel.from_pretrained(folder / "text_encoder", attn_implementation="eager", **weights).float(),
        CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
    )


def drop_from_config(folder: Path, *names: str) -> None:
    """Take entries out of `folder/config.json` that are there."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    for name in names:
        config.pop(name, None)
    file.write_text(json.dumps(config, indent=2) + "\n")
