// What is asked for: prompts used before, names that the model knows or that a drawing looks like, surprises, and the seed.

import { setText } from "../shared/dom.js";
import { groupRadios } from "./radios.js";
import { createRecent } from "./recent.js";

// The cards of the styles, until there is something else to show them on: one picture, a row of all.
const HOUSE = new URL("./styles.webp", import.meta.url);

function showCards(address) {
  document.documentElement.style.setProperty("--rv-cards", `url("${address}")`);
}

// Draws from `all` in a random order: each once before any comes again, and none twice in a row.
export function drawer(all, random = Math.random) {
  let left = [];
  let last = null;
  return () => {
    if (left.length === 0) left = [...all];
    const others = left.length > 1 ? left.filter((each) => each !== last) : left;
    last = others[Math.floor(random() * others.length)];
    left = left.filter((each) => each !== last);
    return last;
  };
}

export function createLooks(studio, { styles, times, declarations, subjects, sure_guess: sure }, surprises) {
  const { events, find } = studio;
  const recent = createRecent(studio, submitted);
  const style = drawer(Object.values(styles));
  const time = drawer(["", ...Object.values(times)]);
  const subject = drawer(Object.values(surprises));
  let locked = true;
  let offering = false;

  function anySeed() {
    return Math.floor(Math.random() * (declarations.seed.maximum + 1));
  }

  // With an open lock, every prompt that was meant brings another seed.
  function submitted(prompt) {
    recent.remember(prompt);
    studio.settings.apply(locked ? { prompt } : { prompt, seed: anySeed() });
  }

  function surprise() {
    submitted([style(), subject(), time()].filter(Boolean).join(", "));
  }

  function roll() {
    studio.settings.apply({ seed: anySeed() });
  }

  async function offerSubjects({ target }) {
    if (subjects.length === 0 || !target.matches("#prompt textarea")) return;
    document.removeEventListener("focusin", offerSubjects);
    (await import("./completion.js")).createCompletion(studio, target, subjects);
  }

  // What the first picture brings with it, small pictures of the visitor's own and names: nobody waits for it.
  async function offerMore() {
    if (offering) return;
    offering = true;
    const [{ createStills }, { createCards }, { createEnds }, { createGuesses }] = await Promise.all(
      [import("./stills.js"), import("./cards.js"), import("./ends.js"), import("./guesses.js")],
    );
    const stills = createStills(studio);
    createEnds(studio, stills);
    if (sure) createGuesses(studio, { styles, times, sure }, submitted);
    createCards(studio, styles, stills, (address) => showCards(address ?? HOUSE.href));
  }

  find("surprise").onclick = surprise;
  find("dice").onclick = roll;
  find("seed_lock").onclick = () => {
    locked = !locked;
    find("seed_lock").setAttribute("aria-pressed", locked);
  };
  document.addEventListener("focusin", offerSubjects);
  events.on("connection", groupRadios);
  events.on("picture", offerMore);
  events.on("settings", ({ seed }) => setText(find("seed_shown"), String(seed)));
  studio.keys.add({ keys: "d", word: "looks.dice", act: roll });
  studio.keys.add({ keys: "u", word: "looks.surprise_key", act: surprise });
  groupRadios();
  showCards(HOUSE.href);
  setText(find("seed_shown"), String(studio.settings.values.seed));

  return { submitted, remember: recent.remember };
}
