"""What comes back to the page in a link or a file of presets is taken, or refused with a sentence."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from playwright._impl._driver import compute_driver_executable

from demo import assets
from tests.support.outside import JSON, SAME_EACH_RUN, changed_bytes, changed_json

DECLARATIONS = {
    "steps": {"label": "Steps", "minimum": 1, "maximum": 4, "integer": True},
    "strength": {"label": "Strength", "minimum": 0, "maximum": 1, "integer": False},
    "prompt": {"label": "Prompt", "maximum_length": 100},
    "curve": {"label": "Curve", "choices": ["linear", "round"]},
}
SETTINGS = {"steps": 2, "strength": 0.5, "prompt": "oil", "curve": "linear"}
PRESETS = {"format": "rearview-presets", "version": 1, "presets": [{"name": "Oil", "settings": SETTINGS}]}
LINK = b"rearview=1&prompt=oil+painting&steps=2&strength=0.5&curve=linear"
READER = """
import { readFileSync } from "node:fs";
const { declarations, texts, links } = JSON.parse(readFileSync(0, "utf8"));
const word = (path, values) => [path, ...Object.values(values ?? {}).map((each) => `${each}`)].join(" ");
const answer = (found) => {
  try {
    return found().map((each) => checked(each, declarations, word));
  } catch (error) {
    return error instanceof Refusal ? error.message : { broken: `${error}` };
  }
};
const files = texts.map((text) => answer(() => fromFile(text, word).map(({ settings }) => settings)));
const fragments = links.map((link) => answer(() => [fromFragment(link, declarations, word)]));
console.log(JSON.stringify([...files, ...fragments]));
"""


def answers(texts: list[str], links: list[str]) -> list[Any]:
    """What the page makes of files of presets and of links: settings with a sentence each, or a refusal."""
    node, _ = compute_driver_executable()
    script = assets.scripts()["keep/exchange.js"].decode() + READER
    asked = json.dumps({"declarations": DECLARATIONS, "texts": texts, "links": links})
    done = subprocess.run(
        [node, "--input-type=module", "--eval", script], input=asked, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_what_was_written_is_read() -> None:
    file, link = answers([json.dumps(PRESETS)], [LINK.decode()])
    assert file == [{"settings": SETTINGS, "sentence": ""}]
    assert link == [{"settings": {**SETTINGS, "prompt": "oil painting"}, "sentence": ""}]


NO_TEXT = json.dumps({**PRESETS, "presets": [{"name": "a", "settings": {"steps": {"toString": 1}}}]})
DEEP = json.dumps(PRESETS).replace("0.5", 100_000 * "[" + 100_000 * "]")
TEXTS = changed_json(PRESETS).map(json.dumps) | JSON.map(json.dumps) | st.text(max_size=20)
LINKS = changed_bytes(LINK).map(lambda link: link.decode("latin-1")) | st.text(max_size=20)


@settings(SAME_EACH_RUN, max_examples=3, phases=[Phase.explicit, Phase.generate])
@given(st.lists(TEXTS, min_size=20, max_size=40), st.lists(LINKS, min_size=10, max_size=40))
def test_anything_else_is_refused_with_a_sentence(texts: list[str], links: list[str]) -> None:
    for answer in answers([*texts, NO_TEXT, DEEP], links):
        if isinstance(answer, str):
            assert answer.startswith("presets.")
        else:
            assert isinstance(answer, list), answer
            for each in answer:
                assert all(
                    type(value) is type(SETTINGS[name]) or name == "strength"
                    for name, value in each["settings"].items()
                )
