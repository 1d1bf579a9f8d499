"""SVDiff's spatial memory as layers: 8 x 8 tokens behind each transformer block of a plain UNet, and their attention.

A re-implementation from the paper, "Streaming Video Diffusion: Online Video Editing with Diffusion Models" (arXiv
2405.19726); its authors released neither code nor weights. The paper gives the memory's first tokens,
`m_ij = w + FFN([i - h/2, j - w/2])` with a learned vector w and two layers of FFN, and its update behind every
transformer block, `[F; M'] = Attn([F; M])`. It leaves open, and we chose:

- Residuals: `F + out` for the features, which is a network's habit.
- The memory's norm: `M' = norm(M + out)`, and `norm` of the features before the projections; without parameters. A
  memory of one length however many frames it has taken in cannot grow away.
- Zeros: the output projection begins at zero, so an untrained memory changes no picture.
- Heads: as many as the block's own self-attention has.
- FFN: eight hidden units and GELU. Then what is added to Stable Diffusion 1.5 are 49.70 million parameters; the paper
  says 49.7.
- First tokens: of a block, the same for every denoising step and guidance branch.
- How far a memory is carried: the paper's own fades after two minutes. Ours may be drawn back a little, with every
  frame, to what the first frame of its scene left (`anchored`). In a toy that shows a colour in its first frame alone,
  trained over 8 frames, the error was 0.07 at frame 7 and 1.26 at frame 255 without it, and 0.02 at both with a share
  of 0.3; to go back whole every 8 frames came to 0.08, with a jump each time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from pipeline.compute.attention import Kernel, attend
from pipeline.errors import ModelError

SIDE = 8
TOKENS = SIDE * SIDE
"""Of a block's memory: the paper's 8 x 8, the best of the sizes that it compares."""
HIDDEN = 8
WEIGHTS_FILE = "recurrent.safetensors"
DESCRIPTION_FILE = "rearview.json"

_LOAD_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, AttributeError, SafetensorError)


def centred_grid() -> Tensor:
    """`[i - h/2, j - w/2]` of each token, row by row: float32 `[64, 2]`, -4..3."""
    places = torch.arange(SIDE, dtype=torch.float32) - SIDE / 2
    return torch.cartesian_prod(places, places)


def normed(tokens: Tensor) -> Tensor:
    """Tokens `[..., C]` with mean 0 and deviation 1 each (arXiv 1607.06450, eq. 3, without gain and bias)."""
    return layer_norm(tokens, tokens.shape[-1:])


class BlockMemory(nn.Module):
    """The memory behind one transformer block of `width` C."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.start = nn.Parameter(torch.randn(width))
        self.place = nn.Sequential(nn.Linear(2, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.to_out = nn.Linear(width, width)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def first(self) -> Tensor:
        """What is remembered before any frame, `[64, C]`: `norm(w + FFN([i - h/2, j - w/2]))`."""
        tokens: Tensor = self.start + self.place(centred_grid().to(self.start))
        return normed(tokens)

    def forward(self, features: Tensor, memory: Tensor, kernel: Kernel = "sdpa") -> tuple[Tensor, Tensor]:
        """features `[B, L, C]` and memory `[B, 64, C]`, the same shapes after it: `[F; M'] = Attn([F; M])`."""
        tokens = torch.cat((normed(features), memory), dim=1)
        attended = attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), self.heads, kernel)
        of_features, of_memory = self.to_out(attended).split((features.shape[1], TOKENS), dim=1)
        return features + of_features, normed(memory + of_memory)


class SpatialMemory(nn.Module):
    """The memories of all transformer blocks of a UNet, by the block's name there, such as
    `"mid_block.attentions.0.transformer_blocks.0"`."""

    def __init__(self, blocks: Mapping[str, BlockMemory]) -> None:
        super().__init__()
        self.names = tuple(blocks)
        self.blocks = nn.ModuleList(blocks.values())

    @property
    def by_name(self) -> dict[str, BlockMemory]:
        """Each with its block's name."""
        return dict(zip(self.names, self.blocks, strict=True))  # type: ignore[arg-type]

    def first(self, rows: int) -> dict[str, Tensor]:
        """What rows that begin remember, by block, `[rows, 64, C]` each."""
        return {name: block.first().expand(rows, -1, -1) for name, block in self.by_name.items()}


