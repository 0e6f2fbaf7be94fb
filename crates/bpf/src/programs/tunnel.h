/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The outer headers: Ethernet, IP, UDP, VXLAN (RFC 7348, 5).
 *
 * Super-segments stay whole both ways: the kernel keeps the size of the inner segments, and cuts
 * them, outer headers and all, where a device cannot.
 */
#ifndef CLEARWAY_TUNNEL_H
#define CLEARWAY_TUNNEL_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"
#include "parse.h"

/* Linux 6.2 and newer; an older kernel refuses flags it does not know before it does anything. */
#define DECAP_L3_IPV4 (1ULL << 7)
#define DECAP_L3_IPV6 (1ULL << 8)

#define OUTER_TTL 64
#define IP_DONT_FRAGMENT 0x4000
#define IP_OFFSET_BITS 0x1fff
#define VXLAN_VNI_VALID 0x08000000

struct vxlanhdr {
	__be32 flags;
	__be32 vni;	/* in the upper three bytes */
};

/* What lies between the two Ethernet headers. */
struct outer_v4 {
	struct iphdr ip;
	struct udphdr udp;
	struct vxlanhdr vxlan;
};

struct outer_v6 {
	struct ipv6hdr ip;
	struct udphdr udp;
	struct vxlanhdr vxlan;
};

_Static_assert(sizeof(struct outer_v4) == 36, "outer_v4");
_Static_assert(sizeof(struct outer_v6) == 56, "outer_v6");

/* What a tunnel adds to a frame, in front of which its new Ethernet header stands. */
#define OUTER_V4_LENGTH (ETH_HLEN + sizeof(struct outer_v4))
#define OUTER_V6_LENGTH (ETH_HLEN + sizeof(struct outer_v6))

/* The longest frame whose outer length fields, of either family, still hold its length. */
#define TUNNELLED_MAX (0xffff - sizeof(struct outer_v4))

/* Whose a frame off the uplink is. */
enum {
	NOT_OURS,
	OURS,
	OURS_ODD,	/* which only the switch can tell what is wrong with */
};

struct outer {
	struct tunnel_provider source;	/* with the VNI */
	__u32 length;		/* up to the guest's frame */
	__u8 ecn;
};

/* A datagram to our address that is no plain VXLAN: ours all the same if its port is. */
static __always_inline int ours_by_port(const struct __sk_buff *skb, __u32 udp,
					const struct uplink *uplink)
{
	__u8 port[2];

	if (bpf_skb_load_bytes(skb, udp + __builtin_offsetof(struct udphdr, dest), port, 2))
		return NOT_OURS;
	return port[0] == uplink->vxlan_port[0] && port[1] == uplink->vxlan_port[1] ?
	       OURS_ODD : NOT_OURS;
}

static __always_inline bool is_to(const struct udphdr *udp, const struct uplink *uplink)
{
	const __u8 *port = (const __u8 *)&udp->dest;

	return port[0] == uplink->vxlan_port[0] && port[1] == uplink->vxlan_port[1];
}

