/* SPDX-License-Identifier: MIT */
/** @file pgq.h
 *  pgq: PostgreSQL as a transactional message queue.
 *
 *      static int ship(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
 *      {
 *          ... writes by conn commit together with the message, or not at all ...
 *          return 0;
 *      }
 *
 *      pgq *q;
 *      if (pgq_open("dbname=shop", NULL, &q) != PGQ_OK)
 *          fprintf(stderr, "%s\n", pgq_last_error(q)->message);
 *      pgq_enqueue(q, "orders", "17", 2, NULL, NULL);
 *      pgq_listen(q, "orders", 1000, ship, NULL, NULL);
 *      pgq_close(q);
 *
 *  Statuses: `if (status < 0)` is an error; a positive one is a normal outcome, such as EMPTY. Details
 *  of the last failure stand on the handle.
 *  Option structs: start from their _INIT macro, whose first member is the struct's size. NULL is the
 * default. Strings: UTF-8, ended by a zero byte, borrowed for the call. Any pointer that is not said to be
 *  allowed to be NULL must not be: the call says INVALID.
 *  Threads: a handle is used by one thread at a time. Nothing is global.
 *  The library never prints, exits, aborts, or touches signals.
 *  After fork(), the child must not use what the parent has opened, nor close it.
 */
#ifndef PGQ_H
#define PGQ_H

#include <pgq/browse.h>
#include <pgq/codec.h>
#include <pgq/consumers.h>
#include <pgq/dequeue.h>
#include <pgq/doctor.h>
#include <pgq/enqueue.h>
#include <pgq/handle.h>
#include <pgq/lease.h>
#include <pgq/listener.h>
#include <pgq/message.h>
#include <pgq/producer.h>
#include <pgq/queue.h>
#include <pgq/stats.h>
#include <pgq/status.h>
#include <pgq/topic.h>
#include <pgq/version.h>
#include <pgq/worker.h>

#endif
