/*
 * Writes of one event loop of Node.js that the kernel performs beside it: Node-API over the engines in uring.c and aio.c.
 *
 * JavaScript submits writes from one memory to one file; the event loop polls the queue's descriptor and calls back once
 * per wake-up, with the completions as pairs {tag, result} in an Int32Array that JavaScript owns.
 *
 *   open(engine, fd, memory, results, onCompletions) -> queue   throws Error with `code` when the kernel refuses
 *   write(queue, memoryOffset, bytes, fileOffset, tag)           0, or a negative errno: nothing was submitted
 *   reap(queue)                                                  count of completions, without waiting
 *   close(queue)                                                 waits for writes in flight; the queue is unusable then
 *
 * Lifetime: the kernel reads `memory` while a write is in flight. The queue therefore holds references to both arrays
 * and, when its thread or the process ends, waits for the writes in flight before anything is freed. Every status of
 * Node-API and every return value of the kernel is checked; a failure never leaves a write that nobody waits for.
 */
#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "write-queue.h"

static const Engine *const engines[] = {&uring_engine, &aio_engine};
#define ENGINES (sizeof engines / sizeof engines[0])
#define ENGINE_NAME_BYTES 16

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

  const Engine *engine;
  Queue *queue;
  uint64_t memory_bytes;
  int32_t *results;
  unsigned results_max;
  unsigned in_flight;
  /* Reference count of this structure: the JavaScript handle, and the poll handle while it is open. */
  unsigned owners;
} Writes;

/* Moves completions into `results`; returns how many pairs it holds. */
static unsigned reap(Writes *writes) {
  int count = writes->engine->reap(writes->queue, writes->results, writes->results_max, false);
  if (count <= 0) return 0;
  writes->in_flight -= (unsigned)count;
  return (unsigned)count;
}

/* Waits until no write is in flight, so that the kernel no longer reads `memory`. */
static void await_writes(Writes *writes) {
  /* Not those of JavaScript: their memory may be gone when the environment ends. */
  int32_t results[2 * QUEUE_ENTRIES];
  while (writes->in_flight > 0) {
    int count = writes->engine->reap(writes->queue, results, QUEUE_ENTRIES, true);
    if (count >= 0) writes->in_flight -= (unsigned)count;
    if (count >= 0 || count == -EINTR || count == -EAGAIN || count == -EBUSY) continue;
    /* Only a broken descriptor ends here. Memory that the kernel may still read must stay: leak it and stop. */
    fprintf(stderr, "metricsstream: waiting for writes through %s failed: %s\n", writes->engine->name, strerror(-count));
    abort();
  }
}

/* ---------------------------------------------------------------- lifetime */

static void close_queue(Writes *writes) {
  if (writes->queue != NULL) writes->engine->close(writes->queue);
  writes->queue = NULL;
}

static void disown(Writes *writes) {
  if (--writes->owners > 0) return;
  close_queue(writes);
  free(writes);
}

static void drop_reference(napi_env env, napi_ref *reference) {
  if (*reference == NULL) return;
  /* Fails only while the environment is torn down, which frees the reference itself. */
  (void)napi_delete_reference(env, *reference);
  *reference = NULL;
}

static void poll_closed(uv_handle_t *handle) {
  Writes *writes = handle->data;
  if (writes->cleanup_hook != NULL) {
    (void)napi_remove_async_cleanup_hook(writes->cleanup_hook);
    writes->cleanup_hook = NULL;
  }
  close_queue(writes);
  disown(writes);
}

static void close_writes(Writes *writes) {
  if (writes->closing) return;
  writes->closing = true;
  await_writes(writes);
  if (writes->async_context != NULL) (void)napi_async_destroy(writes->env, writes->async_context);
  writes->async_context = NULL;
  drop_reference(writes->env, &writes->callback);
  drop_reference(writes->env, &writes->memory_ref);
  drop_reference(writes->env, &writes->results_ref);
  if (!writes->polling) return;
  writes->polling = false;
  (void)uv_poll_stop(&writes->poll);
  uv_close((uv_handle_t *)&writes->poll, poll_closed);
}

/* The thread or the process ends. Node waits until `poll_closed` has removed the hook. */
static void environment_ends(napi_async_cleanup_hook_handle handle, void *data) {
  Writes *writes = data;
  writes->cleanup_hook = handle;
  if (!writes->closing) close_writes(writes);
}

static void handle_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Writes *writes = data;
  close_writes(writes);
  disown(writes);
}

/* ---------------------------------------------------------------- completions */

static void call_back(Writes *writes, unsigned count) {
  napi_env env = writes->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, global, argument;
  if (napi_get_reference_value(env, writes->callback, &callback) == napi_ok &&
      napi_get_global(env, &global) == napi_ok && napi_create_uint32(env, count, &argument) == napi_ok) {
    napi_status status = napi_make_callback(env, writes->async_context, global, callback, 1, &argument, NULL);
    bool pending = false;
    if (status == napi_pending_exception && napi_is_exception_pending(env, &pending) == napi_ok && pending) {
      napi_value error;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) (void)napi_fatal_exception(env, error);
    }
  }
  (void)napi_close_handle_scope(env, scope);
}

