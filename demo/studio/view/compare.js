// What was drawn in the place of what was painted, as long as a button is held.

export function createCompare(studio) {
  const { events, find } = studio;
  const button = find("compare");
  const before = find("before");
  let held = false;

  function paint() {
    const input = find("canvas");
    before.width = input.width;
    before.height = input.height;
    before.getContext("2d").drawImage(input, 0, 0);
  }

  function show(compared) {
    held = compared;
    if (held) paint();
    before.hidden = !held;
    button.setAttribute("aria-pressed", held);
  }

  const holds = ({ key }) => key === " " || key === "Enter";
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    show(true);
  });
  for (const name of ["pointerup", "pointercancel", "blur"]) button.addEventListener(name, () => show(false));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    if (!event.repeat) show(true);
  });
  button.addEventListener("keyup", (event) => holds(event) && show(false));
  // A screen reader presses without holding; a pointer's click has been seen already.
  button.addEventListener("click", ({ detail }) => detail === 0 && show(!held));
  events.on("sent", () => held && paint());
  studio.keys.add({ keys: "c", word: "view.compare_key", act: () => show(!held) });
}
