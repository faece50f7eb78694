// SPDX-License-Identifier: MIT
// Writes docs/performance.md and its plot from what was measured: node report.mjs RESULTS DOCS NOTES
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { grouped, plot } from "./plot.mjs";
import { groups, peers, sizes } from "./rows.mjs";

const [resultsFile, docs, notesFile] = process.argv.slice(2);
const lines = readFileSync(resultsFile, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
const facts = new Map();
const settings = [];
const results = new Map(); // "peer case": the results of its rounds

for (const line of lines) {
    if (line.fact === "setting") {
        settings.push(line.text);
    } else if (line.fact) {
        facts.set(line.fact, line.text);
    } else {
        const key = `${line.peer} ${line.case}`;
        results.set(key, [...(results.get(key) ?? []), line.result]);
    }
}

const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
const runs = peers.filter((peer) => !facts.has(`why ${peer.key}`));
const caseOf = (group, size, peer) => `${peer === "pgq" ? group : groups.find((g) => g.key === group).peer}-${size}`;

// The figures of all rounds; and why there are none.
function cell(peer, name) {
    const all = results.get(`${peer} ${name}`) ?? [];
    const first = all.find((one) => one.lacks ?? one.failed);

    return {
        rates: all.filter((one) => one.rate !== undefined).map((one) => one.rate),
        reason: first ? (first.lacks ?? `failed: ${first.failed}`) : "was not measured",
    };
}

function rateOf(group, size, peer) {
    const { rates } = cell(peer, caseOf(group, size, peer));
    return rates.length > 0 ? median(rates) : undefined;
}

// --- the table ---

const remarks = [];
function remark(text) {
    if (!remarks.includes(text)) {
        remarks.push(text);
    }
    return remarks.indexOf(text) + 1;
}

const behind = [];
const percent = (ratio) => Math.max(1, Math.round((1 - ratio) * 100));
const against = (ratio, name) =>
    ratio >= 1 ? `${ratio.toFixed(2)} × ${name}` : `${percent(ratio)} % behind ${name}`;

// Against the fastest of all, and if that is not on PostgreSQL, against the fastest that is.
function compare(group, size) {
    const ours = rateOf(group.key, size.key, "pgq");
    const others = runs
        .filter((peer) => peer.key !== "pgq")
        .map((peer) => ({ ...peer, rate: rateOf(group.key, size.key, peer.key) }))
        .filter((other) => other.rate !== undefined)
        .sort((a, b) => b.rate - a.rate);

    if (ours === undefined || others.length === 0) {
        return "—";
    }
    const best = others[0];
    const second = best.onPostgres ? undefined : others.find((other) => other.onPostgres);
    let text = against(ours / best.rate, best.name);
    if (second) {
        text += `, ${against(ours / second.rate, second.name)}`;
    }
    if (ours >= best.rate) {
        return text;
    }
    behind.push({ key: `${group.key}-${size.key}`, row: `${group.title}, ${size.title}`, text });
    return `**${text}**`;
}

function tableCell(group, size, peer, best) {
    const rate = rateOf(group.key, size.key, peer.key);

    if (rate === undefined) {
        const { reason } = cell(peer.key, caseOf(group.key, size.key, peer.key));
        return `— <sup>${remark(`${peer.name} ${reason}.`)}</sup>`;
    }
    return rate === best ? `**${grouped(rate)}**` : grouped(rate);
}

function mainTable() {
    const out = [
        `| | ${runs.map((peer) => peer.name).join(" | ")} | pgq to the best peer |`,
        `|---|${runs.map(() => "---:").join("|")}|---|`,
    ];
    for (const group of groups) {
        out.push(`| **${group.title}** | ${runs.map(() => "").join(" | ")} | |`);
        for (const size of sizes) {
            const rates = runs.map((peer) => rateOf(group.key, size.key, peer.key)).filter((rate) => rate > 0);
            const best = Math.max(...rates);
            const cells = runs.map((peer) => tableCell(group, size, peer, best));
            out.push(`| ${size.title} | ${cells.join(" | ")} | ${compare(group, size)} |`);
        }
    }
    return out.join("\n");
}

function roundsTable() {
    const out = ["| case | peer | rounds |", "|---|---|---|"];
    const names = [...new Set([...results.keys()].map((key) => key.split(" ")[1]))];

    for (const name of names.filter((one) => one !== "latency" && one !== "held")) {
        for (const peer of runs) {
            const { rates } = cell(peer.key, name);
            if (rates.length > 0) {
                out.push(`| \`${name}\` | ${peer.name} | ${rates.map(grouped).join(" · ")} |`);
            }
        }
    }
    return out.join("\n");
}

// --- latency, and a transaction that is held open ---

function latencyTable() {
    const out = ["| | p50 | p99 | messages |", "|---|---:|---:|---:|"];

    for (const peer of runs) {
        const all = results.get(`${peer.key} latency`) ?? [];
        const times = all.flatMap((one) => one.latency_us ?? []).sort((a, b) => a - b);
        if (times.length > 0) {
            const ms = [0.5, 0.99].map((q) => `${(quantile(times, q) / 1000).toFixed(2)} ms`);
            out.push(`| ${peer.name} | ${ms.join(" | ")} | ${times.length} |`);
        } else {
            out.push(`| ${peer.name} | — | — | ${cell(peer.key, "latency").reason} |`);
        }
    }
    return out.join("\n");
}

function heldTable() {
    const out = ["| | first fifth | | | | last fifth | last to first |", "|---|---:|---:|---:|---:|---:|---:|"];

    for (const peer of runs) {
        const one = (results.get(`${peer.key} held`) ?? [])[0] ?? {};
        if (one.fifths) {
            const ratio = one.fifths[4] / one.fifths[0];
            out.push(`| ${peer.name} | ${one.fifths.map(grouped).join(" | ")} | ${ratio.toFixed(2)} |`);
        } else {
            out.push(`| ${peer.name} | — | | | | — | ${cell(peer.key, "held").reason} |`);
        }
    }
    return out.join("\n");
}

// --- the document ---

// A line "- `case`: text" of the notes says why pgq is behind there; it is left out where it is not.
function behindSection() {
    const notes = readFileSync(notesFile, "utf8")
        .replace(/<!--.*?-->\n*/gs, "")
        .split("\n");
    const why = new Map();
    const rest = notes.filter((line) => {
        const match = /^- `([a-z0-9-]+)`: (.*)$/.exec(line);
        if (match) {
            why.set(match[1], match[2]);
        }
        return !match;
    });
    const list = behind.map(
        (one) => `- ${one.row} (\`${one.key}\`): ${one.text}. ${why.get(one.key) ?? ""}`.trimEnd(),
    );

    if (list.length === 0) {
        list.push("In no row of this run.");
    }
    return `${list.join("\n")}\n\n${rest.join("\n").trim()}`.trim();
}

function peersSection() {
    return peers
        .map((peer) => {
            const why = facts.get(`why ${peer.key}`);
            const version = facts.get(`version ${peer.key}`);
            return why
                ? `- **${peer.name}** did not run: ${why}.`
                : `- **${peer.name}**, ${version}. ${peer.settings}`;
        })
        .join("\n");
}

function floorSection() {
    const file = join(docs, "performance-floor.md");
    return existsSync(file)
        ? readFileSync(file, "utf8").trim()
        : "`pgq-bench` measures pgq against the same work by hand-written prepared statements over libpq. Its table is " +
              "put here from `docs/performance-floor.md` where that file is there.";
}

const svg = plot(runs, rateOf);
const table = mainTable();
const absent = peers.length - runs.length;
const seconds = facts.get("seconds");

const text = `# Performance

How fast pgq is, against other queues at the same work, and against what PostgreSQL itself can do.

    PGMQ_SQL=pgmq.sql bench/peers/run

wrote this document, every figure in it, on ${facts.get("date")}. It installs what it needs, runs each queue with its own client and the
best settings that its documentation names, and stops all it has started. \`PGMQ_SQL\` names the SQL file of pgmq, which is in no
package; without it all others run.

## How to read it

- A figure is **messages a second that were durably stored, or durably finished**, counted in the client after a warm-up. Every
  message has 64 bytes. More is better; the best of a row is bold.
- **The durability is the same for all**: who was told that a message is stored finds it after a power failure. PostgreSQL has
  \`fsync\` and \`synchronous_commit\` on; beanstalkd and Redis flush their logs with each command.
- The queues run **one at a time**, case after case, in ${facts.get("rounds")} rounds of ${seconds} s each; the figure is the median of the rounds. So a
  machine that gets slower or faster meanwhile does the same to all. Each case starts from an empty queue and a checkpoint;
  before messages are taken, the server's statistics are brought up to date.
- "8 clients" are 8 threads with a connection each; for queues with a client for Node.js, 8 loops in one process with a pool of 8
  connections. Clients and servers share the machine, so a client that needs more of the processor leaves less for its server.
- The last column holds pgq against the best peer, and against the best one on PostgreSQL if that is another: how many times its
  figure, or by how much pgq is behind. Compare rates within a row; another machine has other rates, and
  may have other ratios.
- **—** stands where a queue has no such way of working; the note says why.

## Throughput

${svg ? "![Throughput of pgq and its peers](performance.svg)\n" : ""}
${table}

${groups.map((group) => `- *${group.title}.* ${group.text}`).join("\n")}

${remarks.map((one, i) => `<sup>${i + 1}</sup> ${one}`).join("  \n")}
${absent > 0 ? "\nNot every peer could run: see [below](#the-queues-and-their-settings).\n" : ""}
## Where pgq is behind, and why

${behindSection()}

## Latency

From the call of send to the start of the handler, while nothing else happens and the consumer sleeps: so it has the durable commit
in it, and the wake-up. All rounds together.

${latencyTable()}

## While a transaction is held open

One client sends a batch of 100 and takes a batch of 100, over and over, for ${facts.get("held")} s, with about 1000 messages waiting. Meanwhile
another session holds a transaction open, so that vacuum can remove nothing. Messages a second in each fifth of the time; a queue that
walks over what it has finished gets slower. One run each.

${heldTable()}

## pgq against the floor

${floorSection()}

## The queues and their settings

${peersSection()}

PostgreSQL ${facts.get("server")} is one private server for all of its queues, with ${settings.map((one) => `\`${one}\``).join(", ")}; the rest is
as it comes. Clients reach it by a Unix socket. A database is copied from an empty one for each case.

## The machine

| | |
|---|---|
| Processor | ${facts.get("cpu")} |
| Memory | ${facts.get("memory")} |
| System | ${facts.get("system")}, ${facts.get("kernel")} |
| A flush to disk | ${facts.get("flush")} (\`fdatasync\` of one 8 kB write, by pg_test_fsync) |

## All rounds

<details><summary>The figure of each round</summary>

${roundsTable()}

</details>
`;

writeFileSync(join(docs, "performance.md"), text.replace(/\n{3,}/g, "\n\n"));
if (svg) {
    writeFileSync(join(docs, "performance.svg"), svg);
}