static __always_inline bool equal16(const void *a, const __u8 *b)
{
	const __u32 *x = a, *y = (const void *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

/* Makes sure that the first bytes lie in one piece, which for most devices they do. */
static __always_inline bool in_one_piece(struct __sk_buff *skb, __u32 bytes)
{
	if ((long)skb->data + bytes <= (long)skb->data_end)
		return true;
	return skb->len >= bytes && !bpf_skb_pull_data(skb, bytes);
}

static __always_inline int outer_ipv4(struct __sk_buff *skb, const struct uplink *uplink,
				      struct outer *outer)
{
	if (!in_one_piece(skb, ETH_HLEN + sizeof(struct iphdr)))
		return NOT_OURS;

	void *end = (void *)(long)skb->data_end;
	const struct ethhdr *eth = (void *)(long)skb->data;
	const struct outer_v4 *headers = (const void *)(eth + 1);

	if ((void *)(&headers->ip + 1) > end)
		return NOT_OURS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || headers->ip.protocol != IPPROTO_UDP)
		return NOT_OURS;

	__u32 address;

	__builtin_memcpy(&address, uplink->address, 4);
	/* A later fragment does not say to which port it goes. */
	if (headers->ip.daddr != address || headers->ip.frag_off & bpf_htons(IP_OFFSET_BITS))
		return NOT_OURS;

	__u32 udp = ETH_HLEN + headers->ip.ihl * 4;

	if (headers->ip.ihl != 5 || headers->ip.frag_off & bpf_htons(IP_FRAGMENT_BITS) ||
	    !in_one_piece(skb, ETH_HLEN + sizeof(*headers)))
		return ours_by_port(skb, udp, uplink);
	end = (void *)(long)skb->data_end;
	eth = (void *)(long)skb->data;
	headers = (const void *)(eth + 1);
	if ((void *)(headers + 1) > end || !is_to(&headers->udp, uplink))
		return NOT_OURS;

	__u32 total = skb->len - ETH_HLEN;

	if (headers->ip.version != 4 || bpf_ntohs(headers->ip.tot_len) != total ||
	    bpf_ntohs(headers->udp.len) != total - sizeof(headers->ip) ||
	    !(headers->vxlan.flags & bpf_htonl(VXLAN_VNI_VALID)) ||
	    !ipv4_checksum_correct(&headers->ip))
		return OURS_ODD;
	outer->source.vni = bpf_ntohl(headers->vxlan.vni) >> 8;
	__builtin_memcpy(outer->source.address, &headers->ip.saddr, 4);
	outer->ecn = headers->ip.tos & ECN_MASK;
	outer->length = OUTER_V4_LENGTH;
	return OURS;
}

/* A UDP header anywhere but right behind the IP header is not looked for. */
static __always_inline int outer_ipv6(struct __sk_buff *skb, const struct uplink *uplink,
				      struct outer *outer)
{
	if (!in_one_piece(skb, ETH_HLEN + sizeof(struct ipv6hdr)))
		return NOT_OURS;

	void *end = (void *)(long)skb->data_end;
	const struct ethhdr *eth = (void *)(long)skb->data;
	const struct outer_v6 *headers = (const void *)(eth + 1);

	if ((void *)(&headers->ip + 1) > end)
		return NOT_OURS;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6) || headers->ip.nexthdr != IPPROTO_UDP ||
	    !equal16(&headers->ip.daddr, uplink->address))
		return NOT_OURS;
	if (!in_one_piece(skb, ETH_HLEN + sizeof(*headers)))
		return ours_by_port(skb, ETH_HLEN + sizeof(headers->ip), uplink);
	end = (void *)(long)skb->data_end;
	eth = (void *)(long)skb->data;
	headers = (const void *)(eth + 1);
	if ((void *)(headers + 1) > end || !is_to(&headers->udp, uplink))
		return NOT_OURS;

	__u32 payload = skb->len - ETH_HLEN - sizeof(headers->ip);

	if (headers->ip.version != 6 || bpf_ntohs(headers->ip.payload_len) != payload ||
	    bpf_ntohs(headers->udp.len) != payload ||
	    !(headers->vxlan.flags & bpf_htonl(VXLAN_VNI_VALID)))
		return OURS_ODD;
	outer->source.vni = bpf_ntohl(headers->vxlan.vni) >> 8;
	__builtin_memcpy(outer->source.address, &headers->ip.saddr, 16);
	outer->ecn = headers->ip.flow_lbl[0] >> 4 & ECN_MASK;
	outer->length = OUTER_V6_LENGTH;
	return OURS;
}

