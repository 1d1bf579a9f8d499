// Rectangles of whole pixels inside the canvas: { x, y, width, height }, or null where there is nothing.

import { SIDE } from "../shared/dom.js";

// What holds all of [[x, y], …] and `margin` around them.
export function boxAround(points, margin) {
  const within = (value) => Math.min(SIDE, Math.max(0, value));
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const x = within(Math.floor(Math.min(...xs) - margin));
  const y = within(Math.floor(Math.min(...ys) - margin));
  const width = within(Math.ceil(Math.max(...xs) + margin)) - x;
  const height = within(Math.ceil(Math.max(...ys) + margin)) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

// What holds both.
export function union(first, second) {
  if (!first || !second) return first ?? second;
  const x = Math.min(first.x, second.x);
  const y = Math.min(first.y, second.y);
  const width = Math.max(first.x + first.width, second.x + second.width) - x;
  const height = Math.max(first.y + first.height, second.y + second.height) - y;
  return { x, y, width, height };
}
