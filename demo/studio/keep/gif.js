// How a drawing came to be, as a GIF: what was drawn and its picture side by side, a frame for each change that was seen.

const MOST_FRAMES = 120;
const SIDE = 256;
const WHOLE_MS = 8000;
const SHORTEST_MS = 60;
const LONGEST_MS = 250;
const LAST_MS = 2000;

const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

// Keeps [{ input, picture }], JPEGs of both: the newest picture of each drawing. When there are too many, every other one
// goes, so that a long evening is still there from its beginning.
export function createMaking(studio) {
  const { events, find } = studio;
  let frames = [];
  let watching = true;

  function add({ input, jpeg }) {
    if (!watching) return;
    const last = frames.at(-1);
    if (last && same(last.input, input)) {
      last.picture = jpeg;
      return;
    }
    frames.push({ input, picture: jpeg });
    if (frames.length > MOST_FRAMES) frames = frames.filter((_, at) => at % 2 === 0 || at === frames.length - 1);
  }

  events.on("source", ({ name }) => (watching = name === "drawing"));
  events.on("pair", ({ inputJpeg, jpeg }) => inputJpeg && add({ input: inputJpeg, jpeg }));
  find("clear").addEventListener("click", () => (frames = []));

  return {
    get frames() {
      return frames.map((each) => ({ ...each }));
    },
  };
}

async function drawn(context, jpeg, x) {
  const bitmap = await createImageBitmap(new Blob([jpeg]));
  context.drawImage(bitmap, x, 0, SIDE, SIDE);
  bitmap.close();
}

// How long each of `count` frames is shown, in milliseconds, but for the last.
export function pace(count) {
  return Math.round(Math.min(LONGEST_MS, Math.max(SHORTEST_MS, WHOLE_MS / count)));
}

// The GIF, or `null` once `progress(share)` has said no.
export async function encoded(frames, progress) {
  const { GIFEncoder, quantize, applyPalette } = await import("../vendor/gifenc.js");
  const canvas = document.createElement("canvas");
  canvas.width = 2 * SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const gif = GIFEncoder();
  for (const [at, { input, picture }] of frames.entries()) {
    if (!progress(at / frames.length)) return null;
    await drawn(context, input, 0);
    await drawn(context, picture, SIDE);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const palette = quantize(data, 256);
    const delay = at === frames.length - 1 ? LAST_MS : pace(frames.length);
    gif.writeFrame(applyPalette(data, palette), canvas.width, canvas.height, { palette, delay });
    // The page stays awake between two frames.
    await new Promise((resolve) => setTimeout(resolve));
  }
  gif.finish();
  return new Blob([gif.bytes()], { type: "image/gif" });
}
