"""The hub is asked about every name, and what differs from what is declared is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.check_hub import LICENCES, PICKLES, Named, main, named
from tests.support.weights.hub_layout import FakeHub, serving

TURBO, SKETCH = "stabilityai/sdxl-turbo", "TencentARC/t2iadapter_sketch_sd15v2"
BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def written(folder: Path, each: Named) -> Path:
    """As much of a repository as the check reads: names and sizes."""
    if each.name.file:
        (folder / each.name.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / each.name.file).write_bytes(bytes(3_000_000))
        return folder
    for part in each.parts:
        place = folder / part
        place.mkdir(parents=True, exist_ok=True)
        configs = {"scheduler": "scheduler_config.json", "feature_extractor": "preprocessor_config.json"}
        (place / configs.get(part, "config.json")).write_text("{}")
        if part.startswith("tokenizer"):
            (place / "tokenizer.json").write_text("{}")
        elif part not in configs:
            weights = "model.bin" if each.name.repository in PICKLES else "model.fp16.safetensors"
            (place / weights).write_bytes(bytes(2_000_000))
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A hub on which all is as declared."""
    hub = FakeHub()
    for each in named():
        folder = tmp_path / each.name.repository
        folder.mkdir(parents=True, exist_ok=True)
        hub.repositories[str(each.name)] = hub.repositories[each.name.repository] = written(folder, each)
    hub.facts = {name: {"tags": [f"license:{licence}"]} for name, licence in LICENCES.items()}
    with serving(hub):
        yield hub


def said(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["--endpoint", hub.url])
    return status, capsys.readouterr().out


def test_a_hub_as_declared_ends_well_and_every_name_was_asked(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = said(hub, capsys)
    assert status == 0 and "0 differ" in out
    assert {each.use for each in named()} >= {
        "sd15-lcm",
        "sketch-sd15",
        "like-sd15",
        "--safety on",
        "depth",
        "causal memory",
    }
    assert all(str(each.name) in out for each in named())
    for use, file in (
        ("like-sdxl", "vit-h.safetensors"),
        ("like-sd15, its encoder", "models/image_encoder/model.safe"),
    ):
        assert any(line.startswith(f"| {use} ") and file in line and "| 3 " in line for line in out.splitlines())
    (safety,) = [line for line in out.splitlines() if line.startswith("| --safety on")]
    assert "safety_checker/model.fp16.safetensors" in safety and "| 2 " in safety and "creativeml" in safety
    hyper = [line for line in out.splitlines() if line.startswith("| sd15-hyper") and "ByteDance" in line]
    assert ["| Hyper-SD15-8steps-CFG-lora.safetensors " in line and "| 3 " in line for line in hyper] == [True]
    assert not any(path.endswith((".safetensors", ".bin")) for path in hub.asked)


@pytest.mark.parametrize(
    ("name", "facts", "words"),
    [
        (TURBO, {"id": "anna/turbo"}, "moved to anna/turbo"),
        (TURBO, {"gated": "auto"}, "gated"),
        (TURBO, {"tags": ["license:mit"]}, "declared as sai-nc-community"),
        (SKETCH, {"siblings": [{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}]}, "safetensors now"),
        (BASE, {"siblings": [{"rfilename": "unet/model.bin"}]}, "unet as a pickle alone"),
        (TURBO, {"siblings": []}, "no unet"),
        ("ByteDance/Hyper-SD", {"siblings": []}, "no Hyper-SDXL-8steps-CFG-lora.safetensors"),
    ],
)
def test_what_differs_is_named(
    hub: FakeHub, capsys: pytest.CaptureFixture[str], name: str, facts: dict[str, Any], words: str
) -> None:
    hub.facts[name] = hub.facts[name] | facts
    status, out = said(hub, capsys)
    assert status == 1
    assert any(name in line and words in line for line in out.splitlines())


def test_a_name_that_is_gone_is_named(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    del hub.repositories[TURBO]
    status, out = said(hub, capsys)
    assert status == 1 and any(TURBO in line and "cannot be had: 404" in line for line in out.splitlines())
