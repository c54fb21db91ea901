// Uses the page in headless Chromium, as somebody would who has an Admin API.
//
// Given one JSON object: {"url"} of the Admin API, {"traffic"} the URL that routes are asked at, {"page"} the path of the page there, {"key"}, {"other"} the
// URL of another origin for the forgery, {"walk"} which of the walks below, and {"folder"} for pictures. The
// Admin API has the route `chat`, split 95 to 5 and sticky, and one with a hostile name. Exits with an error
// where something is not as it should be; prints what it saw as one JSON object.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { url, traffic, page: path, key, other, walk, folder } = JSON.parse(process.argv[2]);

const browsers = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"];
const executablePath = browsers.find((file) => file && existsSync(file));
assert(executablePath, "Chromium is not there: run `cargo xtask setup`, or name it in CHROMIUM");

const ROUTE = "chat";
const HOSTILE = '<img src=x onerror="window.hacked=1">';
const waited = { timeout: 20_000 };

/** A browser of its own; nothing of it asks for anything but the page. */
async function browse(options, use) {
  const profile = await mkdtemp(join(tmpdir(), "splitway-page-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
    ...options,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(waited.timeout);
  const told = [];
  page.on("console", (message) => message.type() === "error" && told.push(message.text()));
  page.on("pageerror", (error) => told.push(String(error)));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  try {
    return await use(page, told, context);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

/** Asks the Admin API as a command would, beside the browser. */
async function ask(method, target, body, headers = {}) {
  const response = await fetch(url + target, {
    method, headers: { "X-API-KEY": key, ...headers }, body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, told: text && JSON.parse(text) };
}

const revision = async () => (await ask("GET", "/splitway/v1/revisions?limit=1")).told.current;

/** The weights of the split, as the Admin API has them. */
async function weights() {
  const { told } = await ask("GET", `/apisix/admin/routes/${ROUTE}`);
  const [rule] = told.value.plugins["traffic-split"].rules;
  return rule.weighted_upstreams.map(({ weight }) => weight);
}

/** Counters that grow with each look, in place of the server's: what is shown is the same everywhere. */
async function count(page) {
  const begin = Date.now();
  let looks = 0;
  await page.route("**/splitway/v1/status", async (route) => {
    looks += 1;
    const [v1, v2] = [285 + 19 * looks + (looks % 3), 15 + looks + (looks >> 2)];
    const branch = (name, weight, n, ms) => ({
      name, weight, target: weight / 100, picked: n, share: n / (v1 + v2), interval: [0, 1], requests: n,
      errors: name === "v2" ? looks >> 2 : 0, statuses: { 200: n }, reasons: { key: n }, retries: 0, p50_ms: ms, p99_ms: 4 * ms,
      buckets: [[ms, n >> 1], [2 * ms, n >> 2], [4 * ms, n - (n >> 1) - (n >> 2)]],
      breaker: name === "v2" ? "half-open" : "closed",
    });
    const branches = [branch("v1", 95, v1, 40 + (looks % 5)), branch("v2", 5, v2, 60 + 9 * (looks % 3))];
    return route.fulfill({ json: {
      revision: String(await revision()), at_ms: begin + 2000 * looks, since_ms: begin - 600_000, scope: "process",
      routes: [{ id: ROUTE, uris: ["/chat/*"], rules: [{ rule: 0, branches }] }],
      problems: { destination_not_found: 3 },
    } });
  });
}

/** Holds counters back until what this returns is called. */
async function hold(page) {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await page.route("**/splitway/v1/status", async (route) => {
    await released;
    return route.fallback();
  });
  return release;
}

async function enter(page) {
  await page.goto(url + path);
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: ROUTE, exact: false, level: 3 }).first().waitFor();
}

const card = (page) => page.locator("article").filter({ has: page.getByRole("heading", { name: /^chat/ }) });
const news = (page) => page.locator("#news");

/** Nothing was refused by the policy, no script failed, no markup was made of a text. */
async function check(page, told, isAllowed = () => false) {
  const seen = await page.evaluate(() => ({
    violations: window.violations, isHacked: window.hacked !== undefined, images: document.images.length,
  }));
  assert.deepEqual(seen, { violations: [], isHacked: false, images: 0 });
  assert.deepEqual(told.filter((line) => !isAllowed(line)), []);
}

const walks = {
  /** By the mouse: routes, sliders, who moves, apply, the new revision, differences, and back. */
  async mouse() {
    await ask("PATCH", `/apisix/admin/routes/${ROUTE}`, { name: HOSTILE });
    return browse({ viewport: { width: 1200, height: 900 } }, async (page, told) => {
      await count(page);
      await enter(page);
      const before = await revision();
      await page.getByText(`Revision ${before}`, { exact: true }).waitFor();
      // A name that would be markup is text.
      await card(page).getByText(HOSTILE).waitFor();
      await card(page).getByText(/\(.* % to .* %\), \d+ picks?$/).first().waitFor();
      await card(page).getByText("half-open").waitFor();
      assert.match(await card(page).getByRole("img").first().textContent(), /^Requests: v1 [\d.]+ \/s, v2 [\d.]+ \/s/);

      await card(page).getByRole("button", { name: "Change weights" }).click();
      await page.getByLabel("v2", { exact: true }).fill("10");
      const moves = page.locator(".moves li").filter({ hasText: "move from v1 to v2" });
      await moves.waitFor();
      const [, of, part] = /Of ([\d,]+) made-up keys ([\d.]+) %/.exec(await moves.textContent());
      assert.equal(of, "10,000");
      assert(4 < Number(part) && Number(part) < 7, `5 in 95 of v1's keys move, of all: ${part}`);
      assert.deepEqual(await weights(), [95, 5], "nothing is changed yet");
      await page.getByText("Keys of yours").click();
      await page.getByLabel(/^Up to 1000 keys/).fill(Array.from({ length: 200 }, (_, n) => `u-${n}`).join("\n"));
      const own = page.locator(".moves li").filter({ hasText: /^u-\d+ moves from v1 to v2/ });
      await own.first().waitFor();
      const named = await own.count();

      await page.getByRole("button", { name: "Apply" }).click();
      await news(page).getByText(`Revision ${before + 1} serves.`).waitFor();
      assert.deepEqual(await weights(), [90, 10]);
      await page.getByText(`Revision ${before + 1}, the one that serves`).waitFor();
      await page.getByRole("button", { name: `What it changed, revision ${before + 1}` }).click();
      await page.locator("ins").filter({ hasText: '"weight": 10' }).waitFor();

      await page.getByRole("button", { name: `Roll back…, revision ${before}` }).click();
      await page.getByText(/v1 90 % → 95 %, v2 10 % → 5 %/).waitFor();
      await page.getByRole("button", { name: `Make revision ${before} the configuration again` }).click();
      await news(page).getByText(`Revision ${before + 2} serves`).waitFor();
      assert.deepEqual(await weights(), [95, 5]);
      await check(page, told);
      return { revision: await revision(), named };
    });
  },

  /** By the keyboard alone, on a phone: the focus is seen, says what it is on, and is not lost. */
  async keyboard() {
    return browse({ viewport: { width: 320, height: 640 }, colorScheme: "dark", reducedMotion: "reduce" }, async (page, told) => {
      await count(page);
      const release = await hold(page);
      await page.goto(url + path);
      await page.keyboard.type(key);
      await page.keyboard.press("Enter");
      await card(page).waitFor();
      const before = await revision();
      const focused = () => page.evaluate(() => {
        const own = document.activeElement;
        const { outlineStyle, outlineWidth } = getComputedStyle(own);
        const label = own.getAttribute("aria-label") ?? own.labels?.[0]?.textContent ?? own.textContent;
        return { label, isSeen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2, tag: own.tagName };
      });
      const tabTo = async (label) => {
        for (let steps = 0; steps < 60; steps += 1) {
          await page.keyboard.press("Tab");
          const own = await focused();
          if (own.tag !== "BODY") assert(own.isSeen, `the focus is seen on ${own.label}`);
          if (own.label === label) return;
        }
        assert.fail(`no way to ${label} with the keyboard`);
      };
      await tabTo("Change weights");
      release();
      await page.getByText(/^Counted in/).waitFor();
      assert.equal((await focused()).label, "Change weights", "counters that come late leave the focus where it is");
      await page.keyboard.press("Enter");
      assert.equal((await focused()).label, "v1");
      await tabTo("v2");
      for (let steps = 0; steps < 5; steps += 1) await page.keyboard.press("ArrowRight");
      await page.locator(".moves li").filter({ hasText: "move from v1 to v2" }).waitFor();
      await tabTo("Apply");
      await page.keyboard.press("Enter");
      await news(page).getByText(`Revision ${before + 1} serves.`).waitFor();
      assert.deepEqual(await weights(), [90, 10]);
      assert.equal((await focused()).label, "Change weights", "the focus is where it was");
      await tabTo(`Roll back…, revision ${before}`);
      await page.keyboard.press("Enter");
      await page.getByText(/v1 90 % → 95 %/).waitFor();
      await tabTo(`Make revision ${before} the configuration again`);
      await page.keyboard.press("Enter");
      await news(page).getByText(`Revision ${before + 2} serves`).waitFor();
      assert.deepEqual(await weights(), [95, 5]);
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert(wide <= seen, `${wide} px are wider than a phone's ${seen}`);
      // Every field has a name, every plot says what it shows.
      const mute = await page.evaluate(() => [...document.querySelectorAll("input, textarea, button, svg[role=img]")]
        .filter((one) => !(one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent.trim())).length);
      assert.equal(mute, 0);
      await check(page, told);
      return { revision: await revision() };
    });
  },

  /** What is served is shown: shares, rates and latencies of real requests. */
  async live() {
    return browse({ viewport: { width: 1200, height: 900 } }, async (page, told) => {
      await enter(page);
      await page.getByText(/^Counted in (this process|all isolates) since/).waitFor();
      await card(page).getByText("nothing yet").first().waitFor();
      for (let n = 0; n < 40; n += 1) {
        const response = await fetch(`${traffic}/chat/x`);
        await response.text();
        assert.equal(response.status, 200);
      }
      const share = card(page).getByText(/^95 % \(83.\d+ % to 98.\d+ %\), 40 picks$/);
      await share.waitFor();
      await card(page).getByText(/^5 % \(1.\d+ % to 16.\d+ %\), 40 picks$/).waitFor();
      const plots = await card(page).getByRole("img").allTextContents();
      assert.match(plots[0], /^Requests: v1 [\d.]+ \/s, v2 [\d.]+ \/s/);
      const row = await card(page).getByRole("row").filter({ hasText: "v1" }).first().textContent();
      assert.match(row, /[\d.]+ ms/);
      await check(page, told);
      return { plots };
    });
  },

  /** What goes wrong is said: a wrong key, somebody else's change, a server that is away. */
  async trouble() {
    return browse({}, async (page, told) => {
      // A server that has no counters, or none yet, shows its configuration.
      await page.route("**/splitway/v1/status", (route) => route.fulfill({ status: 501, json: {} }));
      await page.goto(url + path);
      await page.getByLabel("Key", { exact: true }).fill("no-key-of-anybody");
      await page.getByRole("button", { name: "Open" }).click();
      await page.getByText("The key is wrong.").waitFor();
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
      await page.getByLabel("Key", { exact: true }).fill("ключ");
      await page.getByRole("button", { name: "Open" }).click();
      await page.getByText("A key is of letters").waitFor();
      await enter(page);

      await card(page).getByRole("button", { name: "Change weights" }).click();
      await page.getByLabel("v2", { exact: true }).fill("50");
      await page.locator(".moves li").first().waitFor();
      await ask("PUT", "/apisix/admin/routes/another", { uri: "/another", upstream: "http://127.0.0.1:1" });
      const before = await revision();
      const isStale = await page.getByText(`Revision ${before}`, { exact: true }).count();
      await page.getByRole("button", { name: "Apply" }).click();
      // Unless the page has seen it in the meantime.
      if (!isStale) await page.getByText(/Somebody changed the configuration/).first().waitFor();

      // The key is in this tab alone, and nowhere in what it could leave behind.
      const kept = await page.evaluate(() => [Object.values(sessionStorage), localStorage.length, document.cookie, location.href]);
      assert.deepEqual([kept[0], kept[1], kept[2]], [[key], 0, ""]);
      assert(!kept[3].includes(key));
      await page.reload();
      await card(page).waitFor();

      await page.context().setOffline(true);
      await page.getByText(/The server cannot be reached, since/).waitFor();
      await page.context().setOffline(false);
      await page.getByText(/The server cannot be reached, since/).waitFor({ state: "detached" }).catch(async () => {
        assert.equal(await page.locator("#trouble").textContent(), "");
      });
      await page.getByRole("button", { name: "Forget the key" }).click();
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
      assert.equal(await page.locator("article").count(), 0);
      await ask("DELETE", "/apisix/admin/routes/another");
      await check(page, told, (line) => /40[14]|412|501|ERR_INTERNET_DISCONNECTED/.test(line));
      return {};
    });
  },

  /** A page of another origin changes nothing, not even with the key in a cookie of the Admin API's. */
  async forgery() {
    return browse({}, async (page, told, context) => {
      const before = await revision();
      assert(before > 1);
      // The other origin is another port of the same host: to cookies that is the same site.
      await context.addCookies([{ name: "x_api_key", value: key, url, sameSite: "Strict" }]);
      await page.goto(url + path);
      const own = await page.evaluate(async (target) => (await fetch(target, { method: "POST" })).status, `${url}/splitway/v1/revisions/1/rollback?dry_run=true`);
      assert.equal(own, 200, "the cookie counts where the page is the Admin API's own");
      const seen = [];
      page.on("response", (response) => {
        const method = response.request().method();
        if (method !== "GET") seen.push([method, response.status()]);
      });
      await page.goto(other);
      const form = (target, type, name) => page.evaluate(async ({ target, type, name }) => {
        const frame = document.createElement("iframe");
        frame.name = `frame-${Math.random()}`;
        const form = document.createElement("form");
        Object.assign(form, { method: "POST", action: target, enctype: type, target: frame.name });
        const field = document.createElement("input");
        [field.name, field.value] = [name, '"}'];
        form.append(field);
        document.body.append(frame, form);
        const loaded = new Promise((done) => setTimeout(done, 1_500));
        form.submit();
        await loaded;
      }, { target, type, name });
      const rollback = `${url}/splitway/v1/revisions/1/rollback`;
      await form(rollback, "text/plain", '{"a": "');
      await form(`${rollback}?api_key=${key}`, "text/plain", '{"a": "');
      await form(`${url}/apisix/admin/routes`, "text/plain", '{"uri": "/evil", "upstream": "http://evil.test", "desc": "');
      await form(`${url}/apisix/admin/routes`, "application/x-www-form-urlencoded", '{"uri": "/evil", "upstream": "http://evil.test", "desc": "');
      assert.equal(seen.filter(([method]) => method === "POST").length, 4, JSON.stringify(seen));
      assert(seen.every(([, status]) => status === 403), JSON.stringify(seen));
      const results = await page.evaluate(async ({ url, key }) => {
        const tries = [
          ["POST", "/splitway/v1/revisions/1/rollback", {}],
          ["POST", "/splitway/v1/revisions/1/rollback", { "X-API-KEY": key }],
          ["DELETE", "/apisix/admin/routes/chat", { "X-API-KEY": key }],
          ["PUT", "/splitway/v1/config", { "X-API-KEY": key, "Content-Type": "application/json" }],
          ["GET", "/splitway/v1/config", { "X-API-KEY": key }],
          ["GET", `/splitway/v1/config?api_key=${key}`, {}],
        ];
        return Promise.all(tries.map(([method, path, headers]) =>
          fetch(url + path, { method, headers, credentials: "include", body: method === "GET" ? undefined : "{}" })
            .then(() => "read", () => "refused")));
      }, { url, key });
      assert.deepEqual(results, Array(6).fill("refused"));
      // Nor is the page shown inside another.
      await page.evaluate((src) => {
        const frame = document.createElement("iframe");
        Object.assign(frame, { src, name: "framed" });
        document.body.append(frame);
      }, url + path);
      await page.waitForTimeout(500);
      const framed = page.frames().find((frame) => frame.name() === "framed");
      assert.equal(await framed.evaluate(() => document.getElementById("door")).catch(() => null), null);
      assert.equal(await revision(), before);
      return { seen };
    });
  },

  /** The pictures of the README: a desk in light, a phone in the dark. */
  async pictures() {
    await ask("PATCH", `/apisix/admin/routes/${ROUTE}`, { name: "Chat completions" });
    const views = {
      light: { viewport: { width: 1000, height: 900 }, colorScheme: "light" },
      dark: { viewport: { width: 320, height: 760 }, colorScheme: "dark" },
    };
    for (const [name, options] of Object.entries(views)) {
      await browse({ ...options, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC" }, async (page, told) => {
        await count(page);
        await enter(page);
        await page.waitForTimeout(folder ? 30_000 : 3_000);
        await card(page).getByRole("button", { name: "Change weights" }).click();
        await page.getByLabel("v2", { exact: true }).fill("10");
        await page.locator(".moves li").filter({ hasText: "move from v1 to v2" }).waitFor();
        await page.getByRole("heading", { name: /^chat/ }).scrollIntoViewIfNeeded();
        if (name === "light") await page.evaluate(() => scrollTo(0, 0));
        if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
        await check(page, told);
      });
    }
    return {};
  },
};

console.log(JSON.stringify(await walks[walk]()));
