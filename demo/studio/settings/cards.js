// The pictures on the cards of the styles: painted from what is on the canvas once it rests.

import { partsBeside } from "../shared/prompts.js";

const CARD = { width: 160, height: 112, top: 10 };

// The prompt with each of the styles in the place of the one that it holds.
export function inEachStyle(prompt, styles) {
  const own = partsBeside(prompt, styles);
  return Object.values(styles).map((phrase) => [phrase, ...own].join(", "));
}

// A number that is another one for other bytes, nearly always (FNV-1a).
function numberOf(bytes) {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 16777619), 2166136261);
}

function rowOf(bitmaps) {
  const { width, height, top } = CARD;
  const row = document.createElement("canvas");
  Object.assign(row, { width: width * bitmaps.length, height });
  const context = row.getContext("2d");
  bitmaps.forEach((bitmap, at) => {
    const scale = bitmap.width / width;
    context.drawImage(bitmap, 0, top * scale, bitmap.width, height * scale, at * width, 0, width, height);
  });
  return new Promise((resolve) => row.toBlob(resolve, "image/webp", 0.88));
}

// `put` gets the address of a row of pictures, or null where the canvas is empty again.
export function createCards(studio, styles, stills, put) {
  const { events, find, settings } = studio;
  let sent = new Uint8Array();
  // The frame, the prompts and the other settings that the cards show, in one text, and the address of their picture.
  let shown = "";
  let own = null;

  function show(address) {
    put(address);
    if (own) URL.revokeObjectURL(own);
    own = address;
  }

  function wish() {
    const prompts = inEachStyle(settings.values.prompt, styles);
    const wanted = JSON.stringify([numberOf(sent), prompts, { ...settings.values, prompt: "" }]);
    if (wanted === shown) return null;
    return {
      changes: prompts.map((prompt) => ({ prompt })),
      async take(bitmaps) {
        show(URL.createObjectURL(await rowOf(bitmaps)));
        shown = wanted;
      },
    };
  }

  stills.add(wish);
  events.on("sent", ({ jpeg }) => (sent = jpeg));
  events.on("changed", () => {
    if (find("input").dataset.empty !== "yes" || !own) return;
    shown = "";
    show(null);
  });
}
