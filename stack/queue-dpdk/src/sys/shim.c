/*
 * What of DPDK is macros, inline functions and structures, as functions over plain values.
 *
 * DPDK's structures differ between releases, and rte_eth_rx_burst and its kin are inline: they can
 * only be compiled against the headers of the DPDK that is linked. So all of that happens here, and
 * Rust sees ports by number, mbufs and mempools as opaque pointers, and one structure of our own,
 * `struct shim_burst`, in which a whole burst crosses the border in one call.
 *
 * Written for DPDK 22.11 and later; uses nothing that is experimental there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or later is needed"
#endif

/* As `queue::BURST_MAX`. */
#define SHIM_BURST_MAX 64

/* Bits of `shim_burst.meta`: as `queue::Meta`. */
#define SHIM_CHECKSUM_GOOD (1u << 0)
#define SHIM_CHECKSUM_FILL (1u << 1)

/* Bits of what is wanted of a port and obtained from it: as `sys::ffi` names them. */
#define SHIM_RX_CHECKSUM (1u << 0)
#define SHIM_TX_CHECKSUM (1u << 1)
#define SHIM_RSS_IPV4 (1u << 2)
#define SHIM_RSS_TCP (1u << 3)

/* One burst, either way. The Rust side has the same; both assert the size. */
struct shim_burst {
	struct rte_mbuf *mbufs[SHIM_BURST_MAX];
	uint8_t *data[SHIM_BURST_MAX];
	uint16_t len[SHIM_BURST_MAX];
	uint16_t room[SHIM_BURST_MAX];
	uint32_t meta[SHIM_BURST_MAX];
	/* Dropped so far, and freed: why is in the names. */
	uint64_t short_frames;
	uint64_t long_frames;
	uint64_t shared_frames;
	uint64_t bad_checksum_frames;
	uint64_t unsendable_frames;
};
_Static_assert(sizeof(struct shim_burst) == SHIM_BURST_MAX * 24 + 40, "as in Rust");

/* Functions that Rust declares; C asks for a declaration, too. */
int shim_eal_init(int argc, char **argv);
int shim_eal_cleanup(void);
int shim_eal_has_huge_pages(void);
const char *shim_version(void);
const char *shim_error_text(int error);
int shim_thread_register(void);
void shim_thread_unregister(void);
int shim_device_probe(const char *arguments);
uint16_t shim_ports(uint16_t *ids, uint16_t room);
int shim_port_name(uint16_t port, char *name, size_t room);
int shim_port_driver(uint16_t port, char *name, size_t room);
int shim_port_limits(uint16_t port, uint32_t *limits);
int shim_port_configure(uint16_t port, uint16_t queues, uint32_t wanted, uint32_t *obtained);
int shim_port_adjust_rings(uint16_t port, uint16_t *rings);
int shim_queue_setup(uint16_t port, uint16_t queue, uint16_t rx_ring, uint16_t tx_ring,
		     struct rte_mempool *pool);
int shim_port_set_mac(uint16_t port, const uint8_t *mac);
int shim_port_mac(uint16_t port, uint8_t *mac);
int shim_port_mtu(uint16_t port, uint16_t *mtu);
int shim_port_start(uint16_t port);
void shim_port_stop(uint16_t port);
void shim_port_close(uint16_t port);
int shim_port_stats(uint16_t port, uint64_t *stats);
int shim_port_link_is_up(uint16_t port);
struct rte_mempool *shim_pool_create(const char *name, uint32_t frames, int socket, int *error);
uint32_t shim_pool_in_use(const struct rte_mempool *pool);
void shim_pool_free(struct rte_mempool *pool);
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, bool verify, struct shim_burst *burst,
		       uint16_t count);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, bool prepare, struct shim_burst *burst,
		       uint16_t count);
uint16_t shim_alloc(struct rte_mempool *pool, struct shim_burst *burst, uint16_t count);
void shim_free(struct rte_mbuf **mbufs, uint16_t count);

/* ---- EAL ---- */

/* Has standard output lead where standard error does; returns where it led, or -1. */
static int divert_output(void)
{
	int output;

	fflush(stdout);
	output = dup(STDOUT_FILENO);
	if (output >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
		close(output);
		return -1;
	}
	return output;
}

static int restore_output(int output)
{
	int status;

	fflush(stdout);
	status = dup2(output, STDOUT_FILENO);
	close(output);
	return status < 0 ? errno : 0;
}

