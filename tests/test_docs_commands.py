"""Every command of the pages is checked: ours read their words, those of others are tied to what they touch here, and
what is neither says in the page that it is untested here."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import app
from demo.space.spacefile import APP_VARIABLES, ROOT, read_spacefile
from deploy.plan import SECRET_VARIABLE
from pipeline import Model
from pipeline.models.catalogue import CATALOGUE

DOCS = sorted(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", "deploy/README.md", *DOCS)
UNTESTED = "untested here"
PLACEHOLDERS = ("FOLDER", "USER/NAME")
WITHOUT_WORDS = ("examples.draw_sketches", "examples.film")
"""Programs of ours that read no command line; each has tests of its own."""
OTHER_VARIABLES = ("REARVIEW_SCREENSHOTS", SECRET_VARIABLE, "HF_TOKEN")


@dataclass(frozen=True)
class Command:
    """One command of a page: its words, the variables set before it, and what the page says about its test."""

    page: str
    text: str
    untested: bool = False

    @property
    def variables(self) -> list[str]:
        """The names of the variables that are set for it."""
        return [word.partition("=")[0] for word in self._split if is_assignment(word)]

    @property
    def words(self) -> list[str]:
        """The program and its arguments."""
        return [word for word in self._split if not is_assignment(word)]

    @property
    def _split(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def is_assignment(word: str) -> bool:
    return re.match(r"[A-Z_]+=", word) is not None


def commands_in(page: str, text: str) -> Iterator[Command]:
    """The commands of a page: all lines of its `sh` blocks, and what calls Python within a sentence."""
    for before, block in re.findall(r"((?:^[^\n]+\n)*\n?)^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            untested = UNTESTED in before or UNTESTED in line
            for part in re.split(r" && | \| ", line):
                if shlex.split(part, comments=True):
                    yield Command(page, part.strip(), untested)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`]+)`", prose):
        if re.match(r"([A-Z_]+=\S+\s+)*(\.venv/bin/)?python3?\s+\S", span):
            yield Command(page, " ".join(span.split()))


class Read(BaseException):
    """A command line was read; nothing of what it asks for is done."""


def reads(module: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own parser takes the arguments, and what they name is there."""
    found = importlib.util.find_spec(module)
    assert found, f"{module} is no module"
    loaded = importlib.import_module(f"{module}.__main__" if found.submodule_search_locations else module)
    if module in WITHOUT_WORDS:
        assert not arguments and callable(loaded.main)
        return
    original = argparse.ArgumentParser.parse_args

    def only_reading(parser: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        raise Read(original(parser, args, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_reading)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    try:
        loaded.main()
    except Read as read:
        check_names(vars(read.args[0]))
    except SystemExit as end:
        assert end.code == 0 and "--help" in arguments
    else:
        pytest.fail(f"{module} read no command line")


def check_names(read: Mapping[str, Any]) -> None:
    """Models, memories and hardware that a command names exist."""
    assert read.get("model") in (None, "auto", *PLACEHOLDERS, *CATALOGUE)
    assert read.get("hardware") in (None, *read_spacefile().flavours)


def python(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`python FILE` and `python -m MODULE`."""
    first, *others = arguments
    if first != "-m":
        assert (ROOT / first).is_file()
        reads(first.removesuffix(".py").replace("/", "."), others, monkeypatch)
    elif others[0] in OF_OTHERS:
        OF_OTHERS[others[0]](others[1:])
    else:
        reads(others[0], others[1:], monkeypatch)


def pip(arguments: Sequence[str]) -> None:
    """What is installed is pinned in a file of ours, or is uv."""
    assert arguments[0] == "install"
    named = [word for before, word in zip(arguments, arguments[1:], strict=False) if before == "-r"]
    assert named or list(arguments[1:]) == ["uv"]
    assert all((ROOT / name).is_file() for name in named)


def uv(arguments: Sequence[str]) -> None:
    """uv stands in for pip."""
    assert arguments[0] == "pip"
    pip(arguments[1:])


def venv(arguments: Sequence[str]) -> None:
    """The folder that every other command takes Python from."""
    assert list(arguments) == [".venv"]


def pytest_command(arguments: Sequence[str]) -> None:
    """The file is there, and `-k` picks something in it."""
    file, _, picked = arguments
    assert picked in (ROOT / file).read_text(encoding="utf-8")


def check_script(arguments: Sequence[str]) -> None:
    """Executable, and a marker that it is given is one of ours."""
    assert os.access(ROOT / "scripts" / "check", os.X_OK)
    markers = re.findall(r"not (\w+)", " ".join(arguments[1:]))
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f'"{marker}: ' in settings for marker in markers)


def docker(arguments: Sequence[str]) -> None:
    """A stage that is built is in the Dockerfile; the words after an image's name are options of the app."""
    if arguments[0] == "build":
        file = arguments[arguments.index("-f") + 1] if "-f" in arguments else "Dockerfile"
        stages = re.findall(r"^FROM .* AS (\w+)$", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert "--target" not in arguments or arguments[arguments.index("--target") + 1] in stages
    else:
        assert arguments[0] == "run"
        image = next(place for place, word in enumerate(arguments) if word in BUILT)
        assert f":{app.DEFAULT_PORT}" in " ".join(arguments[:image])
        app.parse(arguments[image + 1 :])


def ray(arguments: Sequence[str]) -> None:
    """Ray's command line knows the options, which begin a cluster or join one."""
    scripts = pytest.importorskip("ray.scripts.scripts")
    context = scripts.start.make_context("ray start", list(arguments[1:]))
    assert arguments[0] == "start" and context.params["head"] is not bool(context.params["address"])


def serve(arguments: Sequence[str]) -> None:
    """Ray Serve's command line knows the options, and reads the file of applications."""
    scripts = pytest.importorskip("ray.serve.scripts")
    scripts.cli.commands[arguments[0]].make_context("serve", list(arguments[1:]))
    for name in (word for word in arguments if word.endswith(".yaml")):
        assert yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["applications"]


def export(arguments: Sequence[str]) -> None:
    """Nothing but variables, which are looked at for every command."""
    assert not arguments


BUILT = ("rearview", "rearview-cuda")
OF_OTHERS: dict[str, Callable[[Sequence[str]], None]] = {"venv": venv, "pip": pip, "pytest": pytest_command}
PROGRAMS: dict[str, Callable[[Sequence[str]], None]] = {
    ".venv/bin/uv": uv,
    "scripts/check": check_script,
    "docker": docker,
    "ray": ray,
    "serve": serve,
    "export": export,
}
"""Programs that are not Python's, and the check of their arguments."""


def check(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail unless the command does here what its page says."""
    program, *arguments = command.words
    for name in command.variables:
        assert not name.startswith(("REARVIEW", "HF")) or name in (*APP_VARIABLES, *OTHER_VARIABLES), name
    for word in arguments:
        if re.match(r"(examples|tests|deploy|benchmarks|training|pipeline|demo)/", word):
            assert (ROOT / word).exists(), f"{word} is not there"
    if re.fullmatch(r"(\.venv/bin/)?python3?", program):
        python(arguments, monkeypatch)
    else:
        assert program in PROGRAMS, f"{program} has no check here; add one, or say in the page: {UNTESTED}"
        PROGRAMS[program](arguments)


COMMANDS = [each for page in PAGES for each in commands_in(page, (ROOT / page).read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if not each.untested], ids=lambda each: f"{each.page}: {each.text}"
)
def test_a_command_is_one_that_its_program_takes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    check(command, monkeypatch)


def test_commands_are_found_in_every_page_but_that_of_steadiness() -> None:
    assert {each.page for each in COMMANDS} == set(PAGES) - {"docs/steadiness.md"}


def test_every_check_is_needed() -> None:
    programs = {each.words[0] for each in COMMANDS}
    modules = {each.words[2] for each in COMMANDS if each.words[1:2] == ["-m"]}
    assert set(PROGRAMS) <= programs
    assert {*OF_OTHERS, *WITHOUT_WORDS[1:]} <= modules


@pytest.mark.parametrize(
    "text",
    [
        "python app.py --nonsense",
        "python app.py --model sd16",
        "python -m pipeline.nothing",
        "python -m pipeline.video only-one.mp4",
        "python -m pipeline.replay examples/sketches/nobody.rearview out.mp4",
        "python -m demo.space push USER/NAME --hardware h900",
        "python -m examples.film --fast",
        "python -m pip install -r requirements-none.txt",
        "python -m pytest tests/test_ground.py -k not_a_test_of_it",
        "REARVIEW_VISITORSS=3 python app.py",
        "docker build --target tpu -t rearview .",
        "docker run --rm -p 7860:7860 rearview --nonsense",
        "scripts/check -m 'not marked'",
        "frobnicate --all",
    ],
)
def test_a_wrong_command_is_found(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, SystemExit, StopIteration, pytest.fail.Exception)):
        check(Command("a page", text), monkeypatch)


def test_what_is_untested_says_so_beside_the_command() -> None:
    page = f"Some of it is {UNTESTED}:\n\n```sh\nfirst\n```\n\nText.\n\n```sh\nsecond\nthird   # {UNTESTED}\n```\n"
    assert [(each.words, each.untested) for each in commands_in("a page", page)] == [
        (["first"], True),
        (["second"], False),
        (["third"], True),
    ]


def test_the_python_of_a_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Model) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.load_model", lambda name: {"embedded": tiny_model}[name])
    for page in PAGES:
        for code in re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL):
            exec(compile(code, page, "exec"), {})
    assert (tmp_path / "painted.png").is_file()
