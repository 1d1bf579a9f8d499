"""What some work has at once."""

from __future__ import annotations

import torch

from pipeline.compute.peak import PeakBytes


def test_what_lives_at_once_is_counted_and_what_is_gone_is_not() -> None:
    given = torch.ones(1000)
    with torch.inference_mode(), PeakBytes() as counted:
        for _ in range(5):
            first = given + 1
            view = first[:10].reshape(2, 5)
            first.add_(1)
            del first, view
        assert counted.peak == 4000
        kept = [given * 2 for _ in range(3)]
    assert counted.peak == 12000 and len(kept) == 3
