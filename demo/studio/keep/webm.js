// What a browser's recorder leaves out of a WebM: how long it is, without which players cannot seek in it. Elements of
// EBML (RFC 8794), their ids those of Matroska (RFC 9559).

const HEADER = 0x1a45dfa3;
const SEGMENT = 0x18538067;
const INFO = 0x1549a966;
const DURATION = 0x4489;
const VOID = 0xec;
const LARGEST_LEADING = 0x80;

// The number of 1 to 8 bytes at `at`: its length stands in the zeros that it begins with.
function numberAt(bytes, at, keepMark) {
  let size = 1;
  while (size <= 8 && !(bytes[at] & (LARGEST_LEADING >> (size - 1)))) size += 1;
  if (size > 8 || at + size > bytes.length) return null;
  let value = keepMark ? bytes[at] : bytes[at] & ((LARGEST_LEADING >> (size - 1)) - 1);
  let unknown = value === (LARGEST_LEADING >> (size - 1)) - 1;
  for (let next = at + 1; next < at + size; next++) {
    value = value * 256 + bytes[next];
    unknown = unknown && bytes[next] === 255;
  }
  return { value, size, unknown };
}

function elementAt(bytes, at) {
  const id = numberAt(bytes, at, true);
  const length = id && numberAt(bytes, at + id.size, false);
  if (!length) return null;
  const start = at + id.size + length.size;
  return { id: id.value, at, start, unknown: length.unknown, end: start + length.value };
}

// The information on a stream that was written as it came, or `null`: then nothing else knows where it stands.
function informationIn(bytes) {
  const header = elementAt(bytes, 0);
  const segment = header?.id === HEADER ? elementAt(bytes, header.end) : null;
  if (segment?.id !== SEGMENT || !segment.unknown) return null;
  let each = elementAt(bytes, segment.start);
  while (each?.id === VOID) each = elementAt(bytes, each.end);
  return each?.id === INFO && !each.unknown ? each : null;
}

function holds(bytes, { start, end }, id) {
  let each = elementAt(bytes, start);
  while (each && each.id !== id && each.end < end) each = elementAt(bytes, each.end);
  return each?.id === id;
}

// The same recording with its duration (in the unit that recorders count in, a millisecond), or as it came where it has one or is not as recorders write it.
export function withDuration(bytes, milliseconds) {
  const information = informationIn(bytes);
  if (!information || holds(bytes, information, DURATION)) return bytes;
  const duration = new Uint8Array(11);
  duration.set([0x44, 0x89, 0x88]);
  new DataView(duration.buffer).setFloat64(3, milliseconds);
  const length = information.end - information.start + duration.length;
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, INFO);
  new DataView(head.buffer).setUint32(4, 0x10000000 | length);
  const parts = [
    bytes.subarray(0, information.at),
    head,
    bytes.subarray(information.start, information.end),
    duration,
    bytes.subarray(information.end),
  ];
  const made = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (made.set(part, at), at + part.length), 0);
  return made;
}
