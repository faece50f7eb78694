// SPDX-License-Identifier: MIT
// graphile-worker: makeWorkerUtils() sends, run() works. One at a time as it comes; in batches with the settings
// of its page on performance: 24 jobs at once, a local queue of 500, completions gathered.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { BATCH, PAYLOAD, QUEUE, drive, finished, handled } from "./driver.mjs";
import * as sql from "./sql.mjs";

process.env.NO_LOG_SUCCESS = "1";
const logger = new Logger(() => (level, message) => {
    if (level === "error") {
        console.error(message);
    }
});
let runner;

async function start(where, worker, task) {
    runner = await run({
        preset: { worker: { connectionString: where, logger, ...worker } },
        noHandleSignals: true,
        taskList: { [QUEUE]: task },
    });
}

await drive({
    sql,
    lacks: (name) =>
        name.startsWith("pop") ? "always deletes a job by a statement of its own" : null,
    async prepare(where) {
        const utils = await makeWorkerUtils({ connectionString: where, logger });

        await utils.migrate();
        await utils.release();
    },
    async open(where, clients) {
        const pool = new pg.Pool({ connectionString: where, max: clients });

        return { pool, utils: await makeWorkerUtils({ pgPool: pool, logger }) };
    },
    async close({ pool, utils }) {
        await utils.release();
        await pool.end();
    },
    async send({ utils }, n) {
        if (n === 1) {
            await utils.addJob(QUEUE, PAYLOAD);
        } else {
            await utils.addJobs(Array.from({ length: n }, () => ({ identifier: QUEUE, payload: PAYLOAD })));
        }
    },
    async startWorkers(where, workers, n) {
        const batching = {
            concurrentJobs: 24,
            maxPoolSize: 25,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
        };
        const single = { concurrentJobs: workers, maxPoolSize: workers + 1 };

        await start(where, n >= BATCH ? batching : single, async () => finished(1));
    },
    async stopWorkers() {
        await runner.stop();
    },
    async startListener(where) {
        await start(where, { concurrentJobs: 1, maxPoolSize: 2 }, async () => handled());
    },
    async stopListener() {
        await runner.stop();
    },
});
