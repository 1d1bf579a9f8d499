"""The commands `check` and `header`: README's header, and what Spacefile has to agree with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import SpaceHardware

from demo.space.prices import DOLLARS_AN_HOUR, WITHOUT_A_PRICE
from demo.space.space import check_cpu_requirements, header, header_fields, main, pins_on, pythons_of, with_header
from demo.space.spacefile import ROOT, Manifest, SpaceError, read_spacefile


@pytest.fixture
def manifest() -> Manifest:
    return read_spacefile()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with all that a Space's header is checked against, and a README that has no header yet."""
    (tmp_path / "Spacefile").write_text((ROOT / "Spacefile").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "requirements.txt").write_text((ROOT / "requirements.txt").read_text())
    for name in read_spacefile().files:
        if not (tmp_path / name).exists():
            (tmp_path / name).mkdir(parents=True) if "." not in name and name.islower() else (tmp_path / name).touch()
    (tmp_path / "README.md").write_text("# Rearview\n\n---\n\nA rule above.\n")
    return tmp_path


def change(repository: Path, **changes: Any) -> None:
    """Change fields of a repository's Spacefile."""
    path = repository / "Spacefile"
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(read | changes, allow_unicode=True, sort_keys=False), encoding="utf-8")


def test_header_reads_back_as_the_fields_that_hugging_face_knows(manifest: Manifest) -> None:
    opening, block, rest = header(manifest.fields).split("---\n")
    assert (opening, rest) == ("", "")
    assert yaml.safe_load(block) == manifest.fields
    assert list(yaml.safe_load(block)) == list(manifest.fields)
    assert not {"files", "hardware"} & set(manifest.fields)


def test_header_names_the_models_of_its_hardware(manifest: Manifest) -> None:
    assert header_fields(manifest, manifest.flavour()) == manifest.fields
    fields = header_fields(manifest, manifest.flavour("zero-a10g"))
    assert "stable-diffusion-v1-5/stable-diffusion-v1-5" in fields["models"]
    assert fields["suggested_hardware"] == "l4x1"
    assert list(fields) == [*manifest.fields, "preload_from_hub"]


def test_header_replaces_only_the_header(manifest: Manifest) -> None:
    once = with_header("# Rearview\n\n---\n\nA rule above.\n", header(manifest.fields))
    assert once.endswith("---\n\n# Rearview\n\n---\n\nA rule above.\n")
    assert with_header(once, header(manifest.fields)) == once
    renamed = with_header(once, header({**manifest.fields, "title": "Other"}))
    assert renamed == once.replace("title: Rearview", "title: Other")


