// deploy/kubernetes: every object holds to the published schema of its kind, and what those leave open is what the
// restricted pod security standard asks for.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { parseAllDocuments } from "yaml";

const require = createRequire(import.meta.url);
const folder = new URL("../../deploy/kubernetes/", import.meta.url);
const read = (file) => parseAllDocuments(readFileSync(new URL(file, folder), "utf8")).map((document) => document.toJS());
const [kustomization] = read("kustomization.yaml");

const check = (object) => {
  const [group, version] = object.apiVersion.includes("/") ? object.apiVersion.split("/") : ["", object.apiVersion];
  const kinds = require(`kubernetes-models/${group ? `${group}/` : ""}${version}`);
  assert.ok(kinds[object.kind], `${object.apiVersion} has a kind ${object.kind}`);
  new kinds[object.kind](object).validate();
};

const objects = kustomization.resources.flatMap(read);
objects.forEach(check);
const broken = structuredClone(objects.find(({ kind }) => kind === "StatefulSet"));
broken.spec.replicas = "three";
assert.throws(() => check(broken), /replicas/, "the schemas accept anything");
console.log(`ok      ${objects.length} objects are as the schemas of their kinds say`);

const named = [...kustomization.resources, ...kustomization.configMapGenerator.flatMap(({ files }) => files), "kustomization.yaml"];
assert.deepEqual(named.sort(), readdirSync(folder).sort(), "kustomization.yaml names every file");

const pods = objects.filter(({ kind }) => kind === "StatefulSet").map(({ spec }) => spec.template.spec);
for (const pod of pods) {
  assert.ok(pod.securityContext.runAsNonRoot && pod.securityContext.seccompProfile.type === "RuntimeDefault");
  assert.equal(pod.automountServiceAccountToken, false);
  for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
    const allowed = container.securityContext;
    assert.deepEqual(allowed, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } }, container.name);
    assert.ok(container.resources.limits.memory, `${container.name} has a limit of memory`);
  }
}
assert.equal(pods.length, 2);
console.log("ok      every container is restricted: no root, no capability, no new privilege, a root that is read only");

const policies = objects.filter(({ kind }) => kind === "NetworkPolicy").map(({ spec }) => spec);
const out = (spec) => (spec.egress ?? []).flatMap(({ ports }) => ports.map(({ port }) => port)).sort();
assert.ok(policies.some((spec) => !Object.keys(spec.podSelector).length && spec.policyTypes.includes("Egress") && !spec.egress && !spec.ingress), "nothing goes out by itself");
assert.deepEqual(policies.map(out).filter((ports) => ports.length), [[22, 4222, 443, 53, 53]]);
console.log("ok      DNS, NATS, the model and the git remote are reached, and nothing else");
