/* SPDX-License-Identifier: MIT */
/* Sends a thousand messages without waiting for any; they go in a few transactions. Each one's commit, or
 * why there was none, is told later, on another thread. */
#include <pgq/pgq.h>
#include <stdio.h>

static void on_delivery(const pgq_delivery *delivery, void *arg)
{
    int *stored = arg;

    if (delivery->status == PGQ_OK)
        ++*stored;
    else
        fprintf(stderr, "%s: %s\n", pgq_status_name(delivery->status), delivery->text);
}

int main(void)
{
    pgq_producer_options options = PGQ_PRODUCER_OPTIONS_INIT;
    pgq_enqueue_options text = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_producer *producer;
    pgq_error error;
    pgq_status status;
    int stored = 0;

    options.on_delivery = on_delivery;
    options.delivery_arg = &stored;
    text.kind = PGQ_TEXT;
    text.create_queue = 1;
    status = pgq_producer_open("", &options, &producer);
    for (int i = 0; status == PGQ_OK && i < 1000; i++)
        status = pgq_producer_send(producer, "producer-example", "tick", 4, &text, -1, NULL);
    if (status != PGQ_OK) {
        pgq_producer_last_error(producer, &error);
        fprintf(stderr, "%s: %s\n", pgq_status_text(status), error.message);
    }
    pgq_producer_close(producer, -1); /* waits until all are told; it is the one thread again then */
    printf("%d messages are stored\n", stored);
    return stored == 1000 ? 0 : 1;
}
