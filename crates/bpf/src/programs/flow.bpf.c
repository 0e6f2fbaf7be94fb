// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * The flow engine in the kernel: one exact-match lookup on the host side of a guest's interface.
 *
 * Built by `cargo xtask bpf`, which runs, with -idirafter /usr/include/$(uname -m)-linux-gnu
 * where Debian keeps asm/:
 *
 * clang -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -ffile-prefix-map=<dir>=. -c flow.bpf.c -o flow.bpf.o && llvm-strip -g flow.bpf.o
 *
 * The program decides nothing. It executes what the switch decided for a flow, and gives every
 * frame it holds no current decision for to the agent: an exception. Whatever cannot be an
 * exception is dropped, never passed on, for behind this hook lies the host's own stack.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"
#include "parse.h"

/* Without preallocation a freed element waits for its readers, so none is ever seen reused. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct port);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORTS_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} port_modes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PORTS_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct port_stats);
} port_stats SEC(".maps");

/* The agent sets the size when it loads this. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct flow_key);
	__type(value, struct flow_value);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAPPING_SLOTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} mapping_versions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct agent);
} agent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

static __always_inline bool accelerated(__u32 port)
{
	const __u32 *mode = bpf_map_lookup_elem(&port_modes, &port);

	return mode && *mode == MODE_ACCELERATED;
}

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

static __always_inline int shot(struct __sk_buff *skb, __u32 outcome)
{
	skb->cb[0] = outcome;
	return TC_ACT_SHOT;
}

/*
 * The tag names the port. It lies in the metadata, so the agent reads the guest's own bytes. The
 * tag a guest pushed itself is in the metadata too by now: ours moves it back into the bytes,
 * where the agent finds it as the EtherType.
 */
static __always_inline int to_agent(struct __sk_buff *skb, const struct port *port,
				    struct port_stats *stats)
{
	__u32 zero = 0;
	const struct agent *reader = bpf_map_lookup_elem(&agent, &zero);

	if (!reader || bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), port->id))
		return shot(skb, OUTCOME_DROPPED);
	stats->exceptions++;
	skb->cb[0] = OUTCOME_EXCEPTION;
	skb->cb[1] = reader->exception_ifindex;
	return bpf_redirect(reader->exception_ifindex, BPF_F_INGRESS);
}

/* A guest must not be able to drown the agent in frames that no entry covers. */
static __always_inline int exception(struct __sk_buff *skb, struct port *port,
				     struct port_stats *stats, __u64 now)
{
	if (within_budget(port, now, &port->window_exceptions, port->exceptions_per_window))
		return to_agent(skb, port, stats);
	stats->rate_limited_packets++;
	stats->rate_limited_bytes += skb->len;
	return shot(skb, OUTCOME_RATE_LIMITED);
}

/*
 * An edit that allows less leaves established connections alone, so an allowing entry looks at
 * the path only; a refused one must notice every edit. An address that has moved, or has come to
 * be, concerns both.
 */
static __always_inline bool stale(const struct port *port, const struct flow_value *flow)
{
	if (flow->verdict == VERDICT_DELIVER && flow->path != port->path_generation)
		return true;
	if (flow->verdict != VERDICT_DELIVER && flow->policy != port->policy_generation)
		return true;

	__u32 slot = flow->mapping_slot;
	const __u32 *version = bpf_map_lookup_elem(&mapping_versions, &slot);

	return !version || *version != flow->mapping_version;
}

/* The agent's clock is finer than ours, so its heartbeat may lie ahead of now. */
static __always_inline bool agent_alive(__u64 now)
{
	__u32 zero = 0;
	const struct agent *reader = bpf_map_lookup_elem(&agent, &zero);

	return reader && now <= reader->heartbeat_ns + AGENT_SILENCE_NS;
}

/* What the receiver's MTU is compared with: the packet, or the longest one it will be cut into. */
static __always_inline __u32 packet_length(const struct __sk_buff *skb,
					   const struct packet *packet)
{
	if (!skb->gso_size)
		return skb->len - ETH_HLEN;
	if (!packet->payload_offset)
		return (__u32)-1;
	return packet->payload_offset + skb->gso_size;
}

/*
 * The agent hears of a connection's end, and of its answer, for until then it takes the connection
 * for one that may be forgotten. The event is lost when the ring is full; the flags stay in the
 * entry, which the agent reads.
 */
static __always_inline void note_tcp_flags(struct flow_value *flow, const struct packet *packet)
{
	__u32 flags = packet->tcp_flags;

	if ((flow->tcp_flags & flags) == flags)
		return;

	__u32 before = __sync_fetch_and_or(&flow->tcp_flags, flags);
	__u32 told = TCP_FLAG_FIN | TCP_FLAG_RST;

	if (!(flow->flags & FLOW_FORWARD))
		told |= TCP_FLAG_SYN | TCP_FLAG_ACK;
	if (!(flags & ~before & told))
		return;

	struct flow_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return;
	event->key = packet->key;
	event->tcp_flags = flags;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void count(struct flow_value *flow, const struct packet *packet,
				  struct port_stats *stats, __u32 bytes, __u64 now)
{
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, bytes);
	flow->last_seen_ns = now;
	note_tcp_flags(flow, packet);
	stats->from_guest_packets++;
	stats->from_guest_bytes += bytes;
}

