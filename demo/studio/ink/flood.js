// The area that a fill covers.

const TOLERANCE = 40;
const INSIDE = 1;
const EDGE = 2;

// The area around (x, y) of nearly one colour in RGBA bytes of a square, grown by a pixel so that no pale seam stays along
// soft edges: [side * side] bytes, 0 outside.
export function areaAround(bytes, side, x, y) {
  const first = (y * side + x) * 4;
  const [red, green, blue] = [bytes[first], bytes[first + 1], bytes[first + 2]];
  const alike = (pixel) =>
    Math.abs(bytes[pixel * 4] - red) <= TOLERANCE &&
    Math.abs(bytes[pixel * 4 + 1] - green) <= TOLERANCE &&
    Math.abs(bytes[pixel * 4 + 2] - blue) <= TOLERANCE;
  const area = new Uint8Array(side * side);
  const waiting = new Int32Array(side * side);
  let count = 0;
  const visit = (pixel) => {
    if (area[pixel]) return;
    if (alike(pixel)) {
      area[pixel] = INSIDE;
      waiting[count++] = pixel;
    } else area[pixel] = EDGE;
  };
  visit(y * side + x);
  while (count) {
    const pixel = waiting[--count];
    const column = pixel % side;
    if (column > 0) visit(pixel - 1);
    if (column < side - 1) visit(pixel + 1);
    if (pixel >= side) visit(pixel - side);
    if (pixel < side * (side - 1)) visit(pixel + side);
  }
  return area;
}
