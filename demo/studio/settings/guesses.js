// What the drawing looks like, while the visitor says nothing but how it is painted: names that the server guesses. One
// that is sure goes into the prompt by itself and follows the drawing; the others are a press away. What the visitor
// says stays theirs.

import { partsBeside, phraseIn } from "../shared/prompts.js";
import { keep, recall } from "../shared/storage.js";

const ASK_MS = 700;
const LEAST_SURE = 0.08;
const BY_ITSELF = "naming";

export function createGuesses(studio, { styles, times, sure }, submitted) {
  const { events, find, settings, word } = studio;
  const row = find("guesses");
  const toggle = find("naming");
  const refused = new Set();
  let timer = null;
  // What the prompt says because the drawing looks like it, and the first of the last guesses.
  let named = "";
  let likeliest = "";

  const isEmpty = () => find("input").dataset.empty === "yes";
  const isByItself = () => toggle.getAttribute("aria-pressed") === "true";
  const isTyped = () => document.activeElement?.matches("#prompt textarea");
  const said = () => partsBeside(settings.values.prompt, styles, times).join(", ");

  function areWanted() {
    const { drawn, source = "drawing" } = find("input").dataset;
    return drawn === "yes" && !isEmpty() && source === "drawing" && find("replay").hidden && said() === named;
  }

  function promptOf(name) {
    const { prompt } = settings.values;
    return [phraseIn(prompt, styles), name, phraseIn(prompt, times)].filter(Boolean).join(", ");
  }

  function name(next) {
    named = next;
    settings.apply({ prompt: promptOf(next) });
  }

  // From now on it is the visitor's own word.
  function say(chosen) {
    named = "";
    submitted(promptOf(chosen));
    hideUnwanted();
  }

  function button(guess) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "rv-button";
    made.textContent = guess;
    made.title = word("looks.guess_help");
    made.onclick = () => say(guess);
    return made;
  }

  function show(names) {
    const buttons = () => [...row.querySelectorAll(".rv-button")];
    row.hidden = names.length === 0;
    if (String(buttons().map((each) => each.textContent)) !== String(names)) {
      for (const each of buttons()) each.remove();
      toggle.before(...names.map(button));
    }
    for (const each of buttons()) each.setAttribute("aria-pressed", each.textContent === named);
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

  // Twice in a row, since a drawing passes through much that it will not be.
  function follow([guess, probability]) {
    const isNew = guess !== named && probability >= sure && !refused.has(guess);
    if (isByItself() && isNew && !isTyped()) {
      if (guess === likeliest) name(guess);
      else askSoon();
    }
    likeliest = guess;
  }

  // Who takes the name out of the prompt does not want it again for this drawing.
  function heed() {
    if (named && said() !== named) {
      if (said() === "") refused.add(named);
      named = "";
    }
    hideUnwanted();
  }

  function forget() {
    likeliest = "";
    if (named) name("");
    hideUnwanted();
  }

  function showByItself(does) {
    toggle.setAttribute("aria-pressed", does);
  }

  toggle.onclick = () => {
    showByItself(!isByItself());
    keep(BY_ITSELF, isByItself());
    forget();
    refused.clear();
    askSoon();
  };
  events.on("picture", askSoon);
  events.on("settings", heed);
  events.on("source", ({ name: source }) => source === "drawing" || forget());
  events.on("redrawn", () => {
    if (!isEmpty()) return;
    refused.clear();
    forget();
  });
  events.on("news", ({ type, guesses }) => {
    if (type !== "guesses" || !areWanted()) return hideUnwanted();
    if (guesses.length > 0) follow(guesses[0]);
    show(guesses.filter(([, probability]) => probability >= LEAST_SURE).map(([guess]) => guess));
  });
  showByItself(recall(BY_ITSELF, true));
}
