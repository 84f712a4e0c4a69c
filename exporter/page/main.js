// SPDX-License-Identifier: Apache-2.0
//
// Asking the exporter again and again, and what the keys and buttons do.

const MANY = 600;       // families: with more, only those on the screen are asked for
const MOST_SERIES = 50000;
const NAMES = 60;       // in one request
const PATIENCE = 20000; // ms for an answer

const state = {
    interval: 1, paused: false, now: 0, layout: null, lastLayout: null, cataloguedAt: 0, items: new Map(), status: {segments: [], processes: []},
    kind: "all", detail: null, tab: "metrics",
};

const KINDS = [["all", "All"], ["counter", "Counters"], ["gauge", "Gauges"], ["histogram", "Histograms"], ["other", "Other"],
               ["own", "Exporter"]];

async function ask(path, names) {
    const query = names ? "?" + names.map(name => "name[]=" + encodeURIComponent(name)).join("&") : "";
    const response = await fetch("api/v1/" + path + query, {cache: "no-store", signal: AbortSignal.timeout(PATIENCE)});
    if (!response.ok)
        throw new Error(response.status + " " + (await response.text()).trim());
    return response.json();
}

// ---- what was answered ---------------------------------------------------------------------------------------------

function sameDefinition(a, b) {
    return a.type === b.type && String(a.bounds) === String(b.bounds);
}

// `whole`: these are all families there are.
function takeFamilies(answer, whole) {
    const items = whole ? new Map() : state.items;
    state.now = answer.now;
    for (const family of answer.families) {
        let item = state.items.get(family.name);
        if (family.bounds)
            family.bounds = family.bounds.map(toNumber);
        if (!item || !sameDefinition(item.family, family))
            item = {track: new Track(family.type, FAMILY_HISTORY, family.type === "histogram")};
        item.family = family;
        item.track.push(answer.now, family.total);
        items.set(family.name, item);
    }
    state.items = items;
    if (whole) {
        state.layout = answer.layout;
        state.lastLayout = answer.layout;
        state.cataloguedAt = performance.now();
        showChips();
        showList();
    }
}

function needsCatalogue(layout) {
    return state.items.size <= MANY || (layout !== state.layout && performance.now() > state.cataloguedAt + 10000);
}

async function pollFamilies() {
    if (state.layout === null || needsCatalogue(state.lastLayout)) {
        takeFamilies(await ask("families"), true);
        return;
    }
    const wanted = lists.families.visible().slice(0, NAMES - 1).map(item => item.family.name);
    if (state.detail && !wanted.includes(state.detail.item.family.name))
        wanted.push(state.detail.item.family.name);
    if (!wanted.length)
        return;
    const answer = await ask("families", wanted);
    state.lastLayout = answer.layout;
    takeFamilies(answer, false);
}

async function pollSeries() {
    const detail = state.detail;
    if (!detail)
        return;
    const name = detail.item.family.name, item = state.items.get(name);
    if (item && item.family.series_count > MOST_SERIES) {
        detail.message = "Too many series to show here. They are all in the metrics.";
        detail.list();
        return;
    }
    const answer = await ask("series", [name]), family = answer.families.find(one => one.name === name);
    if (state.detail === detail)
        detail.take(family || {series: [], type: detail.item.family.type}, answer.now);
}

async function poll() {
    const [status] = await Promise.all([ask("status"), pollFamilies()]);
    await pollSeries();
    state.status = status;
    state.now = Math.max(state.now, status.now);
    document.title = "shm-exporter · " + location.host;
}

// ---- showing it ----------------------------------------------------------------------------------------------------

const lists = {};

function matches(item, words) {
    const {family} = item, text = (family.name + " " + family.help).toLowerCase();
    const kind = state.kind === "all" || (state.kind === "own" ? family.own : kindOf(family.type) === state.kind && !family.own);
    return kind && words.every(word => text.includes(word));
}

function searched() {
    $("list").scrollTop = 0;
    showList();
}

function showList() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [...state.items.values()].filter(item => matches(item, words));
    found.sort((a, b) => a.family.own - b.family.own || (a.family.name < b.family.name ? -1 : 1));
    lists.families.setItems(found);
}

function showChips() {
    const counts = {all: state.items.size};
    for (const {family} of state.items.values()) {
        const kind = family.own ? "own" : kindOf(family.type);
        counts[kind] = (counts[kind] || 0) + 1;
    }
    for (const chip of $("chips").children)
        setText(chip.lastChild, digitsOf(counts[chip.dataset.kind] || 0));
}

