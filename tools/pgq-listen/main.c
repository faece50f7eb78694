/* SPDX-License-Identifier: MIT */
/* pgq-listen: takes messages, and gives each to a command, or prints it. */
#include "child.h"
#include "command.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "print.h"
#include "stop.h"
#include "stream.h"
#include "topic.h"

#include <errno.h>
#include <fcntl.h>
#include <pgq/pgq.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct counts {
    int64_t done, failed;
    bool notify;
} counts;

static void on_event(const pgq_event_info *info, void *arg)
{
    counts *n = arg;
    if (info->event == PGQ_EVENT_DONE)
        n->done++;
    else if (info->event == PGQ_EVENT_FAILED)
        n->failed++;
    log_event(info);
    if (n->notify)
        notify_event(info, n->done, n->failed);
}

/* Pipes must never get the numbers 0 to 2. false: messages would go to a stdout that is closed. */
static bool have_standard_fds(bool print)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (fd == STDOUT_FILENO && print)
            return false;
        if (open("/dev/null", O_RDWR) != fd)
            return false;
    }
    return true;
}

static int wrong(const char *what, pgq_status status, const pgq_error *e)
{
    log_note("error", "%s: %s%s%s", what, e && *e->message ? e->message : pgq_status_text(status),
             e && *e->detail ? ": " : "", e ? e->detail : "");
    return status == PGQ_INVALID ? EXIT_USAGE : EXIT_FAILED;
}

static bool setup(pgq_worker *worker, const options *o)
{
    if (!stop_setup(worker)) {
        log_note("error", "cannot handle signals: %s", strerror(errno));
        return false;
    }
    return !o->notify || notify_setup();
}

static int stopped(const counts *n)
{
    log_stopped(n->done, n->failed);
    return stop_is_urgent() || stop_has_failed() ? EXIT_FAILED : EXIT_DONE;
}

static int run(pgq_worker *worker, const options *o, counts *n)
{
    if (!setup(worker, o))
        return EXIT_FAILED;
    pgq_status status = pgq_worker_run(worker);
    notify_close();
    if (status == PGQ_SHUTDOWN)
        log_note("shutdown", "%s", pgq_status_text(status));
    else if (status != PGQ_OK)
        return wrong("cannot start", status, pgq_worker_last_error(worker));
    return stopped(n);
}

static int with_topic(const options *o, pgq_handler handler, void *arg)
{
    counts n = {.notify = o->notify};
    topic_job job = {.options = o, .handler = handler, .arg = arg, .tell = on_event, .tell_arg = &n};
    pgq_error why;
    if (!setup(NULL, o))
        return EXIT_FAILED;
    pgq_status status = topic_run(&job, &why);
    notify_close();
    if (status != PGQ_OK)
        return wrong(job.started ? "cannot go on" : "cannot start", status, &why);
    return stopped(&n);
}

static int with_worker(const options *o, pgq_handler handler, void *arg)
{
    counts n = {.notify = o->notify};
    pgq_worker_options w = PGQ_WORKER_OPTIONS_INIT;
    pgq_worker *worker = NULL;
    w.name_space = o->name_space;
    w.threads = o->jobs;
    w.poll_interval_ms = o->poll_ms;
    w.drain = o->drain;
    w.max_messages = o->count;
    w.on_event = on_event;
    w.event_arg = &n;
    w.lease_ms = o->lease_ms;
    pgq_status status = pgq_worker_new(o->conninfo, &w, &worker);
    for (size_t i = 0; status == PGQ_OK && i < o->queue_count; i++)
        status = pgq_worker_add(worker, o->queues[i], handler, arg);
    int result;
    if (status != PGQ_OK)
        result = wrong("not allowed", status, worker ? pgq_worker_last_error(worker) : NULL);
    else
        result = run(worker, o, &n);
    pgq_worker_free(worker);
    return result;
}

static int work(const options *o, pgq_handler handler, void *arg)
{
    return o->topic ? with_topic(o, handler, arg) : with_worker(o, handler, arg);
}

static int with_command(const options *o)
{
    command how = {.argv = o->command,
                   .timeout_ms = o->timeout_ms,
                   .kill_after_ms = o->kill_after_ms,
                   .leased = o->lease_ms > 0,
                   .of_topic = o->topic != NULL};
    char *path = child_find(o->command[0]);
    if (!path) {
        log_note("error", "cannot run %s: %s", o->command[0], strerror(errno));
        return EXIT_USAGE;
    }
    how.path = path;
    int result = EXIT_FAILED;
    if (!child_allow(o->jobs))
        log_note("error", "%d jobs need more open files than the hard limit allows: see ulimit -Hn", o->jobs);
    else if (o->stream && !stream_setup())
        log_note("error", "out of memory");
    else
        result = work(o, o->stream ? stream_handle : command_handle, &how);
    if (o->stream && o->topic)
        stream_end();
    free(path);
    return result;
}

int main(int argc, char **argv)
{
    options o;
    int result;
    options_result read = options_read(&o, argc, argv);
    log_setup(o.format, o.quiet, o.topic ? "topic" : "queue");
    if (read != OPTIONS_RUN) {
        result = read == OPTIONS_DONE ? EXIT_DONE : EXIT_USAGE;
    } else if (!have_standard_fds(o.command == NULL)) {
        log_note("error", "stdout is closed: there is nowhere to write messages to");
        result = EXIT_FAILED;
    } else if (o.command) {
        result = with_command(&o);
    } else {
        print_how how = {.leased = o.lease_ms > 0, .of_topic = o.topic != NULL};
        result = work(&o, print_handle, &how);
    }
    options_free(&o);
    return result;
}
