"""`attend` and a whole extended self-attention layer against loops in float64; the kernels against each other."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers.models.attention_processor import Attention
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from pipeline import FrameSettings
from pipeline.compute.attention import Kernel, PlainAttention, attend, attend_rows, block_diagonal_mask, choose_kernel
from pipeline.memory import MemoryLayout
from pipeline.memory.bank import BankRow, LayerTokens
from pipeline.memory.feature_bank import BankCall, ExtendedSelfAttention
from tests.conftest import memory_rows
from tests.pipeline.memory.test_fusion import slow_fuse

LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1"


def slow_attend(query: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    query, keys, values = query.double(), keys.double(), values.double()
    width = query.shape[2] // heads
    attended = torch.zeros(query.shape, dtype=torch.float64)
    for row in range(len(query)):
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for token in range(query.shape[1]):
                scores = [float(query[row, token, part] @ key[part]) / math.sqrt(width) for key in keys[row]]
                weights = [math.exp(score - max(scores)) for score in scores]
                for weight, value in zip(weights, values[row], strict=True):
                    attended[row, token, part] += weight / sum(weights) * value[part]
    return attended


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 2),
    tokens=st.integers(1, 6),
    held=st.integers(1, 9),
    heads=st.integers(1, 3),
    width=st.integers(1, 5),
    seed=st.integers(0, 10_000),
)
def test_attend_is_the_loop(rows: int, tokens: int, held: int, heads: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, tokens, heads * width, generator=generator)
    keys, values = torch.randn(2, rows, held, heads * width, generator=generator)
    expected = slow_attend(query, keys, values, heads).float()
    torch.testing.assert_close(attend(query, keys, values, heads), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.integers(1, 7), min_size=1, max_size=4), tokens=st.integers(1, 5), seed=st.integers(0, 10_000)
)
def test_rows_with_keys_of_their_own_number_see_these_alone(counts: list[int], tokens: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(len(counts), tokens, 6, generator=generator)
    keys, values = torch.randn(2, 1, sum(counts), 6, generator=generator)
    apart = zip(query, *(torch.split(each[0], counts) for each in (keys, values)), strict=True)
    expected = torch.cat([attend(q[None], k[None], v[None], heads=2) for q, k, v in apart])
    torch.testing.assert_close(attend_rows(query, keys, values, counts, heads=2), expected)


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.integers(1, 7), min_size=1, max_size=4), tokens=st.integers(1, 5), seed=st.integers(0, 10_000)
)
def test_the_block_diagonal_mask_is_what_grouping_computes(counts: list[int], tokens: int, seed: int) -> None:
    """xformers has no kernel for CPUs; its mask, written out, goes through PyTorch's attention here."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(len(counts), tokens, 6, generator=generator)
    keys, values = torch.randn(2, 1, sum(counts), 6, generator=generator)
    mask = block_diagonal_mask(len(counts), tokens, counts, torch.device("cpu"))
    written = mask.materialize((1, 2, len(counts) * tokens, sum(counts)))
    flat = (each.reshape(1, -1, 2, 3).transpose(1, 2) for each in (query, keys, values))
    attended = scaled_dot_product_attention(*flat, attn_mask=written).transpose(1, 2).reshape(query.shape)
    torch.testing.assert_close(attended, attend_rows(query, keys, values, counts, heads=2))


def slow_layer(
    attn: Attention, hidden: Tensor, banks: list[LayerTokens | None], strength: float, threshold: float
) -> Tensor:
    """A whole self-attention layer by its words: project, attend over [current; bank], project, fuse."""
    hidden = hidden.double()
    query, keys, values = (hidden @ part.weight.double().T for part in (attn.to_q, attn.to_k, attn.to_v))
    rows = []
    for row, bank in enumerate(banks):
        own_keys, own_values = keys[row : row + 1], values[row : row + 1]
        if bank is not None:
            own_keys = torch.cat([own_keys, bank.keys.double()], dim=1)
            own_values = torch.cat([own_values, bank.values.double()], dim=1)
        attended = slow_attend(query[row : row + 1], own_keys, own_values, attn.heads)
        output = attended @ attn.to_out[0].weight.double().T + attn.to_out[0].bias.double()
        rows.append(output if bank is None else slow_fuse(output, bank.outputs, strength, threshold))
    return torch.cat(rows)


