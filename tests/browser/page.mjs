// SPDX-License-Identifier: Apache-2.0
//
// page.mjs SCENARIO URL DIRECTORY: looks at the exporter's page in Chromium as somebody would who uses it. Prints what
// is wrong and ends with 1, or with 0. DIRECTORY gets the screenshots.
import assert from "node:assert/strict";
import {chromium} from "playwright-core";

const [, , scenario, url, artifacts] = process.argv;

const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM, headless: true,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"],
});
const problems = [];

async function open(options = {}, prepare = () => {}) {
    const context = await browser.newContext({viewport: {width: 1440, height: 900}, colorScheme: "dark", ...options});
    const page = await context.newPage();
    page.setDefaultTimeout(60000);
    page.on("console", message => {
        if (message.type() === "error" || message.type() === "warning")
            problems.push("console: " + message.text());
    });
    page.on("pageerror", error => problems.push("error: " + error.message));
    page.on("request", request => {
        if (!request.url().startsWith(url) && !request.url().startsWith("data:"))
            problems.push("asks another server: " + request.url());
    });
    await prepare(page);
    await page.goto(url);
    await page.waitForSelector("#live[data-state=live]");
    return page;
}

const shoot = (page, name) => page.screenshot({path: `${artifacts}/page-${name}.png`});
const names = page => page.$$eval("#list .row:not([hidden]) .title b", nodes => nodes.map(node => node.textContent));
const picture = (page, selector) => page.$eval(selector, canvas => canvas.toDataURL());

async function openFamily(page, name) {
    await page.fill("#search", name);
    await page.waitForFunction(name => document.querySelector("#list .row:not([hidden]) .title b")?.textContent === name, name);
    await page.press("#search", "Enter");
    await page.keyboard.press("Enter");
    await page.waitForFunction(name => document.querySelector("#detail h2")?.textContent === name, name);
    await page.waitForSelector("#series .row:not([hidden])");
}

// Until the picture is another one than it was.
function changed(page, selector, before) {
    return page.waitForFunction(([selector, before]) => document.querySelector(selector).toDataURL() !== before,
                                [selector, before]);
}

