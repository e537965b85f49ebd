/** Making elements. Texts become text nodes, never HTML. */

/** @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * @param {string} tag
 * @param {Record<string, any>} attributes `text` is the content, `on…` a listener, else an attribute
 * @param {...(Node|string|null)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Show or hide an element. */
export function show(element, shown = true) {
  element.hidden = !shown;
}

/** A share from 0 to 1 as the custom property that style sheets size bars by. */
export function share(element, value) {
  element.style.setProperty("--share", `${Math.max(0, Math.min(1, value)) * 100}%`);
  return element;
}
