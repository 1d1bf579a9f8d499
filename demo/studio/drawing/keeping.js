// The drawing and what the hand holds, kept in this browser: a drawing is the property of who has drawn it.
//
// - What changes is kept within SOON_MS, and at once when the page is hidden or left, with a stroke that is still under way.
// - Each tab has a record of its own, so that none writes over what another one has drawn. A tab that is loaded again goes
//   on with its record, another one begins with the newest; the newest MOST_KEPT stay.
// - A tab knows its record by its session's store, and only from leaving to loading: what duplicates a tab copies that
//   store, and two tabs must not have one record. What dies without leaving comes back with the newest.
// - Where nothing can be kept, the page says so once.

import { keep, recall } from "../shared/storage.js";

const DATABASE = "rearview";
const STORE = "drawing";
const TOOLS = "tools";
const TAB = "tab";
const VERSION = 1;
const SOON_MS = 400;
const MOST_KEPT = 12;

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

// Committed without being waited for, since a page that is left waits for nothing; rejects where it was not written.
async function written(database, entries) {
  const transaction = database.transaction(STORE, "readwrite");
  for (const [name, value] of entries) transaction.objectStore(STORE).put(value, name);
  transaction.commit?.();
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
}

// All records, [[name, record], …], the newest first.
async function allOf(database) {
  const store = database.transaction(STORE, "readonly").objectStore(STORE);
  const [names, records] = await Promise.all([answerOf(store.getAllKeys()), answerOf(store.getAll())]);
  const all = names.map((name, at) => [name, records[at]]).filter(([, record]) => record?.version === VERSION);
  return all.sort(([, one], [, other]) => (other.at ?? 0) - (one.at ?? 0));
}

const isDrawing = ([, { operations }]) => Array.isArray(operations);
const newName = () => `${Date.now()}-${Math.random()}`;
const withBlobs = (operations) => operations.map((each) => (each.image ? { ...each, image: new Blob([each.image]) } : each));

// What tells whether a drawing has changed.
const stateOf = ({ paper, stack }) => [paper, ...stack.flatMap((each) => [each, each.edition, each.visible, each.opacity])];
const isSame = (one, other) => one.length === other.length && one.every((each, at) => each === other[at]);

export async function createKeeping(studio) {
  const { drawing, events } = studio;
  const { toolbox, layers } = drawing;
  const tab = recall(TAB, null, false);
  keep(TAB, null, false);
  // The record of this tab, by its name, and that of the drawing that it shows.
  let mine = tab?.mine ?? newName();
  let shown = tab?.shown ?? null;
  let record = null;
  let database = null;
  let timer = null;
  let changedAt = 0;
  let ready = false;
  let failed = false;
  let toolsChanged = false;
  let kept = stateOf(layers);

  async function restore() {
    const all = await allOf(database);
    const tools = all.find(([, each]) => each.tools)?.[1].tools;
    if (tools) toolbox.set(tools);
    const drawings = all.filter(isDrawing);
    const own = drawings.filter(([name]) => name === shown);
    for (const [name, { operations }] of [...own, ...drawings]) {
      try {
        if (await drawing.restore(withBlobs(operations))) [shown, kept] = [name, stateOf(layers)];
        break;
      } catch {
        // A picture in it is damaged: the one before is better than nothing.
      }
    }
    prune(drawings);
  }

  function prune(drawings) {
    const store = database.transaction(STORE, "readwrite").objectStore(STORE);
    for (const [name] of drawings.slice(MOST_KEPT)) if (name !== mine && name !== shown) store.delete(name);
  }

  // What is to be written: what has changed, and the drawing in any case where `all` is.
  function entriesNow(all) {
    const entries = [];
    const state = stateOf(layers);
    const changed = !isSame(state, kept);
    // The timers of a page in the background are late.
    const at = drawing.isBusy() ? Date.now() : changedAt;
    if (changed) record = { version: VERSION, at, operations: drawing.describedNow() };
    if (changed) [kept, shown] = [state, mine];
    if (record && (changed || all)) entries.push([mine, record]);
    if (toolsChanged) entries.push([TOOLS, { version: VERSION, tools: { ...toolbox.box } }]);
    toolsChanged = false;
    return entries;
  }

  // A browser may take the database away from a page that has been in the background for long.
  async function rewritten(entries) {
    database = await openDatabase();
    await written(database, entries);
  }

  async function save(all = false) {
    clearTimeout(timer);
    timer = null;
    const entries = ready ? entriesNow(all) : [];
    if (entries.length === 0) return;
    try {
      await written(database, entries).catch(() => rewritten(entries));
      failed = false;
    } catch {
      kept = [];
      if (failed || !record) return;
      failed = true;
      studio.say(studio.word("drawing.not_kept"));
    }
  }

  function saveSoon() {
    timer ??= setTimeout(save, SOON_MS);
  }

  function leave() {
    save(true);
    keep(TAB, { mine, shown }, false);
  }

  // Out of the browser's memory of pages; another one may have gone on with the record meanwhile.
  function comeBack(event) {
    if (!event.persisted) return;
    keep(TAB, null, false);
    mine = newName();
  }

  events.on("redrawn", () => {
    changedAt = Date.now();
    saveSoon();
  });
  events.on("tools", () => {
    toolsChanged = ready;
    saveSoon();
  });
  document.addEventListener("visibilitychange", () => document.hidden && save());
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", comeBack);
  try {
    database = await openDatabase();
    await restore();
  } catch {
    // Storage can be forbidden in a private window or a frame of another site: the visitor begins with an empty canvas.
  }
  // Who has drawn before the record came back has begun another drawing.
  if (!isSame(stateOf(layers), kept)) mine = newName();
  ready = true;
  saveSoon();
}
