/*
 * CRC-32 (IEEE 802.3, as zlib's) by carry-less multiplication, on x86-64 processors that have it.
 *
 *   crc32(bytes, value) -> number     the CRC of the bytes behind those whose CRC is `value`
 *
 * A CRC is the remainder of a polynomial over GF(2). Folding replaces a block by an equivalent one further behind:
 * multiply its halves by x^(distance ± 32) modulo the CRC's polynomial, and add the result to the block there. What is
 * left of at least 64 bytes is one block of 16, and a Barrett reduction gives its remainder. All bits are reflected:
 * bit 0 of a byte is its highest coefficient.
 *
 * Source: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009).
 */
#include <node_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The CRC's polynomial reflected: bit 31 is the coefficient of x^0, and x^32 is left out. */
#define POLYNOMIAL 0xedb88320u

#define TABLE_BYTES 256
static uint32_t steps[TABLE_BYTES];

static void fill_steps(void) {
  for (uint32_t byte = 0; byte < TABLE_BYTES; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ POLYNOMIAL : value >> 1;
    steps[byte] = value;
  }
}

static uint32_t update_bytewise(uint32_t crc, const uint8_t *bytes, size_t count) {
  while (count-- > 0) crc = crc >> 8 ^ steps[(crc ^ *bytes++) & 0xff];
  return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define NARROW __attribute__((target("pclmul,sse4.1")))
#define WIDE __attribute__((target("pclmul,sse4.1,avx512f,avx512vl,vpclmulqdq")))
#define BLOCK_BYTES 16
/* Blocks folded side by side, since a multiplication takes several cycles. */
#define LANES 4
#define NARROW_BYTES (LANES * BLOCK_BYTES)
#define WIDE_BLOCK_BYTES 64
#define WIDE_BYTES (LANES * WIDE_BLOCK_BYTES)

/* Multipliers that move a block by so many bytes, low half first. */
typedef struct {
  uint64_t low, high;
} Fold;

static Fold fold_wide, fold_wide_block, fold_narrow, fold_block;
/* For the reduction: x^64 and, each with 33 bits, the polynomial and its reciprocal. */
static uint64_t x64, polynomial, reciprocal;

/* x^exponent modulo the polynomial, reflected in 33 bits as products of reflected numbers need it. */
static uint64_t power(unsigned exponent) {
  uint32_t value = 0x80000000u;
  while (exponent-- > 0) value = value & 1 ? value >> 1 ^ POLYNOMIAL : value >> 1;
  return (uint64_t)value << 1;
}

/* The quotient of x^64 and the polynomial, reflected. */
static uint64_t quotient(void) {
  uint64_t result = 0;
  /* Long division with bit 0 as the highest coefficient: of the remainder, and of the polynomial below it. */
  uint64_t rest = 1;
  uint64_t divisor = (uint64_t)POLYNOMIAL << 1 | 1;
  for (int bit = 0; bit <= 32; bit++) {
    if (rest & 1) {
      result |= 1ull << bit;
      rest ^= divisor;
    }
    rest >>= 1;
  }
  return result;
}

static Fold fold_by(unsigned bytes) {
  Fold fold = {power(8 * bytes + 32), power(8 * bytes - 32)};
  return fold;
}

static void fill_constants(void) {
  fold_wide = fold_by(WIDE_BYTES);
  fold_wide_block = fold_by(WIDE_BLOCK_BYTES);
  fold_narrow = fold_by(NARROW_BYTES);
  fold_block = fold_by(BLOCK_BYTES);
  x64 = power(64);
  polynomial = (uint64_t)POLYNOMIAL << 1 | 1;
  reciprocal = quotient();
}

NARROW static inline __m128i load(const uint8_t *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }

/* Shifts `block` by the distance that `by` encodes, and adds `next`. */
NARROW static inline __m128i fold(__m128i block, __m128i by, __m128i next) {
  __m128i low = _mm_clmulepi64_si128(block, by, 0x00);
  __m128i high = _mm_clmulepi64_si128(block, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

NARROW static inline __m128i multipliers(const Fold *by) {
  return _mm_set_epi64x((long long)by->high, (long long)by->low);
}

/* The remainder of a block. */
NARROW static uint32_t reduce(__m128i block) {
  __m128i low32 = _mm_setr_epi32(-1, 0, -1, 0);
  /* 128 bits to 96, to 64. */
  block = _mm_xor_si128(_mm_srli_si128(block, 8), _mm_clmulepi64_si128(block, multipliers(&fold_block), 0x10));
  __m128i upper = _mm_srli_si128(block, 4);
  block = _mm_and_si128(block, low32);
  block = _mm_xor_si128(_mm_clmulepi64_si128(block, _mm_cvtsi64_si128((long long)x64), 0x00), upper);
  /* Barrett: the quotient's estimate, times the polynomial. */
  __m128i constants = _mm_set_epi64x((long long)reciprocal, (long long)polynomial);
  __m128i estimate = _mm_clmulepi64_si128(_mm_and_si128(block, low32), constants, 0x10);
  __m128i product = _mm_clmulepi64_si128(_mm_and_si128(estimate, low32), constants, 0x00);
  return (uint32_t)_mm_extract_epi32(_mm_xor_si128(product, block), 1);
}

/* Folds whole blocks of 16 bytes from `bytes` on into `block`, and reduces it. */
NARROW static uint32_t finish(__m128i block, const uint8_t *bytes, size_t count) {
  __m128i by = multipliers(&fold_block);
  for (; count >= BLOCK_BYTES; bytes += BLOCK_BYTES, count -= BLOCK_BYTES) block = fold(block, by, load(bytes));
  return update_bytewise(reduce(block), bytes, count);
}

NARROW static uint32_t update_narrow(uint32_t crc, const uint8_t *bytes, size_t count) {
  if (count < NARROW_BYTES) return update_bytewise(crc, bytes, count);
  __m128i lanes[LANES];
  for (int lane = 0; lane < LANES; lane++) lanes[lane] = load(bytes + lane * BLOCK_BYTES);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128((int)crc));
  __m128i by = multipliers(&fold_narrow);
  for (bytes += NARROW_BYTES, count -= NARROW_BYTES; count >= NARROW_BYTES; bytes += NARROW_BYTES, count -= NARROW_BYTES)
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = fold(lanes[lane], by, load(bytes + lane * BLOCK_BYTES));
  by = multipliers(&fold_block);
  for (int lane = 1; lane < LANES; lane++) lanes[0] = fold(lanes[0], by, lanes[lane]);
  return finish(lanes[0], bytes, count);
}

WIDE static inline __m512i fold_512(__m512i blocks, __m512i by, __m512i next) {
  __m512i low = _mm512_clmulepi64_epi128(blocks, by, 0x00);
  __m512i high = _mm512_clmulepi64_epi128(blocks, by, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

WIDE static uint32_t update_wide(uint32_t crc, const uint8_t *bytes, size_t count) {
  if (count < WIDE_BYTES) return update_narrow(crc, bytes, count);
  __m512i lanes[LANES];
  for (int lane = 0; lane < LANES; lane++) lanes[lane] = _mm512_loadu_si512(bytes + lane * WIDE_BLOCK_BYTES);
  lanes[0] = _mm512_xor_si512(lanes[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
  __m512i by = _mm512_broadcast_i32x4(multipliers(&fold_wide));
  for (bytes += WIDE_BYTES, count -= WIDE_BYTES; count >= WIDE_BYTES; bytes += WIDE_BYTES, count -= WIDE_BYTES)
    for (int lane = 0; lane < LANES; lane++)
      lanes[lane] = fold_512(lanes[lane], by, _mm512_loadu_si512(bytes + lane * WIDE_BLOCK_BYTES));
  by = _mm512_broadcast_i32x4(multipliers(&fold_wide_block));
  for (int lane = 1; lane < LANES; lane++) lanes[0] = fold_512(lanes[0], by, lanes[lane]);
  __m128i narrow = multipliers(&fold_block);
  __m128i block = _mm512_castsi512_si128(lanes[0]);
  block = fold(block, narrow, _mm512_extracti32x4_epi32(lanes[0], 1));
  block = fold(block, narrow, _mm512_extracti32x4_epi32(lanes[0], 2));
  block = fold(block, narrow, _mm512_extracti32x4_epi32(lanes[0], 3));
  return finish(block, bytes, count);
}

typedef uint32_t Update(uint32_t crc, const uint8_t *bytes, size_t count);

/* The fastest way that this processor has, or NULL: then zlib's is faster than the bytewise one. */
static Update *choose(void) {
  if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return NULL;
  fill_constants();
  bool is_wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("vpclmulqdq");
  return is_wide ? update_wide : update_narrow;
}
#else
typedef uint32_t Update(uint32_t crc, const uint8_t *bytes, size_t count);
static Update *choose(void) { return NULL; }
#endif

static Update *update;

static napi_value Crc32(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], result;
  napi_typedarray_type type;
  size_t length;
  void *bytes;
  uint32_t value;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 2 ||
      napi_get_typedarray_info(env, arguments[0], &type, &length, &bytes, NULL, NULL) != napi_ok ||
      type != napi_uint8_array || napi_get_value_uint32(env, arguments[1], &value) != napi_ok) {
    (void)napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", "crc32(bytes: Uint8Array, value)");
    return NULL;
  }
  return napi_create_uint32(env, ~update(~value, bytes, length), &result) == napi_ok ? result : NULL;
}

static void prepare(void) {
  fill_steps();
  update = choose();
}

NAPI_MODULE_INIT() {
  napi_value function;
  /* Threads that load the addon share its tables. */
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, prepare);
  if (update == NULL) {
    (void)napi_throw_error(env, "ENOSYS", "this processor has no carry-less multiplication");
    return NULL;
  }
  if (napi_create_function(env, "crc32", NAPI_AUTO_LENGTH, Crc32, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "crc32", function) != napi_ok) {
    (void)napi_throw_error(env, "ENOMEM", "exports");
    return NULL;
  }
  return exports;
}
