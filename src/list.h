/* SPDX-License-Identifier: MIT */
/* The rows of an answer as an array of structs: what every ..._count(), _get() and _free() hands out.
 * The public type stays incomplete: what its pointer points to is a pgqi_list. */
#ifndef PGQI_LIST_H
#define PGQI_LIST_H

#include "handle.h"

#include <libpq-fe.h>
#include <stddef.h>

typedef struct pgqi_list {
    PGresult *res; /* the structs borrow its text */
    void *more;    /* freed with the list; NULL: nothing */
    size_t n;
    size_t size; /* of one struct */
    max_align_t items[];
} pgqi_list;

/* Fills a zeroed struct from a row. */
typedef void (*pgqi_fill)(void *item, const PGresult *res, int row);

/* Takes res, whatever comes of it. NULL: the error is NO_MEMORY. */
void *pgqi_list_make(pgq *q, PGresult *res, size_t size, pgqi_fill fill);

/* NULL is a list of none. */
size_t pgqi_list_count(const void *list);
void *pgqi_list_get(const void *list, size_t i);
void pgqi_list_free(void *list);

#endif