def anchored(memory: Tensor, anchor: Tensor, share: float) -> Tensor:
    """A memory `[B, 64, C]` drawn back to its `anchor`, what the first frame of its scene left:
    `norm((1 - share) M + share A)`. A share of 0 leaves it as it is."""
    return normed(memory.lerp(anchor, share)) if share else memory


@dataclass(frozen=True, eq=False)
class Recurrent:
    """A spatial memory, and the share, 0..1, by which it is drawn back to its anchor with every frame: a setting of the
    weights, which are trained under it. 0 is the paper's memory, and keeps no anchor."""

    spatial: SpatialMemory
    anchor_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.anchor_share <= 1:
            raise ValueError(
                f"anchor_share came as {self.anchor_share!r}; needed: a number from 0 to 1. Correct the settings of "
                "these weights."
            )


@dataclass(frozen=True, eq=False)
class Placed:
    """The memory of a transformer block of a UNet, by the block's name."""

    name: str
    behind: nn.Module
    memory: BlockMemory


def transformer_blocks(unet: nn.Module) -> dict[str, Any]:
    """Every transformer block of a UNet by its name."""
    return {name: module for name, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)}


def shape_of(block: Any) -> tuple[int, int]:
    """Width and heads of a transformer block's self-attention."""
    return int(block.attn1.to_q.in_features), int(block.attn1.heads)


def placed(spatial: SpatialMemory, unet: nn.Module) -> list[Placed]:
    """Every block's memory with its place in the UNet. Raises `ModelError` unless names and widths are the same."""
    blocks, memories = transformer_blocks(unet), spatial.by_name
    for name in [*blocks, *memories]:
        came = f"{memories[name].width} wide" if name in memories else "none"
        needed = f"{shape_of(blocks[name])[0]} wide" if name in blocks else "none"
        if came != needed:
            raise ModelError(
                f"a recurrent memory came with {came} behind {name}; needed: {needed}, as in the UNet. Take weights "
                "that were made for this model."
            )
    return [Placed(name, blocks[name], memory) for name, memory in memories.items()]


def untrained_recurrent(unet: UNet2DConditionModel, anchor_share: float = 0.0, seed: int = 0) -> Recurrent:
    """A memory that fits a UNet and changes no picture yet: its output projections are zero. `seed` is that of all
    other weights, float32 on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = {name: BlockMemory(*shape_of(block)) for name, block in transformer_blocks(unet).items()}
    return Recurrent(SpatialMemory(blocks).eval(), anchor_share)


def save_recurrent(recurrent: Recurrent, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write weights of `dtype`, and how many heads each block's memory has, so that `load_recurrent` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = recurrent.spatial.by_name
    tensors = {
        f"{name}.{key}": tensor.detach().to("cpu", dtype).contiguous()
        for name, block in blocks.items()
        for key, tensor in block.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS_FILE)
    described = {
        "anchor_share": recurrent.anchor_share,
        "heads": {name: block.heads for name, block in blocks.items()},
    }
    (folder / DESCRIPTION_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def load_recurrent(folder: Path) -> Recurrent:
    """A memory from a folder that `save_recurrent` wrote, float32 on the CPU; raises `ModelError`."""
    try:
        described = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS_FILE)
        heads: dict[str, int] = described["heads"]
        blocks = {name: _loaded(name, count, tensors) for name, count in heads.items()}
        if tensors:
            raise ValueError(f"{next(iter(tensors))} belongs to no block that {DESCRIPTION_FILE} names")
        recurrent = Recurrent(SpatialMemory(blocks).eval().requires_grad_(False), described["anchor_share"])
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"a recurrent memory in {folder} cannot be loaded ({error}); needed: {WEIGHTS_FILE}, and in "
            f"{DESCRIPTION_FILE} the heads of each block's memory and its anchor_share. Check the folder, or choose "
            "another memory."
        ) from error
    return recurrent


def _loaded(name: str, heads: int, tensors: dict[str, Tensor]) -> BlockMemory:
    """The memory of one block; takes its tensors out of `tensors`."""
    keys = [key for key in tensors if key.startswith(f"{name}.")]
    state = {key.removeprefix(f"{name}."): tensors.pop(key).float() for key in keys}
    block = BlockMemory(len(state["start"]), heads)
    block.load_state_dict(state)
    return block
