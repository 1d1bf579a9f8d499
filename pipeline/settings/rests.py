"""Which settings do nothing beside the others as they are now, and the sentence that says so."""

from __future__ import annotations

from pipeline.settings.settings import OWN_MEMORY, FrameSettings, MemoryName

NEGATIVE_RESTS = "Off now: it needs guidance above 1, of the kind full or onetime."
GUIDANCE_RESTS = "Off now: choose another guidance kind than none."
RESIDUAL_SCALE_RESTS = "Off now: it needs guidance above 1, of the kind onetime or self."
FINER_RESTS = "Off now: it needs pipelined denoising off."
GAMMA_RESTS = "Off now: it needs more than one step."
MEMORY_RESTS = "Off now: it needs the memory {needed}."

_OF_ALL_MEMORIES: tuple[MemoryName, ...] = ("feature-bank", "causal", "recurrent")
MEMORIES_THAT_READ: dict[str, tuple[MemoryName, ...]] = {
    "bank_frames": _OF_ALL_MEMORIES,
    "fusion_strength": ("feature-bank",),
    "fusion_threshold": ("feature-bank",),
    "bank_interval": ("feature-bank",),
    "bank_renewal": ("feature-bank",),
}
"""The settings that memories read, each with the names of those that do."""


def resting(settings: FrameSettings, own: str) -> dict[str, str]:
    """The settings that do not act beside the others as they are now, each with a sentence that says what to do.

    `own` is the memory of whoever chooses none.
    """
    memory = own if settings.memory == OWN_MEMORY else settings.memory
    rests = {
        name: MEMORY_RESTS.format(needed=" or ".join(memories))
        for name, memories in MEMORIES_THAT_READ.items()
        if memory not in memories
    }
    if not settings.negative_acts:
        rests["negative_prompt"] = NEGATIVE_RESTS
    if settings.guidance_kind == "none":
        rests["guidance"] = GUIDANCE_RESTS
    if not settings.guides or settings.guidance_kind == "full":
        rests["residual_scale"] = RESIDUAL_SCALE_RESTS
    if settings.pipelined == "on":
        rests["finer"] = FINER_RESTS
    if settings.steps == 1:
        rests["gamma"] = GAMMA_RESTS
    return rests
