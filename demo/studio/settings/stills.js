// Small pictures of what is on the canvas, as it would be under other settings. The server paints them while nobody waits,
// so they are asked for when the page is at rest.

const REST_MS = 1200;

// `add(wish)`: at each rest `wish()` gives { changes, take } or null; `take(bitmaps)` gets one picture for each of the
// changes. Wishes are asked in the order in which they were added, one at a time.
export function createStills(studio) {
  const { events, find, wire } = studio;
  const wishes = [];
  let timer = null;
  let waiting = null;

  function ask() {
    if (document.hidden || wire.atWork || find("input").dataset.empty === "yes") return;
    for (const wish of wishes) {
      waiting = wish();
      if (waiting) {
        wire.say({ type: "stills", changes: waiting.changes });
        return;
      }
    }
  }

  function rest() {
    clearTimeout(timer);
    timer = setTimeout(ask, REST_MS);
  }

  function bitmapOf(picture) {
    const bytes = Uint8Array.from(atob(picture), (sign) => sign.charCodeAt(0));
    return createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  }

  async function answer({ type, pictures }) {
    if (type !== "stills" || !waiting || pictures.length !== waiting.changes.length) return;
    const { take } = waiting;
    waiting = null;
    const bitmaps = await Promise.all(pictures.map(bitmapOf));
    await take(bitmaps);
    bitmaps.forEach((bitmap) => bitmap.close());
    rest();
  }

  events.on("picture", rest);
  events.on("finer", rest);
  events.on("news", answer);

  return { add: (wish) => wishes.push(wish) };
}
