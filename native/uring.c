/*
 * Writes through io_uring, over raw system calls (no liburing): one ring for one file and one memory.
 *
 * See io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "write-queue.h"

typedef _Atomic unsigned shared_word;

struct Queue {
  int ring_fd;
  int file_fd;
  /* The kernel pinned `memory` once; without that (RLIMIT_MEMLOCK) it pins the pages of each write. */
  bool fixed_buffer;
  void *rings;
  size_t rings_bytes;
  struct io_uring_sqe *sqes;
  size_t sqes_bytes;
  struct io_uring_cqe *cqes;
  shared_word *sq_head, *sq_tail, *cq_head, *cq_tail;
  unsigned sq_mask, cq_mask, sq_entries;
  unsigned *sq_array;
  uint8_t *memory;
};

static int ring_setup(unsigned entries, struct io_uring_params *params) {
  return (int)syscall(__NR_io_uring_setup, entries, params);
}

static int ring_enter(int fd, unsigned submit, unsigned wait_for, unsigned flags) {
  return (int)syscall(__NR_io_uring_enter, fd, submit, wait_for, flags, NULL, 0);
}

static int ring_register(int fd, unsigned opcode, void *argument, unsigned count) {
  return (int)syscall(__NR_io_uring_register, fd, opcode, argument, count);
}

/* Entries that are queued and that the kernel has not consumed. */
static unsigned unsubmitted(const Queue *ring) {
  return atomic_load_explicit(ring->sq_tail, memory_order_relaxed) -
         atomic_load_explicit(ring->sq_head, memory_order_acquire);
}

/* Hands queued entries to the kernel. Returns 0 or a negative errno. */
static int submit(Queue *ring) {
  while (unsubmitted(ring) > 0) {
    int submitted = ring_enter(ring->ring_fd, unsubmitted(ring), 0, 0);
    if (submitted == 0) return -EAGAIN;
    if (submitted < 0 && errno != EINTR) return -errno;
  }
  return 0;
}

static bool map_queues(Queue *ring, const struct io_uring_params *params) {
  size_t sq_bytes = params->sq_off.array + params->sq_entries * sizeof(unsigned);
  size_t cq_bytes = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
  ring->rings_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
  void *rings = mmap(NULL, ring->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->ring_fd,
                     IORING_OFF_SQ_RING);
  if (rings == MAP_FAILED) return false;
  ring->rings = rings;
  ring->sqes_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
  void *sqes = mmap(NULL, ring->sqes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->ring_fd,
                    IORING_OFF_SQES);
  if (sqes == MAP_FAILED) return false;
  ring->sqes = sqes;

  uint8_t *base = rings;
  ring->sq_head = (shared_word *)(base + params->sq_off.head);
  ring->sq_tail = (shared_word *)(base + params->sq_off.tail);
  ring->sq_mask = *(unsigned *)(base + params->sq_off.ring_mask);
  ring->sq_array = (unsigned *)(base + params->sq_off.array);
  ring->sq_entries = params->sq_entries;
  ring->cq_head = (shared_word *)(base + params->cq_off.head);
  ring->cq_tail = (shared_word *)(base + params->cq_off.tail);
  ring->cq_mask = *(unsigned *)(base + params->cq_off.ring_mask);
  ring->cqes = (struct io_uring_cqe *)(base + params->cq_off.cqes);
  return true;
}

