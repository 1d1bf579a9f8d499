// Keys of the whole page: one table, from which the page also tells what there is.
//
// `add({ keys, word, act, canvas, repeats })`: `keys` is one such as "B", "[", "Enter" or "Ctrl+Shift+Z", or several in an
// array (Ctrl is Cmd as well); `word` the path of its sentence in demo/words/en.json; `act(event)` what it does, and none
// for what is only told; `canvas` for a key that acts while the canvas has the focus alone; `repeats` while it is held.
// Keys rest while somebody writes, in a dialog, and on another tab.

const WRITING = "textarea, select, [contenteditable], dialog, input:not([type=range], [type=checkbox], [type=radio], [type=color])";

// What keys have on a keyboard of Latin letters, beside letters and digits.
const SIGNS = { BracketLeft: "[", BracketRight: "]", Minus: "-", Equal: "=", Slash: "/" };
const SHIFTED = { "-": "_", "=": "+", "/": "?" };

// The sign of a key, or of its place where the keyboard's own signs are none of ours: Cyrillic, Greek, Hebrew, Arabic.
function signOf({ key, code, shiftKey }) {
  if (/^[\x00-\x7f]+$/.test(key)) return key;
  const sign = /^(?:Key|Digit)(.)$/.exec(code)?.[1] ?? SIGNS[code];
  return (shiftKey && SHIFTED[sign]) || sign || key;
}

function strokeOf(event) {
  const key = signOf(event);
  const letter = key.length === 1;
  // AltGr, with which some keyboards write brackets, counts as Ctrl and Alt together.
  const writes = event.getModifierState("AltGraph");
  const parts = [];
  if ((event.ctrlKey || event.metaKey) && !writes) parts.push("Ctrl");
  if (event.altKey && !writes) parts.push("Alt");
  // Shift belongs to a sign such as "?", but is a key of its own beside letters and arrows.
  if (event.shiftKey && (!letter || key.toLowerCase() !== key.toUpperCase())) parts.push("Shift");
  parts.push(letter ? key.toLowerCase() : key);
  return parts.join("+");
}

function normal(keys) {
  const parts = keys.split(/\+(?=.)/);
  const last = parts.pop();
  return [...parts, last === " " ? " " : last.length === 1 ? last.toLowerCase() : last].join("+");
}

export function createKeys(studio) {
  const { element, find } = studio;
  const table = [];

  function add({ keys, word, act, canvas = false, repeats = false }) {
    table.push({ keys: [keys].flat(), word, act, canvas, repeats });
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || element.getClientRects().length === 0) return;
    if (event.target.closest?.(WRITING)) return;
    const stroke = strokeOf(event);
    const onCanvas = document.activeElement === find("canvas");
    const found = table.find(
      ({ keys, act, canvas }) => act && (onCanvas || !canvas) && keys.some((each) => normal(each) === stroke),
    );
    if (!found) return;
    event.preventDefault();
    if (!event.repeat || found.repeats) found.act(event);
  });

  return {
    add,
    get table() {
      return table.map(({ keys, word }) => ({ keys, word }));
    },
  };
}
