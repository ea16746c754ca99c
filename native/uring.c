/*
 * io_uring for one event loop of Node.js, over raw system calls (no liburing).
 *
 * One ring writes to one file from one memory. JavaScript submits writes; the event loop polls the ring's descriptor
 * and calls back once per wake-up, with the completions as pairs {tag, result} in an Int32Array that JavaScript owns.
 *
 *   open(fd, memory, results, onCompletions) -> ring     throws Error with `code` when the kernel refuses
 *   write(ring, memoryOffset, bytes, fileOffset, tag)    0, or a negative errno: nothing was submitted
 *   reap(ring)                                           count of completions, without waiting
 *   close(ring)                                          waits for writes in flight; the ring is unusable afterwards
 *
 * Lifetime: the kernel reads `memory` while a write is in flight. The ring therefore holds references to both arrays
 * and, when its thread or the process ends, waits for the writes in flight before anything is freed. Every status of
 * Node-API and every return value of the kernel is checked; a failure never leaves a write that nobody waits for.
 *
 * See io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <node_api.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#define QUEUE_ENTRIES 64u

typedef _Atomic unsigned shared_word;

typedef struct {
  napi_env env;
  napi_ref callback;
  napi_ref memory_ref;
  napi_ref results_ref;
  napi_async_context async_context;
  napi_async_cleanup_hook_handle cleanup_hook;
  uv_poll_t poll;
  bool polling;
  bool closing;

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
  size_t memory_bytes;
  int32_t *results;
  unsigned results_max;
  unsigned in_flight;
  /* Reference count of this structure: the JavaScript handle, and the poll handle while it is open. */
  unsigned owners;
} Ring;

/* ---------------------------------------------------------------- system calls */

static int ring_setup(unsigned entries, struct io_uring_params *params) {
  return (int)syscall(__NR_io_uring_setup, entries, params);
}

static int ring_enter(int fd, unsigned submit, unsigned wait_for, unsigned flags) {
  return (int)syscall(__NR_io_uring_enter, fd, submit, wait_for, flags, NULL, 0);
}

static int ring_register(int fd, unsigned opcode, void *argument, unsigned count) {
  return (int)syscall(__NR_io_uring_register, fd, opcode, argument, count);
}

/* ---------------------------------------------------------------- queues */

/* Entries that are queued and that the kernel has not consumed. */
static unsigned unsubmitted(const Ring *ring) {
  return atomic_load_explicit(ring->sq_tail, memory_order_relaxed) -
         atomic_load_explicit(ring->sq_head, memory_order_acquire);
}

/* Hands queued entries to the kernel. Returns 0 or a negative errno. */
static int submit(Ring *ring) {
  while (unsubmitted(ring) > 0) {
    int submitted = ring_enter(ring->ring_fd, unsubmitted(ring), 0, 0);
    if (submitted == 0) return -EAGAIN;
    if (submitted < 0 && errno != EINTR) return -errno;
  }
  return 0;
}

/* Moves completions into `results`; returns how many pairs it holds. */
static unsigned reap(Ring *ring) {
  unsigned count = 0;
  unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
  /* Pairs with the kernel's release of the tail: the entries before it are written. */
  unsigned tail = atomic_load_explicit(ring->cq_tail, memory_order_acquire);
  while (head != tail && count < ring->results_max) {
    const struct io_uring_cqe *completion = &ring->cqes[head & ring->cq_mask];
    ring->results[2 * count] = (int32_t)completion->user_data;
    ring->results[2 * count + 1] = completion->res;
    head++;
    count++;
  }
  if (count > 0) {
    /* The kernel may reuse the entries before this head. */
    atomic_store_explicit(ring->cq_head, head, memory_order_release);
    ring->in_flight -= count;
  }
  return count;
}

/* Waits until no write is in flight, so that the kernel no longer reads `memory`. */
static void await_writes(Ring *ring) {
  while (ring->in_flight > 0) {
    if (reap(ring) > 0) continue;
    int status = ring_enter(ring->ring_fd, unsubmitted(ring), 1, IORING_ENTER_GETEVENTS);
    if (status >= 0 || errno == EINTR || errno == EAGAIN || errno == EBUSY) continue;
    /* Only a broken descriptor ends here. Memory that the kernel may still read must stay: leak it and stop. */
    fprintf(stderr, "metricsstream: io_uring_enter failed while closing: %s\n", strerror(errno));
    abort();
  }
}

/* ---------------------------------------------------------------- lifetime */

static void unmap(Ring *ring) {
  if (ring->sqes != NULL) munmap(ring->sqes, ring->sqes_bytes);
  if (ring->rings != NULL) munmap(ring->rings, ring->rings_bytes);
  if (ring->ring_fd >= 0) close(ring->ring_fd);
  if (ring->file_fd >= 0) close(ring->file_fd);
  ring->sqes = NULL;
  ring->rings = NULL;
  ring->ring_fd = ring->file_fd = -1;
}

static void disown(Ring *ring) {
  if (--ring->owners > 0) return;
  unmap(ring);
  free(ring);
}

