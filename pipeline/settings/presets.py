"""Named sets of the settings that memories read."""

from __future__ import annotations

MEMORY_PRESETS: dict[str, dict[str, float | str]] = {
    "steady": {
        "fusion_strength": 0.75,
        "fusion_threshold": 0.9,
        "bank_frames": 0.25,
        "bank_interval": 4,
        "bank_renewal": "spread",
        "steadiness": 0.8,
    },
    "paper": {
        "fusion_strength": 0.75,
        "fusion_threshold": 0.9,
        "bank_frames": 1.0,
        "bank_interval": 4,
        "bank_renewal": "together",
        "steadiness": 0.0,
    },
    "released code": {
        "fusion_strength": 0.8,
        "fusion_threshold": 0.98,
        "bank_frames": 1.0,
        "bank_interval": 4,
        "bank_renewal": "together",
        "steadiness": 0.0,
    },
}
"""Ours, which the settings begin with, and the two published ones of StreamV2V: the paper's section 4, and the defaults
of the released program."""
