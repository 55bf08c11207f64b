// Elements are made here and nowhere else: text is set as text, so nothing that a bundle or an answer says can be HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `attributes` with false, null or undefined are left out; children that are strings become text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

/** A number for people: few digits, no exponent where it can be helped. */
export function shown(value, digits = 4) {
  if (typeof value !== "number") return value === null ? "none" : String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size < 1e-5 || size >= 1e9) return value.toExponential(digits - 1);
  return value.toLocaleString("en", { maximumSignificantDigits: digits });
}

let last = 0;

/** An id that nothing else on the page has. */
export function fresh(stem) {
  last += 1;
  return `${stem}-${last}`;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
