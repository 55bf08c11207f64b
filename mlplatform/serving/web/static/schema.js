// From the OpenAPI document to what can be asked: one form per path and kind of request that has an example.

const SCALARS = new Set(["number", "integer", "boolean", "string"]);

/** [{path, label, fields, example}]; `fields` is null where a request is no plain object, and is edited as JSON. */
export function formsOf(doc) {
  return Object.entries(doc.paths ?? {}).flatMap(([path, item]) => {
    // Tensors of the inference protocol are for programs.
    if (item.post?.tags?.length) return [];
    const media = resolve(doc, item.post?.requestBody)?.content?.["application/json"];
    if (!media) return [];
    const kinds = alternatives(doc, media.schema);
    return examplesOf(media, item.post).map(({ label, value }) => {
      const kind = kinds.find((schema) => isPlain(doc, schema) && fits(schema, value));
      return { path, label, example: value, fields: kind ? fieldsOf(doc, kind, value) : null };
    });
  });
}

/** What a field is, from its JSON Schema. */
export function fieldOf(doc, name, schema, required, example) {
  const { types, nullable, merged } = describe(doc, schema);
  const choices = merged.enum?.filter((value) => value !== null) ?? (merged.const === undefined ? null : [merged.const]);
  return {
    name,
    required,
    types,
    nullable: nullable || Boolean(merged.enum?.includes(null)),
    choices: choices ?? (types.length === 1 && types[0] === "boolean" ? [true, false] : null),
    allowed: inWords(types, merged),
    description: merged.description ?? "",
    start: example !== undefined ? example : merged.default,
  };
}

function examplesOf(media, operation) {
  if (media.examples)
    return Object.entries(media.examples).map(([name, one]) => ({ label: one.summary ?? name, value: one.value }));
  const value = media.example ?? media.schema?.examples?.[0] ?? media.schema?.example;
  return [{ label: operation.summary ?? "Request", value: value ?? {} }];
}

function fieldsOf(doc, schema, example) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties).map(([name, property]) => {
    const own = resolve(doc, property);
    const value = name in example ? example[name] : required.has(name) ? (own.examples?.[0] ?? own.example) : undefined;
    return fieldOf(doc, name, own, required.has(name), value);
  });
}

function resolve(doc, schema) {
  let found = schema;
  while (found?.$ref) found = found.$ref.slice(2).split("/").reduce((at, key) => at?.[key], doc);
  return found;
}

function alternatives(doc, schema) {
  const own = resolve(doc, schema) ?? {};
  return (own.anyOf ?? own.oneOf)?.flatMap((each) => alternatives(doc, each)) ?? [own];
}

function isPlain(doc, schema) {
  const properties = Object.values(schema.properties ?? {});
  return properties.length > 0 && properties.every((each) => describe(doc, each).types.every((type) => SCALARS.has(type)));
}

function fits(schema, value) {
  return (schema.required ?? []).every((name) => name in value) && Object.keys(value).every((name) => name in schema.properties);
}

/** Its types but null, whether it may be null, and the one schema that says the rest. */
function describe(doc, schema) {
  const parts = alternatives(doc, schema);
  const types = [...new Set(parts.flatMap((part) => part.type ?? []))];
  const merged = { ...Object.assign({}, ...parts.filter((part) => part.type !== "null")), ...withoutParts(resolve(doc, schema)) };
  return { types: types.filter((type) => type !== "null"), nullable: types.includes("null"), merged };
}

function withoutParts({ anyOf, oneOf, ...rest }) {
  return rest;
}

function inWords(types, schema) {
  const words = { number: "number", integer: "whole number", boolean: "true or false", string: "text" };
  const kind = schema.format === "date-time" ? "date and time" : types.map((type) => words[type] ?? type).join(" or ");
  const [low, high] = [schema.minimum ?? schema.exclusiveMinimum, schema.maximum ?? schema.exclusiveMaximum].map(told);
  const parts = [kind];
  if (schema.minimum !== undefined && schema.maximum !== undefined && low !== undefined && high !== undefined) parts.push(`${plain(low)} to ${plain(high)}`);
  else {
    if (low !== undefined) parts.push(`${schema.minimum === undefined ? "more than" : "at least"} ${plain(low)}`);
    if (high !== undefined) parts.push(`${schema.maximum === undefined ? "less than" : "at most"} ${plain(high)}`);
  }
  return parts.join(", ");
}

/** Bounds that only say how large a number can be stored help nobody. */
function told(bound) {
  return bound === undefined || Math.abs(bound) > Number.MAX_SAFE_INTEGER ? undefined : bound;
}

function plain(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 12 });
}
