"""The load benchmark: what it says of known arrivals, what it plans, and that it measures the real app."""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load
from benchmarks.load import Phase, visitors_row
from benchmarks.measuring.options import numbers
from benchmarks.measuring.paces import Stay, fairness, jitter
from benchmarks.visitors import soak
from benchmarks.visitors.serving import LoadError, complaints, metrics
from benchmarks.visitors.soak import (
    PARTS,
    Part,
    PlannedStay,
    Soak,
    later,
    part_rows,
    planned_stays,
    staircase,
    verdict_rows,
)


def stay(received: list[float], since: float = 0.0, until: float = 20.0, latency: float = 0.5) -> Stay:
    return Stay(since, until, tuple(each - latency for each in received), tuple(received))


def every(interval: float, start: float = 0.0, until: float = 20.0) -> list[float]:
    return [start + number * interval for number in range(math.ceil((until - start) / interval))]


def phase(*stays: Stay, **more: float | None) -> Phase:
    known: dict[str, object] = {"dropped": 0, "failed": 0, "grown": None, "held": None}
    return Phase(stays=stays, **(known | more))  # type: ignore[arg-type]


def test_a_stay_knows_its_rate_and_latencies() -> None:
    one = stay([1.0, 2.0, 4.0], until=6.0, latency=0.25)
    assert one.rate == 0.5
    assert one.latencies == [250.0, 250.0, 250.0]


def test_a_part_of_a_stay_has_the_pictures_that_came_in_it() -> None:
    part = stay([1.0, 2.0, 3.0, 4.0]).during(2.0, 4.0)
    assert (part.since, part.until, part.received) == (2.0, 4.0, (2.0, 3.0))
    assert part.rate == 1.0
    assert stay([1.0], until=2.0).during(5.0, 6.0).rate == 0.0


def test_even_intervals_do_not_tremble() -> None:
    assert jitter([stay(every(0.5))]) == pytest.approx(0.0)


def test_jitter_is_how_much_an_interval_differs_from_the_last_one() -> None:
    assert jitter([stay([0.0, 1.0, 3.0, 4.0])]) == pytest.approx(1000.0)
    assert jitter([stay([0.0, 1.0, 3.0]), stay(every(1.0, until=3.0))]) == pytest.approx(500.0)


def test_two_pictures_have_no_jitter() -> None:
    assert jitter([stay([0.0, 1.0])]) is None


def test_visitors_who_take_turns_are_served_fairly() -> None:
    share = fairness([stay(every(1.0)), stay(every(1.0, start=0.5))])
    assert share == pytest.approx(1.0)


def test_a_picture_more_or_less_is_all_that_odd_turns_cost() -> None:
    share = fairness([stay(every(0.7)), stay(every(0.7, start=0.35))])
    assert share == pytest.approx(7 / 7.5)


def test_half_as_many_pictures_are_two_thirds_of_the_mean_share() -> None:
    assert fairness([stay(every(0.5)), stay(every(1.0, start=0.25))]) == pytest.approx(2 / 3)


def test_who_gets_nothing_for_a_window_has_no_share() -> None:
    starved = [each for each in every(1.0) if not 6 < each < 12]
    assert fairness([stay(every(1.0)), stay(starved)]) == 0.0
    assert fairness([stay(every(1.0)), stay(starved)], window=15.0) == pytest.approx(10 / 12.5)


def test_only_who_waits_all_through_a_window_is_compared() -> None:
    late = stay(every(1.0, start=13.0), since=13.0)
    assert fairness([stay(every(1.0)), late]) == pytest.approx(1.0)
    assert fairness([stay(every(1.0)), stay([], since=16.0)]) is None


def test_an_app_that_stands_still_is_unfair_to_nobody() -> None:
    assert fairness([stay([]), stay([])]) is None
    assert fairness([stay(every(1.0, until=5.0)), stay(every(1.0, until=5.0))]) == pytest.approx(1.0)


def test_one_visitor_has_nobody_to_be_compared_with() -> None:
    assert fairness([stay(every(1.0))]) is None
    assert fairness([]) is None


