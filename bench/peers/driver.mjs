// SPDX-License-Identifier: MIT
// What measures a peer whose client is for Node.js: as driver.c does it, in one process, whose "8 clients" are 8
// loops that run at the same time.
import { setTimeout as sleep } from "node:timers/promises";

export const PAYLOAD = { p: "a0123456789012345678901234567890123456789012345678901234" };
export const QUEUE = "bench";
export const BATCH = 100;
const FILL_BATCH = 1000;
const WARM_UP = 0.15; // of the measured time, before it
const LOOK = 0.4; // seconds of a first look at how fast messages are taken
const BACKLOG = 1000; // that waits while a transaction is held open
const PINGS = 40;
const PING_PAUSE_MS = 60;

let done = 0;
let onHandled = () => {};

export const finished = (n) => {
    done += n;
};
export const handled = () => onHandled();
const now = () => performance.now() / 1000;

// --- loops ---

async function watch(warmUp, seconds, most) {
    await sleep(warmUp * 1000);
    const first = done;
    const from = now();
    while (now() - from < seconds && done < most) {
        await sleep(1);
    }
    return { counted: done - first, took: now() - from };
}

async function runLoops(peer, client, clients, step, warmUp, seconds, most) {
    let stopping = false;
    const loop = async () => {
        while (!stopping) {
            const n = await step();
            finished(n);
            if (n === 0) {
                await sleep(1);
            }
        }
    };
    done = 0;
    const loops = Promise.all(Array.from({ length: clients }, loop));
    const result = await Promise.race([watch(warmUp, seconds, most), loops]);
    stopping = true;
    await loops;
    return result;
}

const rate = ({ counted, took }) => ({ rate: counted / took, done: counted, seconds: took });

async function caseSend(peer, where, clients, n, seconds) {
    const client = await peer.open(where, clients);
    const step = async () => {
        await peer.send(client, n);
        return n;
    };
    const result = await runLoops(peer, client, clients, step, seconds * WARM_UP, seconds, Infinity);
    await peer.close(client);
    return rate(result);
}

// --- consuming ---

async function fill(peer, where, client, count) {
    for (; count > 0; count -= FILL_BATCH) {
        await peer.send(client, Math.min(count, FILL_BATCH));
    }
    await peer.sql?.analyze(where);
}

// Workers settle behind the driver's back, so what they did counts when they have been stopped.
async function consume(peer, where, client, clients, n, mode, warmUp, seconds, there) {
    if (!peer.startWorkers) {
        return runLoops(peer, client, clients, () => peer.take(client, n, mode), warmUp, seconds, there);
    }
    done = 0;
    await peer.startWorkers(where, clients, n);
    await sleep(warmUp * 1000);
    const first = done;
    const from = now();
    while (now() - from < seconds && done < there) {
        await sleep(1);
    }
    await peer.stopWorkers();
    return { counted: done - first, took: now() - from };
}

// A short look first says how many messages the time will take; then that many, and a half more.
async function caseConsume(peer, where, clients, n, mode, seconds) {
    const client = await peer.open(where, clients);
    let there = n > 1 ? 4000 : 1000;

    await fill(peer, where, client, there);
    let result = await consume(peer, where, client, clients, n, mode, 0, LOOK, there);
    there -= done;
    if (result.counted > 0) {
        const more = Math.floor((result.counted / result.took) * seconds * (1 + WARM_UP) * 1.5) + 1000;

        await fill(peer, where, client, more);
        there += more;
    }
    result = await consume(peer, where, client, clients, n, mode, seconds * WARM_UP, seconds, there);
    await peer.close(client);
    return rate(result);
}

// --- with a transaction held open ---

// A peer with workers of its own has them run all the time, and is sent a batch for each that was done.
async function heldStep(peer, client, workers) {
    const before = done;

    await peer.send(client, BATCH);
    if (workers) {
        while (done - before < BATCH) {
            await sleep(0);
        }
    } else {
        finished(await peer.take(client, BATCH, "settle"));
    }
}

async function caseHeld(peer, where, seconds) {
    const client = await peer.open(where, 2);
    const holder = await peer.sql.hold(where);
    const workers = Boolean(peer.startWorkers);
    const fifths = [0, 0, 0, 0, 0];

    await fill(peer, where, client, BACKLOG);
    if (workers) {
        await peer.startWorkers(where, 1, BATCH);
    }
    for (let i = 0; i < 20; i++) {
        await heldStep(peer, client, workers);
    }
    await holder.begin();
    const start = now();
    for (;;) {
        const before = done;

        await heldStep(peer, client, workers);
        const fifth = Math.floor(((now() - start) / seconds) * 5);
        if (fifth > 4) {
            break;
        }
        fifths[fifth] += done - before;
    }
    await holder.end();
    if (workers) {
        await peer.stopWorkers();
    }
    await peer.close(client);
    return { fifths: fifths.map((n) => (n * 5) / seconds) };
}

// --- the way of one message ---

async function ping(peer, client) {
    const came = new Promise((resolve) => {
        onHandled = () => resolve(performance.now());
    });
    const start = performance.now();

    await Promise.all([peer.send(client, 1), came]);
    return ((await came) - start) * 1000;
}

async function caseLatency(peer, where) {
    const client = await peer.open(where, 2);
    const latency = [];

    await peer.startListener(where);
    await sleep(500);
    for (let i = 0; i < 3; i++) {
        await ping(peer, client);
    }
    for (let i = 0; i < PINGS; i++) {
        await sleep(PING_PAUSE_MS + (i % 7));
        latency.push(Math.round(await ping(peer, client)));
    }
    await peer.stopListener();
    await peer.close(client);
    return { latency_us: latency };
}

// --- the cases by their names ---

async function runCase(peer, where, name, seconds) {
    const [verb, size] = name.split("-");
    const clients = size === "8" ? 8 : 1;
    const n = size === "batch" ? BATCH : 1;

    if (name === "held") {
        return caseHeld(peer, where, seconds);
    }
    if (name === "latency") {
        return caseLatency(peer, where);
    }
    if (verb === "send") {
        return caseSend(peer, where, clients, n, seconds);
    }
    return caseConsume(peer, where, clients, n, verb, seconds);
}

export async function drive(peer) {
    const [where, name, seconds] = process.argv.slice(2);

    if (name === "prepare") {
        await peer.prepare(where);
        return;
    }
    let lacks = peer.lacks(name);
    if (!lacks && name === "held" && !peer.sql) {
        lacks = "has no transactions that could be held open";
    }
    console.log(JSON.stringify(lacks ? { lacks } : await runCase(peer, where, name, Number(seconds))));
}
