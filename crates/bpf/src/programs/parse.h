/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * From a frame to its flow key, for the frames the fast path understands.
 *
 * Nothing is judged here: whatever is odd, malformed, fragmented, extended or merely rare is ODD,
 * and the frame goes to the switch, whose parser is the one that knows.
 */
#ifndef CLEARWAY_PARSE_H
#define CLEARWAY_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"

/* What is rare is laid out of the way of what is not. */
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

/* As far as any field that is read: Ethernet, the longer IP header, TCP without its options. */
#define HEADERS_MAX (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcphdr))

/* MF and the thirteen bits of offset (RFC 791, 3.1). DF and the reserved bit say nothing here. */
#define IP_FRAGMENT_BITS 0x3fff

/*
 * What became of parsing. A frame is CUT where the part of it that lies in one piece ends before a
 * header does. It is then made longer, but no sooner: for a segment that waits for its
 * acknowledgement the kernel would have to copy all headers.
 */
enum {
	PARSED,
	ODD,
	CUT,
};

#define ECN_MASK 3
#define ECN_CE 3

struct packet {
	struct flow_key key;
	/* From the start of the IP header to the L4 payload; zero if the protocol has no segments. */
	__u16 payload_offset;
	__u8 ttl;
	__u8 tcp_flags;
	__u8 ecn;
};

/* The part of an ICMP echo that is read (RFC 792; RFC 4443, 4.1). */
struct echo {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u8 identifier[2];
	__u8 sequence[2];
};

