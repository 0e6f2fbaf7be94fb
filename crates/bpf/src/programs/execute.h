/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What an entry says, done. In order: whether the frame has an entry, whether the entry still
 * counts, whether the receiver can take the frame; then the entry is executed.
 */
#ifndef CLEARWAY_EXECUTE_H
#define CLEARWAY_EXECUTE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "exception.h"
#include "flow.h"
#include "maps.h"
#include "parse.h"
#include "tunnel.h"

/*
 * An edit that allows less leaves established connections alone, so an allowing entry looks at
 * the path only; a refused one must notice every edit. An address that has moved, or has come to
 * be, concerns both.
 */
static __always_inline bool stale(const struct port *owner, const struct flow_value *flow)
{
	if (flow->verdict != VERDICT_DROP && flow->path != owner->path_generation)
		return true;
	if (flow->verdict == VERDICT_DROP && flow->policy != owner->policy_generation)
		return true;

	__u32 slot = flow->mapping_slot;
	const __u32 *version = bpf_map_lookup_elem(&mapping_versions, &slot);

	return !version || *version != flow->mapping_version;
}

/* The agent's clock is finer than ours, so its heartbeat may lie ahead of now. */
static __always_inline bool alive(const struct agent *agent, __u64 now)
{
	return now <= agent->heartbeat_ns + AGENT_SILENCE_NS;
}

/* What the receiver's MTU is compared with: the packet, or the longest one it will be cut into. */
static __always_inline __u32 packet_length(const struct __sk_buff *skb,
					   const struct passage *passage)
{
	if (!skb->gso_size)
		return skb->len - passage->outer - ETH_HLEN;
	if (!passage->packet.payload_offset)
		return (__u32)-1;
	return passage->packet.payload_offset + skb->gso_size;
}

/*
 * The agent hears of a connection's end, and of its answer, for until then it takes the connection
 * for one that may be forgotten. The event is lost when the ring is full; the flags stay in the
 * entry, which the agent reads.
 */
static __noinline int note_tcp_flags(struct flow_value *flow, const struct packet *packet)
{
	__u32 flags = packet->tcp_flags;
	__u32 before = __sync_fetch_and_or(&flow->tcp_flags, flags);
	__u32 told = TCP_FLAG_FIN | TCP_FLAG_RST;

	if (!(flow->flags & FLOW_FORWARD))
		told |= TCP_FLAG_SYN | TCP_FLAG_ACK;
	if (!(flags & ~before & told))
		return 0;

	struct flow_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	event->key = packet->key;
	event->tcp_flags = flags;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* The entry counts the guest's own frame, the port what came in. */
static __always_inline void count(struct flow_value *flow, const struct passage *passage,
				  __u32 bytes)
{
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, bytes - passage->outer);
	flow->last_seen_ns = passage->now;
	if (unlikely(passage->packet.tcp_flags & ~flow->tcp_flags))
		note_tcp_flags(flow, &passage->packet);
	passage->stats->from_guest_packets++;
	passage->stats->from_guest_bytes += bytes;
}

/*
 * A port whose drops are being watched gives them to the agent, which counts them there: one
 * frame, one count. Beyond the budget they are counted here, as the drop they are.
 */
static __noinline int drop(struct __sk_buff *skb, struct flow_value *flow,
				const struct passage *passage)
{
	if (passage->owner->flags & PORT_DROPS_TO_AGENT && may_except(passage))
		return to_agent(skb, passage);
	count(flow, passage, skb->len);
	passage->stats->dropped_packets++;
	passage->stats->dropped_bytes += skb->len;
	return shot(skb, OUTCOME_DROPPED);
}

