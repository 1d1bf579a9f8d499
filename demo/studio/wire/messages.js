// Frames and pictures as bytes: a header and a JPEG. The server reads and writes the same in its wire.py.

const FRAME_HEADER_BYTES = 16;
const PICTURE_HEADER_BYTES = 32;
const WIRE_VERSION = 2;
const KIND_FRAME = 1;
const KIND_BLURRED = 3;
const KIND_FINER = 4;

// A frame, a JPEG, as it goes out.
export function frameMessage(sequence, started, jpeg) {
  const message = new Uint8Array(FRAME_HEADER_BYTES + jpeg.length);
  const header = new DataView(message.buffer);
  header.setUint8(0, WIRE_VERSION);
  header.setUint8(1, KIND_FRAME);
  header.setUint32(4, sequence, true);
  header.setFloat64(8, started, true);
  message.set(jpeg, FRAME_HEADER_BYTES);
  return message;
}

// A picture as it comes in.
export function pictureOf(buffer) {
  const header = new DataView(buffer);
  return {
    finer: header.getUint8(1) === KIND_FINER,
    blurred: header.getUint8(1) === KIND_BLURRED,
    revision: header.getUint16(2, true),
    sequence: header.getUint32(4, true),
    started: header.getFloat64(8, true),
    engineMs: header.getFloat32(16, true),
    fill: header.getFloat32(20, true),
    frame: header.getUint32(24, true),
    resets: header.getUint32(28, true),
    jpeg: new Uint8Array(buffer, PICTURE_HEADER_BYTES),
  };
}
