/* SPDX-License-Identifier: MIT */
#include "alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef PGQ_TESTING
#include <stdatomic.h>

static atomic_long made;
static atomic_long fail_at;

void pgqi_alloc_fail_at(long n)
{
    atomic_store(&made, 0);
    atomic_store(&fail_at, n);
}

long pgqi_alloc_made(void)
{
    return atomic_load(&made);
}

static int refused(void)
{
    long n = atomic_fetch_add(&made, 1) + 1;

    return n == atomic_load(&fail_at);
}
#else
static int refused(void)
{
    return 0;
}
#endif

void *pgqi_alloc(size_t count, size_t size)
{
    if (refused())
        return NULL;
    return calloc(count ? count : 1, size ? size : 1);
}

void *pgqi_realloc(void *old, size_t size)
{
    if (refused())
        return NULL;
    return realloc(old, size ? size : 1);
}

char *pgqi_strdup(const char *s)
{
    size_t len = strlen(s) + 1;
    char *copy = pgqi_alloc(1, len);

    if (copy)
        memcpy(copy, s, len);
    return copy;
}

void pgqi_free(void *p)
{
    free(p);
}

void pgqi_free_foreign(void *p)
{
    free(p);
}