/* Whose the frame is, and what its outer headers say. */
static __always_inline int parse_outer(struct __sk_buff *skb, const struct uplink *uplink,
				       struct outer *outer)
{
	if (skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return NOT_OURS;
	if (uplink->family == 4)
		return outer_ipv4(skb, uplink, outer);
	if (uplink->family == 6)
		return outer_ipv6(skb, uplink, outer);
	return NOT_OURS;
}

static __always_inline void write_tunnel(struct udphdr *udp, struct vxlanhdr *vxlan,
					 struct ethhdr *inner, const struct flow_value *flow,
					 const struct uplink *uplink, __u32 udp_length, __u8 family)
{
	__builtin_memcpy(&udp->source, flow->outer_source_port, 2);
	__builtin_memcpy(&udp->dest, uplink->vxlan_port, 2);
	udp->len = bpf_htons(udp_length);
	/* RFC 7348, 5; over IPv6, RFC 6935. */
	udp->check = 0;
	vxlan->flags = bpf_htonl(VXLAN_VNI_VALID);
	vxlan->vni = bpf_htonl(flow->vni << 8);
	__builtin_memcpy(inner->h_dest, flow->eth_dst, ETH_ALEN);
	__builtin_memcpy(inner->h_source, flow->eth_src, ETH_ALEN);
	inner->h_proto = family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
}

static __always_inline bool write_outer_ipv4(struct __sk_buff *skb, const struct flow_value *flow,
					     const struct uplink *uplink,
					     const struct packet *packet, __u32 frame)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct outer_v4 *headers = (void *)(eth + 1);
	struct ethhdr *inner = (void *)(headers + 1);
	__u32 length = frame + sizeof(*headers);
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tos = packet->ecn,
		.tot_len = bpf_htons(length),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = OUTER_TTL,
		.protocol = IPPROTO_UDP,
	};

	if ((void *)(inner + 1) > end)
		return false;
	eth->h_proto = bpf_htons(ETH_P_IP);
	__builtin_memcpy(&ip.saddr, uplink->address, 4);
	__builtin_memcpy(&ip.daddr, flow->outer_dst, 4);
	ip.check = ~ipv4_sum(&ip);
	headers->ip = ip;
	write_tunnel(&headers->udp, &headers->vxlan, inner, flow, uplink,
		     length - sizeof(ip), packet->key.family);
	return true;
}

static __always_inline bool write_outer_ipv6(struct __sk_buff *skb, const struct flow_value *flow,
					     const struct uplink *uplink,
					     const struct packet *packet, __u32 frame)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct outer_v6 *headers = (void *)(eth + 1);
	struct ethhdr *inner = (void *)(headers + 1);
	__u32 length = frame + sizeof(*headers) - sizeof(headers->ip);
	struct ipv6hdr ip = {
		.version = 6,
		.flow_lbl = { packet->ecn << 4 },
		.payload_len = bpf_htons(length),
		.nexthdr = IPPROTO_UDP,
		.hop_limit = OUTER_TTL,
	};

	if ((void *)(inner + 1) > end)
		return false;
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	__builtin_memcpy(&ip.saddr, uplink->address, 16);
	__builtin_memcpy(&ip.daddr, flow->outer_dst, 16);
	headers->ip = ip;
	write_tunnel(&headers->udp, &headers->vxlan, inner, flow, uplink, length,
		     packet->key.family);
	return true;
}

/*
 * Makes room for the outer headers. A packet that the kernel takes for tunnelled already, because
 * the guest put it into a tunnel of its own or forwards one that came out of ours, cannot be marked
 * so once more, and goes without: its marks then still tell the innermost packet, which is right if
 * it needs no cutting, or is the one of ours that they were made for.
 */
static __always_inline bool make_room(struct __sk_buff *skb, const struct packet *packet,
				      bool is_ipv6)
{
	__u32 room = is_ipv6 ? OUTER_V6_LENGTH : OUTER_V4_LENGTH;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
		      BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN);

	flags |= is_ipv6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	if (!bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags))
		return true;
	if (is_ipv6 != (packet->key.family == 6))
		return false;
	if (skb->gso_size && packet->key.protocol != IPPROTO_TCP)
		return false;
	return !bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

/*
 * Takes the outer headers off. The outer Ethernet header stays, to become the guest's. What the
 * device checked of the checksums goes down by the one of the tunnel. Says in peer whether the
 * frame may go to the other end of a veth pair at once: a kernel that cannot be told of a change
 * of family must look at the EtherType first.
 */
static __always_inline bool take_off(struct __sk_buff *skb, __u32 outer, __u8 family, bool *peer)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	__u64 decap = 0;

	if (family == 4 && outer == OUTER_V6_LENGTH)
		decap = DECAP_L3_IPV4;
	else if (family == 6 && outer == OUTER_V4_LENGTH)
		decap = DECAP_L3_IPV6;
	*peer = true;
	if (bpf_skb_adjust_room(skb, -(__s32)outer, BPF_ADJ_ROOM_MAC, flags | decap)) {
		*peer = false;
		if (!decap || bpf_skb_adjust_room(skb, -(__s32)outer, BPF_ADJ_ROOM_MAC, flags))
			return false;
	}
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	return true;
}

#endif
