"""What hardware of Spaces costs, and which of it an account may create."""

from __future__ import annotations

from collections.abc import Mapping

AS_OF = "2026-08-22"
"""When these were read at https://huggingface.co/docs/hub/spaces-gpus and spaces-overview."""

DOLLARS_AN_HOUR: Mapping[str, float] = {
    "cpu-upgrade": 0.03,
    "t4-small": 0.40,
    "t4-medium": 0.60,
    "l4x1": 0.80,
    "l4x4": 3.80,
    "l40sx1": 1.80,
    "l40sx4": 8.30,
    "l40sx8": 23.50,
    "a10g-small": 1.00,
    "a10g-large": 1.50,
    "a10g-largex2": 3.00,
    "a10g-largex4": 5.00,
    "a100-large": 2.50,
    "a100x4": 10.00,
    "a100x8": 20.00,
}
WITHOUT_A_PRICE = ("cpu-basic", "zero-a10g")
WHO_MAY = (
    "A free account with a verified mail, older than 30 days, may create two Gradio Spaces, on ZeroGPU alone: "
    "--hardware zero-a10g. cpu-basic needs PRO, Team or Enterprise there; other hardware also costs by the hour"
)
SLEEP_MINUTES = 30


def is_paid(hardware: str) -> bool:
    """Whether hardware costs by the hour; what the table does not know is taken to."""
    return hardware not in WITHOUT_A_PRICE


def price_sentence(hardware: str, sleep_minutes: int) -> str:
    """What hardware costs an hour and a day, and when it sleeps; empty for what costs nothing by the hour."""
    if not is_paid(hardware):
        return ""
    hourly = DOLLARS_AN_HOUR[hardware]
    sleeps = f"after {sleep_minutes} minutes without a visitor" if sleep_minutes else "never"
    return f"It costs ${hourly:.2f} an hour, ${24 * hourly:.2f} a day (prices of {AS_OF}), and sleeps {sleeps}."
