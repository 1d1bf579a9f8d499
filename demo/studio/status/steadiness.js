// How steady the picture is, measured from the frames themselves: of the places where the input stayed as it was, the
// share where the picture looks the same, too, from each picture to the next.
//
// Both are looked at small, by their brightness. A place counts if nothing changed in the input there or close by: what
// is drawn changes the picture around it, too, and should. So a still input with a trembling picture is not steady, and a
// hand that draws takes nothing away. A lively input leaves too few places, and the last number stays.

export const SIDE = 64;
const SAME_INPUT = 4;
const SAME_PICTURE = 4;
const REACH = 2;
const FEWEST = 0.1;
const PAIRS_KEPT = 16;
const PAIRS_NEEDED = 3;
const INPUTS_KEPT = 32;

// The brightness of each pixel, 0 to 255 (ITU-R BT.601), of RGBA bytes.
export function brightnessOf(rgba) {
  return Float32Array.from({ length: rgba.length / 4 }, (_, at) => {
    const first = at * 4;
    return 0.299 * rgba[first] + 0.587 * rgba[first + 1] + 0.114 * rgba[first + 2];
  });
}

// Which places of a square of `side` changed by more than `most`, or have one that did within REACH of them: 1 or 0 each.
export function touchedPlaces(before, after, side, most) {
  const touched = new Uint8Array(side * side);
  for (let at = 0; at < touched.length; at++) {
    if (Math.abs(after[at] - before[at]) <= most) continue;
    const column = at % side;
    const row = (at - column) / side;
    for (let y = Math.max(0, row - REACH); y <= Math.min(side - 1, row + REACH); y++) {
      touched.fill(1, y * side + Math.max(0, column - REACH), y * side + Math.min(side - 1, column + REACH) + 1);
    }
  }
  return touched;
}

// The share, 0 to 1, of the untouched places of the input at which the picture stayed the same; null if there are too few.
// `before` and `after` hold the brightness of an `input` and of the `picture` that was made of it, side * side each.
export function steadyShare(before, after, side = SIDE) {
  const touched = touchedPlaces(before.input, after.input, side, SAME_INPUT);
  let places = 0;
  let same = 0;
  for (let at = 0; at < touched.length; at++) {
    if (touched[at]) continue;
    places += 1;
    if (Math.abs(after.picture[at] - before.picture[at]) <= SAME_PICTURE) same += 1;
  }
  return places < FEWEST * touched.length ? null : same / places;
}

function smallCanvas() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "medium";
  return context;
}

// Watches what is sent and what comes back; `share` is the mean of the last pairs of pictures, or null.
export function createSteadiness({ events }) {
  const small = smallCanvas();
  const inputs = new Map();
  let before = null;
  let shares = [];

  function smallBrightness(image) {
    small.drawImage(image, 0, 0, SIDE, SIDE);
    return brightnessOf(small.getImageData(0, 0, SIDE, SIDE).data);
  }

  async function inputBrightness(jpeg) {
    const bitmap = await createImageBitmap(new Blob([jpeg]));
    const brightness = smallBrightness(bitmap);
    bitmap.close();
    return brightness;
  }

  function forget() {
    before = null;
  }

  events.on("sent", ({ sequence, jpeg }) => {
    inputs.set(sequence, inputBrightness(jpeg));
    for (const old of [...inputs.keys()].slice(0, -INPUTS_KEPT)) inputs.delete(old);
  });

  events.on("dropped", ({ sequence }) => inputs.delete(sequence));

  // What was asked for anew, forgotten or blurred may look another way.
  events.on("picture", async ({ sequence, revision, blurred, bitmap }) => {
    const picture = smallBrightness(bitmap);
    const input = await inputs.get(sequence);
    inputs.delete(sequence);
    if (!input || blurred) {
      forget();
      return;
    }
    const after = { input, picture, revision };
    const share = before?.revision === revision ? steadyShare(before, after) : null;
    if (share !== null) shares = [...shares.slice(1 - PAIRS_KEPT), share];
    before = after;
  });

  events.on("news", ({ type }) => type === "reset" && forget());
  events.on("connection", forget);

  return {
    get share() {
      return shares.length < PAIRS_NEEDED ? null : shares.reduce((sum, each) => sum + each, 0) / shares.length;
    },
  };
}
