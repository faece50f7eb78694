/* SPDX-License-Identifier: MIT */
/* pgq_consumers(): who takes from queues. */
#include "support/support.h"

#include <string.h>

static pgq_consumer_list *look(pgq *q, const char *queue, int max)
{
    pgq_consumer_list *list;

    assert_ok(q, pgq_consumers(q, queue, max, &list));
    assert_non_null(list);
    return list;
}

static void test_nobody(void **state)
{
    fixture *f = *state;
    pgq_consumer_list *list = look(f->q, NULL, 1);

    assert_int_equal(pgq_consumers_count(list), 0);
    assert_null(pgq_consumers_get(list, 0));
    pgq_consumers_free(list);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "x");
    list = look(f->q, "q", 1);
    assert_int_equal(pgq_consumers_count(list), 0);
    pgq_consumers_free(list);
}

/* Each activity, in its order, and each with what it has. */
static void test_all(void **state)
{
    fixture *f = *state;
    PGconn *scope = t_connect(), *sleeper = t_connect();
    const pgq_consumer *c;
    pgq_consumer_list *list;
    pgq_receipt first, second;
    int64_t id;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "other", NULL, 0));
    id = t_send(f->q, "q", "a");
    for (int i = 0; i < 4; i++)
        t_send(f->q, "q", "b");
    t_run(f, scope, "SET application_name = 'in a scope'");
    t_run(f, scope, "BEGIN");
    t_run(f, scope, "SELECT mq.dequeue('q', 2)");
    t_run(f, sleeper, "SELECT mq.doze('q')");
    t_run(f, sleeper, "SELECT mq.doze('other')");
    first = t_lease(f->q, "q", 3600000, NULL);
    second = t_lease(f->q, "q", 60000, NULL);

    list = look(f->q, "q", 100);
    assert_int_equal(pgq_consumers_count(list), 3);
    c = pgq_consumers_get(list, 0);
    assert_string_equal(c->queue, "q");
    assert_int_equal(c->activity, PGQ_ACTIVITY_SCOPE);
    assert_int_equal(c->pid, PQbackendPID(scope));
    assert_string_equal(c->role, PQuser(scope));
    assert_string_equal(c->application, "in a scope");
    assert_true(*c->client != '\0');
    assert_int_equal(c->message_id, id);
    assert_int_equal(c->messages, 2);
    assert_true(c->age_ms >= 0 && c->age_ms < 60000);
    assert_int_equal(c->ends_in_ms, -1);

    c = pgq_consumers_get(list, 1);
    assert_int_equal(c->activity, PGQ_ACTIVITY_LEASE);
    assert_int_equal(c->pid, 0);
    assert_string_equal(c->role, "");
    assert_string_equal(c->client, "");
    assert_int_equal(c->message_id, second.id);
    assert_int_equal(c->messages, 2);
    assert_int_equal(c->age_ms, -1);
    assert_true(c->ends_in_ms > 0 && c->ends_in_ms <= 60000);

    c = pgq_consumers_get(list, 2);
    assert_int_equal(c->activity, PGQ_ACTIVITY_SLEEP);
    assert_int_equal(c->pid, PQbackendPID(sleeper));
    assert_true(c->messages == 0 && c->message_id == 0 && c->age_ms >= 0 && c->ends_in_ms == -1);
    pgq_consumers_free(list);

    /* Of all: sorted by queue, and no more than asked for. */
    list = look(f->q, NULL, 2);
    assert_int_equal(pgq_consumers_count(list), 2);
    assert_string_equal(pgq_consumers_get(list, 0)->queue, "other");
    assert_int_equal(pgq_consumers_get(list, 0)->activity, PGQ_ACTIVITY_SLEEP);
    assert_string_equal(pgq_consumers_get(list, 1)->queue, "q");
    pgq_consumers_free(list);

    /* A lease that has run out ends in no time; and all of them can end. */
    t_expire(f, second.id);
    list = look(f->q, "q", 100);
    assert_int_equal(pgq_consumers_get(list, 1)->ends_in_ms, 0);
    pgq_consumers_free(list);
    assert_ok(f->q, pgq_ack(f->q, &first, 1, NULL, NULL));
    assert_ok(f->q, pgq_ack(f->q, &second, 1, NULL, NULL));
    PQfinish(scope);
    PQfinish(sleeper);
    for (int64_t until = t_now_us() + 30000000;;) {
        list = look(f->q, NULL, 100);
        size_t n = pgq_consumers_count(list);
        pgq_consumers_free(list);
        if (n == 0)
            break;
        assert_true(t_now_us() < until);
        t_pause_ms(5);
    }
}

static void test_invalid(void **state)
{
    fixture *f = *state;
    pgq_consumer_list *list = (pgq_consumer_list *)f;

    assert_status(f->q, pgq_consumers(f->q, NULL, 0, &list), PGQ_INVALID);
    assert_null(list);
    assert_status(f->q, pgq_consumers(f->q, NULL, 1, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_consumers(f->q, "none", 1, &list), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_consumers(f->q, "", 1, &list), PGQ_INVALID);
    assert_int_equal(pgq_consumers_count(NULL), 0);
    assert_null(pgq_consumers_get(NULL, 0));
    pgq_consumers_free(NULL);
    assert_string_equal(pgq_activity_name(PGQ_ACTIVITY_SCOPE), "scope");
    assert_string_equal(pgq_activity_name(PGQ_ACTIVITY_LEASE), "lease");
    assert_string_equal(pgq_activity_name(PGQ_ACTIVITY_SLEEP), "sleep");
    assert_string_equal(pgq_activity_name((pgq_activity)9), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_nobody),
        DB_TEST(test_all),
        DB_TEST(test_invalid),
    };
    return RUN_WITH_SERVER(tests);
}