def random_bank(tokens: int, held: int, width: int, generator: torch.Generator) -> LayerTokens:
    keys, values, outputs = torch.randn(3, 1, held, width, generator=generator)
    return LayerTokens(tokens, keys, values, outputs)


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(1, 6),
    held=st.lists(st.one_of(st.none(), st.integers(1, 9)), min_size=1, max_size=3),
    heads=st.integers(1, 3),
    seed=st.integers(0, 10_000),
)
def test_a_whole_layer_is_the_loop(tokens: int, held: list[int | None], heads: int, seed: int) -> None:
    """Rows of one batch may have banks of different sizes, or none."""
    torch.manual_seed(seed)
    width = 4 * heads
    attn = Attention(query_dim=width, heads=heads, dim_head=4).eval()
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(len(held), tokens, width, generator=generator)
    banks = [None if each is None else random_bank(tokens, each, width, generator) for each in held]
    rows = [None if bank is None else BankRow({LAYER: bank}, frames=1) for bank in banks]
    asked = FrameSettings(fusion_strength=0.75, fusion_threshold=0.313)
    call = BankCall.of(memory_rows(rows, asked), rows)
    with torch.no_grad():
        output = ExtendedSelfAttention(LAYER, MemoryLayout(), "sdpa")(attn, hidden, memory=call)
        expected = slow_layer(attn, hidden, banks, 0.75, 0.313).float()
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    present = call.present[LAYER]
    with torch.no_grad():
        torch.testing.assert_close(present.keys, attn.to_k(hidden))
        torch.testing.assert_close(present.values, attn.to_v(hidden))
    assert present.outputs is not None and present.outputs.shape == hidden.shape


def test_without_a_bank_a_layer_is_diffusers_own() -> None:
    torch.manual_seed(0)
    attn = Attention(query_dim=24, cross_attention_dim=None, heads=3, dim_head=8).eval()
    cross = Attention(query_dim=24, cross_attention_dim=10, heads=3, dim_head=8).eval()
    hidden, context = torch.randn(2, 7, 24), torch.randn(2, 5, 10)
    with torch.no_grad():
        call = BankCall.of(memory_rows([None, None], FrameSettings()), [None, None])
        extended = ExtendedSelfAttention(LAYER, MemoryLayout(), "sdpa")(attn, hidden, memory=call)
        torch.testing.assert_close(extended, attn(hidden))
        torch.testing.assert_close(PlainAttention("sdpa")(attn, hidden), attn(hidden))
        torch.testing.assert_close(PlainAttention("sdpa")(cross, hidden, context), cross(hidden, context))


def test_a_mask_and_a_missing_memory_are_refused() -> None:
    attn, hidden = Attention(query_dim=8, heads=1, dim_head=8), torch.randn(1, 2, 8)
    with pytest.raises(ValueError, match="needed: none"):
        PlainAttention("sdpa")(attn, hidden, attention_mask=torch.zeros(1, 2))
    with pytest.raises(RuntimeError, match="needed"):
        ExtendedSelfAttention(LAYER, MemoryLayout(), "sdpa")(attn, hidden)


def test_a_cpu_takes_the_kernel_for_its_dtype() -> None:
    assert choose_kernel(torch.device("cpu"), torch.float32) == "sdpa"
    assert choose_kernel(torch.device("cpu"), torch.bfloat16) == "matmul"


KERNEL_CASES = [
    pytest.param("matmul", "cpu", torch.float32, 1e-5, id="matmul in float32"),
    pytest.param("matmul", "cpu", torch.bfloat16, 3e-2, id="matmul in bfloat16"),
    pytest.param("xformers", "cuda", torch.float16, 5e-3, id="xformers in float16", marks=pytest.mark.gpu),
]


@pytest.mark.parametrize("kernel, device, dtype, tolerance", KERNEL_CASES)
@pytest.mark.parametrize(
    "rows, tokens, held, heads, width", [(1, 64, 128, 8, 40), (3, 100, 37, 5, 64), (2, 1, 1, 1, 8)]
)
def test_kernels_differ_by_rounding_only(
    kernel: Kernel,
    device: str,
    dtype: torch.dtype,
    tolerance: float,
    rows: int,
    tokens: int,
    held: int,
    heads: int,
    width: int,
) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if device == "cuda" and choose_kernel(torch.device(device), dtype) != kernel:
        pytest.skip("xformers is not usable on this device")
    query = torch.randn(rows, tokens, heads * width, device=device, dtype=dtype)
    keys, values = torch.randn(2, rows, held, heads * width, device=device, dtype=dtype)
    expected = attend(query.float(), keys.float(), values.float(), heads, "sdpa")
    torch.testing.assert_close(attend(query, keys, values, heads, kernel).float(), expected, rtol=0, atol=tolerance)


@pytest.mark.gpu
def test_ragged_rows_on_a_card_are_those_of_the_loop() -> None:
    if not torch.cuda.is_available() or choose_kernel(torch.device("cuda"), torch.float16) != "xformers":
        pytest.skip("needs a CUDA device with xformers")
    counts = [5, 64, 130]
    query = torch.randn(3, 64, 80, device="cuda", dtype=torch.float16)
    keys, values = torch.randn(2, 1, sum(counts), 80, device="cuda", dtype=torch.float16)
    expected = attend_rows(query.float(), keys.float(), values.float(), counts, 2, "sdpa")
    ragged = attend_rows(query, keys, values, counts, 2, "xformers").float()
    torch.testing.assert_close(ragged, expected, rtol=0, atol=5e-3)
