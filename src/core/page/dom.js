// Elements of the page. A text becomes a text node and nothing else, whatever is in it.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element: attributes (`on...` are listeners; false, null and undefined are left out), children. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets a text where it is another one: what does not change is not read out again. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Tells what happened, to screen readers too, with buttons for what can be done about it. */
export function tell(text, ...actions) {
  byId("news").replaceChildren(el("p", {}, text, ...actions.flatMap((one) => [" ", one])));
}

/** Tells what is wrong; an empty text is that nothing is. */
export function trouble(text) {
  put(byId("trouble"), text);
}

let names = 0;

/** An id that no other element has. */
export const fresh = (start) => `${start}-${(names += 1)}`;

const decimals = (places) =>
  new Intl.NumberFormat("en", { maximumFractionDigits: places, useGrouping: true });
const FORMATS = [0, 1, 2].map(decimals);

/** A number with as many places as say something. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return FORMATS[size >= 100 ? 0 : size >= 10 ? 1 : 2].format(value);
}

/** A share of 1 in hundredths. */
export const percent = (share) =>
  share === null || share === undefined || !Number.isFinite(share) ? "–" : `${number(share * 100)} %`;

/** One of something, or several. */
export const count = (value, one, several = `${one}s`) =>
  `${FORMATS[0].format(value)} ${value === 1 ? one : several}`;
