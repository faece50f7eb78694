// SPDX-License-Identifier: MIT
// What the table is made of: the peers, the rows, and what the document says of each peer's settings.

export const peers = [
    {
        key: "pgq",
        name: "pgq",
        settings:
            "libpgq, its own connections. Sends with `pgq_enqueue` and `pgq_enqueue_many`. Takes one message in a " +
            "scope or under a lease with a worker (`pgq_worker`, as many threads as consumers; its own connection " +
            "that listens comes on top), a batch in a scope with `pgq_dequeue_many`, under a lease with " +
            "`pgq_ack_receive`; takes and deletes with `pgq_pop`.",
    },
    {
        key: "pgmq",
        onPostgres: true,
        name: "pgmq",
        settings:
            "Its SQL functions by prepared statements over libpq: `send`, `send_batch`, `read` (30 s) with `delete`, " +
            "`pop`. A logged, unpartitioned queue.",
    },
    {
        key: "graphile",
        onPostgres: true,
        name: "graphile-worker",
        settings:
            "One process. Sends with `addJob` and `addJobs`, by a pool of as many connections as clients. Takes with " +
            "`run`: one at a time with as many `concurrentJobs` as consumers; in batches with the settings of its " +
            "page on performance: `concurrentJobs: 24`, `maxPoolSize: 25`, `localQueue.size: 500`, " +
            "`completeJobBatchDelay: 0`. So its batches are of 500 messages where the others' are of 100. A job " +
            "counts when the worker has stopped and its completion is stored.",
    },
    {
        key: "pgboss",
        onPostgres: true,
        name: "pg-boss",
        settings:
            "One process. Sends with `send` and `insert`, by a pool of as many connections as clients. Takes with " +
            "`fetch` and `complete` in a loop, which is faster than its `work`; waits " +
            "with `work` and `useListenNotify`.",
    },
    {
        key: "pgq3",
        onPostgres: true,
        name: "PgQ",
        settings:
            "Its SQL functions by prepared statements over libpq: `insert_event`; `next_batch`, `get_batch_events`, " +
            "`finish_batch`. `pgqd` runs; `ticker_max_count` is 100, and a batch of 100 is sent with a call of " +
            "`ticker` behind it, so that the batches taken are of 100, too.",
    },
    {
        key: "beanstalkd",
        name: "beanstalkd",
        settings:
            "`-b DIR -f 0`: each change is flushed to its log. A client in C over a Unix socket. It has no batches: " +
            "the 100 commands of one are sent at once, and then 100 answers are read.",
    },
    {
        key: "rsmq",
        name: "RSMQ",
        settings:
            "Redis with `appendonly yes`, `appendfsync always`, over a Unix socket. One process and, as RSMQ has it, " +
            "one connection, which pipelines. It has no batches: the 100 calls of one are made at once. Waits for " +
            "its `realtime` channel.",
    },
];

// own: the case that pgq runs; peer: that of the others, of which those with a lease have that only.
export const groups = [
    {
        key: "send",
        title: "Send",
        text: "Each send is a durable commit of its own; a batch is one.",
        peer: "send",
    },
    {
        key: "settle",
        title: "Take and settle: pgq in a scope",
        text: "At least once. pgq holds the message in the handler's transaction.",
        peer: "settle",
    },
    {
        key: "lease",
        title: "Take and settle: pgq by a lease",
        text: "At least once. The same figures of the peers, whose messages are leased or locked, against pgq's leases.",
        peer: "settle",
    },
    {
        key: "pop",
        title: "Take and delete",
        text: "At most once: a message is gone when it has been read.",
        peer: "pop",
    },
];

export const sizes = [
    { key: "1", title: "1 client" },
    { key: "8", title: "8 clients" },
    { key: "batch", title: "1 client, batches of 100" },
];
