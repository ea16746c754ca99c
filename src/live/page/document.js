/** Access to the elements of index.html. */

/** @param {string} id */
export function element(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no element with the id ${id}`);
  return found;
}

/** The value of a colour of palette.css. @param {string} name */
export const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** @param {string} id @param {string} text */
export function setText(id, text) {
  const place = element(id);
  // Screen readers announce each change of a live region, also one to the same text.
  if (place.textContent !== text) place.textContent = text;
}
