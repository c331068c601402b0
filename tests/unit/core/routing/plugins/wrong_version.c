/* A plug-in of a version that does not exist. */
#include "core/routing/plugin.h"

QUARRY_PLUGIN_EXPORT const struct quarry_resolver_plugin quarry_resolver_plugin_v1 = {
    .abi_version = 99,
    .struct_size = sizeof(struct quarry_resolver_plugin),
    .type = "from_the_future",
};
