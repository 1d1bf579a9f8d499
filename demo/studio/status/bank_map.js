// What the bank holds: a heat map over the picture, off at first. While it is on, each picture is followed by a question
// for the map of the next; the server computes no map that nobody asked for.

// Viridis, from what is new to the bank to what it knows best: tells its ends apart without telling red from green.
const STOPS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];
const FADE = 0.25;

// The colour [red, green, blue] of a cosine in 0..1. The threshold, from which on a place is held, is in the middle of the
// scale, 1 is its end, and all that is FADE or more below the threshold its beginning.
export function colourOf(cosine, threshold) {
  const above = cosine - threshold;
  const share = above < 0 ? Math.max(0, 0.5 + above / (2 * FADE)) : 0.5 + above / (2 * (1 - threshold) || 1);
  const way = share * (STOPS.length - 1);
  const stop = Math.min(STOPS.length - 2, Math.floor(way));
  return STOPS[stop].map((from, channel) => Math.round(from + (way - stop) * (STOPS[stop + 1][channel] - from)));
}

// The bytes 0..255 that a map's base64 holds.
function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

export function createBankMap(studio) {
  const { element, events, find, word } = studio;
  const button = find("bank_map");
  const scale = element.querySelector(".rv-scale");
  const overlay = document.createElement("canvas");
  overlay.className = "rv-map";
  overlay.setAttribute("aria-hidden", "true");
  overlay.hidden = true;
  find("picture").after(overlay);
  let on = false;
  let share = null;

  function ask() {
    if (on) studio.wire.say({ type: "map" });
  }

  function turn(wanted) {
    on = wanted;
    share = null;
    button.setAttribute("aria-pressed", on);
    scale.hidden = !on;
    overlay.hidden = true;
    ask();
    if (on) studio.wire.changed();
    studio.status.show();
  }

  function draw({ width, height, threshold, cosines }) {
    const image = new ImageData(width, height);
    bytesOf(cosines).forEach((byte, at) => image.data.set([...colourOf(byte / 255, threshold), 255], 4 * at));
    overlay.width = width;
    overlay.height = height;
    overlay.getContext("2d").putImageData(image, 0, 0);
    overlay.hidden = false;
  }

  events.on("news", (news) => {
    if (news.type !== "map" || !on) return;
    if (!news.exists) {
      turn(false);
      studio.say(word("status.no_map"));
    } else if (news.cosines) {
      share = news.share;
      draw(news);
    }
  });
  events.on("picture", ask);
  events.on("connection", (connection) => connection === "open" && ask());

  button.onclick = () => turn(!on);

  // How much of the last frame the bank held, 0..1, while the map is on and there is one; else null.
  return {
    get share() {
      return share;
    },
  };
}
