/* SPDX-License-Identifier: MIT */
/* What became of each message, recorded beside the library: in a table by the transaction that settles it,
 * and in memory that outlives the processes. */
#ifndef PROCESS_LEDGER_H
#define PROCESS_LEDGER_H

#include <pgq/pgq.h>

/* Messages are numbered from 0. */
void ledger_begin(long messages);

/* Message n has reached a consumer. */
void ledger_handed(long n);
/* Does the message, in one transaction on by's connection: a row, and the ack. 0: it was not this consumer's
 * any more, and nothing is written. */
int ledger_done(pgq *by, const pgq_message *m, long n);
void ledger_release_tried(long n);
void ledger_released(long n);
/* A consumer was told that it has lost a message. */
void ledger_stale(void);
long ledger_stales(void);
/* A message was done later than its first lease would have lasted. */
void ledger_long(void);
long ledger_longs(void);

/* While all goes on: in one snapshot, each message sent is done, dead, or in the queue. How many are in the
 * queue. */
int64_t ledger_look(pgq *q, const char *queue, long sent);
/* At the end: all that was counted adds up. unseen: at most so many messages were handed out and not seen by
 * their consumer. */
void ledger_check(const char *queue, int error_limit, long unseen);
/* Those of a number n % every == rest are dead, and no other, but by bad luck. */
void ledger_check_hopeless(int every, int rest);

#endif
