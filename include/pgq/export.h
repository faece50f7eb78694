/* SPDX-License-Identifier: MIT */
#ifndef PGQ_EXPORT_H
#define PGQ_EXPORT_H

#if defined(__GNUC__)
#define PGQ_EXPORT            __attribute__((visibility("default")))
#define PGQ_PRINTF(fmt, args) __attribute__((__format__(__printf__, fmt, args)))
#else
#define PGQ_EXPORT
#define PGQ_PRINTF(fmt, args)
#endif

#endif
