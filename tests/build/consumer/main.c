/* A user of the installed library, in C and in C++. With PGQ_TEST_DSN it sends and takes a message too. */
#include <pgq/pgq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fails(pgq *q, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, pgq_last_error(q)->message);
    pgq_close(q);
    return 1;
}

static int send_and_take(const char *dsn, const char *name_space)
{
    pgq_open_options options = PGQ_OPEN_OPTIONS_INIT;
    pgq_messages *messages = NULL;
    pgq *q = NULL;
    int ok;

    options.name_space = name_space;
    if (pgq_open(dsn, &options, &q) != PGQ_OK)
        return fails(q, "open");
    if (pgq_install(q) != PGQ_OK)
        return fails(q, "install");
    if (pgq_create_queue(q, "orders", NULL, 0) != PGQ_OK)
        return fails(q, "create_queue");
    if (pgq_enqueue(q, "orders", "17", 2, NULL, NULL) != PGQ_OK)
        return fails(q, "enqueue");
    if (pgq_pop(q, "orders", 10, &messages) != PGQ_OK)
        return fails(q, "pop");
    ok = pgq_messages_count(messages) == 1 && memcmp(pgq_messages_get(messages, 0)->payload, "17", 3) == 0;
    pgq_messages_free(messages);
    if (pgq_drop(q) != PGQ_OK)
        return fails(q, "drop");
    pgq_close(q);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *dsn = getenv("PGQ_TEST_DSN");

    if (argc != 2 || strcmp(pgq_version_string(), PGQ_VERSION_STRING) != 0)
        return 2;
    puts(pgq_version_string());
    return dsn ? send_and_take(dsn, argv[1]) : 0;
}
