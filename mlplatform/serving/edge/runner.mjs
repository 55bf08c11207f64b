// Scores rows with the model beside this file, in a browser or in Node, with onnxruntime-web 1.21 or newer.
//
//   import * as ort from "onnxruntime-web";
//   import { fetched, openModel } from "./runner.mjs";
//   const model = await openModel(ort, fetched("./fraud-v1-edge/"));
//   const [answer] = await model.predict([{ amount: 12.5, ... }]);
//
// What runner.py says of a row, this says, too, but for what JavaScript does not tell apart (3 and 3.0) and without
// guessing which feature a misspelt field means. Every file is checked against manifest.json before it is used.

const FORMAT = 1;
const MANIFEST = "manifest.json";
const CONTRACT = "contract.json";
const GRAPH = "model.onnx";
const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;
const TIME_ALLOWED = "an ISO 8601 time of 1900 to 2199, such as 2018-08-01T12:00:00";
const ACCEPTED = { float: "number", integer: "number", boolean: "boolean", string: "string" };

export class BundleError extends Error {}

export class RefusedError extends Error {
  constructor(problems) {
    super(problems.map((p) => `row ${p.row}, ${p.field} ${p.problem} (${p.allowed})`).join("; "));
    this.problems = problems;
  }
}

/** Reads the files of a bundle from the folder of an address. */
export function fetched(folder) {
  return async (name) => {
    const answer = await fetch(folder + name);
    if (!answer.ok) throw new BundleError(`cannot read ${name}: ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
}

/** `read(name)`: a promise of a file's bytes; `expect`: the SHA-256 of manifest.json, as the export printed it. */
export async function openModel(ort, read, expect) {
  const listing = await read(MANIFEST);
  if (expect && (await sha256(listing)) !== expect.toLowerCase()) throw new BundleError(`${MANIFEST} is not the one that is expected`);
  const manifest = JSON.parse(text(listing));
  if (manifest.format !== FORMAT) throw new BundleError(`format ${manifest.format}, this runner reads ${FORMAT}; export again`);
  const files = {};
  for (const name of [CONTRACT, GRAPH]) {
    files[name] = await read(name);
    if ((await sha256(files[name])) !== manifest.files[name]) throw new BundleError(`changed ${name}; copy the exported folder again`);
  }
  const session = await ort.InferenceSession.create(files[GRAPH], { executionProviders: ["wasm"] });
  return new Model(ort, session, JSON.parse(text(files[CONTRACT])));
}

class Model {
  constructor(ort, session, contract) {
    Object.assign(this, { ort, session, contract });
    this.features = new Set(contract.columns.map((column) => column.name));
  }

  /** One answer for each row; rejects with RefusedError, which names all problems. */
  async predict(rows) {
    const problems = this.problems(rows);
    if (problems.length) throw new RefusedError(problems);
    if (!rows.length) return [];
    const inputs = {};
    for (const column of this.contract.columns) inputs[column.name] = this.tensor(column, rows);
    return this.answers(await this.session.run(inputs), rows.length);
  }

  /** What is wrong with the rows: row, field, problem and allowed of each. */
  problems(rows) {
    return rows.flatMap((row, number) => {
      if (!isObject(row)) return [{ row: number, field: "", problem: `is ${kindOf(row)}`, allowed: "an object of features" }];
      const own = this.contract.columns.map((column) => [column.name, wrongValue(column, row), column.allowed]);
      const others = Object.keys(row).filter((name) => !this.features.has(name));
      return [...own, ...others.map((name) => [name, ...this.wrongOther(name, row[name])])]
        .filter(([, problem]) => problem)
        .map(([field, problem, allowed]) => ({ row: number, field, problem, allowed }));
    });
  }

  wrongOther(name, value) {
    if (this.contract.event_time && name === this.contract.event_time) return isTime(value) ? [""] : ["is not a time", TIME_ALLOWED];
    if (!this.contract.keys.includes(name)) return ["is not a feature of this model", "no such field"];
    const allowed = "a text or a whole number";
    if (typeof value === "string") return value.length > 256 ? ["is too long", "at most 256 characters"] : [""];
    if (!Number.isInteger(value)) return ["is no key", allowed];
    return value >= -(2 ** 63) && value < 2 ** 63 ? [""] : ["does not fit into 64 bits", allowed];
  }

  tensor(column, rows) {
    const shape = [rows.length, 1];
    const values = rows.map((row) => row[column.name] ?? column.missing);
    if (column.input === "string") return new this.ort.Tensor("string", values, shape);
    return new this.ort.Tensor("float64", Float64Array.from(values, (value) => (value === null ? NaN : Number(value))), shape);
  }

  answers(found, count) {
    const { task, levels, classes } = this.contract.answer;
    const numbers = [...found[{ forecast: "quantiles", multiclass: "probabilities" }[task] ?? "score"].data];
    if (!numbers.every(Number.isFinite)) throw new RangeError("the model gave a number that is not finite, so there is no decision");
    return Array.from({ length: count }, (_, at) => {
      if (task === "binary") return { score: numbers[at], decision: Boolean(found.decision.data[at]) };
      if (task === "ranking") return { score: numbers[at] };
      if (task === "multiclass") {
        const place = Number(found.class.data[at]);
        const row = numbers.slice(at * classes.length, (at + 1) * classes.length);
        const probabilities = Object.fromEntries(classes.map((name, code) => [name, row[code]]));
        return { class: classes[place], score: row[place], probabilities };
      }
      const quantiles = Object.fromEntries(levels.map((level, place) => [level, numbers[at * levels.length + place]]));
      return { forecast: found.forecast.data[at], quantiles };
    });
  }
}

function wrongValue(column, row) {
  if (!Object.hasOwn(row, column.name)) return "is missing";
  const value = row[column.name];
  if (value === null) return column.nullable ? "" : "is null";
  if (column.type === "integer" && typeof value === "number" && !Number.isInteger(value)) return "is not a whole number";
  if (typeof value !== ACCEPTED[column.type]) return `is ${kindOf(value)}`;
  if (column.listed) return column.listed.includes(value) ? "" : "is not one of the categories";
  return column.categorical ? "" : outOfRange(column, value);
}

function outOfRange(column, value) {
  if (value < (column.low ?? -Number.MAX_VALUE)) return "is below the minimum";
  if (value > (column.high ?? Number.MAX_VALUE)) return "is above the maximum";
  return Number.isNaN(value) ? "is not a number" : "";
}

function isTime(value) {
  const found = typeof value === "string" && TIME.exec(value);
  if (!found) return false;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map((part) => Number(part ?? 0));
  const moment = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  if (moment.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) return false;
  const [, sign, hours, minutes] = /([+-])(\d\d):?(\d\d)/.exec(found[7] ?? "") ?? ["", "+", 0, 0];
  const shift = (Number(hours) * 60 + Number(minutes)) * 60000 * (sign === "-" ? -1 : 1);
  const utc = moment.getTime() - shift;
  return utc >= Date.UTC(1900, 0, 1) && utc < Date.UTC(2200, 0, 1);
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return { boolean: "true or false", string: "text", object: "an object" }[typeof value] ?? "a number";
}

function text(bytes) {
  return new TextDecoder().decode(bytes);
}

async function sha256(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