// Until the exporter has answered n more times and what it said is shown.
async function polls(page, n) {
    for (let i = 0; i < n; i++)
        await page.waitForResponse(response => response.url().includes("/api/v1/status"));
    await page.evaluate(() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

const scenarios = {
    // orders_total, wait_seconds and busy are being written all the time.
    async live() {
        const page = await open();
        await page.selectOption("#interval", "0.5");
        assert((await names(page)).includes("orders_total"));
        // search
        await page.keyboard.press("/");
        await page.keyboard.type("WAIT help");
        await page.waitForFunction(() => document.querySelectorAll("#list .row:not([hidden])").length === 1);
        assert.deepEqual(await names(page), ["wait_seconds"]);
        await page.fill("#search", "no such family");
        await page.getByText("Nothing matches.").waitFor();
        await page.keyboard.press("Escape");
        assert((await names(page)).length > 2);
        await page.click("#chips [data-kind=gauge]");
        assert.deepEqual(await names(page), ["busy"]);
        await page.click("#chips [data-kind=all]");
        // a chart that moves
        await polls(page, 6);
        await shoot(page, "list-dark");
        await openFamily(page, "orders_total");
        let before = await picture(page, "#detail canvas.chart");
        await changed(page, "#detail canvas.chart", before);
        await page.waitForFunction(() => /^[1-9].*\/s$/.test(document.querySelector("#detail dd").textContent));
        // and stands still when it is told to
        await page.click("#pause");
        await page.waitForSelector("#live[data-state=paused]");
        await page.waitForLoadState("networkidle");
        before = await picture(page, "#detail canvas.chart");
        await page.evaluate(() => show());
        assert.equal(await picture(page, "#detail canvas.chart"), before);
        await page.click("#pause");
        await changed(page, "#detail canvas.chart", before);
        await polls(page, 8);
        await shoot(page, "counter-dark");
        // one series of it
        await page.fill("[aria-label='Filter series']", "blue north");
        await page.waitForFunction(() => document.querySelectorAll("#series .row:not([hidden])").length === 1);
        await page.click("#series .row");
        await page.getByText("Show all series").waitFor();
        // a histogram
        await page.keyboard.press("Escape");
        await openFamily(page, "wait_seconds");
        await changed(page, "#detail canvas.heat", await picture(page, "#detail canvas.heat"));
        await page.waitForFunction(() => ["p50", "p90", "p99"].every(name => [...document.querySelectorAll("#detail .stats div")].some(
            stat => stat.children[0].textContent === name && /^[1-9]/.test(stat.children[1].textContent))));
        await polls(page, 20);
        await shoot(page, "histogram-dark");
        // the quantiles that the page computes are those of the values that were written: 0.05 and 0.5, in turns
        const p50 = await page.evaluate(() => quantile([0.1, 1, 10], [1, 1, 0, 0], 0.5));
        assert.equal(p50, 0.1);
        await page.close();
    },

    // Nothing but keys.
    async keys() {
        const page = await open();
        await page.keyboard.press("/");
        assert.equal(await page.evaluate(() => document.activeElement.id), "search");
        await page.keyboard.press("ArrowDown");
        assert.equal(await page.evaluate(() => document.activeElement.id), "list");
        await page.keyboard.press("ArrowDown");
        const active = await page.getAttribute("#list", "aria-activedescendant");
        assert.equal(active, "list-1");
        const wanted = await page.textContent("#" + active + " .title b");
        await page.keyboard.press("Enter");
        assert.equal(await page.textContent("#detail h2"), wanted);
        await page.keyboard.press("Escape");
        assert(await page.isHidden("#detail"));
        assert.equal(await page.evaluate(() => document.activeElement.id), "list");
        await page.keyboard.press("End");
        assert.match(await page.textContent("#list .row.active .title b"), /^shm_segment_/);
        await page.focus("#tab-metrics");
        await page.keyboard.press("ArrowRight");
        assert(await page.isVisible("#view-processes"));
        await page.waitForSelector("#processes .row:not([hidden])");
        assert.match(await page.textContent("#processes .row .state"), /alive/);
        await shoot(page, "processes-dark");
        await page.keyboard.press("ArrowRight");
        await page.waitForSelector("#segments .card .meter");
        assert.equal(await page.textContent("#segments .card h2"), "shop");
        await shoot(page, "segments-dark");
        // everything that can be used has a name
        const nameless = await page.$$eval("button, input, select, a, [role=listbox], [role=img]", nodes => nodes.filter(node =>
            !(node.textContent.trim() || node.getAttribute("aria-label") || node.labels?.length)).map(node => node.outerHTML));
        assert.deepEqual(nameless, []);
        const link = await page.getAttribute(".link a", "href");
        assert.equal((await page.request.get(new URL(link, url).href)).status(), 200);
        await page.close();
    },

    // Light, dark, and as the system has it.
    async themes() {
        const background = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const dark = "rgb(11, 15, 22)", light = "rgb(243, 245, 249)";
        const page = await open();
        assert.equal(await background(page), dark);
        await page.emulateMedia({colorScheme: "light"});
        assert.equal(await background(page), light);
        await page.click("#theme");
        await page.keyboard.press("t");
        assert.equal(await page.textContent("#theme"), "Theme: dark");
        assert.equal(await background(page), dark);
        await page.reload();
        await page.waitForSelector("#live[data-state=live]");
        assert.equal(await background(page), dark); // it is kept
        await page.keyboard.press("t");
        await page.keyboard.press("t");
        assert.equal(await page.textContent("#theme"), "Theme: light");
        await openFamily(page, "wait_seconds");
        await polls(page, 10);
        await shoot(page, "histogram-light");
        await page.setViewportSize({width: 400, height: 850});
        assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
        await shoot(page, "narrow-light");
        await page.close();
    },

    // Label values, help texts and names of processes are text, whatever is in them.
    async injection() {
        const page = await open();
        const count = () => page.evaluate(() => [document.scripts.length, document.images.length, document.querySelectorAll("svg, iframe, b b").length]);
        const before = await count();
        await openFamily(page, "evil_total");
        const labels = await page.$$eval("#series .row:not([hidden]) .label", nodes => nodes.map(node => node.textContent));
        assert(labels.some(label => label.includes("<script>window.hacked = 1</script>")), labels.join());
        assert(labels.some(label => label.includes("<img src=x onerror=\"window.hacked = 1\">")), labels.join());
        await page.click("#series .row"); // its text goes into the caption
        await polls(page, 2);
        assert.deepEqual(await count(), before);
        assert.equal(await page.evaluate(() => window.hacked), undefined);
        // and if somebody found a way all the same: the policy
        const refused = page.waitForEvent("console", message => message.type() === "error" && message.text().includes("Content Security Policy"));
        await page.evaluate(() => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            document.body.append(script);
        });
        await refused;
        assert.equal(await page.evaluate(() => window.hacked), undefined);
        problems.length = 0; // that one was asked for
        await page.close();
    },

    // many_total has 10,000 series.
    async many_series() {
        const page = await open();
        await openFamily(page, "many_total");
        await page.waitForFunction(() => document.querySelector("#detail .shown").textContent === "10k series");
        await polls(page, 3);
        assert(await page.evaluate(() => document.querySelectorAll("*").length) < 2500);
        const start = Date.now();
        await page.focus("#series");
        await page.keyboard.press("End");
        await page.waitForFunction(() => document.querySelector("#series .row.active")?.textContent.includes("value-9999"));
        console.log("to the last of 10,000 series: " + (Date.now() - start) + " ms");
        await page.fill("[aria-label='Filter series']", "value-77");
        await page.waitForFunction(() => document.querySelector("#detail .shown").textContent.startsWith("111 of"));
        await page.fill("[aria-label='Filter series']", "");
        // how long the page is busy after an answer
        const busy = await page.evaluate(async () => {
            const answer = await ask("series", ["many_total"]), start = performance.now();
            state.detail.take(answer.families[0], answer.now + 1);
            show();
            return performance.now() - start;
        });
        console.log("taking and showing 10,000 series: " + busy.toFixed(1) + " ms");
        await shoot(page, "many-series-dark");
        await page.close();
    },

    // 10,000 families, made up: only what is on the screen is asked for.
    async many_families() {
        const asked = [];
        const page = await open({}, page => page.route("**/api/v1/families*", route => {
            const wanted = new URL(route.request().url()).searchParams.getAll("name[]");
            asked.push(wanted.length);
            const all = Array.from({length: 10000}, (_, i) => ({
                name: "family_" + String(i).padStart(5, "0") + "_total", type: "counter", help: "Number " + i, unit: "", own: false,
                overflowed: 0, series_count: 1, total: {value: i % 7 ? asked.length * i : "18446744073709551615"},
            }));
            const now = Date.now() / 1000;
            return route.fulfill({json: {version: "1", now, layout: 1, families: wanted.length ? all.filter(one => wanted.includes(one.name)) : all}});
        }));
        await page.selectOption("#interval", "0.5");
        await polls(page, 4);
        assert(await page.evaluate(() => document.querySelectorAll("*").length) < 1500);
        await page.focus("#list");
        await page.keyboard.press("End");
        await page.waitForFunction(() => document.querySelector("#list .row.active .title b")?.textContent === "family_09999_total");
        await page.waitForFunction(() => /^[1-9].*\/s$/.test(document.querySelector("#list .row.active .figure b").textContent));
        await page.fill("#search", "number 4242");
        await page.waitForFunction(() => document.querySelectorAll("#list .row:not([hidden])").length === 1);
        assert.deepEqual(await names(page), ["family_04242_total"]);
        assert.equal(asked[0], 0);
        assert(asked.slice(1).every(n => n > 0 && n <= 60), asked.join());
        await page.close();
    },

    // The exporter goes away and says so; `problems` has the browser's own complaints then.
    async lost() {
        const page = await open();
        await page.route("**/api/v1/**", route => route.fulfill({status: 503, body: "Too many requests at a time.\n"}));
        await page.waitForSelector("#live[data-state=lost]");
        assert.match(await page.textContent("#live"), /503 Too many requests/);
        await page.unroute("**/api/v1/**");
        await page.waitForSelector("#live[data-state=live]");
        assert(problems.every(problem => problem.includes("503")), problems.join("\n"));
        problems.length = 0;
        await page.close();
    },
};

let code = 0;
try {
    await scenarios[scenario]();
    assert.deepEqual(problems, []);
} catch (error) {
    console.log(error.stack);
    console.log(problems.join("\n"));
    code = 1;
}
await browser.close();
process.exit(code);
