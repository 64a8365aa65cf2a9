// The interface's description: a validator of others accepts it, and what a whole system answers is as the description says.

import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020.js";

const { PAGE_URL, PAGE_TOKEN } = process.env;
const ask = async (path, method = "GET", body) => {
  const response = await fetch(PAGE_URL + path, { method, body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${PAGE_TOKEN}` } });
  return { status: response.status, type: response.headers.get("content-type"), body: await response.text() };
};

const described = JSON.parse((await ask("/v1/openapi.json")).body);
const told = await new Validator().validate(structuredClone(described));
assert.ok(told.valid, JSON.stringify(told.errors));
console.log("ok      a validator of others accepts the description");

const broken = structuredClone(described);
broken.paths["/v1/agents"].get.parameters = "none";
assert.ok(!(await new Validator().validate(broken)).valid, "the validator accepts anything");

const ajv = new Ajv({ strict: false }).addSchema({ ...described, $id: "described" });
const pointer = (path, method, status) => `described#/paths/${path.replaceAll("~", "~0").replaceAll("/", "~1").replaceAll("{", "%7B").replaceAll("}", "%7D")}/${method}/responses/${status}/content/application~1json/schema`;
const isAsDescribed = (answer, place) => {
  const holds = ajv.getSchema(place);
  assert.ok(holds, `${place} is a schema`);
  assert.ok(holds(JSON.parse(answer.body)), `${place}: ${ajv.errorsText(holds.errors)}: ${answer.body.slice(0, 400)}`);
};

const newest = async (path) => JSON.parse((await ask(path)).body).items[0];
const PIECES = { agent: "orion", task: "count-pages", commit: (await newest("/v1/agents/orion/commits")).commit, id: (await newest("/v1/envelopes")).id, queue: "reviews" };
const filled = (path) => path.replace(/\{(\w+)\}/g, (_, name) => PIECES[name]);
let asked = 0;
for (const [path, methods] of Object.entries(described.paths))
  if (methods.get?.responses["200"].content["application/json"]) {
    const answer = await ask(filled(path));
    assert.equal(answer.status, 200, path);
    isAsDescribed(answer, pointer(path, "get", "200"));
    asked++;
  }
assert.ok(asked > 20, `${asked} were asked`);
console.log(`ok      ${asked} answers are as the description says`);

for (const [path, status, body] of [["/v1/agents/{agent}/tasks", "201", { text: "Count the rivers." }], ["/v1/agents/{agent}/messages", "201", { text: "The rivers are long." }],
  ["/v1/queues/{queue}/items", "201", { text: "Review the rivers." }], ["/v1/agents/{agent}/retry", "200"], ["/v1/reload", "200"]]) {
  const answer = await ask(filled(path), "POST", body);
  assert.equal(String(answer.status), status, path + answer.body);
  isAsDescribed(answer, pointer(path, "post", status));
}
console.log("ok      what orders answer is as the description says");

for (const [path, status, method] of [["/v1/agents/nobody", 404], ["/v1/agents", 405, "DELETE"], ["/v1/agents/orion/tasks", 400, "POST"]]) {
  const answer = await ask(path, method, method === "POST" ? { text: 5 } : undefined);
  assert.equal(answer.status, status);
  assert.match(answer.type, /^application\/problem\+json/);
  isAsDescribed(answer, "described#/components/schemas/Problem");
}
console.log("ok      problems are as the description says");
