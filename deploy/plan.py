"""What the replicas are, and what they share. Knows nothing of Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from app import FEW_STEPS

SECRET_VARIABLE = "REARVIEW_SECRET"
AUTH_VARIABLE = "REARVIEW_AUTH"
SHORTEST_SECRET = 32


class PlanError(ValueError):
    """A deployment cannot be as it was asked for; the message says what came, what is needed, what to do."""


@dataclass(frozen=True)
class Replica:
    """One replica: what it loads, and what it takes of its machine. The names are those of `args` in a Serve config."""

    model: str = "embedded"
    memory: str = "feature-bank"
    few_steps: str = "auto"
    """What is in the weights of a model of no catalogue."""
    places: int = 8
    """Visitors that it serves at once."""
    cpus: float = 1.0
    """CPUs that Ray counts for it; the whole ones become PyTorch's threads."""
    gpus: float | None = None
    """GPUs that it computes on, 0 for the CPU; by default engines take 1 where Ray has any, and the page none."""
    behind_proxy: bool = False
    """Whether a load balancer in front says where visitors come from, by the last hop of X-Forwarded-For."""

    def __post_init__(self) -> None:
        refuse(self.places < 1, f"places came as {self.places}; needed: 1 or more. Send how many visitors one has.")
        refuse(
            self.few_steps not in FEW_STEPS,
            f"few_steps came as {self.few_steps!r}; needed: one of {', '.join(FEW_STEPS)}. Send one.",
        )
        refuse(self.cpus < 0, f"cpus came as {self.cpus}; needed: 0 or more. Send how many Ray shall count for one.")
        refuse((self.gpus or 0) < 0, f"gpus came as {self.gpus}; needed: 0 or more. Send 0 to compute on the CPU.")


@dataclass(frozen=True)
class Engines(Replica):
    """Replicas of one kind, and how few and how many there may be."""

    minimum_replicas: int = 1
    maximum_replicas: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(
            not 1 <= self.minimum_replicas <= self.maximum_replicas,
            f"minimum_replicas and maximum_replicas came as {self.minimum_replicas} and {self.maximum_replicas}; "
            "needed: 1 or more, and the maximum no less than the minimum. Change one of them.",
        )


Kind = TypeVar("Kind", bound=Replica)


def planned(kind: type[Kind], arguments: Mapping[str, Any]) -> Kind:
    """The plan that a Serve config's `args` ask for; raises `PlanError`."""
    known = [each.name for each in fields(kind)]
    unknown = sorted(set(arguments) - set(known))
    refuse(bool(unknown), f"args came with {', '.join(unknown)}; needed: names among {', '.join(known)}. Remove it.")
    return kind(**arguments)


def shared_secret(environment: Mapping[str, str] = os.environ) -> bytes:
    """The secret that signs the tokens of all replicas; raises `PlanError` where it is missing or can be guessed."""
    secret = environment.get(SECRET_VARIABLE, "")
    refuse(
        len(secret) < SHORTEST_SECRET,
        f"{SECRET_VARIABLE} came with {len(secret)} characters; needed: {SHORTEST_SECRET} or more, the same on every "
        "node. Set it before Ray starts, for instance to what `openssl rand -hex 32` prints.",
    )
    return secret.encode()


def refuse(wrong: bool, message: str) -> None:
    """Raise `PlanError` with this message where something is wrong."""
    if wrong:
        raise PlanError(message)
