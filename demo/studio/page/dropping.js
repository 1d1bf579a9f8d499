// Files that are dropped or pasted onto the page, or opened with the button: who knows one opens it.
//
// `register(accepts, open)`: accepts(file) -> boolean or Promise of one; open(file) -> false, or a Promise of it, where it
// cannot be opened after all. The first that accepts a file has it, in the order in which they came; a picture goes to the
// drawing after all of them. Of several files the first that can be opened is.

const WRITING = "textarea, input, [contenteditable]";

export function createDropping(studio) {
  const { element, find, drawing, word } = studio;
  const left = find("input");
  const openers = [];
  const isShown = () => element.getClientRects().length > 0;
  const brings = (event) => event.dataTransfer?.types.includes("Files");

  async function open(file) {
    for (const opener of openers) {
      if (await opener.accepts(file)) return opener.open(file);
    }
    return drawing.openImage(file);
  }

  async function openOne(files) {
    for (const file of files) {
      if ((await open(file)) === false) continue;
      const count = files.length - 1;
      if (count > 0) studio.tell(word("drawing.one_of_many", { name: file.name, count }));
      return;
    }
  }

  // A place of its own for files, such as an upload, keeps what falls on it.
  const isOurs = (event) => isShown() && brings(event) && !event.defaultPrevented;

  document.addEventListener("dragover", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    left.dataset.dropping = "yes";
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete left.dataset.dropping;
  });
  document.addEventListener("drop", (event) => {
    delete left.dataset.dropping;
    if (!isOurs(event)) return;
    event.preventDefault();
    openOne([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    const writes = event.target.closest?.(WRITING) && event.clipboardData.types.includes("text/plain");
    if (files.length === 0 || writes || !isShown()) return;
    event.preventDefault();
    openOne(files);
  });
  find("open_image").onclick = () => find("image_file").click();
  find("image_file").onchange = (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) open(file);
  };

  return {
    open,
    register(accepts, opens) {
      openers.push({ accepts, open: opens });
    },
  };
}
