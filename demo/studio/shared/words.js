// The words of the page: demo/words/en.json, by their path, such as "status.idle".

export function createWords(tree) {
  return (path, values = {}) => {
    const found = path.split(".").reduce((part, name) => part?.[name], tree);
    if (typeof found !== "string") throw new Error(`There is no word "${path}".`);
    return found.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  };
}
