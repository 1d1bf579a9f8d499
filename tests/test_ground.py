"""The ground: commands that README gives, pins, import rules, the scripts, and the size of what is shipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from demo.space.space import check_space

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT_FILES = ("requirements.txt", "requirements-train.txt", "requirements-dev.txt")
MEGABYTE = 1024 * 1024
MACHINE_PATH = re.compile(r"(?<![\w.~$}>-])/(?:work|root|tmp|home/\w+|Users/\w+)/")


def readme_command(name: str) -> str:
    """The command in the code block that follows README's marker `<!-- name -->`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^<!-- {name} -->\n```\w*\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no code block right after <!-- {name} -->"
    return found[1].strip()


def requirement_lines(name: str) -> list[str]:
    """The lines of a requirements file that are neither empty, comments nor inclusions."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def repository_files() -> list[Path]:
    """Every file that git tracks or would add."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def captured(command: list[str | Path], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` with additions to the environment; its status and what it wrote."""
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )


def write_script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("run-command", ("-m venv .venv", "requirements.txt", "app.py")),
        ("test-command", ("-m venv .venv", "requirements-dev.txt", "scripts/check")),
    ],
)
def test_readme_gives_one_line_that_names_files_that_exist(name: str, parts: tuple[str, ...]) -> None:
    command = readme_command(name)
    assert "\n" not in command
    for part in parts:
        assert part in command
    for file in re.findall(r"(?<![\w./-])(?:[\w-]+\.(?:txt|py)|scripts/[\w.-]+)", command):
        assert (ROOT / file).is_file(), f"README's {name} names {file}"


def test_scripts_are_executable() -> None:
    for name in (".ci/run", "scripts/check"):
        assert os.access(ROOT / name, os.X_OK), name


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_direct_requirements_are_pinned_exactly(name: str) -> None:
    for line in requirement_lines(name):
        assert re.fullmatch(r"[\w.-]+==\d[\w.]*(; .+)?", line), f"{name}: {line}"


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_each_python_gets_one_version_of_each_library(python: str) -> None:
    machine = {"python_version": python, "sys_platform": "linux", "platform_machine": "x86_64"}
    lines = [Requirement(line) for name in REQUIREMENT_FILES for line in requirement_lines(name)]
    chosen = sorted(each.name for each in lines if each.marker is None or each.marker.evaluate(machine))
    assert chosen == sorted({each.name for each in lines})


def test_the_space_agrees_with_readme_and_requirements() -> None:
    check_space(ROOT)


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = []
    for path in repository_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        name = path.relative_to(ROOT)
        found += [f"{name}:{number}" for number, line in enumerate(lines, 1) if MACHINE_PATH.search(line)]
    assert not found


def test_the_embedded_model_is_small_and_has_no_pickle() -> None:
    files = [path for path in (ROOT / "pipeline" / "embedded").rglob("*") if path.is_file()]
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in files}
    assert any(name.endswith(".safetensors") for name in sizes)
    assert sum(sizes.values()) <= 40 * MEGABYTE
    assert max(sizes.values()) <= 16 * MEGABYTE
    assert not [name for name in sizes if name.endswith((".bin", ".ckpt", ".pt", ".pth", ".pkl"))]


def lint_imports(house: Path, planted: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the import rules of pyproject.toml on a house of empty files, in which `planted` ones stand."""
    shutil.copy(ROOT / "pyproject.toml", house)
    for path in repository_files():
        name = path.relative_to(ROOT)
        if path.suffix == ".py" and name.parts[0] != "tests":
            (house / name.parent).mkdir(parents=True, exist_ok=True)
            (house / name).touch()
    for name, text in planted.items():
        (house / name).write_text(text)
    return captured([Path(sys.executable).with_name("lint-imports"), "--no-cache"], house)


def test_import_rules_let_the_house_stand(tmp_path: Path) -> None:
    page, trainer = "import gradio\nimport pipeline\n", "import pipeline\n"
    outcome = lint_imports(tmp_path, {"demo/page/page.py": page, "training/train.py": trainer})
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("pipeline/bad.py", "import gradio\n", "pipeline knows no page and no trainer"),
        ("pipeline/bad.py", "from app import main\n", "pipeline knows no page and no trainer"),
        ("pipeline/bad.py", "import training\n", "pipeline knows no page and no trainer"),
        ("pipeline/bad.py", "import demo\n", "Arrows point one way"),
        ("demo/bad.py", "import torch\n", "demo knows no tensors"),
        ("training/bad.py", "from demo import live\n", "training knows no page"),
        ("benchmarks/gpu.py", "import demo\n", "benchmarks.gpu needs no page"),
        ("pipeline/models/bad.py", "import pipeline.engine.engine\n", "The floors of pipeline"),
        ("pipeline/frames/bad.py", "import pipeline.memory.merge\n", "The floors of pipeline"),
        ("pipeline/no_room.py", "", "The floors of pipeline"),
        ("demo/live/bad.py", "import demo.page.page\n", "The floors of demo"),
        ("training/model/bad.py", "import training.clips.clips\n", "The floors of training"),
    ],
)
def test_import_rules_bite(tmp_path: Path, file: str, text: str, rule: str) -> None:
    outcome = lint_imports(tmp_path, {file: text})
    assert outcome.returncode == 1
    assert re.search(rf"{rule}.* BROKEN", outcome.stdout)


def test_no_two_modules_of_a_room_need_each_other(tmp_path: Path) -> None:
    one, other = "import pipeline.engine.lanes\n", "import pipeline.engine.session\n"
    outcome = lint_imports(tmp_path, {"pipeline/engine/session.py": one, "pipeline/engine/lanes.py": other})
    assert outcome.returncode == 1
    assert re.search("No room goes round in circles.* BROKEN", outcome.stdout)


def test_check_stops_at_the_first_failure_with_its_status(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "check", tmp_path / "scripts")
    for name, status in (("ruff", 0), ("mypy", 3), ("lint-imports", 0), ("python", 0)):
        write_script(tmp_path / "venv" / "bin" / name, f"echo {name} ran\nexit {status}")
    outcome = captured([tmp_path / "scripts" / "check"], tmp_path, VENV=str(tmp_path / "venv"))
    assert (outcome.returncode, outcome.stdout) == (3, "ruff ran\nruff ran\nmypy ran\n")


@pytest.mark.parametrize(
    ("readme", "status", "printed"),
    [
        ("<!-- test-command -->\n```sh\necho $REARVIEW_REQUIRE_BROWSER; exit 7\n```\n\n```\nother\n```\n", 7, "1\n"),
        ("```sh\nexit 0\n```\n", 2, ""),
    ],
)
def test_ci_runs_the_readmes_command(tmp_path: Path, readme: str, status: int, printed: str) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "README.md").write_text(readme)
    write_script(tmp_path / "bin" / "chromium", "exit 0")
    outcome = captured(["bash", ".ci/run"], tmp_path, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert (outcome.returncode, outcome.stdout) == (status, printed)