static void drop_reference(napi_env env, napi_ref *reference) {
  if (*reference == NULL) return;
  /* Fails only while the environment is torn down, which frees the reference itself. */
  (void)napi_delete_reference(env, *reference);
  *reference = NULL;
}

static void poll_closed(uv_handle_t *handle) {
  Ring *ring = handle->data;
  if (ring->cleanup_hook != NULL) {
    (void)napi_remove_async_cleanup_hook(ring->cleanup_hook);
    ring->cleanup_hook = NULL;
  }
  unmap(ring);
  disown(ring);
}

static void close_ring(Ring *ring) {
  if (ring->closing) return;
  ring->closing = true;
  await_writes(ring);
  if (ring->async_context != NULL) (void)napi_async_destroy(ring->env, ring->async_context);
  ring->async_context = NULL;
  drop_reference(ring->env, &ring->callback);
  drop_reference(ring->env, &ring->memory_ref);
  drop_reference(ring->env, &ring->results_ref);
  if (!ring->polling) return;
  ring->polling = false;
  (void)uv_poll_stop(&ring->poll);
  uv_close((uv_handle_t *)&ring->poll, poll_closed);
}

/* The thread or the process ends. Node waits until `poll_closed` has removed the hook. */
static void environment_ends(napi_async_cleanup_hook_handle handle, void *data) {
  Ring *ring = data;
  ring->cleanup_hook = handle;
  if (!ring->closing) close_ring(ring);
}

static void handle_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Ring *ring = data;
  close_ring(ring);
  disown(ring);
}

/* ---------------------------------------------------------------- completions */

static void call_back(Ring *ring, unsigned count) {
  napi_env env = ring->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, global, argument;
  if (napi_get_reference_value(env, ring->callback, &callback) == napi_ok &&
      napi_get_global(env, &global) == napi_ok && napi_create_uint32(env, count, &argument) == napi_ok) {
    napi_status status = napi_make_callback(env, ring->async_context, global, callback, 1, &argument, NULL);
    bool pending = false;
    if (status == napi_pending_exception && napi_is_exception_pending(env, &pending) == napi_ok && pending) {
      napi_value error;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) (void)napi_fatal_exception(env, error);
    }
  }
  (void)napi_close_handle_scope(env, scope);
}

static void ring_readable(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  Ring *ring = poll->data;
  while (!ring->closing) {
    unsigned count = reap(ring);
    if (count == 0) return;
    call_back(ring, count);
  }
}

/* ---------------------------------------------------------------- Node-API */

static napi_value throw_errno(napi_env env, const char *call, int error) {
  char text[160];
  snprintf(text, sizeof text, "%s: %s", call, strerror(error));
  const char *code = error == ENOSYS   ? "ENOSYS"
                     : error == EPERM  ? "EPERM"
                     : error == EACCES ? "EACCES"
                     : error == ENOMEM ? "ENOMEM"
                     : error == EMFILE ? "EMFILE"
                     : error == EINVAL ? "EINVAL"
                                       : "EIO";
  (void)napi_throw_error(env, code, text);
  return NULL;
}

static napi_value throw_arguments(napi_env env, const char *text) {
  (void)napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", text);
  return NULL;
}