/* Returns 0 or a positive errno. EAL writes to `argv`, and may keep pointers into it. */
int shim_eal_init(int argc, char **argv)
{
	cpu_set_t before;
	int restored, output, error;

	error = pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	if (error != 0)
		return error;
	/* Standard output is the caller's: what EAL says, its usage included, goes elsewhere. */
	if (rte_openlog_stream(stderr) != 0)
		return EIO;
	output = divert_output();
	if (output < 0)
		return errno;
	if (rte_eal_init(argc, argv) < 0)
		error = rte_errno != 0 ? rte_errno : EINVAL;
	restored = restore_output(output);
	if (error == 0)
		error = restored;
	/* EAL pins the thread that calls it, and threads inherit that. The caller pins its own. */
	if (error == 0)
		error = pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
	return error;
}

int shim_eal_cleanup(void)
{
	return -rte_eal_cleanup();
}

int shim_eal_has_huge_pages(void)
{
	return rte_eal_has_hugepages();
}

const char *shim_version(void)
{
	return rte_version();
}

const char *shim_error_text(int error)
{
	return rte_strerror(error);
}

/* Gives the calling thread a number, by which mempools find its cache. Returns 0 or an errno. */
int shim_thread_register(void)
{
	if (rte_lcore_id() != LCORE_ID_ANY)
		return 0;
	if (rte_thread_register() < 0)
		return rte_errno != 0 ? rte_errno : EINVAL;
	return 0;
}

void shim_thread_unregister(void)
{
	rte_thread_unregister();
}

/* Adds a device, for example `net_ring0`. Returns 0 or an errno. */
int shim_device_probe(const char *arguments)
{
	return -rte_dev_probe(arguments);
}

/* ---- Ports ---- */

uint16_t shim_ports(uint16_t *ids, uint16_t room)
{
	uint16_t port, count = 0;

	RTE_ETH_FOREACH_DEV(port) {
		if (count < room)
			ids[count++] = port;
	}
	return count;
}

int shim_port_name(uint16_t port, char *name, size_t room)
{
	char full[RTE_ETH_NAME_MAX_LEN];
	int status = rte_eth_dev_get_name_by_port(port, full);

	if (status == 0)
		snprintf(name, room, "%s", full);
	return -status;
}

int shim_port_driver(uint16_t port, char *name, size_t room)
{
	struct rte_eth_dev_info info;
	int status = rte_eth_dev_info_get(port, &info);

	if (status == 0)
		snprintf(name, room, "%s", info.driver_name);
	return -status;
}

/* Most receive queues, most transmit queues, NUMA node (all bits set if there is none). */
int shim_port_limits(uint16_t port, uint32_t *limits)
{
	struct rte_eth_dev_info info;
	int status = rte_eth_dev_info_get(port, &info);

	if (status != 0)
		return -status;
	limits[0] = info.max_rx_queues;
	limits[1] = info.max_tx_queues;
	limits[2] = (uint32_t)rte_eth_dev_socket_id(port);
	return 0;
}

/*
 * Configures `queues` queue pairs with what the port offers of `wanted`; `*obtained` says what that
 * was. A port that can hash by ports is not asked to hash by addresses alone, and the other way
 * round: the first is a flow of its own for each connection, the second one for each peer.
 */
int shim_port_configure(uint16_t port, uint16_t queues, uint32_t wanted, uint32_t *obtained)
{
	const uint64_t rx_checksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	int status = rte_eth_dev_info_get(port, &info);

	if (status != 0)
		return -status;
	memset(&conf, 0, sizeof(conf));
	*obtained = 0;
	if ((wanted & SHIM_RX_CHECKSUM) && (info.rx_offload_capa & rx_checksums) == rx_checksums) {
		conf.rxmode.offloads |= rx_checksums;
		*obtained |= SHIM_RX_CHECKSUM;
	}
	if ((wanted & SHIM_TX_CHECKSUM) && (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM)) {
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
		*obtained |= SHIM_TX_CHECKSUM;
	}
	/* What a queue sends came from its own mempool, unshared: what this offload asks for. */
	conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	if ((wanted & SHIM_RSS_TCP) &&
	    (info.flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_TCP)) {
		conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
		*obtained |= SHIM_RSS_TCP;
	} else if ((wanted & SHIM_RSS_IPV4) &&
		   (info.flow_type_rss_offloads & RTE_ETH_RSS_IPV4)) {
		conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_IPV4;
		*obtained |= SHIM_RSS_IPV4;
	}
	if (*obtained & (SHIM_RSS_TCP | SHIM_RSS_IPV4))
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf.rxmode.mtu = RTE_ETHER_MTU;
	if (info.max_mtu != 0 && info.max_mtu < RTE_ETHER_MTU)
		conf.rxmode.mtu = info.max_mtu;
	return -rte_eth_dev_configure(port, queues, queues, &conf);
}

/* Takes descriptors of a receive and of a transmit ring, and says what the port makes of them. */
int shim_port_adjust_rings(uint16_t port, uint16_t *rings)
{
	return -rte_eth_dev_adjust_nb_rx_tx_desc(port, &rings[0], &rings[1]);
}