def test_a_row_sums_the_visitors_up() -> None:
    fast, slow = stay(every(0.5), latency=0.1), stay(every(1.0, start=0.25), latency=0.3)
    row = visitors_row([phase(fast, slow, dropped=3, grown=4 * 2**20, held=2048.0)], alone=1.5)
    assert (row["visitors"], row["frames/s in all"], row["of one alone"]) == (2, 3.0, 2.0)
    assert (row["each, least"], row["each, mean"], row["each, most"]) == (1.0, 1.5, 2.0)
    assert row["least share"] == row["fairness"] == pytest.approx(2 / 3)
    assert row["ms, 50 %"] == pytest.approx(100.0)
    assert (row["dropped"], row["MiB each"], row["KiB held each"]) == (3, 2.0, 1.0)


def test_what_nobody_tells_stays_blank() -> None:
    row = visitors_row([phase(stay([1.0, 2.0]))], alone=None)
    assert [row[name] for name in ("of one alone", "fairness", "jitter ms", "MiB each", "KiB held each")] == [""] * 5


def test_rounds_are_measured_as_one() -> None:
    rounds = [phase(stay(every(1.0))), phase(stay(every(0.5)))]
    assert visitors_row(rounds, alone=None)["frames/s in all"] == 1.5


def test_no_picture_is_said() -> None:
    with pytest.raises(LoadError, match="Measure for longer"):
        visitors_row([phase(stay([]))], alone=None)


def test_numbers_of_visitors() -> None:
    assert numbers("1,2,2,8") == (1, 2, 8)
    for text in ("", "0", "1,,2", "two", "1.5"):
        with pytest.raises(argparse.ArgumentTypeError, match="1,2,4,8"):
            numbers(text)


def test_metrics_are_summed_over_their_labels() -> None:
    page = """\
# HELP rearview_session_bytes Bytes of all sessions.
# TYPE rearview_session_bytes gauge
rearview_session_bytes 1.5e+06
rearview_frames_total{what="in"} 3
rearview_frames_total{what="out, {really}"} 2 1395066363000
rearview_odd +Inf
not a metric at all
"""
    values = metrics(page)
    assert (values["rearview_session_bytes"], values["rearview_frames_total"]) == (1.5e6, 5.0)
    assert values["rearview_odd"] == float("inf") and "not" not in values


