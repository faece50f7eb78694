// SPDX-License-Identifier: MIT
// What the driver does with the database of a peer, past its client.
import pg from "pg";

// As autovacuum would, had it the time.
export async function analyze(where) {
    const client = new pg.Client({ connectionString: where });

    await client.connect();
    await client.query("ANALYZE");
    await client.end();
}

// A transaction that is held open, and has a number.
export async function hold(where) {
    const client = new pg.Client({ connectionString: where });

    await client.connect();
    return {
        async begin() {
            await client.query("BEGIN");
            await client.query("SELECT txid_current()");
        },
        async end() {
            await client.query("COMMIT");
            await client.end();
        },
    };
}
