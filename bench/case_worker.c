/* SPDX-License-Identifier: MIT */
/* One worker of 1 to 64 threads, and 1 to 8 processes with a worker of one thread each. The steps are gone
 * through up and down, over and over, and the median of each counts. */
#include "cases.h"
#include "ours.h"
#include "pair.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS         11
#define MAX_ROUNDS    1000
#define WARM_EACH     8 /* messages that each thread handles before the count begins */
#define THREADS_MAX   64
#define PROCESSES_MAX 8

static const struct step {
    int threads, processes;
} steps[STEPS] = {{1, 0}, {2, 0}, {4, 0}, {8, 0}, {16, 0}, {32, 0}, {64, 0}, {1, 1}, {1, 2}, {1, 4}, {1, 8}};

typedef struct shared {
    _Atomic int64_t done;
    _Atomic int started;
    _Atomic int warm[THREADS_MAX]; /* messages handled by each thread, or by each process */
} shared;

typedef struct run {
    bench *b;
    shared *s;
    char *conninfo;
    int64_t ready, level;
} run;

static int process; /* which one this is, of those of a step */

static void on_event(const pgq_event_info *info, void *arg)
{
    shared *s = arg;
    if (info->event == PGQ_EVENT_STARTED) {
        s->started++;
    } else if (info->event == PGQ_EVENT_DONE) {
        s->done++;
        s->warm[process + info->thread]++;
    } else if (info->event != PGQ_EVENT_STOPPING) {
        die("the worker: %s", info->text);
    }
}

static pgq_worker *make_worker(const run *r, int threads)
{
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
    pgq_worker *worker = NULL;
    o.name_space = NS;
    o.threads = threads;
    o.on_event = on_event;
    o.event_arg = r->s;
    if (pgq_worker_new(r->conninfo, &o, &worker) != PGQ_OK ||
        pgq_worker_add(worker, QUEUE, work_handler, NULL) != PGQ_OK)
        die("pgq_worker_new: %s", pgq_worker_last_error(worker)->message);
    return worker;
}

static void *worker_main(void *arg)
{
    pgq_worker *worker = arg;
    if (pgq_worker_run(worker) != PGQ_OK)
        die("pgq_worker_run: %s", pgq_worker_last_error(worker)->message);
    return NULL;
}

static pthread_t start_thread(pgq_worker *worker)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker_main, worker) != 0)
        die("a thread could not be started");
    return thread;
}

/* Ends when the parent closes the pipe, however the parent ends. */
static _Noreturn void child(const run *r, int fd)
{
    char byte;
    pgq_worker *worker = make_worker(r, 1);
    pthread_t thread = start_thread(worker);
    while (read(fd, &byte, 1) > 0)
        continue;
    pgq_worker_stop(worker);
    pthread_join(thread, NULL);
    pgq_worker_free(worker);
    _exit(0);
}

/* Those that run, for the end of the program. */
static _Atomic pid_t running[PROCESSES_MAX];

static void kill_children(void)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        if (running[i] > 0)
            kill(running[i], SIGKILL);
    }
}

static void start_children(const run *r, int n, pid_t *pids, int *end)
{
    int fds[2];
    bench_at_end(kill_children);
    if (pipe(fds) != 0)
        die("a pipe could not be opened");
    fflush(stdout);
    for (int i = 0; i < n; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            die("a process could not be started");
        if (pids[i] == 0) {
            close(fds[1]);
            process = i;
            child(r, fds[0]);
        }
        running[i] = pids[i];
    }
    close(fds[0]);
    *end = fds[1];
}

