// Zip files: written without compression, since pictures have theirs; read with it, and with care.

import { crcOf } from "../shared/crc.js";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_BYTES = 22;
const MOST_FILES = 20001;
const MOST_BYTES = 128 * 2 ** 20;
const STORED = 0;
const DEFLATED = 8;
const JANUARY_1980 = 0x21;

// Little-endian numbers: [bytes, value], ….
function packed(...numbers) {
  const view = new DataView(new ArrayBuffer(numbers.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of numbers) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

// A Blob of files: [[name, bytes], …].
export function zipped(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, bytes] of files) {
    const title = new TextEncoder().encode(name);
    const facts = [[2, 20], [2, 0], [2, STORED], [2, 0], [2, JANUARY_1980], [4, crcOf(bytes)]];
    const sizes = [[4, bytes.length], [4, bytes.length], [2, title.length], [2, 0]];
    parts.push(packed([4, LOCAL], ...facts, ...sizes), title, bytes);
    directory.push(packed([4, CENTRAL], [2, 20], ...facts, ...sizes, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), title);
    offset += 30 + title.length + bytes.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = packed([4, END], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

async function inflated(bytes, length) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const whole = new Uint8Array(length);
  for (let at = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return whole;
    // More than was announced: what a zip bomb does.
    if (at + value.length > length) throw new Error("A file of the zip is longer than it says.");
    whole.set(value, at);
    at += value.length;
  }
}

// The files of a zip, name -> bytes. Throws where it is none, or larger than a page should read.
export async function unzipped(buffer) {
  const view = new DataView(buffer);
  let at = buffer.byteLength - END_BYTES;
  while (at >= 0 && view.getUint32(at, true) !== END) at -= 1;
  if (at < 0) throw new Error("This is no zip file.");
  const count = view.getUint16(at + 10, true);
  if (count > MOST_FILES) throw new Error("The zip has too many files.");
  at = view.getUint32(at + 16, true);
  const files = new Map();
  let left = MOST_BYTES;
  for (let number = 0; number < count; number++) {
    if (view.getUint32(at, true) !== CENTRAL) throw new Error("The zip's directory is damaged.");
    const [method, size, length] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const [title, extra, comment] = [28, 30, 32].map((each) => view.getUint16(at + each, true));
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, title));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const bytes = new Uint8Array(buffer, start, size);
    left -= length;
    if (left < 0 || (method !== STORED && method !== DEFLATED)) throw new Error("The zip is too large, or of another kind.");
    files.set(name, method === DEFLATED ? await inflated(bytes, length) : bytes);
    at += 46 + title + extra + comment;
  }
  return files;
}
