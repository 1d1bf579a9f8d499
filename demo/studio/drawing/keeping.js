// The drawing and what the hand holds, kept in this browser until the next visit.

const DATABASE = "rearview";
const STORE = "drawing";
const KEY = "now";
const VERSION = 1;
const REST_MS = 300;

function answerOf(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function openDatabase() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return answerOf(request);
}

export async function createKeeping({ drawing, events }) {
  const { toolbox } = drawing;
  let timer = null;
  let database;

  const store = (mode) => database.transaction(STORE, mode).objectStore(STORE);

  async function restore() {
    const kept = await answerOf(store("readonly").get(KEY));
    if (kept?.version !== VERSION) return;
    await drawing.restore(kept.operations);
    toolbox.set(kept.tools);
  }

  async function save() {
    if (drawing.isBusy()) {
      saveSoon();
      return;
    }
    const operations = await drawing.described();
    await answerOf(store("readwrite").put({ version: VERSION, operations, tools: { ...toolbox.box } }, KEY));
  }

  // A full disk, for one, must not disturb who draws; the next change tries again.
  const trySave = () => save().catch(() => {});

  function saveSoon() {
    clearTimeout(timer);
    timer = setTimeout(trySave, REST_MS);
  }

  try {
    database = await openDatabase();
    await restore();
  } catch {
    // Storage can be forbidden in a private window or a frame of another site, and a kept picture can be damaged: the
    // visitor then begins with an empty canvas, and what cannot be kept is not.
  }
  if (!database) return;
  for (const name of ["redrawn", "tools"]) events.on(name, saveSoon);
}
