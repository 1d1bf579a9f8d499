// Gradio gives every radio button a name of its own, so that browsers do not know a group of them: no arrows, and as many
// stops of the Tab key as there are buttons. Here all of a group get one name, and keep it.

const grouped = new WeakSet();

function group(fieldset) {
  const name = () => {
    for (const each of fieldset.querySelectorAll('input[type="radio"]')) {
      if (each.name !== fieldset.id) each.name = fieldset.id;
    }
  };
  new MutationObserver(name).observe(fieldset, { subtree: true, childList: true, attributeFilter: ["name"] });
  grouped.add(fieldset);
  name();
}

// Groups those that are on the page by now; asked again, it takes in those that have come since.
export function groupRadios() {
  for (const each of document.querySelectorAll("fieldset[id]")) {
    if (!grouped.has(each)) group(each);
  }
}
