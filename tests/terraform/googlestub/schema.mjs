// Reads schema.json from the bindings that are generated from hashicorp/google. They are in the PyPI package cdktn-provider-google, whose
// release 21.1.0 is that of provider 8.7.0:
//
//   pip download --no-deps cdktn-provider-google==21.1.0
//   unzip cdktn_provider_google-*.whl 'cdktn_provider_google/_jsii/*' && tar -xzf cdktn_provider_google/_jsii/*.jsii.tgz
//   node schema.mjs package > schema.json
//
// The bindings have, before the getter of each attribute, a comment with its flags; the getter tells its type, and a class stands for each
// nested block. What this does not understand is an error, never left out.
import fs from "node:fs";

const resources = [
  "cloud-run-v2-job", "cloud-run-v2-job-iam-member", "cloud-run-v2-worker-pool", "cloud-scheduler-job", "logging-metric", "monitoring-alert-policy",
  "monitoring-notification-channel", "secret-manager-secret-iam-member", "service-account",
];
const types = {
  String: "string", Number: "number", Boolean: "bool", List: ["list", "string"], NumberList: ["list", "number"],
  StringMap: ["map", "string"], NumberMap: ["map", "number"], BooleanMap: ["map", "bool"],
};
const attribute = /\/\/ (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n([\s\S]*?)(?=\n    \/\/ \w+ - computed|\n    \/\/ =====|$)/g;

function typeOf(where, body) {
  const map = body.match(/= new cdkt[nf]\.(String|Number|Boolean)Map\(/);
  const getter = map ? map[1] + "Map" : body.match(/(?:cdkt[nf]\.Fn\.tolist\()?this\.get(\w+?)Attribute\('/)?.[1];
  const type = /Fn\.tolist/.test(body) ? ["set", "string"] : types[getter];
  if (!type) throw new Error(`${where}: no type for ${getter}`);
  return type;
}

function block(classes, name) {
  const out = { attributes: {}, block_types: {} };
  for (const [, field, computed, optional, required, body] of classes[name].matchAll(attribute)) {
    const flags = {};
    if (computed === "true") flags.computed = true;
    if (optional === "true") flags.optional = true;
    if (required === "true") flags.required = true;

    const nested = body.match(/= new (\w+?)(List|Map|OutputReference)\(this, "\w+"(?:, (true|false))?\)/);
    if (!nested) {
      out.attributes[field] = { type: typeOf(`${name}.${field}`, body), ...flags };
      continue;
    }
    const inner = block(classes, nested[1] + "OutputReference");
    if (flags.computed && !flags.optional && !flags.required) {
      out.attributes[field] = { type: ["list", ["object", Object.fromEntries(Object.entries(inner.attributes).map(([k, v]) => [k, v.type]))]], ...flags };
    } else if (field === "timeouts") {
      out.block_types[field] = { nesting_mode: "single", block: inner };
    } else {
      out.block_types[field] = { nesting_mode: nested[3] === "true" ? "set" : "list", block: inner };
      if (nested[2] === "OutputReference") out.block_types[field].max_items = 1;
      if (flags.required) out.block_types[field].min_items = 1;
    }
  }
  return out;
}

// sorted has the keys of every object in order, so that a new release shows what it changed.
const sorted = (_, value) =>
  value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;

const root = process.argv[2];
const schemas = {};
for (const resource of resources) {
  const source = fs.readFileSync(`${root}/lib/${resource}/index.js`, "utf8");
  const parts = source.split(/\nclass /).slice(1);
  const classes = Object.fromEntries(parts.map((part) => [part.match(/^\w+/)[0], part]));
  const main = parts.find((part) => part.includes('tfResourceType = "')).match(/^\w+/)[0];
  schemas[source.match(/tfResourceType = "([^"]+)"/)[1]] = { version: 0, block: block(classes, main) };
}
const { version } = JSON.parse(fs.readFileSync(`${root}/package.json`, "utf8")).cdktf.provider;
console.log(JSON.stringify({ provider: "hashicorp/google", version, resource_schemas: schemas }, sorted, 1));
