/* SPDX-License-Identifier: MIT */
/* The functions of the verbs. Each gives an exit status. */
#ifndef PGQ_CLI_RUN_H
#define PGQ_CLI_RUN_H

#include "verb.h"

int run_install(call *c);
int run_upgrade(call *c);
int run_drop(call *c);
int run_reset(call *c);
int run_shutdown(call *c);
int run_grant_producer(call *c);
int run_grant_consumer(call *c);
int run_grant_monitor(call *c);
int run_revoke(call *c);

int run_create(call *c);
int run_set(call *c);
int run_delete(call *c);
int run_pause(call *c);
int run_resume(call *c);
int run_purge(call *c);
int run_clean(call *c);

int run_enqueue(call *c);

int run_receive(call *c);
int run_pop(call *c);
int run_ack(call *c);
int run_nack(call *c);
int run_extend(call *c);
int run_release(call *c);
int run_cancel(call *c);
int run_reschedule(call *c);

int run_view(call *c);
int run_peek(call *c);
int run_list(call *c);
int run_get(call *c);
int run_count(call *c);
int run_stats(call *c);
int run_consumers(call *c);
int run_top(call *c);
int run_watch(call *c);
int run_doctor(call *c);

int run_dead_list(call *c);
int run_dead_show(call *c);
int run_dead_requeue(call *c);
int run_dead_purge(call *c);

int run_topic_publish(call *c);
int run_topic_subscribe(call *c);
int run_topic_latest(call *c);
int run_topic_list(call *c);
int run_topic_subscribers(call *c);
int run_topic_unsubscribe(call *c);
int run_topic_create(call *c);
int run_topic_set(call *c);
int run_topic_delete(call *c);
int run_topic_bind(call *c);
int run_topic_unbind(call *c);
int run_topic_tend(call *c);

int run_json(call *c);
int run_completion(call *c);
int run_man(call *c);

#endif
