// A prompt as its parts between commas, some of which are phrases of a table, such as the styles' or the times'.

const partsOf = (prompt) => prompt.split(",").map((part) => part.trim()).filter(Boolean);
const isIn = (phrases, part) => Object.values(phrases).some((phrase) => phrase.toLowerCase() === part.toLowerCase());

// The first part that is a phrase of the table, or nothing.
export function phraseIn(prompt, phrases) {
  return partsOf(prompt).find((part) => isIn(phrases, part)) ?? "";
}

// The parts that are phrases of none of the tables.
export function partsBeside(prompt, ...tables) {
  return partsOf(prompt).filter((part) => !tables.some((phrases) => isIn(phrases, part)));
}
