/* SPDX-License-Identifier: MIT */
/* pgq-bench: what pgq does in a second, and what the server could do. */
#include "bench.h"
#include "cases.h"
#include "server.h"

int main(int argc, char **argv)
{
    bench b = {0};
    switch (options_read(&b.o, argc, argv)) {
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_WRONG:
        return 2;
    default:
        break;
    }
    bench_open(&b);
    wal_open(&b);
    b.o.what->run(&b);
    bench_close(&b);
    return 0;
}
