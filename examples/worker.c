/* SPDX-License-Identifier: MIT */
/* Ships the orders of examples/enqueue_in_transaction.c, four at once, until SIGTERM or SIGINT; then it
 * finishes what runs. Start as many as you like. */
#include <pgq/pgq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pgq_worker *worker;

static void on_signal(int number)
{
    (void)number;
    pgq_worker_stop(worker); /* safe in a signal handler */
}

/* Runs on the worker's threads. What it writes by conn commits together with the message. */
static int ship(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    const char *order = message->payload;
    PGresult *res = PQexecParams(conn, "UPDATE orders SET shipped = true WHERE id = $1 AND NOT shipped", 1,
                                 NULL, &order, NULL, NULL, 0);
    int ok = PQresultStatus(res) == PGRES_COMMAND_OK;
    int found = ok && strcmp(PQcmdTuples(res), "1") == 0;

    (void)arg;
    PQclear(res);
    if (!ok)
        return pgq_fail(q, "%s", PQerrorMessage(conn));
    return found ? 0 : pgq_fail(q, "order %s is unknown, or was shipped before", order);
}

static void on_event(const pgq_event_info *info, void *arg)
{
    static const char *const names[] = {"started",    "done",  "failed",   "disconnected", "reconnected",
                                        "long scope", "error", "stopping", "lease lost"};

    (void)arg;
    printf("%s", names[info->event]);
    if (info->id)
        printf(" message %lld, attempt %d", (long long)info->id, (int)info->attempt);
    printf("%s%s\n", *info->text ? ": " : "", info->text);
    fflush(stdout);
}

/* Makes sure that there is a queue to listen to. */
static int prepare(void)
{
    pgq_attributes attributes = PGQ_ATTRIBUTES_INIT;
    pgq *q;
    pgq_status status = pgq_open("", NULL, &q);

    attributes.error_limit = 5;
    if (status == PGQ_OK)
        status = pgq_install(q);
    if (status == PGQ_OK)
        status = pgq_create_queue(q, "orders", &attributes, 1);
    if (status != PGQ_OK)
        fprintf(stderr, "%s\n", pgq_last_error(q)->message);
    pgq_close(q);
    return status == PGQ_OK;
}

int main(void)
{
    struct sigaction action;
    pgq_worker_options options = PGQ_WORKER_OPTIONS_INIT;
    pgq_status status;

    options.threads = 4;
    options.on_event = on_event;
    if (!prepare())
        return EXIT_FAILURE;
    status = pgq_worker_new("", &options, &worker);
    if (status == PGQ_OK)
        status = pgq_worker_add(worker, "orders", ship, NULL);
    if (status == PGQ_OK) {
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        status = pgq_worker_run(worker);
    }
    if (status != PGQ_OK)
        fprintf(stderr, "%s\n", pgq_worker_last_error(worker)->message);
    signal(SIGTERM, SIG_IGN); /* on_signal() must not meet a worker that is gone */
    signal(SIGINT, SIG_IGN);
    pgq_worker_free(worker);
    return status == PGQ_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
