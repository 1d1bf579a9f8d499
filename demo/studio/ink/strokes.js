// A pen's way: how wide it draws, how its hand is steadied, and how its points are joined.

import { boxAround } from "./boxes.js";

const LONGEST_STRING = 64;

// A pen's pressure of 0 to 1 gives a quarter to one and a half of the brush; what has no pressure gives the brush itself.
export function widthOf(size, { pointerType, pressure }, usesPressure) {
  return size * (pointerType === "pen" && usesPressure ? 0.25 + 1.25 * (pressure || 0.5) : 1);
}

// A stabiliser: the pen hangs on a string behind the hand and moves when the string is taut, so a tremble that is smaller
// than the string does not show. `share` is 0 to 1 of the longest. Unlike an average over time it draws the same line for
// a slow computer and a fast one.
export function createString(share) {
  const length = share * LONGEST_STRING;
  let pen = null;
  return {
    // Where the pen goes when the hand is at [x, y], or null while the string hangs loose.
    pull([x, y]) {
      pen ??= [x, y, true];
      const [left, top, fresh] = pen;
      const distance = Math.hypot(x - left, y - top);
      if (!fresh && distance <= length) return null;
      const way = fresh || distance === 0 ? 0 : (distance - length) / distance;
      pen = [left + (x - left) * way, top + (y - top) * way, false];
      return pen.slice(0, 2);
    },
  };
}

// Draws curves between the middles of points, so that a fast hand draws no corners: each point [x, y, width, …] draws from
// the last middle to the middle before it, bent towards the last point, in its own width. The last point comes twice.
export function createBrush(context, { tool, colour }) {
  let last = null;
  let middle = null;
  return {
    // Gives the touched box.
    to(point) {
      last ??= point;
      middle ??= point;
      const next = [(last[0] + point[0]) / 2, (last[1] + point[1]) / 2];
      context.lineCap = context.lineJoin = "round";
      context.strokeStyle = colour;
      context.lineWidth = point[2];
      context.globalCompositeOperation = tool === "eraser" ? "destination-out" : "source-over";
      context.beginPath();
      context.moveTo(middle[0], middle[1]);
      // A way of no length would draw nothing.
      context.quadraticCurveTo(last[0], last[1], next[0] + 0.01, next[1]);
      context.stroke();
      context.globalCompositeOperation = "source-over";
      const touched = boxAround([middle, last, next], point[2] / 2 + 1);
      last = point;
      middle = next;
      return touched;
    },
  };
}
