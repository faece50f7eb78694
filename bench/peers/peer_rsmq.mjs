// SPDX-License-Identifier: MIT
// RSMQ over a Redis that writes its log through with every command. It has no batches: the calls of one are made
// at once, and its client pipelines them. It is woken by its "realtime" channel.
import RedisSMQ from "rsmq";
import redis from "redis";
import { PAYLOAD, QUEUE, drive, handled } from "./driver.mjs";

const text = JSON.stringify(PAYLOAD);
const open = (path, more) => new RedisSMQ({ client: redis.createClient({ path }), ns: "rsmq", ...more });
const times = (n, call) => Promise.all(Array.from({ length: n }, call));
let listener;

await drive({
    lacks: () => null,
    async prepare(where) {
        const rsmq = open(where);

        await rsmq.createQueueAsync({ qname: QUEUE, vt: 30 });
        await rsmq.quit();
    },
    async open(where) {
        return open(where, { realtime: true });
    },
    async close(rsmq) {
        await rsmq.quit();
    },
    async send(rsmq, n) {
        await times(n, () => rsmq.sendMessageAsync({ qname: QUEUE, message: text }));
    },
    async take(rsmq, n, mode) {
        const qname = QUEUE;
        const taken = await times(n, () =>
            mode === "pop" ? rsmq.popMessageAsync({ qname }) : rsmq.receiveMessageAsync({ qname }),
        );
        const ids = taken.filter((message) => message.id).map((message) => message.id);

        if (mode !== "pop") {
            const deleted = await Promise.all(ids.map((id) => rsmq.deleteMessageAsync({ qname, id })));
            if (deleted.some((one) => one !== 1)) {
                throw new Error("a message was not deleted");
            }
        }
        return ids.length;
    },
    async startListener(where) {
        const rsmq = open(where);
        const bell = redis.createClient({ path: where });

        listener = { rsmq, bell };
        bell.on("message", async () => {
            const message = await rsmq.receiveMessageAsync({ qname: QUEUE });

            if (message.id) {
                handled();
                await rsmq.deleteMessageAsync({ qname: QUEUE, id: message.id });
            }
        });
        await new Promise((resolve) => bell.subscribe(`rsmq:rt:${QUEUE}`, resolve));
    },
    async stopListener() {
        await new Promise((resolve) => listener.bell.quit(resolve));
        await listener.rsmq.quit();
    },
});
