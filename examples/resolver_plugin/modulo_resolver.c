/* An example of a resolver plug-in: blocks of consecutive numbers dealt to the shards in turn.
 *
 *   type: modulo
 *   options: {block: 1000}     # keys 0-999 on the first shard, 1000-1999 on the second, ...; default 1
 *
 * Takes one integer key column. Only plugin.h is needed to build it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/routing/plugin.h"

struct modulo {
  int64_t block;
  uint32_t shard_count;
};

static void write_text(struct quarry_buffer buffer, const char* text) {
  snprintf(buffer.data, buffer.size, "%s", text);
}

/* The number of the block that holds `key`: rounds down, so that -1 is in the block before 0. */
static int64_t block_of(const struct modulo* self, int64_t key) {
  const int64_t quotient = key / self->block;
  return key % self->block < 0 ? quotient - 1 : quotient;
}

static uint32_t shard_of_block(const struct modulo* self, int64_t block) {
  const int64_t remainder = block % (int64_t)self->shard_count;
  return (uint32_t)(remainder < 0 ? remainder + self->shard_count : remainder);
}

/* Reads {} or {"block":N}, as the host writes it: without blanks. Returns 0 when it is anything else. */
static int read_block(const char* options, int64_t* block, const struct quarry_violations* violations) {
  static const char kMember[] = "{\"block\":";
  if (strcmp(options, "{}") == 0) {
    *block = 1;
    return 1;
  }
  if (strncmp(options, kMember, sizeof(kMember) - 1) != 0) {
    violations->add(violations->sink, "", "the only option is block, a number from 1 to 1000000000");
    return 0;
  }
  char* end = NULL;
  const long long number = strtoll(options + sizeof(kMember) - 1, &end, 10);
  if (strcmp(end, "}") != 0 || number < 1 || number > 1000000000) {
    violations->add(violations->sink, "block", "must be a number from 1 to 1000000000, and the only option");
    return 0;
  }
  *block = number;
  return 1;
}

static int is_integer_type(struct quarry_string type) {
  return strcmp(type.data, "int16") == 0 || strcmp(type.data, "int32") == 0 ||
         strcmp(type.data, "int64") == 0;
}

static void* create(const struct quarry_resolver_spec* spec, const struct quarry_violations* violations) {
  int64_t block = 1;
  int good = read_block(spec->options_json.data, &block, violations);
  if (spec->key_column_count > 1) {
    violations->add(violations->sink, "key", "modulo takes one key column");
    good = 0;
  }
  if (spec->key_type_count > 0 && !is_integer_type(spec->key_types[0])) {
    violations->add(violations->sink, "key", "modulo takes an integer key column");
    good = 0;
  }
  if (!good) return NULL;
  struct modulo* self = malloc(sizeof(*self));
  if (self == NULL) {
    violations->add(violations->sink, "", "out of memory");
    return NULL;
  }
  self->block = block;
  self->shard_count = (uint32_t)spec->shard_count;
  return self;
}

static void destroy(void* resolver) { free(resolver); }

static int resolve(const void* resolver, const struct quarry_value* key, size_t key_size, uint32_t* shard,
                   struct quarry_buffer error) {
  const struct modulo* self = resolver;
  if (key_size != 1 || key[0].kind != QUARRY_VALUE_INT64) {
    write_text(error, "modulo takes one integer key value");
    return QUARRY_INVALID_KEY;
  }
  *shard = shard_of_block(self, block_of(self, key[0].number));
  return QUARRY_OK;
}

static int resolve_range(const void* resolver, const struct quarry_value* from, size_t from_size,
                         const struct quarry_value* to, size_t to_size, uint8_t* may_hold,
                         struct quarry_buffer error) {
  const struct modulo* self = resolver;
  if ((from_size > 0 && from[0].kind != QUARRY_VALUE_INT64) ||
      (to_size > 0 && to[0].kind != QUARRY_VALUE_INT64)) {
    write_text(error, "modulo takes integer key values");
    return QUARRY_INVALID_KEY;
  }
  if (from_size == 0 || to_size == 0) {
    memset(may_hold, 1, self->shard_count);
    return QUARRY_OK;
  }
  if (from[0].number >= to[0].number) return QUARRY_OK;
  const int64_t last = block_of(self, to[0].number - 1);
  int64_t block = block_of(self, from[0].number);
  for (uint32_t marked = 0; marked < self->shard_count; ++marked) {
    may_hold[shard_of_block(self, block)] = 1;
    if (block == last) break;
    ++block;
  }
  return QUARRY_OK;
}

static void explain(const void* resolver, const struct quarry_value* key, size_t key_size,
                    struct quarry_buffer words) {
  const struct modulo* self = resolver;
  (void)key_size;
  const int64_t block = block_of(self, key[0].number);
  snprintf(words.data, words.size,
           "%" PRId64 " is in block %" PRId64 " of %" PRId64 " keys, dealt to shard number %" PRIu32,
           key[0].number, block, self->block, shard_of_block(self, block));
}

QUARRY_PLUGIN_EXPORT const struct quarry_resolver_plugin quarry_resolver_plugin_v1 = {
    .abi_version = QUARRY_RESOLVER_ABI_VERSION,
    .struct_size = sizeof(struct quarry_resolver_plugin),
    .type = "modulo",
    .create = create,
    .destroy = destroy,
    .resolve = resolve,
    .resolve_range = resolve_range,
    .explain = explain,
};