static void end_children(int n, const pid_t *pids, int end)
{
    close(end);
    for (int i = 0; i < n; i++) {
        int status;
        if (waitpid(pids[i], &status, 0) != pids[i] || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            die("a process with a worker has failed");
        running[i] = 0;
    }
}

/* A new connection plans everything anew: with 64 of them that takes two cores a second and more. */
static void warm_up(const run *r, int n)
{
    for (int i = 0; i < n; i++) {
        while (r->s->warm[i] < WARM_EACH &&
               int_sql(r->b->control, "SELECT EXISTS (SELECT FROM " NS ".message)::integer") == 1)
            sleep_ms(10);
    }
}

/* The rate between two looks at the count, once all n are warm. */
static double count_for(run *r, int n, double seconds)
{
    int64_t all = r->s->done;
    must(r->b->q, pgq_resume_queue(r->b->q, QUEUE), "pgq_resume_queue");
    warm_up(r, n);
    int64_t before = r->s->done;
    int64_t began = now_ns();
    sleep_ms((int64_t)(seconds * 1e3));
    int64_t after = r->s->done;
    int64_t ended = now_ns();
    must(r->b->q, pgq_pause_queue(r->b->q, QUEUE), "pgq_pause_queue");
    wait_for_rest(r->b, "worker");
    all = r->s->done - all;
    r->ready -= all;
    r->level = all * 3 > r->level ? all * 3 : r->level;
    return r->ready <= 0 ? -1 : (double)(after - before) / ((double)(ended - began) / 1e9);
}

static void fill(run *r)
{
    pgq_outgoing out[FILL];
    for (int i = 0; i < FILL; i++)
        out[i] = (pgq_outgoing){r->b->payload, (size_t)r->b->o.payload, NULL};
    for (; r->ready < r->level; r->ready += FILL)
        must(r->b->q, pgq_enqueue_many(r->b->q, QUEUE, out, FILL, 0, NULL, NULL), "pgq_enqueue_many");
}

static void wait_for_start(const run *r, int workers)
{
    while (r->s->started < workers)
        sleep_ms(1);
}

static double in_processes(run *r, int n, double seconds)
{
    pid_t pids[PROCESSES_MAX];
    int end = -1;
    start_children(r, n, pids, &end);
    wait_for_start(r, n);
    double rate = count_for(r, n, seconds);
    end_children(n, pids, end);
    return rate;
}

static double in_threads(run *r, int n, double seconds)
{
    pgq_worker *worker = make_worker(r, n);
    pthread_t thread = start_thread(worker);
    wait_for_start(r, 1);
    double rate = count_for(r, n, seconds);
    pgq_worker_stop(worker);
    pthread_join(thread, NULL);
    pgq_worker_free(worker);
    return rate;
}

static double step_once(run *r, const struct step *s, double seconds)
{
    r->s->started = 0;
    for (int i = 0; i < THREADS_MAX; i++)
        r->s->warm[i] = 0;
    return s->processes > 0 ? in_processes(r, s->processes, seconds) : in_threads(r, s->threads, seconds);
}

/* A step that ran dry is done again with more. */
static double step_rate(run *r, const struct step *s, double seconds)
{
    for (int i = 0; i < 6; i++) {
        fill(r);
        tidy(r->b, true);
        double rate = step_once(r, s, seconds);
        if (rate > 0)
            return rate;
        r->ready = 0;
        r->level *= 4;
    }
    die("the queue ran dry, with %lld messages at last", (long long)r->level);
}

/* The worst step, as part of the best one before it, among threads and among processes. */
static double worst_step(const double rates[STEPS])
{
    double worst = 1e9;
    double best = 0;
    for (int i = 0; i < STEPS; i++) {
        if (i > 0 && (steps[i].processes > 0) == (steps[i - 1].processes > 0)) {
            worst = rates[i] / best < worst ? rates[i] / best : worst;
            best = rates[i] > best ? rates[i] : best;
        } else {
            best = rates[i];
        }
    }
    return worst;
}

void run_worker(bench *b)
{
    run r = {.b = b, .level = 5000, .conninfo = bench_conninfo(b, "worker", NULL, NULL)};
    double rates[STEPS];
    double seconds = b->o.seconds / STEPS < SLICE_SECONDS ? b->o.seconds / STEPS : SLICE_SECONDS;
    int rounds = (int)(b->o.seconds / (STEPS * seconds) + 0.5);
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    double *values = allocate((size_t)(STEPS * rounds), sizeof *values);
    r.s = mmap(NULL, sizeof *r.s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.s == MAP_FAILED)
        die("out of memory");
    must(b->q, pgq_pause_queue(b->q, QUEUE), "pgq_pause_queue");
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < STEPS; k++) {
            int at = i % 2 ? STEPS - 1 - k : k;
            values[at * rounds + i] = step_rate(&r, &steps[at], seconds);
        }
    }
    report_begin(b);
    for (int k = 0; k < STEPS; k++) {
        bool forked = steps[k].processes > 0;
        rates[k] = median_of(values + k * rounds, rounds);
        report_step(b, forked ? "by_processes" : "by_threads", forked ? "processes" : "threads",
                    forked ? steps[k].processes : steps[k].threads, rates[k], NULL, 0);
    }
    report_number(b, "rounds", rounds, "rounds, whose medians these are: %d", rounds);
    report_ratio(b, worst_step(rates));
    munmap(r.s, sizeof *r.s);
    free(values);
    free(r.conninfo);
}
