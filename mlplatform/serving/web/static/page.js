// From the OpenAPI document to forms, from a form to a request, from the answer to a picture.

import { askForKey, demandsKey, headers, isAsked } from "./access.js";
import { rendered } from "./card.js";
import { byId, el, fresh } from "./dom.js";
import { drawAnswer } from "./draw.js";
import { bodyOf, fieldsForm, jsonForm } from "./form.js";
import { formsOf } from "./schema.js";
import { snippets } from "./snippets.js";

const PATIENCE_MS = 30_000;
const follow = snippets("code");

start();

async function start() {
  try {
    const reply = await ask("openapi.json");
    if (refusesKey(reply)) return tell("This service asks for an API key.", () => askForKey(start));
    if (!reply.ok) return tell(`The service has no model yet (status ${reply.status}). Reload in a moment.`);
    const doc = await reply.json();
    if (await demandsKey()) askForKey(() => tell(""));
    show(doc);
  } catch (error) {
    tell(`The service cannot be reached: ${error.message}`);
  }
}

function show(doc) {
  tell("");
  byId("main").hidden = false;
  byId("kinds").replaceChildren();
  byId("forms").replaceChildren();
  const facts = doc.info["x-mlplatform"] ?? {};
  const forms = formsOf(doc).map((each) => makeForm(each, doc, facts));
  byId("forms").append(...forms.map((each) => each.element));
  if (forms.length > 1) byId("kinds").append(tabs(forms));
  choose(forms, forms[0]);
  if (facts.card) showCard();
}

function tabs(forms) {
  const group = fresh("kind");
  const labels = forms.map((form, place) => {
    const radio = el("input", { type: "radio", name: group, value: place });
    radio.checked = place === 0;
    radio.addEventListener("change", () => choose(forms, form));
    return el("label", {}, radio, el("span", {}, form.label));
  });
  return el("fieldset", { class: "tabs" }, el("legend", { class: "hidden" }, "What to send"), ...labels);
}

function choose(forms, chosen) {
  for (const form of forms) form.element.hidden = form !== chosen;
  chosen?.follow();
}

function makeForm({ path, label, fields, example }, doc, facts) {
  const form = fields ? fieldsForm(fields) : jsonForm(example);
  const error = el("p", { class: "error whole", role: "alert", hidden: true });
  const send = el("button", { type: "submit" }, "Send request");
  const again = el("button", { type: "button", class: "plain" }, "Reset");
  const target = el("span", { class: "quiet" }, `POST ${path}`);
  const element = el("form", { novalidate: true, "aria-label": label }, form.element, error, el("div", { class: "row send" }, send, again, target));
  const kind = !fields ? "many" : isByKey(path, fields, facts) ? "key" : "one";
  const following = () => follow({ path, body: bodyOf(form), kind, asksKey: isAsked() });
  element.addEventListener("input", following);
  element.addEventListener("change", following);
  again.addEventListener("click", () => {
    form.reset();
    error.hidden = true;
    following();
  });
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      await request(path, form, error, doc, facts);
    } finally {
      send.disabled = false;
    }
  });
  return { element, label, follow: following };
}

function isByKey(path, fields, facts) {
  const required = fields.filter((field) => field.required);
  return path === "/predict" && required.every((field) => facts.keys?.includes(field.name));
}

async function request(path, form, error, doc, facts) {
  const began = performance.now();
  const fail = (text, problems = []) => showFailure(form, error, text, problems);
  fail("");
  let reply, content;
  try {
    reply = await ask(path.slice(1), { method: "POST", body: bodyOf(form), headers: { "Content-Type": "application/json" } });
    content = await reply.json();
  } catch (problem) {
    if (refusesKey(reply)) askForKey(() => fail(""));
    return fail(reply ? `status ${reply.status}, and no JSON` : `no answer: ${problem.message}`);
  }
  const milliseconds = performance.now() - began;
  if (reply.ok) return showAnswer(content, facts, milliseconds, doc.info.version);
  if (refusesKey(reply)) askForKey(() => fail(""));
  const later = reply.headers.get("Retry-After");
  return fail(`${content.error ?? `status ${reply.status}`}${later ? ` (try again in ${later} s)` : ""}`, content.problems ?? []);
}

/** Problems stand beside their fields; what has no field here is said in the summary. */
function showFailure(form, error, text, problems) {
  const rest = form.show(problems);
  // An answer to an earlier request must not be taken for one to this.
  if (text) byId("result").replaceChildren(el("p", { class: "quiet" }, "No answer: the request says why."));
  error.textContent = [text, ...rest.map((one) => `${one.field || "the request"} ${one.problem}; allowed: ${one.allowed}`)].join("\n");
  error.hidden = text === "";
}

function showAnswer(content, facts, milliseconds, version) {
  const { model, request_id: id } = content;
  const moved = model && model.version !== version ? el("p", { class: "notice" }, `Version ${model.version} answered: the service has moved on since this page was loaded. Reload it for its form and card.`) : null;
  const told = { model: model ? `${model.use_case} v${model.version}` : "", bento: model?.bento, "request id": id, "there and back": `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms` };
  const facts_ = Object.entries(told).filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  const raw = el("details", {}, el("summary", {}, "The answer as JSON"), el("pre", { tabindex: "0" }, JSON.stringify(content, null, 2)));
  byId("result").replaceChildren(...[moved, drawAnswer(content, facts), el("dl", { class: "facts" }, ...facts_), raw].filter(Boolean));
  // On a phone the answer stands below the form.
  if (byId("answer").getBoundingClientRect().top > innerHeight * 0.7) byId("answer").scrollIntoView();
}

async function showCard() {
  const reply = await ask("card.md");
  if (!reply.ok) return;
  byId("card").replaceChildren(el("h2", { class: "kicker" }, "Model card"), ...rendered(await reply.text()));
  byId("card").hidden = false;
}

/** Relative, so that it works behind a proxy with a path of its own. */
function ask(path, options = {}) {
  return fetch(path, { ...options, headers: { ...options.headers, ...headers() }, signal: AbortSignal.timeout(PATIENCE_MS) });
}

function refusesKey(reply) {
  return reply?.status === 401 || reply?.status === 403;
}

function tell(text, then = () => {}) {
  byId("notice").textContent = text;
  byId("notice").hidden = text === "";
  then();
}