/* One hop less, if the entry says so, for the packet that begins at offset. */
static __always_inline bool count_hop(struct __sk_buff *skb, __u32 offset,
				      const struct flow_value *flow, const struct packet *packet)
{
	if (!unlikely(flow->flags & FLOW_DECREMENT_TTL))
		return true;
	if (packet->key.family == 6) {
		/* Nothing balances it in a sum the kernel keeps, so the helper must correct that. */
		__u8 hop_limit = packet->ttl - 1;
		__u32 at = offset + __builtin_offsetof(struct ipv6hdr, hop_limit);

		return !bpf_skb_store_bytes(skb, at, &hop_limit, sizeof(hop_limit),
					    BPF_F_RECOMPUTE_CSUM);
	}

	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = (void *)(long)skb->data + offset;

	if ((void *)(ip + 1) > end)
		return false;

	/* As the kernel's ip_decrease_ttl(): RFC 1624 for the one byte. */
	__u32 check = ip->check;

	check += bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	ip->ttl--;
	return true;
}

/* The underlay's mark becomes the packet's own (RFC 6040, 4.2). */
static __always_inline bool mark_congestion(struct __sk_buff *skb, const struct packet *packet)
{
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return false;
	if (packet->key.family == 6) {
		__u8 byte = ((const __u8 *)ip)[1] | ECN_CE << 4;

		return !bpf_skb_store_bytes(skb, ETH_HLEN + 1, &byte, sizeof(byte),
					    BPF_F_RECOMPUTE_CSUM);
	}

	/* RFC 1624, equation 3, on the word that the mark is in. */
	__u32 sum = (__u16)~ip->check;
	__u16 word;

	__builtin_memcpy(&word, ip, sizeof(word));
	sum += (__u16)~word;
	ip->tos |= ECN_CE;
	__builtin_memcpy(&word, ip, sizeof(word));
	sum += word;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
	return true;
}

/*
 * Addresses and IPv4's bytes are written in place: neither changes a checksum the kernel keeps,
 * the first because it does not cover them, the others because the header checksum takes up the
 * difference.
 */
static __always_inline bool rewrite(struct __sk_buff *skb, const struct flow_value *flow,
				    const struct passage *passage)
{
	const struct packet *packet = &passage->packet;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > end)
		return false;
	__builtin_memcpy(eth->h_dest, flow->eth_dst, ETH_ALEN);
	__builtin_memcpy(eth->h_source, flow->eth_src, ETH_ALEN);
	if (passage->outer)
		eth->h_proto = packet->key.family == 4 ? bpf_htons(ETH_P_IP) :
							 bpf_htons(ETH_P_IPV6);
	if (unlikely(passage->congested) && !mark_congestion(skb, packet))
		return false;
	return count_hop(skb, ETH_HLEN, flow, packet);
}

/* To a guest of this host, which may have to wait for nobody: no queue is in between for a veth. */
static __always_inline int deliver(struct __sk_buff *skb, struct flow_value *flow,
				   const struct port *target, struct port_stats *target_stats,
				   const struct passage *passage)
{
	__u32 bytes = skb->len;
	bool peer = true;

	if (passage->outer && !take_off(skb, passage->outer, passage->packet.key.family, &peer))
		return exception(skb, passage);
	if (!rewrite(skb, flow, passage))
		return shot(skb, OUTCOME_DROPPED);
	count(flow, passage, bytes);
	target_stats->to_guest_packets++;
	target_stats->to_guest_bytes += bytes - passage->outer;
	skb->cb[0] = OUTCOME_DELIVERED;
	skb->cb[1] = target->ifindex;
	if (!peer || target->flags & PORT_IS_TAP)
		return bpf_redirect(target->ifindex, 0);
	/* The frame was addressed to the router, so the kernel took it for another host's. */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(target->ifindex, 0);
}

