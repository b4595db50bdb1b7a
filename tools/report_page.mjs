// Opens report pages in headless Chromium and prints one JSON line a page: what is wrong with it.
// node report_page.mjs CHROMIUM SCREENSHOTS PAGE.html ...   (tools/report_page.py runs it)
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(process.cwd() + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [executablePath, shots, ...files] = process.argv.slice(2);
const WIDTHS = [390, 1280], THEMES = ["light", "dark"], PAPER = 718; // A4 less its margins, in CSS pixels
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

const overflow = page => page.evaluate(() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  const out = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > wide + 1 &&
    !e.closest(".scroll, .view"));
  return out.slice(0, 5).map(e => `${e.tagName}.${e.className.baseVal ?? e.className}`);
});

async function rules(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.map(v => `${v.id}: ${v.nodes.length} x ${v.help} (${v.nodes[0].html.slice(0, 120)})`);
}

// Clicks every heading of every sortable table twice, and holds the order of its rows to the cells' values.
const sorted = page => page.evaluate(() => {
  const wrong = [], key = (r, k) => r.cells[k].dataset.v ?? r.cells[k].textContent;
  for (const table of document.querySelectorAll("table.sorts")) {
    for (const th of table.querySelectorAll("th[aria-sort]")) for (const way of [0, 1]) {
      th.querySelector("button").click();
      const up = th.getAttribute("aria-sort") === "ascending", k = th.cellIndex;
      const values = [...table.tBodies[0].rows].map(r => key(r, k)).filter(v => v !== "");
      const plain = values.every(v => !isNaN(v));
      const order = (a, b) => (plain ? a - b : a.localeCompare(b, undefined, { numeric: true })) * (up ? 1 : -1);
      if (values.some((v, i) => i && order(values[i - 1], v) > 0)) wrong.push(`${th.textContent} ${way}: not sorted`);
    }
    const first = table.querySelector("th[aria-sort] button");
    first.click();
    if (table.querySelector("th[aria-sort]").getAttribute("aria-sort") !== "ascending") first.click();
  }
  return wrong;
});

async function filters(page) {
  const form = page.locator("form.filters").first(), wrong = [];
  if (!(await form.count())) return wrong;
  const rows = () => page.evaluate(() => [...document.getElementById(document.querySelector("form.filters").dataset.table)
    .tBodies[0].rows].filter(r => !r.hidden).map(r => [r.cells[1].textContent, r.cells[2].textContent, parseFloat(r.cells[4].dataset.v)]));
  const whole = await rows(), [name, op] = whole[0];
  await form.locator("[name=words]").fill(op);
  const some = await rows();
  if (!some.length || some.some(([n, o]) => !`${n} ${o}`.toLowerCase().includes(op.toLowerCase()))) wrong.push("filter by op");
  await form.locator("[name=words]").fill("");
  const middle = Math.round(whole.map(r => r[2]).sort((a, b) => a - b)[whole.length >> 1]);
  await form.locator("[name=below]").fill(String(Math.min(200, Math.max(0, middle))));
  const low = await rows();
  if (low.length !== whole.filter(r => r[2] < middle).length) wrong.push(`filter below ${middle}: ${low.length} (${name})`);
  await form.locator("button[type=reset]").click();
  await page.waitForTimeout(30);
  if ((await rows()).length !== whole.length) wrong.push("the filters do not reset");
  return wrong;
}

// Zooms the graph by keyboard and goes from a box to its row.
async function graph(page) {
  const view = page.locator(".view").first(), wrong = [];
  if (!(await view.count())) return wrong;
  const width = () => view.locator("svg").evaluate(s => s.getBoundingClientRect().width);
  await view.focus();
  const before = await width();
  await page.keyboard.press("+");
  if (!((await width()) > before * 1.2)) wrong.push("plus does not zoom");
  await page.keyboard.press("0");
  const fits = await view.evaluate(v => v.scrollWidth <= v.clientWidth + 1 && v.scrollHeight <= v.clientHeight + 1);
  if (!fits) wrong.push("0 does not show the whole graph");
  await page.keyboard.press("1");
  if (Math.abs((await width()) - before) > 1) wrong.push("1 does not go back");
  const box = view.locator("g[data-row]").first();
  if (await box.count()) {
    await box.click();
    if ((await page.locator("tr.found").count()) !== 1) wrong.push("a box does not lead to its row");
    await page.evaluate(() => document.querySelector("tr.found").classList.remove("found"));
  }
  return wrong;
}

async function keyboard(page) {
  await page.evaluate(() => { document.activeElement.blur(); window.scrollTo(0, 0); });
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement.className);
  return first === "skip" ? [] : [`the first stop of Tab is ${first}, not the skip link`];
}

const browser = await chromium.launch({ executablePath, args });
let failed = false;
for (const file of files) {
  const wrong = [], name = basename(file, ".html"), url = pathToFileURL(file).href;
  for (const theme of THEMES) for (const width of WIDTHS) {
    const where = `${theme} ${width}`;
    const context = await browser.newContext({ colorScheme: theme, viewport: { width, height: 900 } });
    const page = await context.newPage();
    page.on("console", m => { if (m.type() === "error") wrong.push(`${where}: console: ${m.text()}`); });
    page.on("pageerror", e => wrong.push(`${where}: ${e.message}`));
    page.on("request", r => { if (r.url() !== url && !r.url().startsWith("data:")) wrong.push(`${where}: asks for ${r.url()}`); });
    await page.goto(url);
    for (const e of await overflow(page)) wrong.push(`${where}: too wide: ${e}`);
    for (const e of await rules(page)) wrong.push(`${where}: ${e}`);
    for (const act of [keyboard, sorted, filters, graph]) for (const e of await act(page)) wrong.push(`${where}: ${e}`);
    if (shots !== "-") {
      await page.evaluate(() => window.scrollTo(0, 0));
      await page.screenshot({ path: `${shots}/${name}-${theme}-${width}.png`, fullPage: true });
    }
    if (theme === "light" && width === 1280) {
      await page.setViewportSize({ width: PAPER, height: 1000 });
      await page.emulateMedia({ media: "print" });
      for (const e of await overflow(page)) wrong.push(`print: too wide: ${e}`);
      await page.emulateMedia({ media: null });
      const paper = await page.pdf({ format: "A4", printBackground: true, path: shots === "-" ? undefined : `${shots}/${name}.pdf` });
      if (paper.length < 5000) wrong.push("print: empty");
    }
    await context.close();
  }
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 390, height: 900 } });
  const page = await plain.newPage();
  await page.goto(url);
  const shown = await page.locator("table.sorts tbody tr").count(), controls = await page.locator("form.filters:visible").count();
  if (controls) wrong.push("without script: filters show");
  await plain.close();
  failed ||= wrong.length > 0;
  console.log(JSON.stringify({ page: name, bytes: readFileSync(file).length, rows: shown, wrong }));
}
await browser.close();
process.exit(failed ? 1 : 0);
