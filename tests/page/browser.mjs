// Chromium for a test: each page refuses nothing silently. A request to elsewhere, a violation of the policy, or an error of
// a script is a failure of whatever check runs at that moment.

import { chromium } from "playwright-core";
import axe from "axe-core";
import fs from "node:fs";
import path from "node:path";

export const URL_OF_PAGE = process.env.PAGE_URL;
export const TOKEN = process.env.PAGE_TOKEN;
const SHOTS = process.env.PAGE_SHOTS;
const PATIENCE = Number(process.env.AGENTOS_TEST_PATIENCE ?? 1);
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export const COLOURS = { type: "rule", values: ["color-contrast"] }; // what alone differs between light and dark
export const SIZES = { desk: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } };

export async function open() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
}

// A new tab, with the token in its place unless it is to be asked for. stays: for the checks that follow, too. faults: what
// went wrong in it.
export async function tab(browser, { url = URL_OF_PAGE, dark = false, size = SIZES.desk, token = TOKEN, allow = () => false } = {}) {
  const context = await browser.newContext({ viewport: size, colorScheme: dark ? "dark" : "light", reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC" });
  context.setDefaultTimeout(15000 * PATIENCE);
  const page = await context.newPage();
  const faults = [];
  page.on("request", (request) => new URL(request.url()).origin === new URL(url).origin || request.url().startsWith("data:") || faults.push(`a request to ${request.url()}`));
  page.on("pageerror", (fault) => faults.push(`an error: ${fault.stack ?? fault}`));
  page.on("console", (message) => message.type() === "error" && !allow(message.text()) && faults.push(`on the console: ${message.text()}`));
  if (token) await page.addInitScript((text) => sessionStorage.setItem("agentos-token", text), token);
  return { page, faults, url, close: () => context.close() };
}

export async function show({ page, url }, place, ready) {
  await page.goto(`${url}/${place}`);
  if (ready) await page.waitForSelector(ready);
}

export async function shot({ page }, name) {
  fs.mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SHOTS, `${name}.png`), animations: "disabled" });
}

// What axe finds, a line each. The page's own policy is no bar to it: DevTools evaluates it.
export async function barriers({ page }, only = TAGS) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source);
  const found = await page.evaluate((runOnly) => window.axe.run(document, { runOnly, resultTypes: ["violations"] }), only);
  return found.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")}`);
}

// What is wider than the screen.
export async function tooWide({ page }) {
  return page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return [];
    return [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > room + 1).slice(0, 5).map((one) => `${one.tagName}.${one.className?.baseVal ?? one.className}`).concat(`${document.documentElement.scrollWidth} > ${room}`);
  });
}

// What /v1 answers, past the page.
export const ask = async (method, path, body) => {
  const response = await fetch(URL_OF_PAGE + path, { method, headers: { Authorization: `Bearer ${TOKEN}` }, body: body && JSON.stringify(body) });
  return response.json();
};

// Presses Tab until the element has the focus, as somebody without a mouse does; the way must not be endless.
export async function tabTo(one, selector, most = 120) {
  for (let pressed = 0; pressed < most; pressed++) {
    if (await one.page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return pressed;
    await one.page.keyboard.press("Tab");
  }
  throw new Error(`${most} times Tab did not reach ${selector}`);
}

// Runs the checks one after the other; each is named after its promise. Ends the process with 1 when one failed.
export async function run(checks) {
  const browser = await open();
  let failed = 0;
  const stay = [];
  for (const [name, check] of Object.entries(checks)) {
    const from = Date.now(), tabs = [...stay];
    const fresh = async (options = {}) => {
      const one = await tab(browser, options);
      tabs.push(one);
      if (options.stays) stay.push(one);
      return one;
    };
    const faults = () => tabs.flatMap((one) => one.faults).slice(0, 8).join("\n");
    try {
      await check(fresh);
      if (faults()) throw new Error(faults());
      console.log(`ok      ${name} (${Date.now() - from} ms)`);
    } catch (fault) {
      failed++;
      console.log(`FAILED  ${name}: ${fault.stack ?? fault}\n${faults()}`);
      if (tabs.length) await shot(tabs[tabs.length - 1], `failed-${failed}`).catch(() => null);
    }
    await Promise.all(tabs.filter((one) => !stay.includes(one)).map((one) => one.close()));
    stay.forEach((one) => one.faults.splice(0));
  }
  await browser.close();
  process.exitCode = failed ? 1 : 0;
}