/* Both are 2-aligned wherever they lie, and no wider load is safe on every architecture. */
static __always_inline bool mac_equal(const void *a, const void *b)
{
	const __u16 *x = a, *y = b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* The folded sum over a header without options, checksum field included. */
static __always_inline __u16 ipv4_sum(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline bool ipv4_checksum_correct(const struct iphdr *ip)
{
	return ipv4_sum(ip) == 0xffff;
}

static __always_inline int parse_tcp(const struct tcphdr *tcp, void *end, __u32 length,
				     __u16 ip_header, struct packet *packet)
{
	if (unlikely((void *)(tcp + 1) > end))
		return CUT;

	__u32 header = tcp->doff * 4;

	if (unlikely(header < sizeof(*tcp) || header > length))
		return ODD;
	__builtin_memcpy(packet->key.source_port, &tcp->source, 2);
	__builtin_memcpy(packet->key.destination_port, &tcp->dest, 2);
	packet->tcp_flags = ((const __u8 *)tcp)[13];
	packet->payload_offset = ip_header + header;
	return PARSED;
}

static __always_inline int parse_udp(const struct udphdr *udp, void *end, __u32 length,
				     __u16 ip_header, struct packet *packet)
{
	if (unlikely((void *)(udp + 1) > end))
		return CUT;

	__u16 claimed = bpf_ntohs(udp->len);

	if (unlikely(claimed < sizeof(*udp) || claimed > length))
		return ODD;
	__builtin_memcpy(packet->key.source_port, &udp->source, 2);
	__builtin_memcpy(packet->key.destination_port, &udp->dest, 2);
	packet->payload_offset = ip_header + sizeof(*udp);
	return PARSED;
}

/* Type and code stand in for the destination port, so that request and reply have two keys. */
static __always_inline int parse_echo(const struct echo *echo, void *end, __u32 length,
				      __u8 request, __u8 reply, struct packet *packet)
{
	if (length < sizeof(*echo))
		return ODD;
	if ((void *)(echo + 1) > end)
		return CUT;
	if ((echo->type != request && echo->type != reply) || echo->code)
		return ODD;
	__builtin_memcpy(packet->key.source_port, echo->identifier, 2);
	packet->key.destination_port[0] = echo->type;
	return PARSED;
}

static __always_inline int parse_ipv4(const struct iphdr *ip, void *end, __u32 frame_left,
				      struct packet *packet)
{
	if (unlikely((void *)(ip + 1) > end))
		return CUT;

	__u32 total = bpf_ntohs(ip->tot_len);
	__u32 length = total - sizeof(*ip);
	const void *l4 = ip + 1;

	if (unlikely(ip->version != 4 || ip->ihl != 5 ||
		     ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)))
		return ODD;
	if (unlikely(total < sizeof(*ip) || total > frame_left || !ipv4_checksum_correct(ip)))
		return ODD;
	__builtin_memcpy(packet->key.src, &ip->saddr, 4);
	__builtin_memcpy(packet->key.dst, &ip->daddr, 4);
	packet->key.family = 4;
	packet->key.protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->ecn = ip->tos & ECN_MASK;
	switch (ip->protocol) {
	case IPPROTO_TCP:
		return parse_tcp(l4, end, length, sizeof(*ip), packet);
	case IPPROTO_UDP:
		return parse_udp(l4, end, length, sizeof(*ip), packet);
	case IPPROTO_ICMP:
		return parse_echo(l4, end, length, 8, 0, packet);
	default:
		return PARSED;
	}
}

static __always_inline int parse_ipv6(const struct ipv6hdr *ip, void *end, __u32 frame_left,
				      struct packet *packet)
{
	if (unlikely((void *)(ip + 1) > end))
		return CUT;

	__u32 length = bpf_ntohs(ip->payload_len);
	const void *l4 = ip + 1;

	/* Zero is either nothing or a jumbogram (RFC 2675). */
	if (unlikely(ip->version != 6 || !length || length + sizeof(*ip) > frame_left))
		return ODD;
	__builtin_memcpy(packet->key.src, &ip->saddr, 16);
	__builtin_memcpy(packet->key.dst, &ip->daddr, 16);
	packet->key.family = 6;
	packet->key.protocol = ip->nexthdr;
	packet->ttl = ip->hop_limit;
	packet->ecn = ip->flow_lbl[0] >> 4 & ECN_MASK;
	switch (ip->nexthdr) {
	case IPPROTO_TCP:
		return parse_tcp(l4, end, length, sizeof(*ip), packet);
	case IPPROTO_UDP:
		return parse_udp(l4, end, length, sizeof(*ip), packet);
	case IPPROTO_ICMPV6:
		return parse_echo(l4, end, length, 128, 129, packet);
	/* Behind these stands the protocol that counts: the registry of IPv6 extension headers. */
	case 0:		/* hop-by-hop options */
	case 43:	/* routing */
	case 44:	/* fragment */
	case 51:	/* authentication */
	case 60:	/* destination options */
	case 135:	/* mobility */
	case 139:	/* HIP */
	case 140:	/* shim6 */
		return ODD;
	default:
		return PARSED;
	}
}

static __always_inline int parse_frame(struct __sk_buff *skb, __u32 offset, struct packet *packet)
{
	void *end = (void *)(long)skb->data_end;
	const struct ethhdr *eth = (void *)(long)skb->data + offset;
	__u32 frame_left = skb->len - offset - ETH_HLEN;

	if (unlikely((void *)(eth + 1) > end))
		return CUT;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return parse_ipv4((const void *)(eth + 1), end, frame_left, packet);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6((const void *)(eth + 1), end, frame_left, packet);
	return ODD;
}

/* The frame that begins at offset, all of whose key but the port is filled in. */
static __always_inline bool parse(struct __sk_buff *skb, __u32 offset, struct packet *packet)
{
	/* The kernel has moved an outer tag to the metadata before any program runs. */
	if (unlikely(skb->vlan_present || skb->len < offset + ETH_HLEN))
		return false;

	int result = CUT;

#pragma clang loop unroll(disable)
	for (int attempt = 0; attempt < 2; attempt++) {
		result = parse_frame(skb, offset, packet);
		if (!unlikely(result == CUT))
			break;

		__u32 headers = skb->len < offset + HEADERS_MAX ? skb->len : offset + HEADERS_MAX;

		if (bpf_skb_pull_data(skb, headers))
			break;
	}
	return result == PARSED;
}

#endif
