"""What a visitor can change: one field of `FrameSettings` a setting, with the range and the words of each beside it.

Sliders, command line, links and checks read that declaration. Part of the ground: nothing here imports another room,
nor anything that takes long to import. Start with `settings.py`; `declarations.py` is what a declaration knows,
`outside.py` reads a stranger's JSON, `rests.py` says which settings do nothing as the others are now, and `presets.py`
names sets of them.
"""

from pipeline.settings.declarations import Choice, Range, SettingsError, Text
from pipeline.settings.outside import JsonError, parsed_json, shown
from pipeline.settings.presets import MEMORY_PRESETS
from pipeline.settings.rests import MEMORIES_THAT_READ, resting
from pipeline.settings.settings import (
    BANK_RENEWALS,
    CHOICES,
    DECLARATIONS,
    FINER_TIMES,
    FIT,
    GRADUAL,
    GUIDANCE_KINDS,
    MAXIMUM_SEED,
    MEMORY_NAMES,
    OWN_MEMORY,
    PROMPT_CURVES,
    RANGES,
    BankRenewal,
    Fit,
    FrameSettings,
    Pipelined,
    PromptBlend,
    PromptCurve,
)

__all__ = [
    "BANK_RENEWALS",
    "CHOICES",
    "DECLARATIONS",
    "FINER_TIMES",
    "FIT",
    "GRADUAL",
    "GUIDANCE_KINDS",
    "MAXIMUM_SEED",
    "MEMORIES_THAT_READ",
    "MEMORY_NAMES",
    "MEMORY_PRESETS",
    "OWN_MEMORY",
    "PROMPT_CURVES",
    "RANGES",
    "BankRenewal",
    "Choice",
    "Fit",
    "FrameSettings",
    "JsonError",
    "Pipelined",
    "PromptBlend",
    "PromptCurve",
    "Range",
    "SettingsError",
    "Text",
    "parsed_json",
    "resting",
    "shown",
]
