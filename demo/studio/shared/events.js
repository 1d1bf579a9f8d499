// What the parts of the studio tell each other.

export function createEvents() {
  const listeners = new Map();
  return {
    on(name, listener) {
      listeners.set(name, [...(listeners.get(name) ?? []), listener]);
    },
    emit(name, detail) {
      for (const listener of listeners.get(name) ?? []) listener(detail);
    },
  };
}
