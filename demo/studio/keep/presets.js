// Presets: all settings under a name, kept in this browser; as a link, as a file, and as a saved picture brings them.

import { download, fileName } from "../shared/dom.js";
import { createPopup } from "../shared/popup.js";
import { keep, recall } from "../shared/storage.js";
import { checked, declared, fromFile, fromFragment, fromPicture, MOST_BYTES, Refusal, toFile, toFragment } from "./exchange.js";
import { isPng, textOf } from "./png.js";

const KEY = "presets";
const MOST = 100;
const MOST_PNG_BYTES = 30e6;
export const PICTURE_KEYWORD = "rearview";

const SHARE = '<path d="M9.5 14.5l5-5M8 11l-2 2a3.5 3.5 0 0 0 5 5l2-2M16 13l2-2a3.5 3.5 0 0 0-5-5l-2 2"/>';
const DELETE = '<path d="M6.5 6.5l11 11M17.5 6.5l-11 11"/>';

export function createPresets(studio, { declarations, version }) {
  const { events, find, word } = studio;
  let presets = [];
  let model = null;
  createPopup(find("presets"), find("presets_panel"), show);

  const now = () => declared(studio.settings.values, declarations);

  function read() {
    presets = recall(KEY, presets);
    return presets;
  }

  function write(changed) {
    presets = changed;
    keep(KEY, changed);
    show();
    if (recall(KEY, []).length !== changed.length) studio.tell(word("presets.not_kept"));
  }

  function added(to, { name, settings }) {
    return [{ name, settings }, ...to.filter((each) => each.name !== name)];
  }

  // Takes what is in order of settings that somebody else has written; the sentences say the rest.
  function take(found, sentence) {
    const { settings, sentence: refused } = checked(found, declarations, word);
    studio.settings.apply(settings);
    studio.looks.remember(studio.settings.values.prompt);
    studio.say(refused);
    studio.tell(sentence);
    return refused;
  }

  function save(event) {
    event.preventDefault();
    const name = find("preset_name").value.trim();
    if (!name) {
      studio.tell(word("presets.nameless"));
      return;
    }
    const changed = added(read(), { name, settings: now() });
    if (changed.length > MOST) {
      studio.tell(word("presets.full", { most: MOST }));
      return;
    }
    studio.tell(word("presets.saved", { name }));
    write(changed);
    find("preset_name").value = "";
  }

  function remove(name) {
    write(read().filter((each) => each.name !== name));
    find("preset_name").focus();
    studio.tell(word("presets.deleted", { name }));
  }

  function linkTo(settings) {
    const link = new URL(window.location.href);
    link.hash = toFragment(settings);
    return link.href;
  }

  async function share(settings) {
    const link = linkTo(settings);
    try {
      await navigator.clipboard.writeText(link);
      studio.tell(word("presets.shared"));
    } catch {
      // No clipboard: a page without https, or a frame that was not given it.
      const place = find("share_link");
      place.hidden = false;
      place.value = link;
      place.select();
      place.onblur = () => (place.hidden = true);
      studio.tell(word("presets.link_by_hand"));
    }
  }

  function button(label, look, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = look;
    made.ariaLabel = made.title = label;
    made.onclick = act;
    return made;
  }

  function icon(label, path, act) {
    const made = button(label, "rv-icon", act);
    made.innerHTML = `<svg viewBox="0 0 24 24">${path}</svg>`;
    return made;
  }

  function line({ name, settings }) {
    const item = document.createElement("li");
    const load = button(word("presets.load", { name }), "rv-name", () => take(settings, word("presets.loaded", { name })));
    load.textContent = name;
    item.append(
      load,
      icon(word("presets.share", { name }), SHARE, () => share(settings)),
      icon(word("presets.delete", { name }), DELETE, () => remove(name)),
    );
    return item;
  }

  function show() {
    find("preset_list").replaceChildren(...read().map(line));
    find("presets_none").hidden = presets.length > 0;
    find("export").disabled = presets.length === 0;
  }

  function openPresets(text) {
    const found = fromFile(text, word);
    const sentences = [];
    let changed = read();
    for (const { name, settings } of found.reverse()) {
      const { settings: taken, sentence } = checked(settings, declarations, word);
      changed = added(changed, { name, settings: taken });
      if (sentence) sentences.push(`${name}: ${sentence}`);
    }
    if (changed.length > MOST) throw new Refusal(word("presets.full", { most: MOST }));
    write(changed);
    studio.say(sentences[0] ?? "");
    studio.tell(word("presets.imported", { count: found.length }));
  }

  function openPicture(bytes) {
    const picture = fromPicture(textOf(bytes, PICTURE_KEYWORD) ?? "", word);
    const refused = take(picture.settings, word("presets.from_picture"));
    const theirs = picture.model;
    if (typeof theirs !== "string" || !model || theirs === model) return;
    studio.say([refused, word("presets.other_model", { theirs: theirs.slice(0, 80), ours: model })].filter(Boolean).join(" "));
  }

  // A file of presets, or a picture that was saved here; gives whether it is one.
  async function open(file) {
    try {
      const start = new Uint8Array(await file.slice(0, 8).arrayBuffer());
      const most = isPng(start) ? MOST_PNG_BYTES : MOST_BYTES;
      if (file.size > most) throw new Refusal(word("presets.too_large", { megabytes: most / 1e6 }));
      if (isPng(start)) openPicture(new Uint8Array(await file.arrayBuffer()));
      else openPresets(await file.text());
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      studio.say(error.message);
      return false;
    }
  }

  async function isOurs(file) {
    if (/\.json$/i.test(file.name)) return true;
    if (file.type !== "image/png" || file.size > MOST_PNG_BYTES) return false;
    return textOf(new Uint8Array(await file.arrayBuffer()), PICTURE_KEYWORD) !== null;
  }

  // A page connects first, which takes every sentence away: this one waits for the answer to its first settings.
  function sayLater(sentence) {
    if (!sentence) return;
    let said = false;
    events.on("picture", () => {
      if (!said) studio.say(sentence);
      said = true;
    });
  }

  function openLink() {
    let refused = "";
    try {
      const found = fromFragment(window.location.hash, declarations, word);
      if (found === null) return;
      refused = take(found, word("presets.from_link"));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refused = error.message;
    }
    history.replaceState(history.state, "", window.location.pathname + window.location.search);
    studio.say(refused);
    if (studio.wire.connection !== "open") sayLater(refused);
  }

  find("preset_form").onsubmit = save;
  const shareNow = () => share(now());
  find("share").onclick = shareNow;
  find("export").onclick = () => download(new Blob([toFile(read(), version)], { type: "application/json" }), fileName("json"));
  find("import").onclick = () => find("import_file").click();
  find("import_file").onchange = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) await open(file);
  };
  events.on("news", (news) => {
    if (news.type === "hello") model = news.model;
  });
  window.addEventListener("hashchange", openLink);
  studio.dropping.register(isOurs, open);

  return { open, openLink, share: shareNow };
}
