"""The Triton kernels: by Triton's interpreter what PyTorch computes, and compiled for cards that are not here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from demo.space.space import ROOT
from pipeline.memory import matching
from pipeline.memory.fusion import fuse
from pipeline.memory.matching import has_kernels, kernels_serve, nearest

pytest.importorskip("triton", reason="Triton is not on this machine")

SHARED_BYTES_OF_A_SMALL_CARD = 99 * 1024
BLOCKS = ["16 queries", "64 queries"]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the interpreter made of every case, for each size of blocks."""
    command = [sys.executable, "-m", "tests.support.interpreted"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_the_nearest_is_pytorchs(found: dict[str, Any], blocks: str) -> None:
    assert found[blocks]["nearest misses"] == 0


@pytest.mark.parametrize("blocks", BLOCKS)
def test_the_blend_is_pytorchs(found: dict[str, Any], blocks: str) -> None:
    assert found[blocks]["greatest difference"] < 1e-5
    every, some = found[blocks]["share fused"]
    assert every > 0.95 and 0.1 < some < 0.95


@pytest.mark.parametrize("blocks", BLOCKS)
def test_half_precision_chooses_as_float64_would(found: dict[str, Any], blocks: str) -> None:
    assert found[blocks]["half regret"] < 1e-3


@pytest.mark.parametrize("blocks", BLOCKS)
def test_of_equally_near_tokens_the_first_is_taken(found: dict[str, Any], blocks: str) -> None:
    assert found[blocks]["ties"] == [[70] * 3, [0] * 3]


@pytest.mark.parametrize("blocks", BLOCKS)
def test_what_is_no_number_stays_in_its_token(found: dict[str, Any], blocks: str) -> None:
    assert all(found[blocks]["spoiled"].values())


@pytest.mark.parametrize("blocks", BLOCKS)
def test_tokens_may_lie_apart(found: dict[str, Any], blocks: str) -> None:
    assert found[blocks]["strided"] == 0.0


@pytest.mark.parametrize("name, tiles, dtype", [("nearest", "LARGE", "fp16"), ("fused", "SMALL", "bf16")])
def test_the_kernels_compile_for_cards_that_are_not_here(name: str, tiles: str, dtype: str) -> None:
    """For an RTX 30, within the shared memory that such a card has."""
    from triton import compile as compiled_for
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from pipeline.memory import fusion_kernel

    kernel = {"nearest": fusion_kernel._nearest, "fused": fusion_kernel._fused}[name]
    chosen = {"SMALL": fusion_kernel.SMALL, "LARGE": fusion_kernel.LARGE}[tiles]
    pointers = {"nearest": ["*fp32", "*i64"], "fused": [f"*{dtype}", "*fp32", "*fp32"]}[name]
    types = [f"*{dtype}", f"*{dtype}", *pointers, *["i32"] * 7, *["constexpr"] * 3]
    sizes = {"N": chosen.queries, "M": chosen.keys, "C": chosen.channels}
    source = ASTSource(kernel, dict(zip(kernel.arg_names, types, strict=True)), sizes)
    options = {"num_warps": chosen.warps, "num_stages": chosen.stages}
    compiled = compiled_for(source, target=GPUTarget("cuda", 86, 32), options=options)
    assert "mma.sync" in compiled.asm["ptx"]
    assert compiled.metadata.shared <= SHARED_BYTES_OF_A_SMALL_CARD


def test_few_queries_still_fill_a_card() -> None:
    from pipeline.memory.fusion_kernel import LARGE, SMALL, tiles_for

    assert tiles_for(1, 256) is SMALL and tiles_for(16, 4096) is LARGE


def test_a_device_without_kernels_takes_pytorchs_path() -> None:
    assert not has_kernels(torch.device("cpu"))
    assert not has_kernels(torch.device("mps"))


def test_a_device_with_kernels_takes_them_where_no_gradient_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.memory import fusion_kernel

    monkeypatch.setattr(matching, "has_kernels", lambda device: True)
    monkeypatch.setattr(fusion_kernel, "nearest", lambda *_: "nearest")
    monkeypatch.setattr(fusion_kernel, "fuse", lambda features, bank, *shares: [each.tolist() for each in shares])
    features, bank = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    assert nearest(features, bank) == "nearest"
    assert fuse(features, bank, 0.5, torch.ones(2, 1, 1)) == [[0.5, 0.5], [1.0, 1.0]]
    assert fuse(features, bank, 0.0, 0.5) is features
    assert kernels_serve(features, bank.requires_grad_()) is False
    with torch.no_grad():
        assert kernels_serve(features, bank) is True


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 5e-3), (torch.bfloat16, 4e-2), (torch.float32, 1e-4)])
@pytest.mark.parametrize("tokens, held, width", [(256, 256, 1280), (64, 16, 1280), (4096, 1024, 640), (77, 130, 33)])
def test_on_a_card_the_kernel_fuses_as_pytorch_does(
    dtype: torch.dtype, tolerance: float, tokens: int, held: int, width: int
) -> None:
    """Tokens that are near one of the bank, so that rounding cannot choose another."""
    if not torch.cuda.is_available() or not has_kernels(torch.device("cuda")):
        pytest.skip("needs a CUDA device with Triton")
    from pipeline.memory import fusion_kernel

    bank = torch.randn(2, held, width)
    near = torch.randint(0, held, (2, tokens))
    chosen = torch.stack([row[index] for row, index in zip(bank, near, strict=True)])
    features = chosen + 0.2 * torch.randn(2, tokens, width)
    strength, threshold = torch.tensor([0.75, 0.4]), torch.tensor([0.5, 0.99])
    features, bank = features.to(dtype), bank.to(dtype)
    shares = (each[:, None, None].double() for each in (strength, threshold))
    expected = fuse(features.double(), bank.double(), *shares)
    fused = fusion_kernel.fuse(*(each.cuda() for each in (features, bank, strength, threshold)))
    torch.testing.assert_close(fused.cpu().double(), expected, rtol=0, atol=tolerance)
