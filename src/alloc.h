/* SPDX-License-Identifier: MIT */
/* All memory of the library's own comes from here. libpq and json-c keep using malloc. */
#ifndef PGQI_ALLOC_H
#define PGQI_ALLOC_H

#include <stddef.h>

/* Zeroed; NULL if memory ran out or count * size overflows. Free with pgqi_free(). */
void *pgqi_alloc(size_t count, size_t size);
void *pgqi_realloc(void *old, size_t size);
char *pgqi_strdup(const char *s);
void pgqi_free(void *p);

/* For what a hook of the caller's has allocated by the C library. */
void pgqi_free_foreign(void *p);

#ifdef PGQ_TESTING
/* The nth allocation from now on fails, once; 0: none does. */
void pgqi_alloc_fail_at(long n);
/* Allocations made since the last pgqi_alloc_fail_at(). */
long pgqi_alloc_made(void);
#endif

#endif
