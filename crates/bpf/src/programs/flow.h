/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Layouts shared between the kernel programs and the agent (src/abi.rs asserts the same offsets).
 * Any change here is a new ABI_VERSION: maps outlive the agent that made them.
 */
#ifndef CLEARWAY_FLOW_H
#define CLEARWAY_FLOW_H

#include <linux/types.h>

#define ABI_VERSION 1

#define PORTS_MAX 4095	/* one more than the largest id: twelve bits of a VLAN tag, 4095 reserved */
#define MAPPING_SLOTS 65536
#define EVENTS_BYTES (256 * 1024)

/* Rates are counted in windows of 2^WINDOW_SHIFT ns, about 67 ms: a shift instead of a division. */
#define WINDOW_SHIFT 26
/* An agent that has been silent this long is dead, and established flows go on without it. */
#define AGENT_SILENCE_NS 1000000000ULL

/* Port ids, addresses and L4 ports as flow::FlowKey holds them: L4 ports in network order. */
struct flow_key {
	__u8 src[16];
	__u8 dst[16];
	__u8 source_port[2];
	__u8 destination_port[2];
	__u8 protocol;
	__u8 family;	/* 4 or 6 */
	__u16 port;
};

enum {
	VERDICT_DROP = 0,
	VERDICT_DELIVER = 1,
};

enum {
	FLOW_ACTIVE = 1 << 0,
	FLOW_DECREMENT_TTL = 1 << 1,
	FLOW_TARGET_IS_TAP = 1 << 2,
	FLOW_FORWARD = 1 << 3,	/* this direction opened the connection */
};

/*
 * The kernel stores a value right behind its key, so what is only read (up to mapping_version)
 * shares a cache line with the part of the key that was just compared, and what every packet
 * writes (packets to tcp_flags) falls together into the next one. The peer is for the agent only.
 */
struct flow_value {
	__u8 verdict;
	__u8 drop_reason;
	__u8 flags;
	__u8 has_peer;
	__u16 target_port;
	__u16 mtu;
	__u32 target_ifindex;
	__u8 eth_dst[6];
	__u8 eth_src[6];
	__u32 policy;
	__u32 path;
	__u32 mapping_slot;
	__u32 mapping_version;
	__u64 packets;
	__u64 bytes;
	__u64 last_seen_ns;
	__u32 tcp_flags;
	__u32 pad;
	struct flow_key peer;
};

enum {
	PORT_DROPS_TO_AGENT = 1 << 0,
	PORT_IS_TAP = 1 << 1,	/* for the agent, which compiles it into FLOW_TARGET_IS_TAP */
};

struct port {
	__u16 id;
	__u16 flags;
	__u8 mac[6];
	__u8 router_mac[6];
	__u32 policy_generation;
	__u32 path_generation;
	__u32 exceptions_per_window;
	__u32 resimulations_per_window;
	__u64 window;
	__u32 window_exceptions;
	__u32 window_resimulations;
};

enum {
	MODE_SYNTHETIC = 0,
	MODE_ACCELERATED = 1,
};

struct port_stats {
	__u64 from_guest_packets;	/* executed here, dropped by an entry included */
	__u64 from_guest_bytes;
	__u64 to_guest_packets;
	__u64 to_guest_bytes;
	__u64 exceptions;		/* given to the agent, re-simulations included */
	__u64 rate_limited_packets;
	__u64 rate_limited_bytes;
	__u64 resimulations;
	__u64 stale_forwarded;
	__u64 dropped_packets;
	__u64 dropped_bytes;
};

struct agent {
	__u64 heartbeat_ns;	/* CLOCK_MONOTONIC */
	__u32 exception_ifindex;
	__u32 abi_version;
};

struct flow_event {
	struct flow_key key;
	__u32 tcp_flags;
};

/* What from_guest leaves in skb->cb[0], for whoever runs it by BPF_PROG_TEST_RUN. */
enum {
	OUTCOME_DELIVERED = 1,
	OUTCOME_EXCEPTION = 2,
	OUTCOME_DROPPED = 3,
	OUTCOME_RATE_LIMITED = 4,
};

#define ASSERT_OFFSET(type, field, offset) \
	_Static_assert(__builtin_offsetof(struct type, field) == (offset), #type "." #field)

_Static_assert(sizeof(struct flow_key) == 40, "flow_key");
ASSERT_OFFSET(flow_key, source_port, 32);
ASSERT_OFFSET(flow_key, protocol, 36);
ASSERT_OFFSET(flow_key, port, 38);
_Static_assert(sizeof(struct flow_value) == 112, "flow_value");
ASSERT_OFFSET(flow_value, target_port, 4);
ASSERT_OFFSET(flow_value, target_ifindex, 8);
ASSERT_OFFSET(flow_value, eth_dst, 12);
ASSERT_OFFSET(flow_value, policy, 24);
ASSERT_OFFSET(flow_value, mapping_version, 36);
ASSERT_OFFSET(flow_value, packets, 40);
ASSERT_OFFSET(flow_value, tcp_flags, 64);
ASSERT_OFFSET(flow_value, peer, 72);
_Static_assert(sizeof(struct port) == 48, "port");
ASSERT_OFFSET(port, mac, 4);
ASSERT_OFFSET(port, router_mac, 10);
ASSERT_OFFSET(port, policy_generation, 16);
ASSERT_OFFSET(port, exceptions_per_window, 24);
ASSERT_OFFSET(port, window, 32);
ASSERT_OFFSET(port, window_resimulations, 44);
_Static_assert(sizeof(struct port_stats) == 88, "port_stats");
ASSERT_OFFSET(port_stats, exceptions, 32);
ASSERT_OFFSET(port_stats, resimulations, 56);
ASSERT_OFFSET(port_stats, dropped_bytes, 80);
_Static_assert(sizeof(struct agent) == 16, "agent");
_Static_assert(sizeof(struct flow_event) == 44, "flow_event");

#endif
