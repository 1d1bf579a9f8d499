"""README is two screens, docs/ has one page a subject, and nothing stands twice."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from demo.live.limits import DECLARATIONS, option_of
from demo.space.spacefile import ROOT
from pipeline.models.catalogue import CATALOGUE

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "deploy" / "README.md", *DOCS]
README = re.sub(r"\A---\n.*?^---\n", "", PAGES[0].read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
ROOMS = "pipeline|demo|training|benchmarks|deploy|examples|tests|docs|scripts"
SHORT = 12
"""Words: a paragraph of fewer may stand twice, such as a sentence that leads to another page."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_code(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def paragraphs(page: Path) -> list[str]:
    """The paragraphs, items and rows of a page, each on one line; code blocks count as paragraphs."""
    parts = re.split(r"\n\n+|\n(?=- |\|)", page.read_text(encoding="utf-8"))
    return [" ".join(part.split()) for part in parts]


def test_readme_has_700_to_900_words() -> None:
    assert 700 <= len(README.split()) <= 900


def test_readme_names_ten_features_of_at_most_fifteen_words() -> None:
    features = README.partition("## What it does\n")[2].partition("\n## ")[0]
    items = [" ".join(each.split()) for each in re.split(r"^- ", features.strip(), flags=re.MULTILINE) if each]
    assert len(items) == 10
    assert [each for each in items if len(each.split()) > 15] == []


def test_readme_lists_every_model_of_the_catalogue_with_its_licence() -> None:
    rows = re.findall(r"^\| `(\w[\w-]+)` \|.*\| ([^|]*) \|$", README, flags=re.MULTILINE)
    assert {name for name, licence in rows if licence} == set(CATALOGUE)


def test_readme_moves_for_about_six_seconds_and_three_megabytes_at_most() -> None:
    first = re.search(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert first
    film = ROOT / first[1]
    assert film.stat().st_size < 3 * 2**20
    with Image.open(film) as moving:
        shown = 0
        for frame in range(moving.n_frames):
            moving.seek(frame)
            moving.load()
            shown += moving.info["duration"]
        assert (moving.info["loop"], 5_000 < shown < 7_000) == (0, True)


def test_readme_leads_to_every_page() -> None:
    led_to = {ROOT / target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", README)}
    assert set(PAGES[1:]) <= led_to


@each_page
def test_links_and_pictures_are_there(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_opens_with_its_title_and_a_sentence(page: Path) -> None:
    title, sentence, *_ = page.read_text(encoding="utf-8").split("\n\n")
    assert re.fullmatch(r"# [^\n]+", title)
    assert re.fullmatch(r"[A-Z0-9].*\.", " ".join(sentence.split()))
    assert len(sentence.split()) <= 50


def test_no_paragraph_stands_twice() -> None:
    long = Counter(each for page in PAGES for each in paragraphs(page) if len(each.split()) >= SHORT)
    assert [each for each, times in long.items() if times > 1] == []


@each_page
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"(?<![\w/.:-])((?:{ROOMS})/[\w/.-]+\.(?:py|js|css|json|md|yaml))\b", text)
    assert {each for each in named if each == each.lower() and not (ROOT / each).exists()} == set()


def test_every_limit_of_a_host_is_in_the_table_of_security() -> None:
    table = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    # How long a closed page is waited for, and what a parked one keeps, keep nobody out.
    assert [name for name in DECLARATIONS if option_of(name) not in table] == ["when_idle", "grace_seconds"]
