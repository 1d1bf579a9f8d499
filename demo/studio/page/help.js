// The list of all keys, under `?` and behind a button.

export function createHelp(studio) {
  const { find, word } = studio;
  const dialog = find("help");

  function keyCap(name) {
    const cap = document.createElement("kbd");
    cap.textContent = name === " " ? word("help.space") : name.length === 1 ? name.toUpperCase() : name;
    return cap;
  }

  function entry({ keys, word: path }) {
    const term = document.createElement("dt");
    term.append(...[keys].flat().map(keyCap));
    const meaning = document.createElement("dd");
    meaning.textContent = word(path);
    const both = document.createElement("div");
    both.append(term, meaning);
    return both;
  }

  function open() {
    find("help_keys").replaceChildren(...studio.keys.table.map(entry));
    dialog.showModal();
  }

  find("show_help").onclick = open;
  studio.keys.add({ keys: "?", word: "help.title", act: open });
  // A click beside the box closes it, as people expect.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
