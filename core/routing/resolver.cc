#include "core/routing/resolver.h"
