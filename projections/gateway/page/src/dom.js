// Small helpers for the page's elements.

export const $ = (id) => document.getElementById(id);

/** Sets text only where it differs, so that nothing is laid out again for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** What was kept by this page before; storage may be forbidden. */
export function kept(name, fallback = null) {
  try {
    return localStorage.getItem(`field.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(`field.${name}`);
    else localStorage.setItem(`field.${name}`, value);
  } catch {
    // it is forgotten with the page, then
  }
}

/** A row of choices, one of which is taken; native radio buttons underneath. */
export function choices(root, name, options, chosen, changed) {
  for (const [value, text] of options) {
    const input = make("input", { type: "radio", name, value, id: `${name}-${value}` });
    input.checked = String(value) === String(chosen);
    input.addEventListener("change", () => changed(value));
    root.append(input, make("label", { for: input.id }, text));
  }
}
