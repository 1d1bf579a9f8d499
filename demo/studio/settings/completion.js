// The names of things that the model was taught, offered below the prompt while one of them is typed.

const MOST = 6;
const FEWEST_LETTERS = 2;
const MOST_WORDS = 3;

// What of `text`, which ends at the caret, begins a name, and the names that it begins: the longest such end of its
// words, or null. A word that is a name itself is whole: "car" is no beginning of "carrot", but "fire" is one of "fire
// engine".
export function begun(text, names) {
  const words = text.split(/[,;:()\n]/).pop().trimStart().toLowerCase().split(/\s+/);
  for (let from = Math.max(0, words.length - MOST_WORDS); from < words.length; from++) {
    const typed = words.slice(from).join(" ");
    if (typed.trim().length < FEWEST_LETTERS) continue;
    const beginning = names.includes(typed) ? `${typed} ` : typed;
    const found = names.filter((name) => name.startsWith(beginning) && name !== typed);
    if (found.length > 0) {
      return { length: typed.length, found: found.sort((a, b) => a.length - b.length).slice(0, MOST) };
    }
  }
  return null;
}

// `box` is the prompt's text area. Follows the combobox pattern of WAI-ARIA with a list that completes nothing by itself.
export function createCompletion(studio, box, names) {
  const list = studio.find("subjects");
  let offer = null;
  let at = -1;

  function close() {
    offer = null;
    list.hidden = true;
    box.setAttribute("aria-expanded", false);
    box.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    at = index;
    [...list.children].forEach((option, each) => option.setAttribute("aria-selected", each === at));
    if (at < 0) box.removeAttribute("aria-activedescendant");
    else box.setAttribute("aria-activedescendant", list.children[at].id);
  }

  function accept(name) {
    const end = box.selectionStart;
    box.setRangeText(name, end - offer.length, end, "end");
    box.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  }

  function option(name, index) {
    const made = document.createElement("div");
    made.id = `subject_${index}`;
    made.role = "option";
    made.textContent = name;
    // Before the box is left.
    made.onpointerdown = (event) => {
      event.preventDefault();
      accept(name);
    };
    return made;
  }

  function show() {
    offer = box.selectionStart === box.selectionEnd ? begun(box.value.slice(0, box.selectionStart), names) : null;
    if (!offer) return close();
    list.replaceChildren(...offer.found.map(option));
    const { left, bottom, width } = box.getBoundingClientRect();
    Object.assign(list.style, { left: `${left}px`, top: `${bottom + 4}px`, maxWidth: `${width}px` });
    list.hidden = false;
    box.setAttribute("aria-expanded", true);
    choose(-1);
  }

  function press(event) {
    if (!offer || event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const places = offer.found.length + 1;
      choose(((at + 1 + step + places) % places) - 1);
    } else if (event.key === "Enter" && at >= 0) {
      accept(offer.found[at]);
    } else if (event.key === "Escape") {
      close();
    } else {
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  box.role = "combobox";
  box.autocomplete = "off";
  for (const [name, value] of [["autocomplete", "list"], ["controls", "subjects"], ["expanded", false]]) {
    box.setAttribute(`aria-${name}`, value);
  }
  box.addEventListener("input", (event) => event.isTrusted && show());
  box.addEventListener("keydown", press, true);
  box.addEventListener("blur", close);
  window.addEventListener("scroll", close, { passive: true, capture: true });
  window.addEventListener("resize", close, { passive: true });
}
