/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "floor.h"
#include "ours.h"
#include "topic.h"

static const work send_work = {&pgq_send, &floor_send};
static const work send_batch_work = {&pgq_send_batch, &floor_send_batch};
static const work pop_work = {&pgq_pop_one, &floor_pop};
static const work pop_batch_work = {&pgq_pop_batch, &floor_pop_batch};
static const work scope_work = {&pgq_scope, &floor_scope};
static const work lease_work = {&pgq_lease_ack, &floor_lease};
static const work cycle_work = {&pgq_cycle, &floor_cycle};
static const work delayed_work = {&pgq_delayed, &floor_delayed};
static const work scope_batch_work = {&pgq_scope_batch, &floor_scope_batch};
static const work topic_work = {&pgq_topic, &floor_topic};
static const work async_work = {&pgq_async, &floor_send};

const bench_case cases[] = {
    {"send", "single sends, a transaction each", run_pair, .work = &send_work},
    {"send-batch", "sends of --batch messages", run_pair, .work = &send_batch_work, .batch = 100,
     .most = 100000},
    {"pop", "single pops", run_pair, .work = &pop_work},
    {"pop-batch", "pops of --batch messages", run_pair, .work = &pop_batch_work, .batch = 100},
    {"scope", "a message and a row of its work in one transaction", run_pair, .work = &scope_work},
    {"scope-batch", "--batch messages and a row for each in one transaction", run_pair,
     .work = &scope_batch_work, .batch = 100},
    {"lease", "receive and ack of --batch messages", run_pair, .work = &lease_work, .batch = 1},
    {"cycle", "a send, then a scope", run_pair, .work = &cycle_work},
    {"delayed", "pops of --batch messages that fall due", run_pair, .work = &delayed_work, .batch = 100},
    {"topic", "ten batches of --batch messages published, and read as one", run_pair, .work = &topic_work,
     .batch = 100},
    {"subscribers", "batches published to --sleepers and --awake subscribers, who read, against one",
     run_subscribers, .batch = 100, .bell = true},
    {"async", "single sends by the asynchronous producer; the floor's wait each", run_pair,
     .work = &async_work, .clients = 8},
    {"send-bell", "single sends with --sleepers and --awake listeners, against none", run_bell, .clients = 32,
     .bell = true},
    {"worker", "a worker of 1 to 64 threads, and 1 to 8 processes", run_worker, .seconds = 30},
    {"wake", "from a commit to the start of an idle worker's handler", run_wake, .seconds = 30},
    {"held", "CASE while a transaction is held open", run_held, .takes_case = true, .seconds = 120},
    {"dead", "claims among --rows dead rows, against an empty table", run_dead, .rows = 1000000},
    {"crowd", "claims among --rows messages of each kind, against none", run_crowd, .rows = 1000000},
    {"readers", "CASE while the queue table is scanned, against the same alone", run_readers,
     .takes_case = true, .seconds = 20},
    {"backlog", "single pops with 1000 to --rows messages ready", run_backlog, .seconds = 20,
     .rows = 3000000},
    {.name = NULL},
};
