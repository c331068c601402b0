/* A plug-in that breaks its promises: what it does is chosen by its first key value. */
#include <stdlib.h>
#include <string.h>

#include "core/routing/plugin.h"

static void* create(const struct quarry_resolver_spec* spec, const struct quarry_violations* violations) {
  if (strstr(spec->options_json.data, "silent") != NULL) return NULL;
  if (strstr(spec->options_json.data, "both") != NULL) violations->add(violations->sink, NULL, NULL);
  return malloc(1);
}

static void destroy(void* resolver) { free(resolver); }

static int resolve(const void* resolver, const struct quarry_value* key, size_t key_size, uint32_t* shard,
                   struct quarry_buffer error) {
  (void)resolver;
  (void)key_size;
  memset(error.data, 'x', error.size); /* Not closed by a NUL. */
  *shard = 1000;
  return (int)key[0].number;
}

static void shards(const void* resolver, uint8_t* may_answer) {
  (void)resolver;
  may_answer[1] = 1;
}

QUARRY_PLUGIN_EXPORT const struct quarry_resolver_plugin quarry_resolver_plugin_v1 = {
    .abi_version = QUARRY_RESOLVER_ABI_VERSION,
    .struct_size = sizeof(struct quarry_resolver_plugin),
    .type = "misbehaving",
    .create = create,
    .destroy = destroy,
    .resolve = resolve,
    .shards = shards,
};
