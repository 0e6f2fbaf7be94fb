/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The maps. What a packet reads by number is an array, whose lookup the kernel compiles into the
 * program; what only the agent writes there, it writes through a mapping (BPF_F_MMAPABLE).
 */
#ifndef CLEARWAY_MAPS_H
#define CLEARWAY_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "flow.h"

#define ARRAY(name, entries, value_type, flags)		\
	struct {					\
		__uint(type, BPF_MAP_TYPE_ARRAY);	\
		__uint(max_entries, entries);		\
		__uint(map_flags, flags);		\
		__uint(pinning, LIBBPF_PIN_BY_NAME);	\
		__type(key, __u32);			\
		__type(value, value_type);		\
	} name SEC(".maps")

#define PERCPU_ARRAY(name, entries, value_type)		\
	struct {					\
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);\
		__uint(max_entries, entries);		\
		__uint(pinning, LIBBPF_PIN_BY_NAME);	\
		__type(key, __u32);			\
		__type(value, value_type);		\
	} name SEC(".maps")

/* Without preallocation a freed element waits for its readers, so none is ever seen reused. */
#define HASH(name, entries, key_type, value_type)	\
	struct {					\
		__uint(type, BPF_MAP_TYPE_HASH);	\
		__uint(max_entries, entries);		\
		__uint(map_flags, BPF_F_NO_PREALLOC);	\
		__uint(pinning, LIBBPF_PIN_BY_NAME);	\
		__type(key, key_type);			\
		__type(value, value_type);		\
	} name SEC(".maps")

ARRAY(ports, PORTS_MAX, struct port, BPF_F_MMAPABLE);
PERCPU_ARRAY(port_stats, PORTS_MAX, struct port_stats);
/* Port by device, and the same once more for most devices, indexed by the end of their number. */
HASH(devices, PORTS_MAX, __u32, __u32);
ARRAY(device_slots, DEVICE_SLOTS, struct device_slot, 0);

/* The agent sets the size when it loads this. */
HASH(flows, 1, struct flow_key, struct flow_value);
ARRAY(mapping_versions, MAPPING_SLOTS, __u32, BPF_F_MMAPABLE);

ARRAY(uplink, 1, struct uplink, 0);
HASH(tunnel_nics, TUNNEL_NICS_MAX, struct tunnel_nic, __u32);
HASH(tunnel_providers, TUNNEL_PROVIDERS_MAX, struct tunnel_provider, __u32);
PERCPU_ARRAY(uplink_drops, DROP_REASONS, struct drop_count);

ARRAY(agent, 1, struct agent, BPF_F_MMAPABLE);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

static __always_inline struct port *port_by_number(__u32 number)
{
	return bpf_map_lookup_elem(&ports, &number);
}

static __always_inline struct port_stats *stats_of(__u32 number)
{
	return bpf_map_lookup_elem(&port_stats, &number);
}

static __always_inline const struct agent *the_agent(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&agent, &zero);
}

static __always_inline const struct uplink *the_uplink(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&uplink, &zero);
}

/* Zero if the device is no port's. */
static __always_inline __u32 port_on(__u32 ifindex)
{
	__u32 index = ifindex % DEVICE_SLOTS;
	const struct device_slot *slot = bpf_map_lookup_elem(&device_slots, &index);

	if (slot && slot->ifindex == ifindex)
		return slot->port;

	const __u32 *number = bpf_map_lookup_elem(&devices, &ifindex);

	return number ? *number : 0;
}

#endif
