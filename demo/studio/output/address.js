// The address of the clean output page: asked for, shown, copied, taken back. See demo/live/output.py.
//
// This browser keeps the secret of its address, so that a browser source of OBS finds the pictures again tomorrow. A page
// shows there once its button was pressed, and again after each reload of its tab.

import { pageAddress } from "../shared/address.js";
import { keep, recall } from "../shared/storage.js";

const SECRET = "output.secret";
const SHOWING = "output.showing";
const OUTPUT_PATH = "rearview/output/";

export function createOutputAddress(studio) {
  const { events, find, word } = studio;
  const link = find("output_link");
  let showing = recall(SHOWING, false, false);
  let secret = recall(SECRET);
  let release = null;

  function ask() {
    if (showing) studio.wire.say({ type: "output", secret });
  }

  function setShowing(shows) {
    showing = shows;
    keep(SHOWING, shows || null, false);
    find("output").setAttribute("aria-pressed", shows);
  }

  function say(sentence) {
    find("output_watched").textContent = sentence;
  }

  // Watched by nobody, a hidden page may rest; where nobody counts (`null`), it must not.
  function showWatched(by) {
    if (by === 0 && release) {
      release();
      release = null;
    } else if (by !== 0) release ??= studio.hidden.keep("output page");
    if (by === null) say("");
    else if (by === 0) say(word("output.watched_by_none"));
    else say(by === 1 ? word("output.watched_by_one") : word("output.watched_by", { number: by }));
  }

  function showAddress({ key, message }) {
    const address = key ? new URL(OUTPUT_PATH + key, pageAddress()).href : "";
    link.value = address;
    if (address) find("output_open").href = address;
    else find("output_open").removeAttribute("href");
    for (const name of ["output_copy", "output_stop"]) find(name).disabled = !address;
    if (message) say(message);
  }

  events.on("news", (news) => {
    if (news.type === "watched") showWatched(news.by);
    if (news.type !== "output") return;
    if (!news.key) setShowing(false);
    else keep(SECRET, (secret = news.secret));
    showWatched(news.by);
    showAddress(news);
    // Who watches already sees the picture that stands here.
    if (news.key) studio.wire.changed();
  });

  events.on("connection", (connection) => {
    if (connection === "open") ask();
    else showWatched(0);
  });

  find("output_address").addEventListener("beforetoggle", (event) => {
    if (event.newState !== "open" || link.value) return;
    setShowing(true);
    if (studio.wire.connection === "open") ask();
    else say(word("output.away_now"));
  });
  find("output_copy").onclick = async () => {
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      say(word("output.copied"));
    } catch {
      // Not allowed to write there: the link is selected, and Ctrl+C takes it.
      say(word("output.copy_by_hand"));
    }
  };
  find("output_stop").onclick = () => {
    secret = null;
    keep(SECRET, null);
    studio.wire.say({ type: "output", on: false });
    find("output_address").hidePopover();
  };
  find("output").setAttribute("aria-pressed", showing);
  showAddress({});
}
