/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Frames that are the agent's, as many as it can bear. */
#ifndef CLEARWAY_EXCEPTION_H
#define CLEARWAY_EXCEPTION_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"
#include "maps.h"
#include "parse.h"

/* A frame on its way, and who answers for it. */
struct passage {
	__u64 now;
	struct port *from;	/* where it came in: a guest's port, or the uplink */
	struct port *owner;	/* the guest's port: by whose policy it is judged */
	struct port_stats *stats;	/* of from */
	struct packet packet;
	__u32 outer;		/* bytes of outer headers before the guest's frame */
	__u16 from_number;
	bool congested;		/* the underlay marked it, and its sender knows the mark */
};

/*
 * Window and counts are shared by all CPUs without a lock: two that start a window at once may
 * let a few frames more through, which the budget can bear and a lock per frame could not.
 */
static __always_inline bool within_budget(struct port *port, __u64 now, __u32 *used, __u32 budget)
{
	__u64 window = now >> WINDOW_SHIFT;

	if (port->window != window) {
		port->window = window;
		port->window_exceptions = 0;
		port->window_resimulations = 0;
	}
	if (*used >= budget)
		return false;
	*used += 1;
	return true;
}

static __always_inline bool may_except(const struct passage *passage)
{
	struct port *from = passage->from;

	return within_budget(from, passage->now, &from->window_exceptions,
			     from->exceptions_per_window);
}

static __always_inline int shot(struct __sk_buff *skb, __u32 outcome)
{
	skb->cb[0] = outcome;
	return TC_ACT_SHOT;
}

/*
 * The tag names the port. It lies in the metadata, so the agent reads the sender's own bytes. The
 * tag a guest pushed itself is in the metadata too by now: ours moves it back into the bytes,
 * where the agent finds it as the EtherType.
 */
static __noinline int to_agent(struct __sk_buff *skb, const struct passage *passage)
{
	const struct agent *reader = the_agent();

	if (!reader || bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), passage->from_number))
		return shot(skb, OUTCOME_DROPPED);
	passage->stats->exceptions++;
	skb->cb[0] = OUTCOME_EXCEPTION;
	skb->cb[1] = reader->exception_ifindex;
	return bpf_redirect(reader->exception_ifindex, BPF_F_INGRESS);
}

/* Nobody must be able to drown the agent in frames that no entry covers. */
static __noinline int exception(struct __sk_buff *skb, const struct passage *passage)
{
	if (may_except(passage))
		return to_agent(skb, passage);
	passage->stats->rate_limited_packets++;
	passage->stats->rate_limited_bytes += skb->len;
	return shot(skb, OUTCOME_RATE_LIMITED);
}

#endif
