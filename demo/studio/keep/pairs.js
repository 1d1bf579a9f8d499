// Each picture together with what it was painted from: emits "pair" {input, inputJpeg, picture, jpeg} as pictures come.
// `input` and `picture` are bitmaps for this moment alone, the first `null` where it is not at hand; the JPEGs may be kept.
// `watched()` says whether bitmaps of inputs are worth their decoding.

export function createPairs({ events }, watched) {
  const waiting = new Map();

  async function decode(each, sequence) {
    const bitmap = await createImageBitmap(new Blob([each.jpeg]));
    if (waiting.get(sequence) === each) each.bitmap = bitmap;
    else bitmap.close();
  }

  events.on("sent", ({ sequence, jpeg }) => {
    const each = { jpeg, bitmap: null };
    waiting.set(sequence, each);
    if (watched()) decode(each, sequence);
  });

  events.on("picture", ({ sequence, bitmap, jpeg }) => {
    const input = waiting.get(sequence);
    events.emit("pair", { input: input?.bitmap ?? null, inputJpeg: input?.jpeg ?? null, picture: bitmap, jpeg });
    for (const [older, each] of waiting) {
      if (older > sequence) continue;
      each.bitmap?.close();
      waiting.delete(older);
    }
  });
}
