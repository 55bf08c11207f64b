// The request of the form, as code to copy.

import { byId, el, fresh } from "./dom.js";

const PYTHON = { true: "True", false: "False", null: "None" };

/** Draw them; returns a function that follows the form: ({path, body, kind, asksKey}). */
export function snippets(place) {
  const languages = { curl, Python: python, "mlplatform.client": client, JavaScript: javascript };
  const group = fresh("language");
  const code = el("code");
  const box = el("pre", { tabindex: "0", "aria-label": "Code" }, code);
  const copy = el("button", { type: "button", class: "plain" }, "Copy");
  const said = el("span", { class: "quiet", role: "status" });
  let request = null;
  let chosen = "curl";
  const draw = () => {
    code.textContent = request ? languages[chosen](request) : "";
    said.textContent = "";
  };
  const radios = Object.keys(languages).map((name) => {
    const radio = el("input", { type: "radio", name: group, value: name });
    radio.checked = name === chosen;
    radio.addEventListener("change", () => {
      chosen = name;
      draw();
    });
    return el("label", {}, radio, el("span", {}, name));
  });
  copy.addEventListener("click", async () => {
    said.textContent = (await copied(code)) ? "Copied" : "Selected: copy it with your keyboard";
  });
  byId(place).append(el("fieldset", { class: "tabs" }, el("legend", { class: "hidden" }, "Language"), ...radios), box, el("div", { class: "row" }, copy, said));
  return (now) => {
    request = now;
    draw();
  };
}

/** Where a page may not write to the clipboard (plain HTTP from afar), the text is selected. */
async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return false;
  }
}

function url(path) {
  return new URL(path.slice(1), document.baseURI).href;
}

function base() {
  return new URL(".", document.baseURI).href.replace(/\/$/, "");
}

function curl({ path, body, asksKey }) {
  const key = asksKey ? `\n  -H "Authorization: Bearer $API_KEY" \\` : "";
  return `curl -s '${url(path)}' \\${key}\n  -H 'Content-Type: application/json' \\\n  -d '${body.replaceAll("'", "'\\''")}'`;
}

function python({ path, body, asksKey }) {
  const key = asksKey ? `,\n    headers={"Authorization": f"Bearer {os.environ['API_KEY']}"}` : "";
  const imports = asksKey ? "import os\n\nimport httpx" : "import httpx";
  return `${imports}\n\nresponse = httpx.post(\n    "${url(path)}",\n    json=${inPython(body).replaceAll("\n", "\n    ")}${key},\n)\nresponse.raise_for_status()\nprint(response.json())`;
}

function client({ path, body, kind, asksKey }) {
  const key = asksKey ? "  # the key is read from MLPLATFORM_API_KEY" : "";
  const [call, argument] = kind === "many" ? many(path, body) : [{ "/score": "score" }[path] ?? (kind === "key" ? "look_up" : "predict"), body];
  return `from mlplatform.client import Client\n\nwith Client("${base()}") as client:${key}\n    answer = client.${call}(${inPython(argument).replaceAll("\n", "\n    ")})\nprint(answer)`;
}

function many(path, body) {
  let rows = body;
  try {
    rows = JSON.stringify(JSON.parse(body).rows ?? [], null, 2);
  } catch {
    // Half-typed JSON is shown as it is.
  }
  return [path === "/score" ? "score_many" : "predict_many", rows];
}

function javascript({ path, body, asksKey }) {
  const key = asksKey ? "\n    Authorization: `Bearer ${process.env.API_KEY}`," : "";
  const sent = body.replaceAll("\n", "\n  ");
  return `const response = await fetch("${url(path)}", {\n  method: "POST",\n  headers: {${key}\n    "Content-Type": "application/json",\n  },\n  body: JSON.stringify(${sent}),\n});\nif (!response.ok) throw new Error(await response.text());\nconsole.log(await response.json());`;
}

/** Tokens outside of strings; Python has other words for three of them. */
function inPython(body) {
  return body.replace(/"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b/g, (token) => PYTHON[token] ?? token);
}
