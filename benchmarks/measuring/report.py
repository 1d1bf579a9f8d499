"""Tables of results, and the files that carry them with the command, the machine and the date."""

from __future__ import annotations

import csv
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

BFLOAT16_BY = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}
"""The flags of a processor that computes in bfloat16, the fastest first, and what they are called."""
RESULTS = Path(__file__).resolve().parent.parent / "results"

Row = Mapping[str, object]


def table(rows: Sequence[Row]) -> str:
    """`rows` with the same keys as a Markdown table, aligned so that it also reads well in a terminal."""
    names = list(rows[0])
    lines = [names] + [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    padded = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in (padded[0], rule, *padded[1:]))


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def machine(device: torch.device, dtype: torch.dtype) -> str:
    """The machine that measures, in one line: processor, cores, device, libraries, number format."""
    parts = [_processor(), f"{os.cpu_count()} cores", f"{torch.get_num_threads()} threads"]
    if device.type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    parts += [f"torch {torch.__version__}", str(dtype).removeprefix("torch."), f"Python {platform.python_version()}"]
    return ", ".join(parts)


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture; and what it computes bfloat16 by."""
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8") if information.is_file() else ""
    return processor_of(text) or platform.processor() or platform.machine()


def processor_of(information: str) -> str:
    """The name of the first processor in what /proc/cpuinfo says, with its fastest instructions of `BFLOAT16_BY`."""
    facts = dict(line.split(":", 1) for line in reversed(information.splitlines()) if ":" in line)
    known = {name.strip(): value.split() for name, value in facts.items()}
    instructions = [name for flag, name in BFLOAT16_BY.items() if flag in known.get("flags", [])]
    return " with ".join([" ".join(known.get("model name", [])), *instructions[:1]])


def page_of(name: str, command: str, machine_line: str, tables: Mapping[str, Sequence[Row]], note: str) -> str:
    """All tables as a Markdown page, with the command, the machine and the date."""
    today = datetime.now(timezone.utc).date()
    sections = [f"# {name}", f"- command: `{command}`\n- machine: {machine_line}\n- date: {today}", note]
    for title, rows in tables.items():
        sections += [f"## {title}", table(rows)]
    return "\n\n".join(sections) + "\n"


def publish(
    name: str, command: str, machine_line: str, tables: Mapping[str, Sequence[Row]], note: str, folder: Path = RESULTS
) -> Path:
    """Print all tables, write them into `folder` as `name.md` and one `name-TITLE.csv` each; returns the former."""
    page = page_of(name, command, machine_line, tables, note)
    print(page)
    folder.mkdir(parents=True, exist_ok=True)
    for title, rows in tables.items():
        _write_csv(folder / f"{name}-{_slug(title)}.csv", rows)
    path = folder / f"{name}.md"
    path.write_text(page, encoding="utf-8")
    return path


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
