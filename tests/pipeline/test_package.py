"""The package's front: every name is there, and importing it loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pipeline

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", pipeline.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(pipeline, name).__name__ == name
    assert name in dir(pipeline)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Enigne'; it has .*Engine"):
        _ = pipeline.Enigne


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, pipeline, pipeline.settings; assert not {'torch', 'diffusers', 'av'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