function showProcesses() {
    const words = $("process-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = state.status.processes.filter(process =>
        words.every(word => (process.name + " " + process.pid + " " + process.segment).toLowerCase().includes(word)));
    found.sort((a, b) => b.alive - a.alive || (a.segment < b.segment ? -1 : a.segment > b.segment ? 1 : a.since - b.since));
    lists.processes.setItems(found);
}

const tiles = {};

function showTiles() {
    const {segments, processes} = state.status, up = segments.filter(segment => segment.up);
    const sum = (of, list) => list.reduce((total, one) => total + toNumber(of(one) || 0), 0);
    const families = [...state.items.values()].filter(item => !item.family.own);
    const set = (tile, value, more) => {
        setText(tile.value, value);
        setText(tile.more, more);
    };
    set(tiles.families, digitsOf(families.length), "+ " + (state.items.size - families.length) + " of the exporter");
    set(tiles.series, digitsOf(sum(segment => segment.series, up)), digitsOf(sum(segment => segment.cells, up)) + " cells");
    const alive = processes.filter(process => process.alive).length;
    set(tiles.processes, String(alive), processes.length > alive ? processes.length - alive + " ended" : "alive");
    set(tiles.segments, up.length + " / " + segments.length, up.length < segments.length ? "some are down" : "up");
    tiles.segments.node.classList.toggle("bad", up.length < segments.length);
    const used = sum(segment => segment.used_bytes, up), most = sum(segment => segment.max_bytes, up);
    set(tiles.space, formatNumber(used, "bytes"), "of " + formatNumber(most, "bytes"));
    set(tiles.poll, formatNumber(state.cost / 1000, "seconds"), "");
    const rate = (tile, kind, extra) => {
        const of = families.filter(kind), total = of.reduce((total, item) => total + (item.track.latest || 0), 0);
        if (of.some(item => item.track.length))
            tile.track.append(state.now, total, null);
        set(tile, of.some(item => item.track.length) ? formatNumber(total, "") : "–", extra);
        drawSparkline(tile.spark, tile.track, state.now, tile.track.span(state.interval, SERIES_HISTORY, state.now));
    };
    rate(tiles.observations, item => isDistribution(item.family.type), "a second");
}

function show() {
    showTiles();
    lists.families.render();
    if (state.tab === "processes")
        showProcesses();
    if (state.tab === "segments")
        $("segments").replaceChildren(...state.status.segments.map(segmentCard));
    const counts = {metrics: state.items.size, processes: state.status.processes.length, segments: state.status.segments.length};
    for (const [tab, count] of Object.entries(counts))
        setText($("tab-" + tab).querySelector("b"), digitsOf(count));
    if (state.detail) {
        state.detail.item = state.items.get(state.detail.item.family.name) || state.detail.item;
        state.detail.update();
    }
}

function showLive(what, text) {
    $("live").dataset.state = what;
    setText($("live").lastElementChild, text);
}

// ---- what is open --------------------------------------------------------------------------------------------------

function openFamily(item) {
    if (state.detail && state.detail.item.family.name === item.family.name)
        return;
    lists.families.selectedKey = item.family.name;
    state.detail = new Detail($("detail"), item, closeFamily);
    $("view-metrics").classList.add("open");
    history.replaceState(null, "", "#" + encodeURIComponent(item.family.name));
    state.detail.update();
    lists.families.render();
    pollSeries().then(show, () => {}); // the next poll tells what is wrong
}

function closeFamily() {
    if (!state.detail)
        return;
    state.detail = null;
    lists.families.selectedKey = null;
    $("detail").hidden = true;
    $("detail").replaceChildren();
    $("view-metrics").classList.remove("open");
    history.replaceState(null, "", location.pathname);
    lists.families.render();
    $("list").focus({preventScroll: true});
}

function selectTab(tab, focus) {
    state.tab = tab;
    for (const button of document.querySelectorAll("[role=tab]")) {
        const chosen = button.id === "tab-" + tab;
        button.setAttribute("aria-selected", chosen);
        button.tabIndex = chosen ? 0 : -1;
        $(button.getAttribute("aria-controls")).hidden = !chosen;
        if (chosen && focus)
            button.focus();
    }
    show();
}

const THEMES = ["", "light", "dark"];

function setTheme(theme) {
    if (theme)
        document.documentElement.dataset.theme = theme;
    else
        delete document.documentElement.dataset.theme;
    setText($("theme"), "Theme: " + (theme || "auto"));
    try {
        localStorage.setItem("theme", theme);
    } catch { /* not kept then */ }
    show();
}

