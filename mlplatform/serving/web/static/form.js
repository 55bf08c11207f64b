// A form made from fields. What is typed stays as it is typed, also where it breaks the contract: the service says so.

import { el, fresh } from "./dom.js";

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
// Trying something out must not leave made-up events in what the service remembers.
const QUESTION_ONLY = { remember: false };

/** {element, tokens(), show(problems), reset()}; `tokens`: [name, JSON text] of what will be sent. */
export function fieldsForm(fields) {
  const made = fields.map((field) => makeField({ ...field, start: QUESTION_ONLY[field.name] ?? field.start }));
  const [required, optional] = [true, false].map((is) => made.filter((each) => each.field.required === is));
  const more = optional.length
    ? el("fieldset", { class: "more" }, el("legend", {}, "Optional"), el("div", { class: "fields" }, ...optional.map((one) => one.element)))
    : null;
  return {
    element: el("div", {}, el("div", { class: "fields" }, ...required.map((one) => one.element)), more),
    tokens: () => made.map((one) => [one.field.name, one.token()]).filter(([, token]) => token !== null),
    show: (problems) => showProblems(made, problems),
    reset: () => made.forEach((one) => one.reset()),
  };
}

/** The same of a request that is no plain object: JSON in a text area. */
export function jsonForm(example) {
  const id = fresh("json");
  const area = el("textarea", { id, rows: 14, spellcheck: "false", "aria-describedby": `${id}-error` });
  const error = el("p", { id: `${id}-error`, class: "error", hidden: true });
  const start = JSON.stringify(example, null, 2);
  area.value = start;
  return {
    element: el("div", { class: "field wide" }, el("label", { for: id }, "JSON"), area, error),
    text: () => area.value,
    show: (problems) => {
      mark(area, error, problems.map((one) => `row ${one.row}, ${one.field || "all of it"} ${one.problem}; allowed: ${one.allowed}`).join("\n"));
      return [];
    },
    reset: () => {
      area.value = start;
    },
  };
}

/** JSON text of an object, every value as it was typed; an entry a line where it is long. */
export function bodyOf(form) {
  if (form.text) return form.text();
  const entries = form.tokens().map(([name, token]) => `${JSON.stringify(name)}: ${token}`);
  const line = `{${entries.join(", ")}}`;
  return line.length <= 48 ? line : `{\n${entries.map((entry) => `  ${entry}`).join(",\n")}\n}`;
}

function makeField(field) {
  const id = fresh("field");
  const described = [`${id}-hint`, `${id}-error`].join(" ");
  const control = field.choices ? choose(field, id, described) : type(field, id, described);
  const none = field.nullable ? el("input", { type: "checkbox", id: `${id}-null` }) : null;
  const error = el("p", { id: `${id}-error`, class: "error", hidden: true });
  const hint = [field.description, field.choices ? "" : field.allowed].filter(Boolean).join(" · ");
  const reset = () => {
    if (none) none.checked = field.start === null;
    control.value = startOf(field);
    control.disabled = Boolean(none?.checked);
    mark(control, error, "");
  };
  none?.addEventListener("change", () => {
    control.disabled = none.checked;
    if (!none.checked) control.focus();
  });
  reset();
  const element = el(
    "div",
    { class: "field" },
    el("div", { class: "name" }, el("label", { for: id }, field.name), none && el("label", { class: "switch" }, none, "null", el("span", { class: "hidden" }, ` for ${field.name}`))),
    control,
    el("p", { id: `${id}-hint`, class: "hint" }, hint),
    error,
  );
  const token = () => (none?.checked ? "null" : tokenOf(field, control.value));
  return { field, element, control, error, token, reset };
}

function choose(field, id, described) {
  const options = field.choices.map((value) => el("option", { value: JSON.stringify(value) }, String(value)));
  const unset = !field.required && field.start === undefined;
  return el("select", { id, "aria-describedby": described }, ...(unset ? [el("option", { value: "" }, "–")] : []), ...options);
}

function type(field, id, described) {
  const modes = { number: "decimal", integer: "numeric" };
  const mode = field.types.length === 1 ? modes[field.types[0]] : undefined;
  // Not type="number": it hides what it cannot read, and then nobody learns what is wrong with it.
  return el("input", { id, type: "text", inputmode: mode, autocomplete: "off", spellcheck: "false", required: field.required, "aria-describedby": described });
}

function startOf(field) {
  if (field.start === undefined || field.start === null) return field.choices && field.required ? JSON.stringify(field.choices[0]) : "";
  return field.choices ? JSON.stringify(field.start) : String(field.start);
}

/** null: left out. Digits are kept as typed, so that long ids lose none of them. */
function tokenOf(field, typed) {
  if (field.choices) return typed || null;
  const text = typed.trim();
  if (text === "" && !(field.required && field.types.includes("string"))) return null;
  const isNumber = field.types.includes("number") || field.types.includes("integer");
  return isNumber && JSON_NUMBER.test(text) ? text : JSON.stringify(field.types.includes("string") ? typed : text);
}

/** Each beside its field; returns those that have none, and moves the focus to the first. */
function showProblems(made, problems) {
  const places = new Map(made.map((one) => [one.field.name, one]));
  made.forEach((one) => mark(one.control, one.error, ""));
  const rest = problems.filter((problem) => !places.has(problem.field));
  for (const problem of problems) {
    const one = places.get(problem.field);
    if (one) mark(one.control, one.error, `${problem.problem}; allowed: ${problem.allowed}`);
  }
  made.find((one) => !one.error.hidden)?.control.focus();
  return rest;
}

function mark(control, error, text) {
  error.textContent = text;
  error.hidden = text === "";
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}
