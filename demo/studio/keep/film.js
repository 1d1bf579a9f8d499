// A video of the picture, or of what it was painted from and the picture side by side. Each picture is one frame of it,
// at the time at which it came.

import { download, fileName } from "../shared/dom.js";

const TYPES = ["video/mp4;codecs=avc1.42E01F", "video/mp4;codecs=avc1.64001F", "video/webm;codecs=vp9", "video/webm;codecs=vp8"];
const LEAST_SIDE = 512;
const BITS_PER_SECOND = 8e6;
const CHUNK_MS = 1000;
const LAST_FRAME_MS = 150;
export const MOST_MINUTES = 10;
export const MOST_MEGABYTES = 300;

export function elapsed(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// `changed(text)` is told how long the video is by now, and `null` when it has ended.
export function createFilm(studio, changed) {
  const { events, find, word } = studio;
  let film = null;

  const type = () => TYPES.find((each) => window.MediaRecorder?.isTypeSupported(each));

  function start(both) {
    const found = type();
    const picture = find("picture");
    if (film || !found || !picture.captureStream) {
      if (!film) studio.say(word("capture.no_film"));
      return;
    }
    const side = Math.max(LEAST_SIDE, picture.width - (picture.width % 2));
    const canvas = document.createElement("canvas");
    canvas.width = both ? 2 * side : side;
    canvas.height = side;
    const stream = canvas.captureStream(0);
    const recorder = new MediaRecorder(stream, { mimeType: found, videoBitsPerSecond: BITS_PER_SECOND });
    const began = performance.now();
    film = { both, side, context: canvas.getContext("2d"), stream, recorder, began, chunks: [], bytes: 0, sentence: "" };
    film.timer = setInterval(tick, 1000);
    // Now, since the server may be gone when the video ends.
    film.webm = import("./webm.js").catch(() => null);
    film.release = studio.hidden.keep("film");
    recorder.ondataavailable = ({ data }) => gather(data);
    recorder.onerror = ({ error }) => stop(word("capture.film_failed", { name: error?.name ?? "" }));
    recorder.onstop = () => finish(found);
    recorder.start(CHUNK_MS);
    add(picture, find("canvas"));
    changed(elapsed(0));
  }

  function add(picture, input) {
    const { context, both, side, stream } = film;
    context.imageSmoothingQuality = "high";
    if (both && input) context.drawImage(input, 0, 0, side, side);
    context.drawImage(picture, both ? side : 0, 0, side, side);
    stream.getVideoTracks()[0].requestFrame();
  }

  function gather(data) {
    if (!film || data.size === 0) return;
    film.chunks.push(data);
    film.bytes += data.size;
    if (film.bytes > 1e6 * MOST_MEGABYTES) stop(word("capture.film_large", { megabytes: MOST_MEGABYTES }));
  }

  function tick() {
    const milliseconds = performance.now() - film.began;
    changed(elapsed(milliseconds));
    if (milliseconds > 60000 * MOST_MINUTES) stop(word("capture.film_long", { minutes: MOST_MINUTES }));
  }

  // The last picture once more, so that it lasts until now; the recorder needs a moment to see it.
  function stop(sentence = "") {
    if (!film || film.ending) return;
    film.ending = true;
    film.sentence = sentence;
    clearInterval(film.timer);
    if (film.recorder.state === "inactive") return;
    film.lasted = performance.now() - film.began;
    add(find("picture"));
    setTimeout(end, LAST_FRAME_MS);
  }

  function end() {
    if (film?.recorder.state === "recording") film.recorder.stop();
  }

  async function finish(found) {
    const { chunks, sentence, stream, began, lasted, release, webm } = film;
    const milliseconds = lasted ?? performance.now() - began;
    clearInterval(film.timer);
    for (const track of stream.getTracks()) track.stop();
    film = null;
    changed(null);
    if (typeof release === "function") release();
    const plain = found.split(";")[0];
    const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
    if (bytes.length === 0) {
      studio.say(word("capture.film_empty"));
      return;
    }
    const timed = plain === "video/webm" ? await webm : null;
    const whole = timed?.withDuration(bytes, milliseconds) ?? bytes;
    download(new Blob([whole], { type: plain }), fileName(plain.split("/")[1]));
    // A new connection takes away what stands under the pictures; this stays its time.
    studio.tell(sentence || word("capture.filmed", { elapsed: elapsed(milliseconds) }));
  }

  events.on("pair", ({ input, picture }) => film && !film.ending && add(picture, input));
  events.on("connection", (connection) => connection !== "open" && stop(word("capture.film_lost")));
  window.addEventListener("beforeunload", (event) => film && event.preventDefault());
  window.addEventListener("pagehide", end);

  return {
    start,
    stop,
    get running() {
      return film !== null;
    },
  };
}
