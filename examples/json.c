/* SPDX-License-Identifier: MIT */
/* A json_object in, a json_object out. Link with json-c, too. */
#include <json-c/json.h>
#include <pgq/json.h>
#include <pgq/pgq.h>
#include <stdio.h>

#define QUEUE "json-example"

static int receive(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    struct json_object *order, *to;

    (void)conn;
    (void)arg;
    if (pgq_message_json(message, &order) != PGQ_OK)
        return pgq_fail(q, "message %lld is not JSON", (long long)message->id);
    if (json_object_object_get_ex(order, "to", &to))
        printf("to %s: %s\n", json_object_get_string(to), json_object_to_json_string(order));
    json_object_put(order);
    return 0;
}

static pgq_status send_order(pgq *q)
{
    pgq_enqueue_options options = PGQ_ENQUEUE_OPTIONS_INIT;
    struct json_object *order = json_object_new_object();
    pgq_status status = PGQ_NO_MEMORY;

    options.create_queue = 1;
    if (order && json_object_object_add(order, "to", json_object_new_string("Ada")) == 0 &&
        json_object_object_add(order, "items", json_object_new_int(3)) == 0)
        status = pgq_enqueue_json(q, QUEUE, order, &options, NULL);
    json_object_put(order); /* it has stayed ours */
    return status;
}

int main(void)
{
    pgq *q;
    pgq_status status = pgq_open("", NULL, &q);

    if (status == PGQ_OK)
        status = pgq_install(q);
    if (status == PGQ_OK)
        status = send_order(q);
    if (status == PGQ_OK)
        status = pgq_listen(q, QUEUE, 1000, receive, NULL, NULL);
    if (status != PGQ_OK)
        fprintf(stderr, "%s: %s\n", pgq_status_text(status), pgq_last_error(q)->message);
    pgq_close(q);
    return status == PGQ_OK ? 0 : 1;
}
