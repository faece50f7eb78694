/* SPDX-License-Identifier: MIT */
/* The thread that extends leases, by itself: what it takes for a loss. */
#include "keeper.h"
#include "support/support.h"

enum { LEFT_MS = 4500 };

static atomic_int losses;
static _Atomic(const pgqi_hold *) lost_one;

static void on_lost(const pgqi_hold *hold, const char *why)
{
    assert_non_null(why);
    atomic_store(&lost_one, hold);
    atomic_fetch_add(&losses, 1);
}

static pgqi_hold hold_of(pgq *q)
{
    pgqi_hold hold = {.given_ms = LEFT_MS, .left_ms = LEFT_MS};

    t_send(q, "q", "m");
    hold.receipt = t_lease(q, "q", LEFT_MS, NULL);
    return hold;
}

/* Rows go before their leases are extended. Of one whose handler had returned that is the settling, whose
 * answer is still on its way; of one that its handler has settled, too, whatever else that does; of the last
 * it is a loss. */
static void gone_is_settled_or_lost(void **state)
{
    fixture *f = *state;
    pgqi_keeper *k = pgqi_keeper_new(t_dsn(), f->ns, on_lost);
    int64_t until = t_now_us() + 30000000;
    pgqi_hold ended, settled, lost;

    assert_non_null(k);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    ended = hold_of(f->q);
    settled = hold_of(f->q);
    lost = hold_of(f->q);
    assert_true(pgqi_keeper_hold(k, &ended));
    assert_true(pgqi_keeper_hold(k, &settled));
    assert_true(pgqi_keeper_hold(k, &lost)); /* extended no sooner than the others */
    pgqi_keeper_ended(k, &ended);
    atomic_store(&settled.settled, 1);
    t_run(f, f->sql, "DELETE FROM mq.message");
    while (atomic_load(&losses) == 0 && t_now_us() < until)
        t_pause_ms(2);
    pgqi_keeper_drop(k, &ended);
    pgqi_keeper_drop(k, &settled);
    pgqi_keeper_drop(k, &lost);
    pgqi_keeper_free(k);
    assert_int_equal(losses, 1);
    assert_ptr_equal(lost_one, &lost);
    assert_int_equal(lost.lost, 1);
    assert_int_equal(ended.lost, 0);
    assert_int_equal(settled.lost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {DB_TEST(gone_is_settled_or_lost)};

    return RUN_WITH_SERVER(tests);
}