int shim_queue_setup(uint16_t port, uint16_t queue, uint16_t rx_ring, uint16_t tx_ring,
		     struct rte_mempool *pool)
{
	unsigned int socket = (unsigned int)rte_eth_dev_socket_id(port);
	int status = rte_eth_rx_queue_setup(port, queue, rx_ring, socket, NULL, pool);

	if (status != 0)
		return -status;
	return -rte_eth_tx_queue_setup(port, queue, tx_ring, socket, NULL);
}

int shim_port_set_mac(uint16_t port, const uint8_t *mac)
{
	struct rte_ether_addr address;

	memcpy(address.addr_bytes, mac, sizeof(address.addr_bytes));
	return -rte_eth_dev_default_mac_addr_set(port, &address);
}

int shim_port_mac(uint16_t port, uint8_t *mac)
{
	struct rte_ether_addr address;
	int status = rte_eth_macaddr_get(port, &address);

	if (status == 0)
		memcpy(mac, address.addr_bytes, sizeof(address.addr_bytes));
	return -status;
}

int shim_port_mtu(uint16_t port, uint16_t *mtu)
{
	return -rte_eth_dev_get_mtu(port, mtu);
}

int shim_port_start(uint16_t port)
{
	return -rte_eth_dev_start(port);
}

void shim_port_stop(uint16_t port)
{
	rte_eth_dev_stop(port);
}

/* Its rings give their mbufs back. */
void shim_port_close(uint16_t port)
{
	rte_eth_dev_close(port);
}

/* The counts of the whole port, in the order in which Rust names them. */
int shim_port_stats(uint16_t port, uint64_t *stats)
{
	struct rte_eth_stats all;
	int status = rte_eth_stats_get(port, &all);

	if (status != 0)
		return -status;
	stats[0] = all.ipackets;
	stats[1] = all.opackets;
	stats[2] = all.imissed;
	stats[3] = all.ierrors;
	stats[4] = all.rx_nombuf;
	stats[5] = all.oerrors;
	return 0;
}

/* 1 up, 0 down or unknown. */
int shim_port_link_is_up(uint16_t port)
{
	struct rte_eth_link link;

	memset(&link, 0, sizeof(link));
	return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

/* ---- Mempools ---- */

/* Mbufs that the cache of a registered thread holds at most. */
#define SHIM_CACHE_MBUFS 256

struct rte_mempool *shim_pool_create(const char *name, uint32_t frames, int socket, int *error)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		name, frames, SHIM_CACHE_MBUFS, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);

	*error = pool != NULL ? 0 : rte_errno != 0 ? rte_errno : ENOMEM;
	return pool;
}

/* Mbufs that are in neither the pool nor a cache of it. Exact while nobody uses the pool. */
uint32_t shim_pool_in_use(const struct rte_mempool *pool)
{
	return rte_mempool_in_use_count(pool);
}

void shim_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}

/* ---- Bursts ---- */

/* Bytes from the beginning of a packet to the end of its buffer. */
static inline uint16_t room_of(const struct rte_mbuf *mbuf)
{
	return mbuf->buf_len - mbuf->data_off;
}

/* Whether somebody else may read or write the bytes of `mbuf`. */
static inline bool is_shared(const struct rte_mbuf *mbuf)
{
	if (rte_mbuf_refcnt_read(mbuf) != 1 || RTE_MBUF_CLONED(mbuf))
		return true;
	return RTE_MBUF_HAS_EXTBUF(mbuf) && rte_mbuf_ext_refcnt_read(mbuf->shinfo) != 1;
}

/* Whether `mbuf` holds TCP over IPv4 whose checksum is wrong. Anything else is the stack's. */
static bool is_bad_tcp(const struct rte_mbuf *mbuf)
{
	const size_t l2_len = sizeof(struct rte_ether_hdr);
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip;
	size_t len, header_len;

	if (mbuf->data_len < l2_len + sizeof(*ip) ||
	    ether->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
		return false;
	ip = rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, l2_len);
	len = rte_be_to_cpu_16(ip->total_length);
	header_len = (size_t)(ip->version_ihl & RTE_IPV4_HDR_IHL_MASK) * RTE_IPV4_IHL_MULTIPLIER;
	if (ip->next_proto_id != IPPROTO_TCP || header_len < sizeof(*ip) || len <= header_len ||
	    len > mbuf->data_len - l2_len)
		return false;
	/* Over a segment with its checksum in place the sum is all ones, its complement 0. */
	return rte_ipv4_udptcp_cksum(ip, (const uint8_t *)ip + header_len) != 0;
}

