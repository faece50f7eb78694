/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char said[VERDICT_TEXT];

int verdict_fail(pgq *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(said, sizeof said, format, args);
    va_end(args);
    return pgq_fail(q, "%s", said);
}

const char *verdict_text(void)
{
    return said;
}
