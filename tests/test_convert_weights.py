"""A pickle of weights becomes safetensors, and runs nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline import Model, load_control
from scripts.convert_weights import main
from tests.pipeline.guides.test_control import tiny_adapter


def written(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_an_adapter_of_the_hub_is_converted_and_loads(plain_model: Model, tmp_path: Path) -> None:
    network = tiny_adapter()
    network.save_pretrained(tmp_path, safe_serialization=False)
    main([str(tmp_path / "diffusion_pytorch_model.bin"), str(tmp_path / "diffusion_pytorch_model.safetensors")])
    state = load_control(tmp_path, plain_model).network.state_dict()
    assert all(torch.equal(each, state[name]) for name, each in network.state_dict().items())


def test_wrapped_nested_and_shared_tensors_are_taken_as_they_are(tmp_path: Path) -> None:
    whole = torch.arange(6.0).view(2, 3)
    state = {"a": whole, "b": whole.T, "inner": {"c": whole[0]}, "rank": 4}
    target = tmp_path / "out.safetensors"
    main([str(written(tmp_path / "in.bin", {"state_dict": state, "step": 3})), str(target)])
    tensors = load_file(target)
    assert sorted(tensors) == ["a", "b", "inner.c"]
    assert torch.equal(tensors["b"], whole.T) and torch.equal(tensors["inner.c"], whole[0])


class Program:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("content", [Program(), {"a": Program()}, [torch.zeros(1)], {"step": 3}, {"a": [1]}])
def test_anything_else_is_a_sentence_and_runs_nothing(
    content: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([str(written(tmp_path / "in.bin", content)), "out.safetensors"])
    assert ended.value.code == 1 and "cannot be converted" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["in.bin"]


def test_the_outcome_is_called_safetensors(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "in.bin"), str(tmp_path / "out.bin")])
