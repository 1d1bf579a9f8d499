// How a drawing came to be, as a GIF: what was drawn and its picture side by side. Fetched when one is asked for.

import { GIFEncoder, applyPalette, quantize } from "../vendor/gifenc.js";

const SIDE = 256;
const WHOLE_MS = 8000;
const SHORTEST_MS = 60;
const LONGEST_MS = 250;
const LAST_MS = 2000;

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
