// What this browser keeps for the next visit, by name. Where it keeps nothing (a private window, a frame of another site)
// the page works all the same, and begins anew each time.

const PREFIX = "rearview.";

// The browser's store, or null: even the question throws where storage is blocked.
function storeOf(lasting) {
  try {
    return lasting ? window.localStorage : window.sessionStorage;
  } catch {
    return null;
  }
}

// What was kept under `name`, or `otherwise`. What does not last goes with its tab.
export function recall(name, otherwise = null, lasting = true) {
  try {
    return JSON.parse(storeOf(lasting)?.getItem(PREFIX + name) ?? "null") ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function keep(name, value, lasting = true) {
  try {
    if (value === null) storeOf(lasting)?.removeItem(PREFIX + name);
    else storeOf(lasting)?.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // The store is full or closed; what is kept is a convenience.
  }
}