/* To another host, on the way that the kernel's routes and neighbours give. */
static __always_inline int send(struct __sk_buff *skb, struct flow_value *flow,
				const struct port *target, struct port_stats *target_stats,
				const struct passage *passage)
{
	const struct packet *packet = &passage->packet;
	const struct uplink *here = the_uplink();
	__u32 frame = skb->len;

	if (!here || passage->outer || frame > TUNNELLED_MAX)
		return exception(skb, passage);

	bool is_ipv6 = here->family == 6;

	/* The host's address has become one of the other family, and the entry is of before. */
	if (is_ipv6 != !!(flow->flags & FLOW_OUTER_IPV6) || !make_room(skb, packet, is_ipv6))
		return exception(skb, passage);
	if (is_ipv6) {
		if (!write_outer_ipv6(skb, flow, here, packet, frame) ||
		    !count_hop(skb, ETH_HLEN + OUTER_V6_LENGTH, flow, packet))
			return shot(skb, OUTCOME_DROPPED);
	} else {
		if (!write_outer_ipv4(skb, flow, here, packet, frame) ||
		    !count_hop(skb, ETH_HLEN + OUTER_V4_LENGTH, flow, packet))
			return shot(skb, OUTCOME_DROPPED);
	}
	count(flow, passage, frame);
	target_stats->to_guest_packets++;
	target_stats->to_guest_bytes += skb->len;
	skb->cb[0] = OUTCOME_UPLINK;
	skb->cb[1] = target->ifindex;
	return bpf_redirect_neigh(target->ifindex, NULL, 0, 0);
}

/*
 * A segment of UDP's is cut by what the kernel's marks say, which do not change when the tunnel's
 * headers go: it would look for the tunnel.
 */
static __always_inline bool must_be_cut_first(const struct __sk_buff *skb,
					      const struct passage *passage)
{
	return passage->outer && skb->gso_size && passage->packet.key.protocol == IPPROTO_UDP;
}

static __always_inline int execute(struct __sk_buff *skb, const struct passage *passage)
{
	const struct packet *packet = &passage->packet;
	struct flow_value *flow = bpf_map_lookup_elem(&flows, &packet->key);
	const struct agent *agent = the_agent();

	if (unlikely(!flow || !agent || flow->batch > agent->activated ||
		     flow->batch < passage->owner->since))
		return exception(skb, passage);

	__u32 number = flow->target_port;
	bool allows = flow->verdict != VERDICT_DROP;
	const struct port *target = port_by_number(number);
	struct port_stats *target_stats = stats_of(number);

	if (unlikely(!target || !target_stats))
		return exception(skb, passage);
	if (allows) {
		if (unlikely(!target->ifindex || flow->batch < target->since))
			return exception(skb, passage);
		if (unlikely(target->mode != MODE_ACCELERATED))
			return to_agent(skb, passage);
	}

	struct port *from = passage->from;
	bool is_stale = stale(passage->owner, flow);
	bool opens = (packet->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
	bool refused = !allows && !flow->peer_port && !is_stale;

	/*
	 * A new connection is judged anew, even on the ports of an old one; but what was refused by
	 * the policy of today is refused.
	 */
	if (unlikely(opens && !refused))
		return exception(skb, passage);
	/* Beyond the budget, or with nobody to ask, the old decision stands. */
	if (unlikely(is_stale) && alive(agent, passage->now) &&
	    within_budget(from, passage->now, &from->window_resimulations,
			  from->resimulations_per_window)) {
		passage->stats->resimulations++;
		return to_agent(skb, passage);
	}
	if (unlikely(!allows))
		return drop(skb, flow, passage);
	if (unlikely(packet_length(skb, passage) > flow->mtu || must_be_cut_first(skb, passage)))
		return exception(skb, passage);
	if (unlikely(flow->flags & FLOW_DECREMENT_TTL && packet->ttl <= 1))
		return exception(skb, passage);
	if (unlikely(is_stale))
		passage->stats->stale_forwarded++;
	if (flow->verdict == VERDICT_UPLINK)
		return send(skb, flow, target, target_stats, passage);
	return deliver(skb, flow, target, target_stats, passage);
}

#endif
