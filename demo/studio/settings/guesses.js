// What the drawing looks like, while the prompt says nothing but how it is painted: names that the server guesses, each a
// press away from being said.

const ASK_MS = 700;
const LEAST_SURE = 0.08;

// A prompt without the phrases of a style and of a time, and these.
export function partsOf(prompt, styles, times) {
  const parts = prompt.split(",").map((part) => part.trim());
  const among = (phrases) => parts.find((part) => Object.values(phrases).includes(part.toLowerCase())) ?? "";
  const [style, time] = [among(styles), among(times)];
  return { style, time, rest: parts.filter((part) => part && part !== style && part !== time) };
}

export function createGuesses(studio, { styles, times }, submitted) {
  const { events, find, word } = studio;
  const row = find("guesses");
  let timer = null;

  const parts = () => partsOf(studio.settings.values.prompt, styles, times);

  function areWanted() {
    const { empty, source = "drawing" } = find("input").dataset;
    return empty !== "yes" && source === "drawing" && parts().rest.length === 0;
  }

  function say(name) {
    const { style, time } = parts();
    submitted([style, name, time].filter(Boolean).join(", "));
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
