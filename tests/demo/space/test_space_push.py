"""Pushing a Space, to a hub on loopback: what is sent, what is set, what is refused, and that what was sent runs."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.space import space
from demo.space.prices import AS_OF
from demo.space.space_push import parcel_of
from demo.space.spacefile import ROOT, read_spacefile
from tests.support.served import App
from tests.support.space_hub import READER, TOKEN, SpaceHub, served_space_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""Of the hub's client, where it sends large files."""

NAME = "anna/rearview"
COMMITTER = ("-c", "user.name=Anna", "-c", "user.email=anna@example.org")
ON_SPACES = {"SPACE_ID": NAME, "SPACE_HOST": "anna-rearview.hf.space", "SYSTEM": "spaces", "GRADIO_SSR_MODE": "True"}
FILES = {
    "requirements.txt": "# Python 3.10 to 3.12.\ngradio==6.31.0\n",
    "app.py": "print()\n",
    "demo/page.py": "page = 1\n",
    "demo/.hidden.py": "hidden = 1\n",
    "demo/large.bin": "x" * 1_200_000,
    "tests/test_page.py": "assert True\n",
    "README.md": "# Rearview\n",
    ".gitignore": "*.log\n",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpaceHub]:
    with served_space_hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # The hub on loopback has the large file storage alone, not the one that has followed it.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield served


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small committed repository with a Spacefile."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    described = yaml.safe_load((ROOT / "Spacefile").read_text())
    described["files"] = ["app.py", "demo", "requirements.txt", "README.md", "Spacefile"]
    (tmp_path / "Spacefile").write_text(yaml.safe_dump(described, allow_unicode=True))
    assert space.main(["header"], root=tmp_path) == 0
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *COMMITTER, *words], cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "All of it")


SENT = {
    "app.py",
    "demo/page.py",
    "demo/.hidden.py",
    "demo/large.bin",
    "requirements.txt",
    "README.md",
    "Spacefile",
}


def test_a_new_space_has_the_files_variables_and_hardware(repository: Path, hub: SpaceHub) -> None:
    assert space.main(["push", NAME, "--private"], root=repository) == 0
    made = hub.spaces[NAME]
    assert set(made.files) == SENT | {".gitattributes"}
    assert made.files["demo/large.bin"] == b"x" * 1_200_000
    assert made.files["README.md"] == (repository / "README.md").read_bytes()
    assert (made.hardware, made.private) == ("cpu-basic", True)
    assert made.variables["REARVIEW_MODEL"] == "embedded" and made.variables["REARVIEW_VISITORS"] == "2"
    assert len(made.commits) == 1


def test_another_hardware_brings_its_model_and_its_header(repository: Path, hub: SpaceHub) -> None:
    assert space.main(["push", NAME, "--hardware", "zero-a10g"], root=repository) == 0
    made = hub.spaces[NAME]
    header = yaml.safe_load(made.files["README.md"].decode().split("---\n")[1])
    assert (made.hardware, made.private) == ("zero-a10g", False)
    assert made.variables == {"REARVIEW_MODEL": "sd15-lcm", "REARVIEW_SAFETY": "on"}
    assert "latent-consistency/lcm-lora-sdv1-5" in header["models"]
    assert header["suggested_hardware"] == "l4x1"
    assert [each.split()[0] for each in header["preload_from_hub"]] == header["models"]


def test_an_update_removes_what_is_gone_and_keeps_what_is_the_owners(repository: Path, hub: SpaceHub) -> None:
    assert space.main(["push", NAME], root=repository) == 0
    made = hub.spaces[NAME]
    made.variables |= {"REARVIEW_SAFETY": "on", "HF_HOME": "/data", "REARVIEW_VISITORS": "7"}
    (repository / "demo" / "page.py").rename(repository / "demo" / "studio.py")
    commit(repository)
    sent_before = len(hub.asked)
    assert space.main(["push", NAME], root=repository) == 0
    assert set(made.files) == SENT - {"demo/page.py"} | {"demo/studio.py", ".gitattributes"}
    assert "REARVIEW_SAFETY" not in made.variables
    assert (made.variables["HF_HOME"], made.variables["REARVIEW_VISITORS"]) == ("/data", "2")
    assert len(made.commits) == 2
    assert not [each for each in hub.asked[sent_before:] if "/storage/" in each or each.endswith("/hardware")]


