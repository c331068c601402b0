/* The C interface of resolver plug-ins, version 1. A plug-in is a shared object that exports one object named
 * quarry_resolver_plugin_v1, of type struct quarry_resolver_plugin. Plain C, usable from any language.
 *
 * Promises of a resolver, as of a built-in one: it is immutable once created, does no I/O and reads no clock;
 * its functions may be called from many threads at once, and give the same answer for the same key in every
 * process and for ever.
 *
 * Lifetimes: whatever the host passes is valid only until the call returns; a plug-in copies what it keeps.
 * Nothing that a plug-in allocates is freed by the host. The shared object stays loaded as long as one of its
 * resolvers lives. No exception and no longjmp may leave a plug-in's function.
 *
 * Compatibility: a change that an older plug-in cannot meet gets a new symbol and a new number. Members are
 * only ever appended to struct quarry_resolver_plugin; `struct_size` tells the host which ones a plug-in
 * knows. */
#ifndef QUARRY_CORE_ROUTING_PLUGIN_H_
#define QUARRY_CORE_ROUTING_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUARRY_RESOLVER_ABI_VERSION 1u
#define QUARRY_RESOLVER_PLUGIN_SYMBOL "quarry_resolver_plugin_v1"

#if defined(_WIN32)
#define QUARRY_PLUGIN_EXPORT __declspec(dllexport)
#else
#define QUARRY_PLUGIN_EXPORT __attribute__((visibility("default")))
#endif

/* Bytes with their length; a NUL follows them but may also be among them. */
struct quarry_string {
  const char* data;
  size_t size;
};

enum quarry_value_kind {
  QUARRY_VALUE_NULL = 0,
  QUARRY_VALUE_BOOL = 1,      /* number: 0 or 1 */
  QUARRY_VALUE_INT64 = 2,     /* number */
  QUARRY_VALUE_TEXT = 3,      /* text: UTF-8 */
  QUARRY_VALUE_BYTES = 4,     /* text: any bytes */
  QUARRY_VALUE_TIMESTAMP = 5, /* number: microseconds since 1970-01-01 00:00:00 */
  QUARRY_VALUE_DATE = 6,      /* text: "2026-01-31" */
  QUARRY_VALUE_TIME = 7,      /* text: "23:59:59.999999" */
  QUARRY_VALUE_DECIMAL = 8,   /* text: "-12.340" */
  QUARRY_VALUE_UUID = 9       /* text: canonical lower case */
};

struct quarry_value {
  uint32_t kind; /* enum quarry_value_kind */
  int64_t number;
  struct quarry_string text;
};

/* What a resolver is made from. A shard is known by its position in `shards`. */
struct quarry_resolver_spec {
  struct quarry_string name;
  const struct quarry_string* key_columns;
  size_t key_column_count;
  const struct quarry_string* key_types; /* "int64", "text", "uuid", ... */
  size_t key_type_count;                 /* 0: not known yet; skip checks on types */
  const struct quarry_string* shards;
  size_t shard_count;                /* At least 1. */
  struct quarry_string options_json; /* The declared options, a JSON text. */
};

/* Takes each mistake in the options: a path such as "ranges[2].from", and what is wrong and what to do.
 * Copied at once. */
struct quarry_violations {
  void* sink;
  void (*add)(void* sink, const char* field, const char* description);
};

enum quarry_result {
  QUARRY_OK = 0,
  QUARRY_KEY_NOT_MAPPED = 1, /* No shard is declared for the key. */
  QUARRY_INVALID_KEY = 2,    /* The key's kinds or their number do not fit this resolver. */
  QUARRY_FAILED = 3          /* Anything else. */
};

/* Where to write a text for people: at most `size` bytes with the closing NUL; longer text is cut. Never key
 * values in errors. */
struct quarry_buffer {
  char* data;
  size_t size; /* At least 1. */
};

struct quarry_resolver_plugin {
  uint32_t abi_version; /* QUARRY_RESOLVER_ABI_VERSION; stays the first member in every version. */
  uint32_t struct_size; /* sizeof(struct quarry_resolver_plugin) as the plug-in was built. */
  const char* type;     /* The name that a configuration uses: "type: modulo". */

  /* Returns a resolver, or NULL after at least one violation. */
  void* (*create)(const struct quarry_resolver_spec* spec, const struct quarry_violations* violations);
  void (*destroy)(void* resolver);
  /* Sets *shard on QUARRY_OK, writes to `error` otherwise. Returns an enum quarry_result. */
  int (*resolve)(const void* resolver, const struct quarry_value* key, size_t key_size, uint32_t* shard,
                 struct quarry_buffer error);

  /* The rest may be NULL. */

  /* Sets may_hold[i] to 1 for each shard that may hold a key with from <= key < to. A size of 0: that end is
   * open. NULL: every shard may. Returns as resolve does. */
  int (*resolve_range)(const void* resolver, const struct quarry_value* from, size_t from_size,
                       const struct quarry_value* to, size_t to_size, uint8_t* may_hold,
                       struct quarry_buffer error);
  /* Sets may_answer[i] to 1 for each shard that resolve can answer. NULL: all. */
  void (*shards)(const void* resolver, uint8_t* may_answer);
  /* One sentence: how the key led to its shard. Called only for keys that resolve. NULL: a general one is
   * used. */
  void (*explain)(const void* resolver, const struct quarry_value* key, size_t key_size,
                  struct quarry_buffer words);
};

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUARRY_CORE_ROUTING_PLUGIN_H_ */