static const char *open_queue(Queue **opened, int fd, uint8_t *memory, size_t memory_bytes) {
  Queue *ring = calloc(1, sizeof *ring);
  if (ring == NULL) return "calloc";
  *opened = ring;
  ring->memory = memory;
  ring->ring_fd = ring->file_fd = -1;
  struct io_uring_params params;
  memset(&params, 0, sizeof params);
  ring->ring_fd = ring_setup(QUEUE_ENTRIES, &params);
  if (ring->ring_fd < 0) return "io_uring_setup";
  if (!(params.features & IORING_FEAT_SINGLE_MMAP) || !(params.features & IORING_FEAT_NODROP)) {
    errno = ENOSYS;
    return "io_uring_setup (a kernel before 5.5)";
  }
  if (fcntl(ring->ring_fd, F_SETFD, FD_CLOEXEC) < 0) return "fcntl";
  if (!map_queues(ring, &params)) return "mmap";
  ring->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (ring->file_fd < 0) return "dup";
  if (ring_register(ring->ring_fd, IORING_REGISTER_FILES, &ring->file_fd, 1) < 0) return "io_uring_register files";
  struct iovec whole = {memory, memory_bytes};
  ring->fixed_buffer = ring_register(ring->ring_fd, IORING_REGISTER_BUFFERS, &whole, 1) == 0;
  /* Helper threads of the kernel ignore taskset unless told. Kernels before 5.14 cannot be told. */
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
    (void)ring_register(ring->ring_fd, IORING_REGISTER_IOWQ_AFF, &cpus, sizeof cpus);
  return NULL;
}

static int descriptor(const Queue *ring) { return ring->ring_fd; }

/* Takes back the entry just queued, which the kernel has not consumed. */
static void unqueue(Queue *ring) {
  unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
  atomic_store_explicit(ring->sq_tail, tail - 1, memory_order_release);
}

static int submit_write(Queue *ring, uint64_t memory_offset, uint32_t bytes, uint64_t file_offset, int32_t tag) {
  if (unsubmitted(ring) >= ring->sq_entries) return -EAGAIN;

  unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
  unsigned slot = tail & ring->sq_mask;
  struct io_uring_sqe *entry = &ring->sqes[slot];
  memset(entry, 0, sizeof *entry);
  entry->opcode = ring->fixed_buffer ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE;
  entry->flags = IOSQE_FIXED_FILE;
  entry->fd = 0;
  entry->addr = (uint64_t)(uintptr_t)(ring->memory + memory_offset);
  entry->len = bytes;
  entry->off = file_offset;
  entry->user_data = (uint32_t)tag;
  ring->sq_array[slot] = slot;
  /* Publishes the entry; pairs with the kernel's load of the tail in io_uring_enter. */
  atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
  int status = submit(ring);
  if (status == 0 || unsubmitted(ring) == 0) return 0;
  unqueue(ring);
  return status;
}

/* The kernel clears the descriptor itself: it is readable while completions are in the ring. */
static void clear(Queue *ring) { (void)ring; }

static int reap(Queue *ring, int32_t *results, unsigned max, bool waits) {
  if (waits && ring_enter(ring->ring_fd, unsubmitted(ring), 1, IORING_ENTER_GETEVENTS) < 0) return -errno;
  unsigned count = 0;
  unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
  /* Pairs with the kernel's release of the tail: the entries before it are written. */
  unsigned tail = atomic_load_explicit(ring->cq_tail, memory_order_acquire);
  while (head != tail && count < max) {
    const struct io_uring_cqe *completion = &ring->cqes[head & ring->cq_mask];
    results[2 * count] = (int32_t)completion->user_data;
    results[2 * count + 1] = completion->res;
    head++;
    count++;
  }
  /* The kernel may reuse the entries before this head. */
  if (count > 0) atomic_store_explicit(ring->cq_head, head, memory_order_release);
  return (int)count;
}

static void close_queue(Queue *ring) {
  if (ring->sqes != NULL) munmap(ring->sqes, ring->sqes_bytes);
  if (ring->rings != NULL) munmap(ring->rings, ring->rings_bytes);
  if (ring->ring_fd >= 0) close(ring->ring_fd);
  if (ring->file_fd >= 0) close(ring->file_fd);
  free(ring);
}

const Engine uring_engine = {
    .name = "io_uring",
    .open = open_queue,
    .descriptor = descriptor,
    .write = submit_write,
    .clear = clear,
    .reap = reap,
    .close = close_queue,
};