/*
 * A port whose drops are being watched gives them to the agent, which counts them there: one
 * frame, one count. Beyond the budget they are counted here, as the drop they are.
 */
static __always_inline int drop(struct __sk_buff *skb, struct port *port, struct flow_value *flow,
				const struct packet *packet, struct port_stats *stats, __u64 now)
{
	if (port->flags & PORT_DROPS_TO_AGENT &&
	    within_budget(port, now, &port->window_exceptions, port->exceptions_per_window))
		return to_agent(skb, port, stats);
	count(flow, packet, stats, skb->len, now);
	stats->dropped_packets++;
	stats->dropped_bytes += skb->len;
	return shot(skb, OUTCOME_DROPPED);
}

/*
 * The MAC addresses and IPv4's TTL are written in place: neither changes a checksum the kernel
 * keeps, the first because it does not cover them, the second because the header checksum takes
 * up the difference. The hop limit of IPv6 has nothing to balance it, so the helper must correct
 * the sum.
 */
static __always_inline bool rewrite(struct __sk_buff *skb, const struct flow_value *flow,
				    const struct packet *packet)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end)
		return false;
	__builtin_memcpy(eth->h_dest, flow->eth_dst, ETH_ALEN);
	__builtin_memcpy(eth->h_source, flow->eth_src, ETH_ALEN);
	if (!(flow->flags & FLOW_DECREMENT_TTL))
		return true;
	if (packet->key.family == 4) {
		/* As the kernel's ip_decrease_ttl(): RFC 1624 for the one byte. */
		__u32 check = ip->check;

		check += bpf_htons(0x0100);
		ip->check = check + (check >= 0xffff);
		ip->ttl--;
		return true;
	}

	__u8 hop_limit = packet->ttl - 1;

	return !bpf_skb_store_bytes(skb, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, hop_limit),
				    &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM);
}

/* The frame was addressed to the router, so the kernel took it for another host's. */
static __always_inline int deliver(struct __sk_buff *skb, const struct flow_value *flow)
{
	skb->cb[0] = OUTCOME_DELIVERED;
	skb->cb[1] = flow->target_ifindex;
	if (flow->flags & FLOW_TARGET_IS_TAP)
		return bpf_redirect(flow->target_ifindex, 0);
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(flow->target_ifindex, 0);
}

/*
 * Runs on what a guest sent. In order: whose frame it is, whether it has an entry, whether the
 * entry still counts, whether the receiver can take the frame; then the entry is executed.
 */
SEC("classifier")
int from_guest(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct port *port = bpf_map_lookup_elem(&ports, &ifindex);

	if (!port)
		return shot(skb, OUTCOME_DROPPED);

	__u32 id = port->id;
	struct port_stats *stats = bpf_map_lookup_elem(&port_stats, &id);

	if (!stats)
		return shot(skb, OUTCOME_DROPPED);
	/* The switch polices the synthetic path itself: all of a guest's traffic may be on it. */
	if (!accelerated(id))
		return to_agent(skb, port, stats);

	__u64 now = bpf_ktime_get_coarse_ns();
	struct packet packet = {};

	if (!parse(skb, port, &packet))
		return exception(skb, port, stats, now);

	struct flow_value *flow = bpf_map_lookup_elem(&flows, &packet.key);

	if (!flow || !(flow->flags & FLOW_ACTIVE))
		return exception(skb, port, stats, now);
	if (flow->verdict == VERDICT_DELIVER && !accelerated(flow->target_port))
		return to_agent(skb, port, stats);

	bool is_stale = stale(port, flow);
	bool opens = (packet.tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
	bool refused = flow->verdict != VERDICT_DELIVER && !flow->has_peer && !is_stale;

	/*
	 * A new connection is judged anew, even on the ports of an old one; but what was refused by
	 * the policy of today is refused.
	 */
	if (opens && !refused)
		return exception(skb, port, stats, now);
	/* Beyond the budget, or with nobody to ask, the old decision stands. */
	if (is_stale && agent_alive(now) &&
	    within_budget(port, now, &port->window_resimulations,
			  port->resimulations_per_window)) {
		stats->resimulations++;
		return to_agent(skb, port, stats);
	}
	if (flow->verdict != VERDICT_DELIVER)
		return drop(skb, port, flow, &packet, stats, now);
	if (packet_length(skb, &packet) > flow->mtu)
		return exception(skb, port, stats, now);
	if (flow->flags & FLOW_DECREMENT_TTL && packet.ttl <= 1)
		return exception(skb, port, stats, now);

	__u32 target = flow->target_port;
	__u32 bytes = skb->len;
	struct port_stats *target_stats = bpf_map_lookup_elem(&port_stats, &target);

	if (!target_stats || !rewrite(skb, flow, &packet))
		return shot(skb, OUTCOME_DROPPED);
	count(flow, &packet, stats, bytes, now);
	stats->stale_forwarded += is_stale;
	target_stats->to_guest_packets++;
	target_stats->to_guest_bytes += bytes;
	return deliver(skb, flow);
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
