/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Layouts shared between the kernel programs and the agent (src/abi.rs asserts the same offsets).
 * Any change here is a new ABI_VERSION: maps outlive the agent that made them.
 */
#ifndef CLEARWAY_FLOW_H
#define CLEARWAY_FLOW_H

#include <linux/types.h>

#define ABI_VERSION 2

/* As flow::PortId: guests from 1, twelve bits of a VLAN tag; 4095 is reserved there. */
#define PORT_UPLINK 4094
#define PORTS_MAX 4095
/* In a flow key, the port of a frame that came off the uplink for that port. */
#define PORT_FROM_UPLINK 0x8000

#define DEVICE_SLOTS 65536
#define MAPPING_SLOTS 65536
#define TUNNEL_NICS_MAX 131072	/* NICs and VNIs, 65,536 each */
#define TUNNEL_PROVIDERS_MAX 65536
#define DROP_REASONS 64
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
	VERDICT_UPLINK = 2,
};

enum {
	FLOW_DECREMENT_TTL = 1 << 0,
	FLOW_FORWARD = 1 << 1,		/* this direction opened the connection */
	FLOW_OUTER_IPV6 = 1 << 2,	/* the family of outer_dst */
};

/*
 * The kernel stores a value right behind its key, both in one element that begins eight bytes into
 * a cache line, if the allocator's bucket of 192 bytes is one of 64. So what judges a packet (up to
 * batch) shares a line with the part of the key that was just compared, and all the rest falls
 * together into the next one. Another eight bytes would cost a bucket of 256.
 */
struct flow_value {
	__u8 verdict;
	__u8 drop_reason;
	__u8 flags;
	__u8 pad;
	__u16 target_port;	/* of a delivery; PORT_UPLINK */
	__u16 mtu;
	__u32 vni;
	__u32 path;
	__u32 policy;
	__u32 mapping_version;
	__u64 batch;		/* which activation lets it act */
	__u16 mapping_slot;
	__u8 eth_dst[6];
	__u8 eth_src[6];
	__u16 peer_port;	/* whose key is the answer's; zero for none */
	__u64 packets;
	__u64 bytes;
	__u64 last_seen_ns;
	__u32 tcp_flags;
	__u8 outer_source_port[2];
	__u8 pad2[2];
	__u8 outer_dst[16];
};

enum {
	PORT_DROPS_TO_AGENT = 1 << 0,
	PORT_IS_TAP = 1 << 1,
};

enum {
	MODE_SYNTHETIC = 0,
	MODE_ACCELERATED = 1,
};

/* One cache line, of which the programs write the windows only. */
struct port {
	__u8 mac[6];
	__u8 router_mac[6];
	__u32 ifindex;		/* zero for a port that is not attached */
	__u32 policy_generation;
	__u32 path_generation;
	__u32 mode;
	__u32 flags;
	__u64 since;		/* entries of older batches were another guest's */
	__u32 exceptions_per_window;
	__u32 resimulations_per_window;
	__u64 window;
	__u32 window_exceptions;
	__u32 window_resimulations;
};

/* Where the port of a device is found without hashing, unless another device has its slot. */
struct device_slot {
	__u32 ifindex;
	__u32 port;
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
	__u64 activated;	/* entries of this batch and of older ones act */
	__u32 exception_ifindex;
	__u32 abi_version;
};

/* This host as the underlay sees it. */
struct uplink {
	__u8 address[16];	/* the first four for IPv4 */
	__u32 ifindex;		/* zero for none */
	__u8 vxlan_port[2];	/* network order */
	__u8 family;		/* 4 or 6 */
	__u8 pad;
};

/* A MAC address of zeroes stands for the VNI itself. */
struct tunnel_nic {
	__u32 vni;
	__u8 mac[6];
	__u16 pad;
};

struct tunnel_provider {
	__u32 vni;
	__u8 address[16];
};

struct drop_count {
	__u64 packets;
	__u64 bytes;
};

struct flow_event {
	struct flow_key key;
	__u32 tcp_flags;
};

/* The numbers of flow::DropReason that a program decides by itself. */
enum {
	DROP_UNKNOWN_DESTINATION_MAC = 7,
	DROP_BROADCAST = 8,
	DROP_MULTICAST = 9,
	DROP_UNKNOWN_VNI = 31,
	DROP_UNKNOWN_PROVIDER = 32,
};

/* What a program leaves in skb->cb[0], for whoever runs it by BPF_PROG_TEST_RUN. */
enum {
	OUTCOME_DELIVERED = 1,
	OUTCOME_EXCEPTION = 2,
	OUTCOME_DROPPED = 3,
	OUTCOME_RATE_LIMITED = 4,
	OUTCOME_UPLINK = 5,
	OUTCOME_NOT_OURS = 6,
};

#define ASSERT_OFFSET(type, field, offset) \
	_Static_assert(__builtin_offsetof(struct type, field) == (offset), #type "." #field)

_Static_assert(sizeof(struct flow_key) == 40, "flow_key");
ASSERT_OFFSET(flow_key, source_port, 32);
ASSERT_OFFSET(flow_key, protocol, 36);
ASSERT_OFFSET(flow_key, port, 38);
_Static_assert(sizeof(struct flow_value) == 96, "flow_value");
ASSERT_OFFSET(flow_value, target_port, 4);
ASSERT_OFFSET(flow_value, path, 12);
ASSERT_OFFSET(flow_value, batch, 24);
ASSERT_OFFSET(flow_value, mapping_slot, 32);
ASSERT_OFFSET(flow_value, eth_src, 40);
ASSERT_OFFSET(flow_value, packets, 48);
ASSERT_OFFSET(flow_value, tcp_flags, 72);
ASSERT_OFFSET(flow_value, outer_dst, 80);
_Static_assert(sizeof(struct port) == 64, "port");
ASSERT_OFFSET(port, router_mac, 6);
ASSERT_OFFSET(port, ifindex, 12);
ASSERT_OFFSET(port, mode, 24);
ASSERT_OFFSET(port, since, 32);
ASSERT_OFFSET(port, exceptions_per_window, 40);
ASSERT_OFFSET(port, window, 48);
ASSERT_OFFSET(port, window_resimulations, 60);
_Static_assert(sizeof(struct device_slot) == 8, "device_slot");
_Static_assert(sizeof(struct port_stats) == 88, "port_stats");
ASSERT_OFFSET(port_stats, exceptions, 32);
ASSERT_OFFSET(port_stats, resimulations, 56);
ASSERT_OFFSET(port_stats, dropped_bytes, 80);
_Static_assert(sizeof(struct agent) == 24, "agent");
ASSERT_OFFSET(agent, activated, 8);
ASSERT_OFFSET(agent, abi_version, 20);
_Static_assert(sizeof(struct uplink) == 24, "uplink");
ASSERT_OFFSET(uplink, ifindex, 16);
ASSERT_OFFSET(uplink, family, 22);
_Static_assert(sizeof(struct tunnel_nic) == 12, "tunnel_nic");
_Static_assert(sizeof(struct tunnel_provider) == 20, "tunnel_provider");
_Static_assert(sizeof(struct drop_count) == 16, "drop_count");
_Static_assert(sizeof(struct flow_event) == 44, "flow_event");

#endif