def test_hardware_is_changed_only_where_it_is_named(
    repository: Path, hub: SpaceHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert space.main(["push", NAME, "--hardware", "l4x1"], root=repository) == 0
    assert space.main(["push", NAME], root=repository) == 1
    assert "runs on l4x1" in capsys.readouterr().err and hub.spaces[NAME].hardware == "l4x1"
    assert len(hub.spaces[NAME].commits) == 1
    assert space.main(["push", NAME, "--hardware", "cpu-basic"], root=repository) == 0
    assert hub.spaces[NAME].hardware == "cpu-basic" and hub.spaces[NAME].variables["REARVIEW_MODEL"] == "embedded"


def test_a_dry_run_lists_everything_and_asks_nothing(
    repository: Path, hub: SpaceHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert space.main(["push", NAME, "--hardware", "l4x1", "--dry-run"], root=repository) == 0
    said = capsys.readouterr().out
    listed = {line.split()[1] for line in said.splitlines() if line.startswith(" ")}
    assert listed >= SENT and "tests" not in said
    assert "   1,200,000  demo/large.bin" in said and "bytes in 7 files" in said
    assert "hardware l4x1" in said and "variable REARVIEW_MODEL=sd15-lcm" in said
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "HF_TOKEN is not set"), ("hf_forged", "does not know the token"), (READER, "may not write")],
)
def test_a_token_that_is_of_no_use_gets_a_sentence(
    token: str | None,
    words: str,
    repository: Path,
    hub: SpaceHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    assert space.main(["push", NAME], root=repository) == 1
    assert words in capsys.readouterr().err
    assert hub.spaces == {}


@pytest.mark.parametrize(("status", "words"), [(402, "needs a paid plan"), (403, "may not have this hardware")])
def test_hardware_that_an_account_may_not_create_gets_a_sentence_that_names_the_free_one(
    status: int, words: str, repository: Path, hub: SpaceHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.paid_hardware, hub.refusal = ("cpu-basic",), status
    assert space.main(["push", NAME], root=repository) == 1
    said = capsys.readouterr().err
    assert words in said and "--hardware zero-a10g" in said and "cpu-basic needs PRO" in said


def test_hardware_that_costs_sleeps_and_says_its_price(
    repository: Path, hub: SpaceHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert space.main(["push", NAME, "--hardware", "l4x1"], root=repository) == 0
    said = capsys.readouterr().out
    assert hub.spaces[NAME].sleep_seconds == 30 * 60
    assert f"$0.80 an hour, $19.20 a day (prices of {AS_OF}), and sleeps after 30 minutes" in said
    for minutes, seconds, words in (("5", 300, "after 5 minutes"), ("0", -1, "sleeps never")):
        assert space.main(["push", NAME, "--hardware", "l4x1", "--sleep", minutes], root=repository) == 0
        assert hub.spaces[NAME].sleep_seconds == seconds and words in capsys.readouterr().out


@pytest.mark.parametrize("hardware", ["cpu-basic", "zero-a10g"])
def test_hardware_that_costs_nothing_by_the_hour_has_no_sleep_time(
    hardware: str, repository: Path, hub: SpaceHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert space.main(["push", NAME, "--hardware", hardware], root=repository) == 0
    assert hub.spaces[NAME].sleep_seconds is None and "$" not in capsys.readouterr().out


def test_a_sleep_time_is_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        space.main(["push", NAME, "--sleep", "soon"])
    assert "needed: minutes" in capsys.readouterr().err


def test_a_space_without_a_gpu_gets_wheels_for_cpus(repository: Path) -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    (repository / "requirements.txt").write_text(requirements)
    commit(repository)
    manifest = read_spacefile(repository / "Spacefile")
    for hardware, is_cpu in (("cpu-basic", True), ("zero-a10g", False)):
        content = parcel_of(repository, manifest, manifest.flavour(hardware), "").files["requirements.txt"]
        sent = content.decode() if isinstance(content, bytes) else content.read_text()
        assert ("download.pytorch.org/whl/cpu" in sent, "xformers" in sent) == (is_cpu, not is_cpu)
        assert ("\ntorch==2.10.0+cpu\n" in sent) == is_cpu
        assert is_cpu or sent == requirements


def test_a_hub_that_is_not_there_gets_a_sentence(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert space.main(["push", NAME], root=repository) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_name_without_its_owner_gets_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        space.main(["push", "rearview"])
    assert "USER/NAME" in capsys.readouterr().err


def test_unknown_hardware_gets_a_sentence(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert space.main(["push", NAME, "--hardware", "h900", "--dry-run"], root=repository) == 1
    assert "one of cpu-basic, l4x1, zero-a10g" in capsys.readouterr().err


def test_what_is_not_committed_is_sent_only_with_dirty(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "demo" / "page.py").write_text("page = 22\n")
    (repository / "demo" / "new.py").write_text("new = 1\n")
    (repository / "demo" / "app.log").write_text("ignored\n")
    (repository / "tests" / "test_page.py").write_text("assert 1\n")
    assert space.main(["push", NAME, "--dry-run"], root=repository) == 1
    assert "2 files differ" in capsys.readouterr().err
    assert space.main(["push", NAME, "--dry-run", "--dirty"], root=repository) == 0
    said = capsys.readouterr().out
    assert "demo/new.py" in said and "app.log" not in said and ", changed" in said


def test_a_folder_without_git_gets_a_sentence(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / ".git").rename(repository / "git")
    assert space.main(["push", NAME, "--dry-run"], root=repository) == 1
    assert "no git repository" in capsys.readouterr().err


def test_what_is_pushed_starts_as_a_space(hub: SpaceHub, tmp_path: Path) -> None:
    assert space.main(["push", NAME, "--dirty"]) == 0
    files = hub.spaces[NAME].files
    assert not [name for name in files if name.split("/")[0] in ("tests", "training", "benchmarks", "docs", "deploy")]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    app = App(tmp_path / "app.log", folder=tmp_path, environment={**ON_SPACES, **hub.spaces[NAME].variables})
    app.start()
    try:
        with urllib.request.urlopen(app.url, timeout=20) as page:
            assert b"gradio" in page.read()
        assert "Rearview paints with Rearview's embedded model" in app.log()
    finally:
        assert app.stop() == 0
