/* SPDX-License-Identifier: MIT */
#include "hist.h"

#include <string.h>

static unsigned bucket_of(uint64_t ns)
{
    unsigned shift = 0;
    while (ns >> shift >= 2 * HIST_SUB)
        shift++;
    unsigned i = shift * HIST_SUB + (unsigned)(ns >> shift);
    return i < HIST_BUCKETS ? i : HIST_BUCKETS - 1;
}

/* The upper end of a bucket. */
static double top_of(unsigned i)
{
    if (i < 2 * HIST_SUB)
        return (double)i;
    unsigned shift = i / HIST_SUB - 1;
    return (double)(((uint64_t)(i - shift * HIST_SUB) + 1) << shift) - 1;
}

void hist_add(hist *h, int64_t ns)
{
    h->bucket[bucket_of(ns > 0 ? (uint64_t)ns : 0)]++;
    h->count++;
    h->sum += ns > 0 ? ns : 0;
}

void hist_merge(hist *to, const hist *from)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
    to->count += from->count;
    to->sum += from->sum;
}

void hist_clear(hist *h)
{
    memset(h, 0, sizeof *h);
}

double hist_percentile(const hist *h, double p)
{
    uint64_t seen = 0;
    if (h->count == 0)
        return 0;
    double wanted = p * (double)h->count;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > 0 && (double)seen >= wanted)
            return top_of(i);
    }
    return top_of(HIST_BUCKETS - 1);
}

double hist_mean(const hist *h)
{
    return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}
