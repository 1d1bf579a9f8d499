// What the drawing looks like, while the prompt says nothing but how it is painted: names that the server guesses, each a
// press away from being said.

import { partsBeside, phraseIn } from "../shared/prompts.js";

const ASK_MS = 700;
const LEAST_SURE = 0.08;

export function createGuesses(studio, { styles, times }, submitted) {
  const { events, find, settings, word } = studio;
  const row = find("guesses");
  let timer = null;

  function areWanted() {
    const { empty, source = "drawing" } = find("input").dataset;
    return empty !== "yes" && source === "drawing" && partsBeside(settings.values.prompt, styles, times).length === 0;
  }

  function say(name) {
    const { prompt } = settings.values;
    submitted([phraseIn(prompt, styles), name, phraseIn(prompt, times)].filter(Boolean).join(", "));
  }

  function button(name) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "rv-button";
    made.textContent = name;
    made.title = word("looks.guess_help");
    made.onclick = () => say(name);
    return made;
  }

  function show(names) {
    const shown = [...row.querySelectorAll("button")].map((each) => each.textContent);
    row.hidden = names.length === 0;
    if (String(shown) !== String(names)) row.replaceChildren(row.firstElementChild, ...names.map(button));
  }

  function hideUnwanted() {
    if (!areWanted()) show([]);
  }

  function ask() {
    timer = null;
    if (areWanted()) studio.wire.say({ type: "guess" });
    else show([]);
  }

  function askSoon() {
    timer ??= setTimeout(ask, ASK_MS);
  }

  events.on("picture", askSoon);
  events.on("settings", hideUnwanted);
  events.on("source", hideUnwanted);
  events.on("news", ({ type, guesses }) => {
    if (type !== "guesses") return;
    const sure = guesses.filter(([, probability]) => probability >= LEAST_SURE);
    show(areWanted() ? sure.map(([name]) => name) : []);
  });
}
