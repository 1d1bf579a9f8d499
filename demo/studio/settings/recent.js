// The prompts that were used, newest first, in a menu beside the prompt.

import { createPopup } from "../shared/popup.js";
import { keep, recall } from "../shared/storage.js";

const KEY = "prompts";
const MOST = 30;

export function createRecent(studio, use) {
  const { find, word } = studio;
  let prompts = [];
  const menu = find("recent_menu");
  const close = createPopup(find("recent"), menu, fill);

  // Read anew each time: another tab may have added to them.
  function read() {
    prompts = recall(KEY, prompts);
    return prompts;
  }

  function write(changed) {
    prompts = changed;
    keep(KEY, changed);
  }

  function remember(prompt) {
    const words = prompt.trim();
    if (words) write([words, ...read().filter((each) => each !== words)].slice(0, MOST));
  }

  function entry(text, act, look = "") {
    const button = document.createElement("button");
    button.type = "button";
    button.role = "menuitem";
    button.textContent = button.title = text;
    button.className = look;
    button.onclick = () => {
      close();
      find("recent").focus();
      act();
    };
    return button;
  }

  function fill() {
    if (read().length === 0) {
      const nothing = document.createElement("p");
      nothing.textContent = word("looks.nothing_recent");
      menu.replaceChildren(nothing);
      return;
    }
    menu.replaceChildren(
      ...prompts.map((prompt) => entry(prompt, () => use(prompt))),
      entry(word("looks.forget"), () => write([]), "rv-apart"),
    );
  }

  return { remember };
}
