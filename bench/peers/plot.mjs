// SPDX-License-Identifier: MIT
// The plot: one panel a row of the table, one line a peer, on one logarithmic axis. No library: it is only text.
import { groups, sizes } from "./rows.mjs";

const LEFT = 130; // for the peers' names
const PANEL = 270;
const GAP = 24;
const LINE = 20;
const HEAD = 34; // above the lines of a group
const TOP = 74;
const NUMBER = 58; // right of the axis, for the figure of the fastest

const style = `
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: #24292f;
    paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }
.title { font-size: 17px; font-weight: 600; }
.head { font-weight: 600; }
.quiet { fill: #57606a; font-size: 12px; }
.back { fill: #ffffff; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.line { stroke: #afb8c1; stroke-width: 2; }
.dot { fill: #6e7781; }
.ours { fill: #0969da; font-weight: 600; }
.ourline { stroke: #0969da; stroke-width: 3; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; stroke: #0d1117; }
.quiet { fill: #9198a1; }
.back { fill: #0d1117; }
.grid { stroke: #30363d; }
.line { stroke: #57606a; }
.dot { fill: #9198a1; }
.ours { fill: #58a6ff; }
.ourline { stroke: #58a6ff; }
}`;

export const grouped = (n) => Math.round(n).toLocaleString("en-US");
const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const text = (x, y, what, kind = "", anchor = "start") =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${kind}" text-anchor="${anchor}">${escape(what)}</text>`;
const line = (x1, y1, x2, y2, kind) =>
    `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" class="${kind}"/>`;

function axisOf(rates) {
    const low = Math.floor(Math.log10(Math.min(...rates)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...rates))));
    const width = PANEL - NUMBER;

    return {
        at: (rate) => ((Math.log10(rate) - low) / (high - low)) * width,
        ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
        width,
    };
}

const tickName = (n) => (n >= 1e6 ? `${n / 1e6} M` : n >= 1000 ? `${n / 1000} k` : `${n}`);

function panel(axis, x, y, names, cellOf) {
    const out = [];
    const height = names.length * LINE;

    for (const tick of axis.ticks) {
        out.push(line(x + axis.at(tick), y, x + axis.at(tick), y + height, "grid"));
    }
    names.forEach((peer, i) => {
        const middle = y + i * LINE + LINE / 2;
        const rate = cellOf(peer.key);
        const ours = peer.key === "pgq";

        if (!(rate > 0)) {
            out.push(text(x + 4, middle + 4, "—", "quiet"));
            return;
        }
        out.push(line(x, middle, x + axis.at(rate), middle, ours ? "ourline" : "line"));
        out.push(
            `<circle cx="${(x + axis.at(rate)).toFixed(1)}" cy="${middle}" r="5" class="${ours ? "ours" : "dot"}"/>`,
        );
        out.push(text(x + axis.at(rate) + 9, middle + 4, grouped(rate), ours ? "ours" : "quiet"));
    });
    return out;
}

// rateOf(group, size, peer): messages a second, or undefined.
export function plot(names, rateOf) {
    const rates = [];

    for (const group of groups) {
        for (const size of sizes) {
            rates.push(...names.map((peer) => rateOf(group.key, size.key, peer.key)).filter((r) => r > 0));
        }
    }
    if (rates.length === 0) {
        return undefined;
    }
    const axis = axisOf(rates);
    const width = LEFT + sizes.length * (PANEL + GAP);
    const block = HEAD + names.length * LINE + 10;
    const height = TOP + groups.length * block + 44;
    const columns = sizes.map((_, i) => LEFT + i * (PANEL + GAP));
    const out = [text(16, 28, "Messages a second, 64 bytes each, durably stored or finished", "title")];

    sizes.forEach((size, i) => out.push(text(columns[i], 58, size.title, "head")));
    groups.forEach((group, g) => {
        const top = TOP + g * block;

        out.push(text(16, top + 18, group.title, "head"));
        names.forEach((peer, i) => {
            const kind = peer.key === "pgq" ? "ours" : "";
            out.push(text(LEFT - 10, top + HEAD + i * LINE + LINE / 2 + 4, peer.name, kind, "end"));
        });
        sizes.forEach((size, i) =>
            out.push(...panel(axis, columns[i], top + HEAD, names, (key) => rateOf(group.key, size.key, key))),
        );
    });
    columns.forEach((x) =>
        axis.ticks.forEach((tick) => out.push(text(x + axis.at(tick), height - 34, tickName(tick), "quiet", "middle"))),
    );
    out.push(text(LEFT, height - 12, "messages a second; each step of the axis is ten times the one before", "quiet"));
    return (
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ` +
        `height="${height}" role="img" aria-label="Throughput of pgq and its peers">\n<style>${style}\n</style>\n` +
        `<rect class="back" width="${width}" height="${height}"/>\n${out.join("\n")}\n</svg>\n`
    );
}

