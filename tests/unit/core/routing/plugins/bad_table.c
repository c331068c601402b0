/* A plug-in whose table cannot be taken: what is bad in it is defined where it is built. */
#include <stddef.h>

#include "core/routing/plugin.h"

#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(struct quarry_resolver_plugin)
#endif
#ifndef CREATE
#define CREATE create
#endif
#ifndef TYPE
#define TYPE "good"
#endif

void* create(const struct quarry_resolver_spec* spec, const struct quarry_violations* violations);
void* create(const struct quarry_resolver_spec* spec, const struct quarry_violations* violations) {
  (void)spec;
  (void)violations;
  return NULL;
}

static void destroy(void* resolver) { (void)resolver; }

static int resolve(const void* resolver, const struct quarry_value* key, size_t key_size,
                   uint32_t* shard, struct quarry_buffer error) {
  (void)resolver;
  (void)key;
  (void)key_size;
  (void)shard;
  (void)error;
  return QUARRY_FAILED;
}

QUARRY_PLUGIN_EXPORT const struct quarry_resolver_plugin quarry_resolver_plugin_v1 = {
    .abi_version = QUARRY_RESOLVER_ABI_VERSION,
    .struct_size = TABLE_SIZE,
    .type = TYPE,
    .create = CREATE,
    .destroy = destroy,
    .resolve = resolve,
};
