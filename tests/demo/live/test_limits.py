"""A host's limits: declared once, and read the same from the command line and from the environment."""

from __future__ import annotations

import pytest

import app
from demo.live.limits import DECLARATIONS, DEFAULTS, HostLimits, limits_of, option_of, variable_of
from pipeline.settings import Range, SettingsError

OTHER = {
    "visitors": "3",
    "visitors_per_address": "2",
    "queue_length": "0",
    "greetings": "5",
    "greetings_per_address": "2",
    "frames_per_second": "12.5",
    "message_kb": "64",
    "session_seconds": "90",
    "idle_seconds": "5",
    "when_idle": "forget",
    "grace_seconds": "0",
    "watchers": "0",
    "connections": "80",
    "connections_per_address": "9",
    "streams_per_address": "7",
    "downloads_per_address": "3",
    "upload_mb": "900",
    "upload_mb_per_address": "200",
    "frame_area": "4",
    "budget_mb": "300",
    "finer_seconds": "0",
}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_limit_is_an_option_and_a_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = OTHER[name]
    by_option = limits_of(app.parse([option_of(name), text]))
    monkeypatch.setenv(variable_of(name), text)
    by_variable = limits_of(app.parse([]))
    assert by_option == by_variable
    assert str(getattr(by_option, name)) in (text, f"{float(text)}" if isinstance(DECLARATIONS[name], Range) else text)
    assert getattr(by_option, name) != DEFAULTS[name]


def test_the_command_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REARVIEW_VISITORS", "3")
    assert limits_of(app.parse(["--visitors", "5"])).visitors == 5


@pytest.mark.parametrize("text", ["0", "many", "2.5", "1001", ""])
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_wrong_limit_gets_a_sentence(
    text: str, by_variable: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if by_variable:
        monkeypatch.setenv("REARVIEW_VISITORS", text)
    with pytest.raises(SystemExit) as stopped:
        app.parse([] if by_variable else ["--visitors", text])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "needed: a whole number from 1 to 1000" in said
    assert ("REARVIEW_VISITORS" if by_variable else "--visitors") in said


def test_a_wrong_word_names_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.parse(["--when-idle", "sleep"])
    assert "one of keep, forget" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, each in DECLARATIONS.items() if isinstance(each, Range)])
def test_what_is_out_of_range_is_refused(name: str) -> None:
    declaration = DECLARATIONS[name]
    assert isinstance(declaration, Range)
    HostLimits(**{name: type(DEFAULTS[name])(declaration.maximum)})
    with pytest.raises(SettingsError, match=name):
        HostLimits(**{name: declaration.maximum + 1})


def test_the_defaults_suit_a_small_public_host() -> None:
    limits = HostLimits()
    assert (limits.visitors, limits.idle_seconds, limits.when_idle) == (8, 60, "keep")
    assert limits.grace_seconds < 5
    assert limits.byte_budget == 1024**3
    assert limits.message_bytes == 512 * 1024


def test_help_names_every_limit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        app.parse(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert all(option_of(name) in said for name in DECLARATIONS)


def test_a_proxy_is_trusted_only_where_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert not app.parse([]).behind_proxy
    assert app.parse(["--behind-proxy"]).behind_proxy
    monkeypatch.setenv("SPACE_ID", "somebody/rearview")
    assert app.parse([]).behind_proxy
