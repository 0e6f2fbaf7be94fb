// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * The flow engine in the kernel: one exact-match lookup on the host side of a guest's interface,
 * and one on the uplink, where other hosts are.
 *
 * Built by `cargo xtask bpf`, which runs, with -idirafter /usr/include/$(uname -m)-linux-gnu
 * where Debian keeps asm/:
 *
 * clang -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -ffile-prefix-map=<dir>=. -c flow.bpf.c -o flow.bpf.o && llvm-strip -g flow.bpf.o
 *
 * The programs decide nothing. They execute what the switch decided for a flow, and give every
 * frame they hold no current decision for to the agent: an exception. Whatever a guest sent that
 * cannot be an exception is dropped, never passed on, for behind this hook lies the host's own
 * stack.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "exception.h"
#include "execute.h"
#include "flow.h"
#include "maps.h"
#include "parse.h"
#include "tunnel.h"

/* Whether the guest is itself, and speaks to the router. */
static __always_inline bool has_right_macs(const struct __sk_buff *skb, const struct port *port)
{
	void *end = (void *)(long)skb->data_end;
	const struct ethhdr *eth = (void *)(long)skb->data;

	return (void *)(eth + 1) <= end && mac_equal(eth->h_source, port->mac) &&
	       mac_equal(eth->h_dest, port->router_mac);
}

/* Runs on what a guest sent. */
SEC("classifier")
int from_guest(struct __sk_buff *skb)
{
	__u32 number = port_on(skb->ifindex);
	struct port *port = port_by_number(number);
	struct port_stats *stats = stats_of(number);

	if (unlikely(!number || !port || !stats || port->ifindex != skb->ifindex))
		return shot(skb, OUTCOME_DROPPED);

	struct passage passage = {
		.from = port,
		.owner = port,
		.stats = stats,
		.from_number = number,
		.packet.key.port = number,
	};

	/* The switch polices the synthetic path itself: all of a guest's traffic may be on it. */
	if (unlikely(port->mode != MODE_ACCELERATED))
		return to_agent(skb, &passage);
	passage.now = bpf_ktime_get_coarse_ns();
	if (unlikely(!parse(skb, 0, &passage.packet) || !has_right_macs(skb, port)))
		return exception(skb, &passage);
	return execute(skb, &passage);
}

static __always_inline int not_ours(struct __sk_buff *skb)
{
	skb->cb[0] = OUTCOME_NOT_OURS;
	return TC_ACT_UNSPEC;
}

/*
 * What belongs to no segment is dropped and counted here: the wire may send as much of it as it
 * likes. While somebody watches, the agent is shown it and counts it instead.
 */
static __always_inline int refuse(struct __sk_buff *skb, const struct passage *passage,
				  __u32 reason)
{
	if (passage->from->flags & PORT_DROPS_TO_AGENT && may_except(passage))
		return to_agent(skb, passage);

	struct drop_count *drops = bpf_map_lookup_elem(&uplink_drops, &reason);

	if (drops) {
		drops->packets++;
		drops->bytes += skb->len;
	}
	passage->stats->from_guest_packets++;
	passage->stats->from_guest_bytes += skb->len;
	return shot(skb, OUTCOME_DROPPED);
}

/* Why a frame to an address that no NIC of the segment has is refused. */
static __always_inline __u32 unknown_destination(const __u8 *mac)
{
	if (!(mac[0] & 1))
		return DROP_UNKNOWN_DESTINATION_MAC;
	if ((mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff)
		return DROP_BROADCAST;
	return DROP_MULTICAST;
}

/* Twice, for the verifier wants to know where a frame begins. */
static __always_inline bool parse_behind(struct __sk_buff *skb, const struct outer *outer,
					 struct packet *packet)
{
	if (outer->length == OUTER_V4_LENGTH)
		return parse(skb, OUTER_V4_LENGTH, packet);
	return parse(skb, OUTER_V6_LENGTH, packet);
}

/* Runs on what came off the wire of the uplink, most of which is none of ours. */
SEC("classifier")
int from_uplink(struct __sk_buff *skb)
{
	const struct uplink *here = the_uplink();
	struct outer outer = {};

	if (!here || here->ifindex != skb->ifindex)
		return not_ours(skb);

	int whose = parse_outer(skb, here, &outer);

	if (whose == NOT_OURS)
		return not_ours(skb);

	struct port *port = port_by_number(PORT_UPLINK);
	struct port_stats *stats = stats_of(PORT_UPLINK);

	if (!port || !stats)
		return shot(skb, OUTCOME_DROPPED);

	struct passage passage = {
		.now = bpf_ktime_get_coarse_ns(),
		.from = port,
		.owner = port,
		.stats = stats,
		.outer = outer.length,
		.from_number = PORT_UPLINK,
	};

	if (unlikely(port->mode != MODE_ACCELERATED))
		return to_agent(skb, &passage);
	if (whose == OURS_ODD)
		return exception(skb, &passage);

	struct tunnel_nic segment = { .vni = outer.source.vni };
	struct tunnel_nic destination = { .vni = outer.source.vni };

	if (bpf_skb_load_bytes(skb, outer.length, destination.mac, ETH_ALEN))
		return exception(skb, &passage);

	const __u32 *nic = bpf_map_lookup_elem(&tunnel_nics, &destination);
	__u32 number = nic ? *nic : 0;

	if (!number && !bpf_map_lookup_elem(&tunnel_nics, &segment))
		return refuse(skb, &passage, DROP_UNKNOWN_VNI);
	if (!bpf_map_lookup_elem(&tunnel_providers, &outer.source))
		return refuse(skb, &passage, DROP_UNKNOWN_PROVIDER);
	if (!number)
		return refuse(skb, &passage, unknown_destination(destination.mac));

	struct port *owner = port_by_number(number);

	if (!owner || !owner->ifindex)
		return exception(skb, &passage);
	if (owner->mode != MODE_ACCELERATED)
		return to_agent(skb, &passage);
	passage.owner = owner;
	passage.packet.key.port = number | PORT_FROM_UPLINK;
	if (!parse_behind(skb, &outer, &passage.packet))
		return exception(skb, &passage);
	if (outer.ecn == ECN_CE) {
		/* Its sender would not know the mark. The switch drops it, and counts it for the NIC. */
		if (!passage.packet.ecn)
			return exception(skb, &passage);
		passage.congested = passage.packet.ecn != ECN_CE;
	}
	return execute(skb, &passage);
}

/*
 * Runs on the exception device. The agent's packet socket has seen the frame before any program
 * does, and the host's stack must not.
 */
SEC("classifier")
int sink(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_SHOT;
}

/* No helper used here asks for more. */
char program_license[] SEC("license") = "MIT";