function nextTheme() {
    setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme || "") + 1) % THEMES.length]);
}

function setPaused(paused) {
    state.paused = paused;
    $("pause").setAttribute("aria-pressed", paused);
    setText($("pause"), paused ? "Go on" : "Pause");
    if (paused)
        showLive("paused", "paused");
    else
        wake();
}

let wake = () => {};

function listen() {
    $("search").addEventListener("input", searched);
    $("process-search").addEventListener("input", showProcesses);
    $("pause").addEventListener("click", () => setPaused(!state.paused));
    $("theme").addEventListener("click", nextTheme);
    $("interval").addEventListener("change", event => {
        state.interval = Number(event.target.value);
        wake();
    });
    $("search").addEventListener("keydown", event => {
        if (event.key === "ArrowDown" || event.key === "Enter") {
            $("list").focus();
            if (lists.families.items.length)
                lists.families.activate(Math.max(0, lists.families.place(lists.families.activeKey)));
            event.preventDefault();
        }
    });
    const tabs = [...document.querySelectorAll("[role=tab]")];
    tabs.forEach((button, i) => {
        const name = button.id.slice(4);
        button.addEventListener("click", () => selectTab(name));
        button.addEventListener("keydown", event => {
            const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
            if (step)
                selectTab(tabs[(i + step + tabs.length) % tabs.length].id.slice(4), true);
        });
    });
    document.addEventListener("keydown", event => {
        if (event.ctrlKey || event.altKey || event.metaKey)
            return;
        if (event.key === "Escape") {
            if (event.target === $("search") && $("search").value) {
                $("search").value = "";
                showList();
            } else {
                closeFamily();
            }
            return;
        }
        if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName))
            return;
        if (event.key === "/") {
            selectTab("metrics");
            $("search").focus();
            event.preventDefault();
        } else if (event.key === "p") {
            setPaused(!state.paused);
        } else if (event.key === "t") {
            nextTheme();
        }
    });
    document.addEventListener("visibilitychange", () => wake());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    new ResizeObserver(() => state.detail && state.detail.draw()).observe($("detail"));
}

function build() {
    lists.families = new VirtualList($("list"), {
        rowHeight: 58, make: makeFamilyRow, fill: fillFamilyRow, chosen: openFamily, key: item => item.family.name,
        empty: () => state.items.size ? "Nothing matches." : "No families yet.",
    });
    lists.processes = new VirtualList($("processes"), {
        rowHeight: 40, make: makeProcessRow, fill: fillProcessRow, key: process => process.segment + " " + process.serial,
        empty: () => state.status.processes.length ? "Nothing matches." : "No process has a slot: none uses live gauges.",
    });
    for (const [key, name] of [["families", "Families"], ["series", "Series"], ["observations", "Observations"],
                               ["processes", "Processes"], ["segments", "Segments"], ["space", "Space"], ["poll", "Answers in"]]) {
        tiles[key] = tile(name);
        tiles[key].track = new Track("histogram", SERIES_HISTORY, false);
        $("tiles").append(tiles[key].node);
    }
    for (const [kind, text] of KINDS)
        $("chips").append(element("button", {type: "button", "aria-pressed": kind === state.kind, "data-kind": kind, onclick: event => {
            state.kind = kind;
            for (const chip of $("chips").children)
                chip.setAttribute("aria-pressed", chip === event.currentTarget);
            showList();
        }}, text, element("b")));
    setText($("host"), location.host);
}

function sleep(ms) {
    return new Promise(resolve => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
            clearTimeout(timer);
            resolve();
        };
    });
}

async function run() {
    let theme = "";
    try {
        theme = localStorage.getItem("theme") || "";
    } catch { /* as the system has it then */ }
    build();
    listen();
    setTheme(THEMES.includes(theme) ? theme : "");
    for (let first = true;; ) {
        const start = performance.now();
        if (!state.paused && (first || !document.hidden)) {
            try {
                await poll();
                state.cost = performance.now() - start;
                if (first && location.hash) {
                    const item = state.items.get(decodeURIComponent(location.hash.slice(1)));
                    if (item)
                        openFamily(item);
                }
                first = false;
                show();
                if (!state.paused)
                    showLive("live", "live");
            } catch (problem) {
                showLive("lost", "no answer: " + problem.message);
            }
        }
        // whatever asking costs, the exporter and the browser get as long to rest
        await sleep(Math.max(state.interval * 1000 - (performance.now() - start), performance.now() - start, 50));
    }
}

run();
