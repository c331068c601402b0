/* A plug-in that tells what it was given: an integer is on the shard of that number, any other key
 * is refused with its kind and content. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/routing/plugin.h"

static void* create(const struct quarry_resolver_spec* spec,
                    const struct quarry_violations* violations) {
  (void)spec;
  (void)violations;
  return malloc(1);
}

static void destroy(void* resolver) { free(resolver); }

static int resolve(const void* resolver, const struct quarry_value* key, size_t key_size,
                   uint32_t* shard, struct quarry_buffer error) {
  (void)resolver;
  (void)key_size;
  if (key[0].kind == QUARRY_VALUE_INT64) {
    *shard = (uint32_t)key[0].number;
    return QUARRY_OK;
  }
  snprintf(error.data, error.size, "kind %" PRIu32 ", number %" PRId64 ", %zu bytes: %s",
           key[0].kind, key[0].number, key[0].text.size, key[0].text.data);
  return QUARRY_INVALID_KEY;
}

QUARRY_PLUGIN_EXPORT const struct quarry_resolver_plugin quarry_resolver_plugin_v1 = {
    .abi_version = QUARRY_RESOLVER_ABI_VERSION,
    .struct_size = sizeof(struct quarry_resolver_plugin),
    .type = "echo",
    .create = create,
    .destroy = destroy,
    .resolve = resolve,
};