static void queue_readable(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  Writes *writes = poll->data;
  if (!writes->closing) writes->engine->clear(writes->queue);
  while (!writes->closing) {
    unsigned count = reap(writes);
    if (count == 0) return;
    call_back(writes, count);
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
                     : error == EAGAIN ? "EAGAIN"
                                       : "EIO";
  (void)napi_throw_error(env, code, text);
  return NULL;
}

static napi_value throw_arguments(napi_env env, const char *text) {
  (void)napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", text);
  return NULL;
}

static bool start_polling(napi_env env, Writes *writes) {
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return false;
  if (uv_poll_init(loop, &writes->poll, writes->engine->descriptor(writes->queue)) != 0) return false;
  writes->poll.data = writes;
  writes->polling = true;
  writes->owners++;
  /* A queue must not keep a thread alive that has nothing else to do; its end waits for writes in flight. */
  uv_unref((uv_handle_t *)&writes->poll);
  return uv_poll_start(&writes->poll, UV_READABLE, queue_readable) == 0;
}

static bool refer(napi_env env, Writes *writes, napi_value memory, napi_value results, napi_value callback) {
  napi_value name;
  return napi_create_reference(env, memory, 1, &writes->memory_ref) == napi_ok &&
         napi_create_reference(env, results, 1, &writes->results_ref) == napi_ok &&
         napi_create_reference(env, callback, 1, &writes->callback) == napi_ok &&
         napi_create_string_utf8(env, "metricsstream:writes", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(env, NULL, name, &writes->async_context) == napi_ok &&
         napi_add_async_cleanup_hook(env, environment_ends, writes, &writes->cleanup_hook) == napi_ok;
}

static const Engine *engine_named(napi_env env, napi_value value) {
  char name[ENGINE_NAME_BYTES];
  size_t length;
  if (napi_get_value_string_latin1(env, value, name, sizeof name, &length) != napi_ok) return NULL;
  for (size_t at = 0; at < ENGINES; at++)
    if (strcmp(engines[at]->name, name) == 0) return engines[at];
  return NULL;
}

static napi_value Open(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  const Engine *engine;
  int32_t fd;
  napi_typedarray_type memory_type, results_type;
  size_t memory_length, results_length;
  void *memory, *results;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 5 ||
      (engine = engine_named(env, arguments[0])) == NULL ||
      napi_get_value_int32(env, arguments[1], &fd) != napi_ok ||
      napi_get_typedarray_info(env, arguments[2], &memory_type, &memory_length, &memory, NULL, NULL) != napi_ok ||
      napi_get_typedarray_info(env, arguments[3], &results_type, &results_length, &results, NULL, NULL) != napi_ok ||
      memory_type != napi_uint8_array || results_type != napi_int32_array || results_length < 2)
    return throw_arguments(env, "open(engine, fd, memory: Uint8Array, results: Int32Array, onCompletions)");

  Writes *writes = calloc(1, sizeof *writes);
  if (writes == NULL) return throw_errno(env, "calloc", ENOMEM);
  writes->env = env;
  writes->engine = engine;
  writes->memory_bytes = memory_length;
  writes->results = results;
  writes->results_max = (unsigned)(results_length / 2);
  writes->owners = 1;
  const char *failed = engine->open(&writes->queue, fd, memory, memory_length);
  if (failed != NULL) {
    int error = errno;
    disown(writes);
    return throw_errno(env, failed, error);
  }
  napi_value handle;
  if (!refer(env, writes, arguments[2], arguments[3], arguments[4]) || !start_polling(env, writes)) {
    close_writes(writes);
    if (writes->cleanup_hook != NULL && writes->owners == 1) {
      (void)napi_remove_async_cleanup_hook(writes->cleanup_hook);
      writes->cleanup_hook = NULL;
    }
    disown(writes);
    return throw_errno(env, "event loop", EINVAL);
  }
  if (napi_create_external(env, writes, handle_collected, NULL, &handle) != napi_ok) {
    close_writes(writes);
    disown(writes);
    return throw_errno(env, "napi_create_external", ENOMEM);
  }
  return handle;
}

static Writes *writes_of(napi_env env, napi_value handle) {
  void *writes;
  return napi_get_value_external(env, handle, &writes) == napi_ok ? writes : NULL;
}

static napi_value number(napi_env env, int32_t value) {
  napi_value result;
  return napi_create_int32(env, value, &result) == napi_ok ? result : NULL;
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
    return throw_arguments(env, "write(queue, memoryOffset, bytes, fileOffset, tag)");
  Writes *writes = writes_of(env, arguments[0]);
  if (writes == NULL || writes->closing) return number(env, -EBADF);
  if (memory_offset < 0 || file_offset < 0 || (uint64_t)memory_offset > writes->memory_bytes ||
      bytes > writes->memory_bytes - (uint64_t)memory_offset)
    return number(env, -EFAULT);
  int status = writes->engine->write(writes->queue, (uint64_t)memory_offset, bytes, (uint64_t)file_offset, tag);
  if (status == 0) writes->in_flight++;
  return number(env, status);
}

/* The queue that reap and close get as their only argument, NULL if it is none. Throws, and returns false, without one. */
static bool only_queue(napi_env env, napi_callback_info info, const char *usage, Writes **writes) {
  size_t count = 1;
  napi_value handle;
  bool given = napi_get_cb_info(env, info, &count, &handle, NULL, NULL) == napi_ok && count == 1;
  if (given) *writes = writes_of(env, handle);
  else throw_arguments(env, usage);
  return given;
}

static napi_value Reap(napi_env env, napi_callback_info info) {
  Writes *writes;
  if (!only_queue(env, info, "reap(queue)", &writes)) return NULL;
  return number(env, writes == NULL || writes->closing ? 0 : (int32_t)reap(writes));
}

static napi_value Close(napi_env env, napi_callback_info info) {
  Writes *writes;
  if (only_queue(env, info, "close(queue)", &writes) && writes != NULL) close_writes(writes);
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