def test_complaints_are_found_in_a_log(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("Rearview is open\nTraceback (most recent call last):\n  File\nZeroDivisionError: division\nbye\n")
    assert complaints(log) == ["Traceback (most recent call last):", "ZeroDivisionError: division"]


@pytest.mark.parametrize("seed", range(5))
def test_planned_visitors_come_and_go_and_never_crowd(seed: int) -> None:
    plan = planned_stays(360.0, places=4, seed=seed)
    assert len(plan) > 20 and {each.abruptly for each in plan} == {True, False}
    assert all(0 < each.joins < each.leaves <= 360 for each in plan)
    assert max(sum(each.joins <= moment < each.leaves for each in plan) for moment in range(360)) <= 4


def test_a_seed_plans_the_same_again() -> None:
    assert planned_stays(60.0, 2, seed=1) == planned_stays(60.0, 2, seed=1)
    assert planned_stays(60.0, 2, seed=1) != planned_stays(60.0, 2, seed=2)


def test_a_staircase_has_every_number_of_visitors_on_it_twice() -> None:
    steps = staircase(3, stair=2.0)
    assert steps == (PlannedStay(0, 12), PlannedStay(2, 10), PlannedStay(4, 8))
    assert [sum(each.joins <= moment < each.leaves for each in steps) for moment in range(0, 12, 2)] == [
        1,
        2,
        3,
        3,
        2,
        1,
    ]


def test_visits_can_be_put_off() -> None:
    assert later([PlannedStay(1, 3, abruptly=True)], 10.0) == (PlannedStay(11, 13, abruptly=True),)


def part(resident: float | None = 1000.0, latency: float = 0.1, **more: Any) -> Part:
    known = {"seconds": 20.0, "dropped": 0, "failed": 0, "turned_away": 0, "cut_short": 0, "held": None}
    return Part(stays=(stay([1.0, 2.0, 3.0], latency=latency),), resident=resident, **(known | more))


def verdicts(soaked: Soak) -> dict[object, object]:
    return {row["what"]: row["verdict"] for row in verdict_rows(soaked)}


def test_an_app_that_stays_as_it_was_keeps_its_promises() -> None:
    soaked = Soak(part(), (part(latency=0.2), part(latency=0.9), part(1010.0, latency=0.2)), ())
    assert set(verdicts(soaked).values()) == {"kept"}
    assert [row["part"] for row in part_rows(soaked)] == ["warm-up", "1 of 3", "2 of 3", "3 of 3"]


@pytest.mark.parametrize(
    ("last", "complaining", "broken"),
    [
        (part(1030.0), (), {"resident MiB"}),
        (part(latency=0.2), (), {"latency ms, 50 %", "latency ms, 95 %"}),
        (part(failed=1), (), {"failed frames"}),
        (part(cut_short=1), (), {"visits cut short"}),
        (part(held=4.0), (), {"bytes held when all have left"}),
        (part(), ("Traceback",), {"errors in the log"}),
    ],
)
def test_a_broken_promise_is_called_so(last: Part, complaining: tuple[str, ...], broken: set[str]) -> None:
    judged = verdicts(Soak(part(), (part(), last), complaining))
    assert {what for what, verdict in judged.items() if verdict == "broken"} == broken


def test_memory_that_nobody_tells_is_not_judged() -> None:
    assert "resident MiB" not in verdicts(Soak(part(None), (part(None),), ()))


def rows_of(folder: Path, pattern: str) -> list[dict[str, str]]:
    (path,) = folder.glob(pattern)
    with path.open() as file:
        return list(csv.DictReader(file))


def test_two_visitors_of_the_real_app_are_measured(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(tiny_folder), "--app=--graphs off", "--visitors", "2", "--seconds", "2"]
    assert load.main([*arguments, "--warm-up", "0", "--results", str(tmp_path)]) == 0
    page = (tmp_path / "load.md").read_text()
    assert page in capsys.readouterr().out
    told = f'--steps 1 --model {tiny_folder.name} --app "--graphs off" --seconds 2 --rounds 1 --warm-up 0'
    assert f"`python -m benchmarks.load --visitors 2 {told}`" in page
    assert str(tmp_path) not in page
    (row,) = rows_of(tmp_path, "load-visitors-*-1-step.csv")
    assert (row["visitors"], row["failed"], row["errors in the log"], row["of one alone"]) == ("2", "0", "0", "")
    assert float(row["frames/s in all"]) >= float(row["each, most"]) > 0
    assert float(row["ms, 50 %"]) <= float(row["ms, 95 %"]) <= float(row["ms, 99 %"])


def test_a_soak_of_the_real_app_writes_every_part(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "STAY_SHARES", (0.3, 0.4))
    arguments = [
        "--model",
        str(tiny_folder),
        "--app=--graphs off",
        "--visitors",
        "2",
        "--soak",
        "0.05",
        "--settle",
        "0.2",
    ]
    assert load.main([*arguments, "--results", str(tmp_path)]) == 0
    parts = rows_of(tmp_path, "load-soak-soak-*.csv")
    assert len(parts) == 1 + PARTS and all(int(row["visits"]) >= 2 for row in parts)
    judged = {row["what"]: row["verdict"] for row in rows_of(tmp_path, "load-soak-verdicts-*.csv")}
    assert (judged["failed frames"], judged["errors in the log"]) == ("kept", "kept")


def test_an_app_that_does_not_start_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load.main(["--visitors", "1", "--app=--colour red", "--results", str(tmp_path)]) == 1
    assert "Start it by hand" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--rounds", "0"], ["--soak", "0"], ["--visitors", "none"]])
def test_what_cannot_be_measured_gets_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        load.main(words)
    assert stopped.value.code == 2
    assert "needed" in capsys.readouterr().err
