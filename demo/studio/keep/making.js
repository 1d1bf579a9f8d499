// How a drawing came to be: what was drawn and its picture, a pair for each change that was seen.

const MOST_FRAMES = 120;

const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

// Keeps [{ input, picture }], JPEGs of both: the newest picture of each drawing. When there are too many, every other one
// goes, so that a long evening is still there from its beginning.
export function createMaking(studio) {
  const { events, find } = studio;
  let frames = [];
  let watching = true;

  function add({ input, jpeg }) {
    if (!watching) return;
    const last = frames.at(-1);
    if (last && same(last.input, input)) {
      last.picture = jpeg;
      return;
    }
    frames.push({ input, picture: jpeg });
    if (frames.length > MOST_FRAMES) frames = frames.filter((_, at) => at % 2 === 0 || at === frames.length - 1);
  }

  events.on("source", ({ name }) => (watching = name === "drawing"));
  events.on("pair", ({ inputJpeg, jpeg }) => inputJpeg && add({ input: inputJpeg, jpeg }));
  find("clear").addEventListener("click", () => (frames = []));

  return {
    get frames() {
      return frames.map((each) => ({ ...each }));
    },
  };
}
