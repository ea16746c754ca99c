/* The kernel's queue of writes from one memory to one file: the interface of the ways to have one. */
#ifndef WRITE_QUEUE_H
#define WRITE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes that may be queued at once. */
#define QUEUE_ENTRIES 64u

typedef struct Queue Queue;

typedef struct {
  const char *name;
  /*
   * Opens a queue, which duplicates `fd`. Returns NULL, or the call that failed, with `errno` set; `close` is to be
   * called for a `*queue` that is not NULL in either case.
   */
  const char *(*open)(Queue **queue, int fd, uint8_t *memory, size_t memory_bytes);
  /* The descriptor that is readable while completions may be ready. */
  int (*descriptor)(const Queue *queue);
  /* Submits one write. Returns 0, or a negative errno: then nothing was submitted. */
  int (*write)(Queue *queue, uint64_t memory_offset, uint32_t bytes, uint64_t file_offset, int32_t tag);
  /* Called when the descriptor was readable, before `reap`. */
  void (*clear)(Queue *queue);
  /*
   * Moves at most `max` completions, and at most QUEUE_ENTRIES, into `results`, as pairs {tag, result}. Waits for the
   * first one if `waits`. Returns their number, or a negative errno.
   */
  int (*reap)(Queue *queue, int32_t *results, unsigned max, bool waits);
  /* Call it when no write is in flight. */
  void (*close)(Queue *queue);
} Engine;

/* io_uring(7): since Linux 5.5, but forbidden in many containers. */
extern const Engine uring_engine;
/* io_submit(2): asynchronous for direct I/O, and allowed in containers. */
extern const Engine aio_engine;

#endif
