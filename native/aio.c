/*
 * Writes through Linux AIO, over raw system calls: io_setup(2), io_submit(2), io_getevents(2). An eventfd says that
 * completions are ready.
 *
 * Direct writes to blocks that were written before need neither allocation nor the page cache, so io_submit does not
 * block for them. The kernel maps its ring of completions into the process, and reading head and tail there tells without
 * a call whether any is ready.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "write-queue.h"

/* The first words of the ring of completions; see fs/aio.c of the kernel. */
typedef struct {
  unsigned id;
  unsigned count;
  _Atomic unsigned head;
  _Atomic unsigned tail;
  unsigned magic;
} Completions;
#define COMPLETIONS_MAGIC 0xa10a10a1u

struct Queue {
  aio_context_t context;
  int file_fd;
  int event_fd;
  uint8_t *memory;
};

static const char *open_queue(Queue **opened, int fd, uint8_t *memory, size_t memory_bytes) {
  (void)memory_bytes;
  Queue *queue = calloc(1, sizeof *queue);
  if (queue == NULL) return "calloc";
  *opened = queue;
  queue->memory = memory;
  queue->event_fd = -1;
  queue->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (queue->file_fd < 0) return "dup";
  queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (queue->event_fd < 0) return "eventfd";
  if (syscall(__NR_io_setup, QUEUE_ENTRIES, &queue->context) < 0) return "io_setup";
  return NULL;
}

static int descriptor(const Queue *queue) { return queue->event_fd; }

static int submit_write(Queue *queue, uint64_t memory_offset, uint32_t bytes, uint64_t file_offset, int32_t tag) {
  struct iocb block;
  memset(&block, 0, sizeof block);
  block.aio_data = (uint32_t)tag;
  block.aio_lio_opcode = IOCB_CMD_PWRITE;
  block.aio_fildes = (uint32_t)queue->file_fd;
  block.aio_buf = (uint64_t)(uintptr_t)(queue->memory + memory_offset);
  block.aio_nbytes = bytes;
  block.aio_offset = (int64_t)file_offset;
  block.aio_flags = IOCB_FLAG_RESFD;
  block.aio_resfd = (uint32_t)queue->event_fd;
  struct iocb *blocks[] = {&block};
  for (;;) {
    long submitted = syscall(__NR_io_submit, queue->context, 1L, blocks);
    if (submitted == 1) return 0;
    if (submitted == 0) return -EAGAIN;
    if (errno != EINTR) return -errno;
  }
}

/* False if the ring of completions says that none is ready. */
static bool may_be_ready(const Queue *queue) {
  Completions *ring = (Completions *)queue->context;
  if (ring->magic != COMPLETIONS_MAGIC) return true;
  /* Pairs with the kernel's store of the tail behind a completion; io_getevents orders the rest. */
  return atomic_load_explicit(&ring->head, memory_order_relaxed) !=
         atomic_load_explicit(&ring->tail, memory_order_acquire);
}

static void clear(Queue *queue) {
  uint64_t count;
  /* Fails only if nothing was signalled. */
  ssize_t cleared = read(queue->event_fd, &count, sizeof count);
  (void)cleared;
}

static int reap(Queue *queue, int32_t *results, unsigned max, bool waits) {
  if (!waits && !may_be_ready(queue)) return 0;
  struct io_event events[QUEUE_ENTRIES];
  struct timespec at_once = {0, 0};
  long most = max < QUEUE_ENTRIES ? max : QUEUE_ENTRIES;
  long ready = syscall(__NR_io_getevents, queue->context, waits ? 1L : 0L, most, events, waits ? NULL : &at_once);
  if (ready < 0) return -errno;
  for (long at = 0; at < ready; at++) {
    results[2 * at] = (int32_t)events[at].data;
    results[2 * at + 1] = (int32_t)events[at].res;
  }
  return (int)ready;
}

static void close_queue(Queue *queue) {
  if (queue->context != 0) (void)syscall(__NR_io_destroy, queue->context);
  if (queue->event_fd >= 0) close(queue->event_fd);
  if (queue->file_fd >= 0) close(queue->file_fd);
  free(queue);
}

const Engine aio_engine = {
    .name = "aio",
    .open = open_queue,
    .descriptor = descriptor,
    .write = submit_write,
    .clear = clear,
    .reap = reap,
    .close = close_queue,
};
