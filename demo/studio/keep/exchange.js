// Settings as they leave the page and come back: in a link, in a file of presets, in a saved picture.
//
// What comes back was written by anybody. `checked` takes what fits the declarations that the page came with and says of
// the rest, in a sentence each, why it was left out.

const VERSION = 1;
const LINK = "rearview";
const PRESETS = "rearview-presets";
const PICTURE = "rearview-picture";
const SENTENCES = 2;
const MOST_LETTERS = 40;
export const MOST_BYTES = 1e6;
export const LONGEST_NAME = 60;

// What is wrong with what somebody else has written; its message is for the visitor.
export class Refusal extends Error {}

function need({ minimum, maximum, integer, maximum_length, choices }, word) {
  if (choices) return choices.join(", ");
  if (maximum_length) return word("presets.text", { length: maximum_length });
  return word(integer ? "presets.whole" : "presets.number", { minimum, maximum });
}

function fits({ minimum, maximum, integer, maximum_length, choices }, value) {
  if (choices) return choices.includes(value);
  if (maximum_length) return typeof value === "string" && value.length <= maximum_length;
  return (integer ? Number.isInteger(value) : Number.isFinite(value)) && minimum <= value && value <= maximum;
}

function shortened(value) {
  // What a file nests need not know how it becomes a text, and may be as deep as the file is long.
  if (value !== null && typeof value === "object") return Array.isArray(value) ? "[…]" : "{…}";
  const text = String(value);
  return text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)}…` : text;
}

// { settings, sentence }: what can be set, and what to say of the rest ("" for nothing).
export function checked(found, declarations, word) {
  const settings = {};
  const refused = [];
  for (const [name, value] of Object.entries(found ?? {})) {
    const declaration = Object.hasOwn(declarations, name) ? declarations[name] : null;
    if (!declaration) refused.push(word("presets.unknown", { name: shortened(name) }));
    else if (fits(declaration, value)) settings[name] = value;
    else {
      const { label } = declaration;
      refused.push(word("presets.not_a_number", { label, value: shortened(value), need: need(declaration, word) }));
    }
  }
  const more = refused.length - SENTENCES;
  const said = refused.slice(0, SENTENCES);
  if (more > 0) said.push(word("presets.more", { count: more }));
  return { settings, sentence: said.join(" ") };
}

// The declared settings among `values`, in the order of their declarations.
export function declared(values, declarations) {
  return Object.fromEntries(Object.keys(declarations).filter((name) => values[name] != null).map((name) => [name, values[name]]));
}

function checkVersion(version, word) {
  if (version !== VERSION) throw new Refusal(word("presets.newer", { version: shortened(version), ours: VERSION }));
}

// The fragment of an address: "rearview=1&prompt=oil+painting&steps=2…".
export function toFragment(settings) {
  return new URLSearchParams({ [LINK]: VERSION, ...settings }).toString();
}

// What such a fragment asks for, unchecked; `null` for any other fragment. Raises `Refusal`.
export function fromFragment(fragment, declarations, word) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!fields.has(LINK)) return null;
  checkVersion(Number(fields.get(LINK)), word);
  fields.delete(LINK);
  const value = (name, text) => (declarations[name]?.minimum === undefined || text.trim() === "" ? text : Number(text));
  return Object.fromEntries([...fields].map(([name, text]) => [name, value(name, text)]));
}

export function toFile(presets, app) {
  return JSON.stringify({ format: PRESETS, version: VERSION, app, presets }, null, 1);
}

// What is painted on the picture's own account: beside the settings, what has painted it.
export function toPicture(settings, { app, model, memory, size }) {
  return JSON.stringify({ format: PICTURE, version: VERSION, app, model, memory, size, settings });
}

function read(text, format, word, refusal) {
  let found = null;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Refusal(word(refusal));
  }
  if (found?.format !== format) throw new Refusal(word(refusal));
  checkVersion(found.version, word);
  return found;
}

// The presets of a file, [{ name, settings }], their settings unchecked. Raises `Refusal`.
export function fromFile(text, word) {
  const { presets } = read(text, PRESETS, word, "presets.not_a_file");
  const whole = (each) => typeof each?.name === "string" && each.name.trim() && typeof each.settings === "object";
  if (!Array.isArray(presets) || !presets.every(whole)) throw new Refusal(word("presets.not_a_file"));
  return presets.map(({ name, settings }) => ({ name: name.trim().slice(0, LONGEST_NAME), settings }));
}

// { settings, model, … } as `toPicture` has written them, unchecked. Raises `Refusal`.
export function fromPicture(text, word) {
  return read(text, PICTURE, word, "presets.no_settings");
}
