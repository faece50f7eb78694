/* SPDX-License-Identifier: MIT */
#include "list.h"

#include "alloc.h"
#include "error.h"

void *pgqi_list_make(pgq *q, PGresult *res, size_t size, pgqi_fill fill)
{
    size_t n = (size_t)PQntuples(res);
    pgqi_list *list = pgqi_alloc(1, sizeof *list + n * size);

    if (!list) {
        PQclear(res);
        pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
        return NULL;
    }
    list->res = res;
    list->n = n;
    list->size = size;
    for (size_t i = 0; i < n; i++)
        fill(pgqi_list_get(list, i), res, (int)i);
    return list;
}

size_t pgqi_list_count(const void *list)
{
    return list ? ((const pgqi_list *)list)->n : 0;
}

void *pgqi_list_get(const void *list, size_t i)
{
    const pgqi_list *l = list;

    return l && i < l->n ? (unsigned char *)l->items + i * l->size : NULL;
}

void pgqi_list_free(void *list)
{
    pgqi_list *l = list;

    if (!l)
        return;
    PQclear(l->res);
    pgqi_free(l->more);
    pgqi_free(l);
}
