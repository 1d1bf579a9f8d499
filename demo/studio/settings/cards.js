// The pictures on the cards of the styles: painted from what is on the canvas once it rests, until then by the house.

const HOUSE = new URL("./styles.webp", import.meta.url);
const REST_MS = 1200;
const CARD = { width: 160, height: 112, top: 10 };

// The prompt with each of the styles in the place of the one that it holds.
export function inEachStyle(prompt, styles) {
  const phrases = Object.values(styles);
  const known = new Set(phrases.map((phrase) => phrase.toLowerCase()));
  const own = prompt.split(",").map((part) => part.trim()).filter((part) => part && !known.has(part.toLowerCase()));
  return phrases.map((phrase) => [phrase, ...own].join(", "));
}

async function rowOf(pictures) {
  const row = document.createElement("canvas");
  Object.assign(row, { width: CARD.width * pictures.length, height: CARD.height });
  const context = row.getContext("2d");
  await Promise.all(
    pictures.map(async (picture, at) => {
      const bytes = Uint8Array.from(atob(picture), (sign) => sign.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      const scale = bitmap.width / CARD.width;
      context.drawImage(bitmap, 0, CARD.top * scale, bitmap.width, CARD.height * scale, at * CARD.width, 0, CARD.width, CARD.height);
      bitmap.close();
    }),
  );
  return new Promise((resolve) => row.toBlob(resolve, "image/webp", 0.88));
}

// A number that is another one for other bytes, nearly always (FNV-1a).
function numberOf(bytes) {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 16777619), 2166136261);
}

export function createCards(studio, { styles }) {
  const { events, find, settings, wire } = studio;
  let timer = null;
  let sent = new Uint8Array();
  // What the cards were asked to show, and what they show: the frame, the prompts and the other settings, in one text.
  let asked = "";
  let shown = "";
  let own = "";

  function show(address) {
    document.documentElement.style.setProperty("--rv-cards", `url("${address}")`);
    if (own) URL.revokeObjectURL(own);
    own = address === HOUSE.href ? "" : address;
  }

  function ask() {
    if (document.hidden || wire.atWork || find("input").dataset.empty === "yes") return;
    const prompts = inEachStyle(settings.values.prompt, styles);
    asked = JSON.stringify([numberOf(sent), prompts, { ...settings.values, prompt: "" }]);
    if (asked !== shown) wire.say({ type: "stills", prompts });
  }

  function rest() {
    clearTimeout(timer);
    timer = setTimeout(ask, REST_MS);
  }

  async function take({ type, pictures }) {
    if (type !== "stills" || pictures.length !== Object.keys(styles).length) return;
    const about = asked;
    show(URL.createObjectURL(await rowOf(pictures)));
    shown = about;
  }

  events.on("sent", ({ jpeg }) => (sent = jpeg));
  events.on("changed", () => {
    if (find("input").dataset.empty !== "yes" || !own) return;
    shown = "";
    show(HOUSE.href);
  });
  events.on("picture", rest);
  events.on("finer", rest);
  events.on("news", take);
  show(HOUSE.href);
}
