"""Rows that join a UNet call: what they bring, and what they take from the row that they join."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.memory.joining import Joining, UnetInput, inputs_of, joined, named


def numbered(*rows: float, width: int = 2) -> Tensor:
    return torch.tensor(rows)[:, None].expand(-1, width).contiguous()


def test_arguments_come_by_place_or_by_name_and_timesteps_for_all_or_each() -> None:
    sample, text = numbered(1, 2), numbered(5, 6)
    by_place = named((sample, 500, text), {"return_dict": False})
    by_name = named((), {"sample": sample, "timestep": torch.tensor(500), "encoder_hidden_states": text})
    assert by_place["timestep"].tolist() == by_name["timestep"].tolist() == [500, 500]
    assert by_place["encoder_hidden_states"] is by_name["encoder_hidden_states"] is text
    assert named((sample, torch.tensor([1, 2])), {})["timestep"].tolist() == [1, 2]


def test_a_frame_that_joins_brings_its_own_and_is_asked_as_its_row_is() -> None:
    call = object()
    (old,) = inputs_of(named((numbered(7), 800), {}))
    (older,) = inputs_of(named((numbered(8), 900), {}))
    arguments = named(
        (numbered(1, 2), torch.tensor([100, 200]), numbered(5, 6)),
        {
            "added_cond_kwargs": {"text_embeds": numbered(3, 4)},
            "timestep_cond": None,
            "cross_attention_kwargs": {"memory": call, "each": numbered(1, 2)},
            "return_dict": False,
        },
    )
    whole = joined(arguments, [Joining(1, [older, old]), Joining(0, [old])])
    assert whole["sample"][:, 0].tolist() == [1, 2, 8, 7, 7]
    assert whole["timestep"].tolist() == [100, 200, 900, 800, 800]
    assert whole["encoder_hidden_states"][:, 0].tolist() == [5, 6, 6, 6, 5]
    assert whole["added_cond_kwargs"]["text_embeds"][:, 0].tolist() == [3, 4, 4, 4, 3]
    assert whole["cross_attention_kwargs"] is arguments["cross_attention_kwargs"]
    assert whole["timestep_cond"] is None and whole["return_dict"] is False


def test_a_control_stays_with_its_frame() -> None:
    """Of a frame without one it is zero; the lists are new ones, because a UNet takes their items out."""
    controlled = named(
        (numbered(1), 100),
        {"down_intrablock_additional_residuals": [numbered(3), numbered(4)], "mid_block_additional_residual": None},
    )
    plain = named((numbered(2), 200), {})
    (old,), (bare,) = inputs_of(controlled), inputs_of(plain)
    assert set(bare.arguments) == {"sample", "timestep"}
    controlled["down_intrablock_additional_residuals"].clear()
    for arguments, inputs, expected in (
        (plain, [old, bare], [[0, 3, 0], [0, 4, 0]]),
        (
            named((numbered(5), 100), {"down_intrablock_additional_residuals": [numbered(6), numbered(7)]}),
            [bare],
            [[6, 0], [7, 0]],
        ),
    ):
        residuals = joined(arguments, [Joining(0, inputs)])["down_intrablock_additional_residuals"]
        assert [each[:, 0].tolist() for each in residuals] == expected


def test_an_input_is_copied_counted_and_moved_whole() -> None:
    (_, second) = inputs_of(
        named((numbered(1, 2), 100), {"down_block_additional_residuals": (numbered(3, 4), numbered(5, 6))})
    )
    copy = second.copied()
    first, other = copy.arguments["down_block_additional_residuals"]
    assert first[:, 0].tolist() == [4] and other.untyped_storage().nbytes() == other.nbytes
    assert copy.nbytes == second.nbytes == 16 + 8 + 16 + 16
    away: UnetInput = copy.moved(torch.device("meta"))
    assert away.arguments["down_block_additional_residuals"][1].device.type == "meta" and away.nbytes == copy.nbytes
