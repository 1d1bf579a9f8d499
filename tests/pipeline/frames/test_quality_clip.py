"""CLIP scores are what CLIP's own parts give, and never a number where there are no weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from pipeline.frames.quality_clip import DEVIATION, MEAN, ClipScores, NotComputed, as_clip_sees, clip_scores
from tests.conftest import byte_vocabulary, tiny_tokenizer

SIDE = 32


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights, its files as the hub lays them out."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = len(byte_vocabulary())
    ends = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    config = CLIPConfig(
        text_config={**sizes, **ends, "vocab_size": words},
        vision_config={**sizes, "image_size": SIDE, "patch_size": 8},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 48, 40, 3), dtype=np.uint8)


def test_one_picture_again_and_again_is_wholly_consistent(clip_folder: Path) -> None:
    scores = clip_scores(np.repeat(pictures(1), 3, axis=0), "a house", clip_folder)
    assert isinstance(scores, ClipScores)
    assert scores.consistency == pytest.approx(100, abs=1e-3)
    assert -100 <= scores.alignment <= 100


def test_scores_are_the_cosines_of_the_models_own_features(clip_folder: Path) -> None:
    frames = pictures(20)
    scores = clip_scores(frames, "a house", clip_folder)
    model = CLIPModel.from_pretrained(clip_folder).eval()
    pixels = torch.from_numpy(np.stack([as_clip_sees(frame, SIDE) for frame in frames]))
    with torch.inference_mode():
        seen = model(pixel_values=pixels, **tiny_tokenizer()("a house", return_tensors="pt"))
    consistency = 100 * torch.cosine_similarity(seen.image_embeds[1:], seen.image_embeds[:-1]).mean()
    alignment = 100 * torch.cosine_similarity(seen.image_embeds, seen.text_embeds).mean()
    assert isinstance(scores, ClipScores)
    assert scores.consistency == pytest.approx(float(consistency), abs=1e-3)
    assert scores.alignment == pytest.approx(float(alignment), abs=1e-3)


def test_the_prompt_matters_to_alignment_alone(clip_folder: Path) -> None:
    one, other = (clip_scores(pictures(3), prompt, clip_folder) for prompt in ("a house", "the sea " * 80))
    assert isinstance(one, ClipScores) and isinstance(other, ClipScores)
    assert one.consistency == other.consistency
    assert one.alignment != other.alignment


@pytest.mark.parametrize("missing", ["nothing there", "openai/no-such-model"])
def test_without_weights_nothing_is_computed(missing: str, tmp_path: Path) -> None:
    folder = tmp_path / "empty" if missing == "nothing there" else missing
    scores = clip_scores(pictures(2), "a house", folder)
    assert isinstance(scores, NotComputed)
    assert str(scores) == "not computed" and "no CLIP weights" in scores.reason


def test_one_frame_is_not_enough(clip_folder: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        clip_scores(pictures(1), "a house", clip_folder)


def test_clip_sees_the_middle_in_its_own_colours() -> None:
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, 10:30] = 255
    seen = as_clip_sees(frame, 10)
    assert seen.shape == (3, 10, 10) and seen.dtype == np.float32
    white = (1 - np.array(MEAN)) / np.array(DEVIATION)
    assert seen[:, 5, 5] == pytest.approx(white, abs=1e-3)
