import assert from "node:assert/strict";
import { run, show, shot, barriers, tooWide, SIZES } from "./browser.mjs";

const VIEWS = [["agents", "#/", ".agents tbody tr"], ["agent", "#/agents/orion", ".task"], ["learned", "#/agents/orion/learned", ".skill"]];
await run({
  "each view": async (tab) => {
    for (const dark of [false, true]) for (const size of ["desk", "phone"]) {
      const one = await tab({ dark, size: SIZES[size] });
      for (const [name, place, ready] of VIEWS) {
        await show(one, place, ready);
        await shot(one, `${name}-${size}${dark ? "-dark" : ""}`);
        assert.deepEqual(await tooWide(one), [], `${name} on a ${size}`);
        assert.deepEqual(await barriers(one), [], name);
      }
    }
  },
});
