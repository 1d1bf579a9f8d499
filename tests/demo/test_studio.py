"""What the browser gets of the studio: its words, its size, and modules from an address that changes with them."""

from __future__ import annotations

import posixpath
import re
from pathlib import PurePosixPath

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo import assets
from demo.words import WORDS, word

MAXIMUM_BYTES = 150 * 1024
SCRIPTS = {name: content.decode() for name, content in assets.scripts().items()}
GROUND_FLOORS = {"ink": 1, "shared": 0, "vendor": 0}
ROOMS_FLOOR, TOP_FLOOR = 2, 3
MARKUP = "".join(path.read_text(encoding="utf-8") for path in assets.STUDIO.rglob("*.html"))


def paths(tree: dict[str, object], prefix: str = "") -> set[str]:
    return {
        path
        for name, value in tree.items()
        for path in (paths(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}"})
    }


def written(script: str) -> str:
    """A script without its comments."""
    return re.sub(r"^\s*//.*$", "", script, flags=re.MULTILINE)


def client() -> TestClient:
    return TestClient(Starlette(routes=assets.routes()))


def address(name: str) -> str:
    return f"{assets.SCRIPTS_PATH}/{assets.scripts_version(assets.served())}/{name}"


def imported(name: str, way: str = r"(?:from |import\()") -> set[str]:
    """What the module `name` imports, in one of the two ways or in both, by the names of the modules."""
    asked = re.findall(way + r'"(\.[\w./]+)"', SCRIPTS[name])
    return {posixpath.normpath(posixpath.join(posixpath.dirname(name), each)) for each in asked}


def loaded(name: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """The module `name` and all that it imports before it runs."""
    for each in imported(name, "from "):
        known = known if each in known else loaded(each, known | {each})
    return known | {name}


def room(name: str) -> str:
    """The folder of the module `name`, "" for one that lies in none."""
    return PurePosixPath(name).parts[0] if "/" in name else ""


def floor(name: str) -> int:
    """A module may import from its own room and from lower floors."""
    return GROUND_FLOORS.get(room(name), ROOMS_FLOOR) if room(name) else TOP_FLOOR


def imported_in_the_end(name: str) -> set[str]:
    """All that the module `name` imports, itself or through others."""
    known: set[str] = set()
    waiting = imported(name)
    while waiting:
        known |= waiting
        waiting = {each for one in waiting for each in imported(one)} - known
    return known


def test_script_and_style_of_a_page_stay_small() -> None:
    served = assets.served()
    assert len(assets.style().encode()) + sum(len(served[name]) for name in loaded("main.js")) < MAXIMUM_BYTES


def test_browsers_that_unpack_get_packed_scripts() -> None:
    packed, plain = (client().get(address("main.js"), headers={"accept-encoding": each}) for each in ("gzip", ""))
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])


def test_a_script_asks_no_other_host() -> None:
    for name, script in SCRIPTS.items():
        assert not re.search(r"https?://", written(script).replace("http://www.w3.org/2000/svg", "")), name


def test_the_words_of_a_script_are_in_the_one_file() -> None:
    for name, script in SCRIPTS.items():
        assert set(re.findall(r'word\(\s*"([\w.]+)"', script)) <= paths(WORDS), name


def test_every_script_that_another_one_needs_is_served() -> None:
    needed = {each for name in SCRIPTS for each in imported(name)}
    assert needed <= set(SCRIPTS)
    for name in needed:
        answer = client().get(address(name))
        assert answer.status_code == 200 and answer.content == assets.served()[name]
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_from_its_own_room_or_a_lower_floor(name: str) -> None:
    assert [each for each in imported(name) if room(each) != room(name) and floor(each) >= floor(name)] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_imports_itself_through_others(name: str) -> None:
    assert name not in imported_in_the_end(name)


def test_another_version_of_the_scripts_has_another_address() -> None:
    modules = assets.scripts()
    assert assets.scripts_version(modules) != assets.scripts_version(modules | {"main.js": b""})
    assert client().get(f"{assets.SCRIPTS_PATH}/0123456789abcdef/main.js").status_code == 404
    assert client().get(address("studio.html")).status_code == 404


def test_markup_holds_words_and_other_files_in_their_places() -> None:
    assert "[[" not in assets.markup()
    assert word("page.sentence") in assets.markup("page/head.html")
    assert word("drawing.hint") in assets.markup()
    assert 'id="brush"' in assets.markup()


def test_no_word_stands_in_the_markup_itself() -> None:
    named = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"\[]+)"', MARKUP)
    assert named == []


def test_a_room_may_go_against_what_rooms_share() -> None:
    shared, room = assets.style().index(".rv-icon{"), assets.style().index(".rv-palette{")
    assert shared < room


def test_the_sheet_that_names_the_colours_comes_first() -> None:
    assert assets.style().startswith(":root{--rv-accent:")


def test_words_are_filled_and_groups_refused() -> None:
    assert word("line.place", place=2, of=5) == "You are number 2 of 5 in line"
    with pytest.raises(KeyError):
        word("line")
    with pytest.raises(KeyError):
        word("line.nothing")