def test_header_then_check(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"], root=repository) == 1
    assert "python -m demo.space header" in capsys.readouterr().err
    assert main(["header"], root=repository) == 0
    assert main(["check"], root=repository) == 0
    assert (repository / "README.md").read_text().endswith("# Rearview\n\n---\n\nA rule above.\n")


@pytest.mark.parametrize("missing", ["Spacefile", "README.md", "app.py", "requirements.txt", "LICENSE"])
def test_a_missing_file_is_named(repository: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["header"], root=repository) == 0
    (repository / missing).unlink()
    assert main(["check"], root=repository) == 1
    assert missing in capsys.readouterr().err


def test_another_gradio_than_the_pinned_one_is_refused(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "requirements.txt").write_text("# Python 3.10 to 3.12.\ngradio==6.0.0\n")
    assert main(["check"], root=repository) == 1
    assert "6.0.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"python_version": "3.13"}, "needed: one of 3.10, 3.12"),
        ({"python_version": "3.11"}, "needed: one of 3.10, 3.12"),
        ({"app_file": "demo/none.py"}, "app_file"),
        ({"models": ["somebody/else"]}, "models"),
        ({"hardware": {"cpu-basic": {"model": "embedded"}, "h900": {"model": "embedded"}}}, "'h900'"),
        ({"hardware": {"cpu-basic": {"model": "nothing"}}}, "'nothing'"),
    ],
)
def test_what_does_not_hold_together_is_refused(
    repository: Path, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(repository, **changes)
    assert main(["header"], root=repository) == 0
    assert main(["check"], root=repository) == 1
    assert words in capsys.readouterr().err


BASE, LORA, TINY_VAE = read_spacefile().flavour("l4x1").preload
WHOLE = {"model": "sd15-lcm", "variables": {"REARVIEW_SAFETY": "on"}}
HALF_VAE = "vae/diffusion_pytorch_model.fp16.safetensors"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (WHOLE, "names nothing; needed: latent-consistency/lcm-lora-sdv1-5"),
        ({**WHOLE, "preload": [BASE, LORA]}, "needed: .*madebyollin/taesd"),
        ({"model": "embedded", "preload": [LORA]}, "needed: . Correct"),
        ({"model": "sd15-lcm", "preload": [BASE, LORA, TINY_VAE]}, "has feature_extractor/.*safety_checker/"),
        ({**WHOLE, "preload": [f"{BASE},vae/config.json,{HALF_VAE}", LORA, TINY_VAE]}, f"vae/config.json, {HALF_VAE}"),
        ({**WHOLE, "preload": [BASE.replace(",unet/config.json", ""), LORA, TINY_VAE]}, "has no unet"),
        ({**WHOLE, "preload": [BASE.replace("fp16.safe", "bin,unet/x.safe"), LORA, TINY_VAE]}, "as a pickle alone"),
        ({**WHOLE, "preload": [BASE.split()[0]]}, "needed: lines"),
    ],
)
def test_what_is_preloaded_is_exactly_what_the_app_fetches(
    repository: Path, said: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(repository, hardware={"cpu-basic": {"model": "embedded"}, "l4x1": said})
    main(["header"], root=repository)
    assert main(["check"], root=repository) == 1
    assert re.search(words, capsys.readouterr().err)


def test_hardware_without_a_price_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(DOLLARS_AN_HOUR) | set(WITHOUT_A_PRICE) <= {each.value for each in SpaceHardware}
    monkeypatch.setattr("demo.space.space.DOLLARS_AN_HOUR", {})
    assert main(["header"], root=repository) == 0
    assert main(["check"], root=repository) == 1
    assert "hardware l4x1 in Spacefile has no price" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["torch>=2.10", 'torch==2.10.0; python_version > "3.9"'])
def test_a_torch_that_would_bring_cuda_to_a_cpu_is_refused(
    repository: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = repository / "requirements.txt"
    path.write_text(path.read_text().replace("torch==2.10.0", line))
    with pytest.raises(SpaceError, match="brings CUDA to a Space without a GPU"):
        check_cpu_requirements(path.read_text())


def test_python_3_11_is_refused_for_zero_gpu_alone(repository: Path) -> None:
    change(repository, python_version="3.11", hardware={"cpu-basic": {"model": "embedded"}})
    assert main(["header"], root=repository) == 0
    assert main(["check"], root=repository) == 0


def test_the_requirements_pin_each_library_once_on_each_python() -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    assert pythons_of(requirements) == ("3.10", "3.11", "3.12")
    for python in pythons_of(requirements):
        assert {"gradio", "torch", "diffusers", "xformers"} <= pins_on(requirements, python).keys()
    assert pins_on(requirements, "3.10")["diffusers"] != pins_on(requirements, "3.12")["diffusers"]


@pytest.mark.parametrize("line", ["gradio>=6", "gradio==6.31.0\ngradio==6.30.0", "gradio"])
def test_a_library_that_is_not_pinned_once_is_refused(line: str) -> None:
    with pytest.raises(SpaceError, match="gradio==VERSION"):
        pins_on(line, "3.12")


def test_requirements_that_name_no_python_are_refused() -> None:
    with pytest.raises(SpaceError, match="Python 3.X to 3.Y"):
        pythons_of("gradio==6.31.0\n")
