/* SPDX-License-Identifier: MIT */
#include "prepared.h"

#include "handle.h"

#include <stdio.h>
#include <string.h>

void pgqi_prepared_init(pgqi_prepared *p)
{
    p->n = 0;
    p->direct = -1;
}

void pgqi_prepared_use(pgq *q, const char *sql, pgqi_use *use)
{
    pgqi_prepared *p = &q->prepared;
    int at = 0;

    use->at = -1;
    use->prepare = 0;
    if (!q->owned)
        return;
    while (at < p->n && p->sql[at] != sql)
        at++;
    if (at == p->n && at < PGQI_PREPARED_MAX) {
        p->sql[p->n] = sql;
        p->ready[p->n++] = 0;
    } else if (at < p->n && p->direct > 0) {
        use->at = at;
        use->prepare = !p->ready[at];
        p->ready[at] = 1; /* the next one of a pipeline may count on it */
        snprintf(use->name, sizeof use->name, "pgq_%d", at);
    }
}

void pgqi_prepared_failed(pgq *q, const pgqi_use *use)
{
    q->prepared.ready[use->at] = 0;
}

int pgqi_prepared_lost(pgq *q)
{
    const char *state = q->error.sqlstate;

    /* invalid_sql_statement_name; "cached plan must not change result type"; duplicate_prepared_statement */
    if (strcmp(state, "26000") != 0 && strcmp(state, "0A000") != 0 && strcmp(state, "42P05") != 0)
        return 0;
    if (strcmp(state, "42P05") == 0)
        q->prepared.direct = 0;
    q->prepared.n = 0;
    return 1;
}
