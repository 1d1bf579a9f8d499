// Pictures of others, decoded. What a browser cannot decode, or never lets out of a canvas again, is refused.

import { dataAddress, drawCropped, SIDE, surface } from "../shared/dom.js";

const SVG = "image/svg+xml";
const LENGTH = /^\s*[\d.]+(?:px)?\s*$/;

export const asBlob = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

// An SVG with a size of its own, its shorter side that of the drawing: where it has but a shape, browsers differ on how
// large that is.
function sized(text) {
  const root = new DOMParser().parseFromString(text, SVG).documentElement;
  const [width, height] = ["width", "height"].map((name) => root.getAttribute(name) ?? "");
  if (root.localName !== "svg" || (LENGTH.test(width) && LENGTH.test(height))) return text;
  const box = (root.getAttribute("viewBox") ?? "").trim().split(/[\s,]+/).map(Number);
  const [across, down] = box.length === 4 && box[2] > 0 && box[3] > 0 ? box.slice(2) : [SIDE, SIDE];
  const scale = SIDE / Math.min(across, down);
  root.setAttribute("width", across * scale);
  root.setAttribute("height", down * scale);
  return new XMLSerializer().serializeToString(root);
}

// Out of an address that holds all of it Chromium lets HTML in an SVG be drawn, out of a Blob's it does not.
async function addressOf(source) {
  if (typeof source === "string") return source;
  if (source.type !== SVG) return URL.createObjectURL(source);
  return dataAddress(new Blob([sized(await source.text())], { type: SVG }));
}

// An address or a Blob as an image; rejects what no browser can decode.
export async function decoded(source) {
  const address = await addressOf(source);
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } finally {
    URL.revokeObjectURL(address);
  }
  return image;
}

// The middle square of it as a PNG of the drawing's size; rejects also what a browser keeps to itself once it is drawn.
export async function squareOf(source) {
  const image = await decoded(source);
  const square = surface(SIDE);
  drawCropped(square, image, image.naturalWidth, image.naturalHeight);
  return asBlob(square.canvas);
}
