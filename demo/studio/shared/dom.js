// Small helpers for the page's elements and surfaces.

export const SIDE = 512;
export const WHOLE = { x: 0, y: 0, width: SIDE, height: SIDE };

// A square canvas that is not on the page; gives its context.
export function surface(side) {
  const made = document.createElement("canvas");
  made.width = made.height = side;
  return made.getContext("2d", { willReadFrequently: true });
}

// Draws the middle square of a picture of any shape over the whole of a square context.
export function drawCropped(context, source, width, height) {
  const side = Math.min(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, context.canvas.width, context.canvas.height);
}

// A file as an address that holds all of it.
export function dataAddress(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

export function rgbOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// Not set again while it stands: a screen reader would read it again.
export function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

export function median(values) {
  return values.length ? [...values].sort((a, b) => a - b)[values.length >> 1] : 0;
}

// Hands a file to the browser's downloads.
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// A name for a file that is made now, such as rearview-2026-11-21T20-15-00.png: the visitor's own clock.
export function fileName(ending) {
  const now = new Date();
  const local = new Date(now - 60000 * now.getTimezoneOffset());
  return `rearview-${local.toISOString().slice(0, 19).replaceAll(":", "-")}.${ending}`;
}
