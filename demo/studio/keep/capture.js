// What can be taken away: the picture with its settings inside, a copy of it, a video, a GIF of how it came to be.

import { download, fileName } from "../shared/dom.js";
import { createPopup } from "../shared/popup.js";
import { declared, toPicture } from "./exchange.js";
import { createMaking } from "./making.js";
import { createPairs } from "./pairs.js";
import { withText } from "./png.js";
import { PICTURE_KEYWORD } from "./presets.js";

const fileOf = (blob) => new File([blob], fileName("png"), { type: "image/png" });

export function createCapture(studio, { declarations, version }) {
  const { events, find, word } = studio;
  const picture = find("picture");
  const closeMenu = createPopup(find("capture"), find("capture_menu"), offer);
  const making = createMaking(studio);
  createPairs(studio, () => filmRuns());
  let hello = null;
  let film = null;
  let gifRuns = false;

  const pngOf = () => new Promise((resolve) => picture.toBlob(resolve, "image/png"));

  // What the picture that is shown was made with, as the server said.
  function facts() {
    const settings = declared({ ...studio.settings.values, ...studio.settings.applied }, declarations);
    if (settings.seed === undefined) settings.seed = studio.settings.values.seed;
    const { model = "", memory = "" } = hello ?? {};
    const used = studio.settings.memory(memory);
    return toPicture(settings, { app: version, model, memory: used, size: [picture.width, picture.height] });
  }

  async function pictureWithSettings() {
    const text = facts();
    const bytes = new Uint8Array(await (await pngOf()).arrayBuffer());
    return new Blob([withText(bytes, PICTURE_KEYWORD, text)], { type: "image/png" });
  }

  async function save() {
    download(await pictureWithSettings(), fileName("png"));
    studio.tell(word("capture.saved"));
  }

  // The browser's own sheet: messages, mail, whatever this device knows.
  async function share() {
    try {
      await navigator.share({ files: [fileOf(await pictureWithSettings())], text: studio.settings.values.prompt });
    } catch (error) {
      if (error.name !== "AbortError") studio.say(word("capture.no_share"));
    }
  }

  async function copy() {
    try {
      // The promise itself, because a browser may want the call before the picture is encoded.
      await navigator.clipboard.write([new ClipboardItem({ "image/png": pngOf() })]);
      studio.tell(word("capture.copied"));
    } catch {
      // No clipboard: a page without https, a frame that was not given it, or a visitor who said no.
      studio.say(word("capture.no_clipboard"));
    }
  }

  function showRunning(text, label) {
    const button = find("capture_end");
    button.hidden = text === null;
    button.textContent = text ?? "";
    button.title = button.ariaLabel = label;
  }

  const filmRuns = () => film?.running ?? false;

  // A part that few ever need; null where the server is not there to give it, which is said.
  async function fetched(part) {
    try {
      return await part;
    } catch {
      studio.say(word("wire.no_answer"));
      return null;
    }
  }

  async function startFilm(both) {
    const maker = await fetched(import("./film.js"));
    film ??= maker?.createFilm(studio, (text) => showRunning(text, word("capture.film_end"))) ?? null;
    film?.start(both);
  }

  async function gif() {
    const { frames } = making;
    if (frames.length === 0) {
      studio.say(word("capture.gif_empty"));
      return;
    }
    const maker = await fetched(import("./gif.js"));
    if (!maker) return;
    gifRuns = true;
    const made = await maker.encoded(frames, (share) => {
      showRunning(word("capture.gif_busy", { percent: Math.round(100 * share) }), word("capture.gif_stop"));
      return gifRuns;
    });
    gifRuns = false;
    showRunning(null, "");
    if (!made) return;
    download(made, fileName("gif"));
    studio.tell(word("capture.gif_saved"));
  }

  // Not before there is a picture to take.
  function offerFirst() {
    if (!find("save").disabled) return;
    for (const name of ["save", "capture"]) find(name).disabled = false;
    find("capture_share").hidden = !navigator.canShare?.({ files: [fileOf(new Blob())] });
  }

  // One thing at a time has the button that ends it.
  function offer() {
    for (const name of ["film_picture", "film_both", "capture_gif"]) find(name).disabled = filmRuns() || gifRuns;
  }

  function end() {
    film?.stop();
    gifRuns = false;
    find("capture").focus();
  }

  function chosen(name, act) {
    find(name).onclick = () => {
      closeMenu();
      find("capture").focus();
      act();
    };
  }

  chosen("capture_share", share);
  chosen("capture_save", save);
  chosen("capture_copy", copy);
  chosen("capture_link", studio.presets.share);
  chosen("film_picture", () => startFilm(false));
  chosen("film_both", () => startFilm(true));
  chosen("capture_gif", gif);
  find("save").onclick = save;
  find("capture_end").onclick = end;
  events.on("news", (news) => {
    if (news.type === "hello") hello = news;
  });
  events.on("picture", offerFirst);
  studio.keys.add({ keys: "s", word: "capture.save_help", act: () => find("save").click() });
}
