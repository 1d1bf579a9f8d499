// The translated picture, and how it is looked at.

import { createCompare } from "./compare.js";
import { createFull } from "./full.js";
import { createLayout } from "./layout.js";
import { createSmallWindow } from "./window.js";

export function createView(studio) {
  const { events, find, word } = studio;
  const picture = find("picture");

  for (const name of ["picture", "finer"]) {
    events.on(name, ({ bitmap }) => {
      // They are square.
      if (picture.width !== bitmap.width) picture.width = picture.height = bitmap.width;
      picture.getContext("2d").drawImage(bitmap, 0, 0);
    });
  }

  const button = find("pause");

  function pause() {
    const paused = !studio.wire.paused;
    button.setAttribute("aria-pressed", paused);
    button.title = word(paused ? "view.go_on" : "view.pause");
    studio.wire.pause(paused);
  }

  button.onclick = pause;
  studio.keys.add({ keys: "p", word: "view.pause_key", act: pause });

  createLayout(studio);
  createFull(studio);
  createCompare(studio);
  createSmallWindow(studio);

  return { picture };
}
