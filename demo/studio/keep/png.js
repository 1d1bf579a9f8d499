// Text inside a PNG: chunks of type iTXt (PNG specification, third edition, 11.3.3.4), uncompressed UTF-8.

import { crcOf } from "../shared/crc.js";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const END_OF_HEADER = 33;
const BESIDE_DATA = 12;

function chunk(type, data) {
  const made = new Uint8Array(BESIDE_DATA + data.length);
  const fields = new DataView(made.buffer);
  fields.setUint32(0, data.length);
  made.set(new TextEncoder().encode(type), 4);
  made.set(data, 8);
  fields.setUint32(8 + data.length, crcOf(made.subarray(4, 8 + data.length)));
  return made;
}

export function isPng(bytes) {
  return SIGNATURE.every((byte, at) => bytes[at] === byte);
}

// The same picture with `text` under `keyword` (Latin letters, at most 79), right behind its header.
export function withText(png, keyword, text) {
  const added = chunk("iTXt", new TextEncoder().encode(`${keyword}\0\0\0\0\0${text}`));
  const made = new Uint8Array(png.length + added.length);
  made.set(png.subarray(0, END_OF_HEADER));
  made.set(added, END_OF_HEADER);
  made.set(png.subarray(END_OF_HEADER), END_OF_HEADER + added.length);
  return made;
}

// The text under `keyword`, or `null` where there is none that is whole and uncompressed.
export function textOf(png, keyword) {
  const fields = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const start = new TextEncoder().encode(`iTXt${keyword}\0\0\0`);
  for (let at = SIGNATURE.length; isPng(png) && at + BESIDE_DATA <= png.length; ) {
    const length = fields.getUint32(at);
    if (at + BESIDE_DATA + length > png.length) return null;
    const body = png.subarray(at + 4, at + 8 + length);
    if (start.every((byte, index) => body[index] === byte)) {
      if (crcOf(body) !== fields.getUint32(at + 8 + length)) return null;
      return afterLanguage(new TextDecoder().decode(body.subarray(start.length)));
    }
    at += BESIDE_DATA + length;
  }
  return null;
}

// Behind two more texts, each with a zero at its end: a language, and the keyword in it.
function afterLanguage(text) {
  return text.split("\0").slice(2).join("\0");
}
