// SPDX-License-Identifier: MIT
// pg-boss: send() and insert(), fetch() and complete(). Its work() polls at most twice a second unless batches
// are full, so fetch() in a loop is the faster one; work() is what is woken, by its LISTEN/NOTIFY.
import { PgBoss } from "pg-boss";
import { PAYLOAD, QUEUE, drive, handled } from "./driver.mjs";
import * as sql from "./sql.mjs";

async function start(where, max, more) {
    const boss = new PgBoss({ connectionString: where, max, schedule: false, ...more });

    boss.on("error", (error) => {
        throw error;
    });
    await boss.start();
    return boss;
}

let listener;

await drive({
    sql,
    lacks: (name) =>
        name.startsWith("pop") ? "always completes a job by a statement of its own" : null,
    async prepare(where) {
        const boss = await start(where, 2);

        await boss.createQueue(QUEUE, { notify: false });
        await boss.createQueue(QUEUE + "_bell", { notify: true });
        await boss.stop({ graceful: false });
    },
    async open(where, clients) {
        return start(where, clients);
    },
    async close(boss) {
        await boss.stop({ graceful: false });
    },
    async send(boss, n) {
        if (listener) {
            await boss.send(QUEUE + "_bell", PAYLOAD);
        } else if (n === 1) {
            await boss.send(QUEUE, PAYLOAD);
        } else {
            await boss.insert(QUEUE, Array.from({ length: n }, () => ({ data: PAYLOAD })));
        }
    },
    async take(boss, n) {
        const jobs = await boss.fetch(QUEUE, { batchSize: n });

        if (jobs.length > 0) {
            await boss.complete(QUEUE, jobs.length === 1 ? jobs[0].id : jobs.map((job) => job.id));
        }
        return jobs.length;
    },
    async startListener(where) {
        listener = await start(where, 2, { useListenNotify: true });
        await listener.work(QUEUE + "_bell", { pollingIntervalSeconds: 2 }, async () => handled());
    },
    async stopListener() {
        await listener.stop({ graceful: false });
    },
});
