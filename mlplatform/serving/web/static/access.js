// The API key of a service that asks for one: in this tab's session storage, and in no snippet.

import { byId } from "./dom.js";

const PLACE = `key of ${location.pathname}`;

/** Headers of a request. */
export function headers() {
  const key = sessionStorage.getItem(PLACE);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Show the field; `then` is called with every key that is entered. */
export function askForKey(then) {
  const [section, form, input] = ["access", "key-form", "key"].map(byId);
  if (!section.hidden) return;
  section.hidden = false;
  input.value = sessionStorage.getItem(PLACE) ?? "";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (key) sessionStorage.setItem(PLACE, key);
    else sessionStorage.removeItem(PLACE);
    then();
  });
}

export function isAsked() {
  return !byId("access").hidden;
}

/** Whether requests need one. To whom it does not know, such a service tells no more than its status. */
export async function demandsKey() {
  const reply = await fetch("readyz", { credentials: "omit" });
  const said = await reply.json().catch(() => ({}));
  return reply.status === 401 || !("model" in said);
}
