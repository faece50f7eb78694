/* SPDX-License-Identifier: MIT */
/* Topics: ten batches are published, then read as one. By pgq, and by a plain INSERT and a plain SELECT of
 * the same rows.
 */
#ifndef BENCH_TOPIC_H
#define BENCH_TOPIC_H

#include "arm.h"

extern const arm_ops pgq_topic, floor_topic;
extern const arm_ops
    pgq_topic_paced; /* publishes to the arm's queue, taken as a topic, 20 times a second at most */

#endif