static bool map_queues(Ring *ring, const struct io_uring_params *params) {
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

/* Sets up the kernel's side. Returns NULL, or the call that failed with `errno` set. */
static const char *set_up(Ring *ring, int fd) {
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
  struct iovec whole = {ring->memory, ring->memory_bytes};
  ring->fixed_buffer = ring_register(ring->ring_fd, IORING_REGISTER_BUFFERS, &whole, 1) == 0;
  /* Helper threads of the kernel ignore taskset unless told. Kernels before 5.14 cannot be told. */
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
    (void)ring_register(ring->ring_fd, IORING_REGISTER_IOWQ_AFF, &cpus, sizeof cpus);
  return NULL;
}

static bool start_polling(napi_env env, Ring *ring) {
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return false;
  if (uv_poll_init(loop, &ring->poll, ring->ring_fd) != 0) return false;
  ring->poll.data = ring;
  ring->polling = true;
  ring->owners++;
  /* A ring must not keep a thread alive that has nothing else to do; its end waits for writes in flight. */
  uv_unref((uv_handle_t *)&ring->poll);
  return uv_poll_start(&ring->poll, UV_READABLE, ring_readable) == 0;
}

static bool refer(napi_env env, Ring *ring, napi_value memory, napi_value results, napi_value callback) {
  napi_value name;
  return napi_create_reference(env, memory, 1, &ring->memory_ref) == napi_ok &&
         napi_create_reference(env, results, 1, &ring->results_ref) == napi_ok &&
         napi_create_reference(env, callback, 1, &ring->callback) == napi_ok &&
         napi_create_string_utf8(env, "metricsstream:uring", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(env, NULL, name, &ring->async_context) == napi_ok &&
         napi_add_async_cleanup_hook(env, environment_ends, ring, &ring->cleanup_hook) == napi_ok;
}

static napi_value Open(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value arguments[4];
  int32_t fd;
  napi_typedarray_type memory_type, results_type;
  size_t memory_length, results_length;
  void *memory, *results;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 4 ||
      napi_get_value_int32(env, arguments[0], &fd) != napi_ok ||
      napi_get_typedarray_info(env, arguments[1], &memory_type, &memory_length, &memory, NULL, NULL) != napi_ok ||
      napi_get_typedarray_info(env, arguments[2], &results_type, &results_length, &results, NULL, NULL) != napi_ok ||
      memory_type != napi_uint8_array || results_type != napi_int32_array || results_length < 2)
    return throw_arguments(env, "open(fd, memory: Uint8Array, results: Int32Array, onCompletions)");

  Ring *ring = calloc(1, sizeof *ring);
  if (ring == NULL) return throw_errno(env, "calloc", ENOMEM);
  ring->env = env;
  ring->ring_fd = ring->file_fd = -1;
  ring->memory = memory;
  ring->memory_bytes = memory_length;
  ring->results = results;
  ring->results_max = (unsigned)(results_length / 2);
  ring->owners = 1;
  const char *failed = set_up(ring, fd);
  if (failed != NULL) {
    int error = errno;
    disown(ring);
    return throw_errno(env, failed, error);
  }
  napi_value handle;
  if (!refer(env, ring, arguments[1], arguments[2], arguments[3]) || !start_polling(env, ring)) {
    close_ring(ring);
    if (ring->cleanup_hook != NULL && ring->owners == 1) {
      (void)napi_remove_async_cleanup_hook(ring->cleanup_hook);
      ring->cleanup_hook = NULL;
    }
    disown(ring);
    return throw_errno(env, "event loop", EINVAL);
  }
  if (napi_create_external(env, ring, handle_collected, NULL, &handle) != napi_ok) {
    close_ring(ring);
    disown(ring);
    return throw_errno(env, "napi_create_external", ENOMEM);
  }
  return handle;
}

static Ring *ring_of(napi_env env, napi_value handle) {
  void *ring;
  return napi_get_value_external(env, handle, &ring) == napi_ok ? ring : NULL;
}

static napi_value number(napi_env env, int32_t value) {
  napi_value result;
  return napi_create_int32(env, value, &result) == napi_ok ? result : NULL;
}

/* Takes back the entry just queued, which the kernel has not consumed. */
static void unqueue(Ring *ring) {
  unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
  atomic_store_explicit(ring->sq_tail, tail - 1, memory_order_release);
  ring->in_flight--;
}

static napi_value Write(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  int64_t memory_offset, file_offset;
  uint32_t bytes;
  int32_t tag;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 5 ||
      napi_get_value_int64(env, arguments[1], &memory_offset) != napi_ok ||
      napi_get_value_uint32(env, arguments[2], &bytes) != napi_ok ||
      napi_get_value_int64(env, arguments[3], &file_offset) != napi_ok ||
      napi_get_value_int32(env, arguments[4], &tag) != napi_ok)
    return throw_arguments(env, "write(ring, memoryOffset, bytes, fileOffset, tag)");
  Ring *ring = ring_of(env, arguments[0]);
  if (ring == NULL || ring->closing) return number(env, -EBADF);
  if (memory_offset < 0 || file_offset < 0 || (uint64_t)memory_offset > ring->memory_bytes ||
      bytes > ring->memory_bytes - (uint64_t)memory_offset)
    return number(env, -EFAULT);
  if (unsubmitted(ring) >= ring->sq_entries) return number(env, -EAGAIN);

  unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
  unsigned slot = tail & ring->sq_mask;
  struct io_uring_sqe *entry = &ring->sqes[slot];
  memset(entry, 0, sizeof *entry);
  entry->opcode = ring->fixed_buffer ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE;
  entry->flags = IOSQE_FIXED_FILE;
  entry->fd = 0;
  entry->addr = (uint64_t)(uintptr_t)(ring->memory + memory_offset);
  entry->len = bytes;
  entry->off = (uint64_t)file_offset;
  entry->user_data = (uint32_t)tag;
  ring->sq_array[slot] = slot;
  /* Publishes the entry; pairs with the kernel's load of the tail in io_uring_enter. */
  atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
  ring->in_flight++;
  int status = submit(ring);
  if (status < 0 && unsubmitted(ring) > 0) unqueue(ring);
  else status = 0;
  return number(env, status);
}

static napi_value Reap(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value arguments[1];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 1)
    return throw_arguments(env, "reap(ring)");
  Ring *ring = ring_of(env, arguments[0]);
  return number(env, ring == NULL || ring->closing ? 0 : (int32_t)reap(ring));
}

static napi_value Close(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value arguments[1];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 1)
    return throw_arguments(env, "close(ring)");
  Ring *ring = ring_of(env, arguments[0]);
  if (ring != NULL) close_ring(ring);
  return NULL;
}

static bool export_function(napi_env env, napi_value exports, const char *name, napi_callback function) {
  napi_value value;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!export_function(env, exports, "open", Open) || !export_function(env, exports, "write", Write) ||
      !export_function(env, exports, "reap", Reap) || !export_function(env, exports, "close", Close))
    return throw_errno(env, "exports", ENOMEM);
  return exports;
}
