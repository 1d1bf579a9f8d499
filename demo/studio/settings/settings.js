// The settings of the next frame: what the page chose, what the server took, and what the shown picture was made with.

const WORDS_DEBOUNCE_MS = 120;
const REVISIONS_KEPT = 200;

// Emits "settings" (all values) when one has changed here, and "set" (what goes) when changes go to the server.
export function createSettings(studio, first) {
  const { events } = studio;
  const values = { ...first };
  const revisions = new Map();
  let acknowledged = null;
  let applied = null;
  let unsent = {};
  let timer = null;

  function send() {
    clearTimeout(timer);
    timer = null;
    const settings = unsent;
    unsent = {};
    if (Object.keys(settings).length === 0 || studio.wire.connection !== "open") return;
    studio.wire.say({ type: "set", settings });
    events.emit("set", settings);
    studio.wire.changed();
  }

  // Takes effect on the next frame; words wait until the fingers rest for a moment.
  function set(changes) {
    let words = true;
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || values[name] === value) continue;
      values[name] = value;
      unsent[name] = value;
      words = words && typeof value === "string";
    }
    if (Object.keys(unsent).length === 0) return;
    events.emit("settings", values);
    clearTimeout(timer);
    timer = words ? setTimeout(send, WORDS_DEBOUNCE_MS) : null;
    if (!words) send();
  }

  // The same, and the page's own controls show it: Gradio asks for `shown` on "apply".
  function apply(changes) {
    set(changes);
    studio.trigger("apply");
  }

  // Says beside each setting that does not act now why it does not.
  function showResting(sentences) {
    for (const name of Object.keys(values)) {
      const place = document.getElementById(name);
      if (!place) continue;
      if (name in sentences) place.dataset.resting = sentences[name];
      else delete place.dataset.resting;
    }
  }

  events.on("connection", (connection) => {
    if (connection !== "open") return;
    revisions.clear();
    studio.wire.say({ type: "set", settings: values });
  });

  events.on("news", (news) => {
    if (news.type !== "applied") return;
    revisions.set(news.revision % 65536, news.settings);
    acknowledged = news.settings;
    showResting(news.resting);
    for (const old of [...revisions.keys()].slice(0, -REVISIONS_KEPT)) revisions.delete(old);
  });

  events.on("picture", ({ revision }) => {
    applied = revisions.get(revision) ?? applied;
  });

  return {
    set,
    apply,
    shown: (names) => names.map((name) => values[name]),
    values,
    // Those of a revision that the server has told not long ago.
    of: (revision) => revisions.get(revision),
    // The name of the memory that painted the last picture; `own` is the server's.
    memory(own) {
      const chosen = applied?.memory ?? "own";
      return chosen === "own" ? own : chosen;
    },
    get acknowledged() {
      return acknowledged;
    },
    get applied() {
      return applied;
    },
  };
}