/* What the port says of the checksums; with `verify`, what it does not say is computed. */
static inline bool is_corrupted(const struct rte_mbuf *mbuf, bool verify)
{
	uint64_t ip = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	uint64_t l4 = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return true;
	return verify && l4 == RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN && is_bad_tcp(mbuf);
}

/* Why a received packet cannot be passed on: the counter of that, or NULL. */
static inline uint64_t *unfit(struct rte_mbuf *mbuf, bool verify, struct shim_burst *burst)
{
	if (unlikely(mbuf->nb_segs != 1) && rte_pktmbuf_linearize(mbuf) != 0)
		return &burst->long_frames;
	/* net_null says any length that it is told to. */
	if (unlikely(mbuf->data_len > room_of(mbuf)))
		return &burst->long_frames;
	if (unlikely(mbuf->data_len < sizeof(struct rte_ether_hdr)))
		return &burst->short_frames;
	if (unlikely(is_shared(mbuf)))
		return &burst->shared_frames;
	if (verify && unlikely(is_corrupted(mbuf, verify)))
		return &burst->bad_checksum_frames;
	return NULL;
}

static inline void describe(struct shim_burst *burst, uint16_t place, struct rte_mbuf *mbuf)
{
	burst->mbufs[place] = mbuf;
	burst->data[place] = rte_pktmbuf_mtod(mbuf, uint8_t *);
	burst->len[place] = mbuf->data_len;
	burst->room[place] = room_of(mbuf);
}

/*
 * Receives up to `count` packets; returns how many of them lie in `burst`, which leaves out those
 * that were dropped and counted. `verify` is set where the port checks checksums: it says so packet
 * by packet, and what it did not look at is looked at here.
 */
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, bool verify, struct shim_burst *burst,
		       uint16_t count)
{
	struct rte_mbuf *came[SHIM_BURST_MAX];
	uint16_t number, kept = 0;

	count = rte_eth_rx_burst(port, queue, came, RTE_MIN(count, SHIM_BURST_MAX));
	for (number = 0; number < count; number++)
		rte_prefetch0(rte_pktmbuf_mtod(came[number], void *));
	for (number = 0; number < count; number++) {
		uint64_t *counter = unfit(came[number], verify, burst);

		if (unlikely(counter != NULL)) {
			*counter += 1;
			rte_pktmbuf_free(came[number]);
			continue;
		}
		describe(burst, kept, came[number]);
		burst->meta[kept++] = verify ? SHIM_CHECKSUM_GOOD : 0;
	}
	return kept;
}

/* Makes the mbuf, new or received, one that sends `len` bytes. */
static inline void seal(struct rte_mbuf *mbuf, uint16_t len, uint32_t meta)
{
	mbuf->data_len = len;
	mbuf->pkt_len = len;
	/* A received mbuf says what was received; how its memory is held must stay. */
	mbuf->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	if (meta & SHIM_CHECKSUM_FILL) {
		const uint8_t *version_ihl = rte_pktmbuf_mtod_offset(
			mbuf, const uint8_t *, sizeof(struct rte_ether_hdr));

		mbuf->tx_offload = 0;
		mbuf->l2_len = sizeof(struct rte_ether_hdr);
		mbuf->l3_len = (*version_ihl & RTE_IPV4_HDR_IHL_MASK) * RTE_IPV4_IHL_MULTIPLIER;
		mbuf->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
	}
}

/*
 * Sends the first `count` packets of `burst`; returns how many are done with. A packet that the
 * port can never send as it is counts as done with: it is freed and counted.
 */
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, bool prepare, struct shim_burst *burst,
		       uint16_t count)
{
	uint16_t number, ready, sent;

	count = RTE_MIN(count, SHIM_BURST_MAX);
	for (number = 0; number < count; number++)
		seal(burst->mbufs[number], burst->len[number], burst->meta[number]);
	ready = prepare ? rte_eth_tx_prepare(port, queue, burst->mbufs, count) : count;
	sent = rte_eth_tx_burst(port, queue, burst->mbufs, ready);
	if (unlikely(sent == ready && ready < count)) {
		burst->unsendable_frames += 1;
		rte_pktmbuf_free(burst->mbufs[sent++]);
	}
	return sent;
}

/* Takes `count` empty mbufs, or none. */
uint16_t shim_alloc(struct rte_mempool *pool, struct shim_burst *burst, uint16_t count)
{
	struct rte_mbuf *fresh[SHIM_BURST_MAX];
	uint16_t number;

	count = RTE_MIN(count, SHIM_BURST_MAX);
	if (rte_pktmbuf_alloc_bulk(pool, fresh, count) != 0)
		return 0;
	for (number = 0; number < count; number++)
		describe(burst, number, fresh[number]);
	return count;
}

void shim_free(struct rte_mbuf **mbufs, uint16_t count)
{
	rte_pktmbuf_free_bulk(mbufs, count);
}
