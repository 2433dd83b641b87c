#include "store_place.h"

#include "../path.h"

#include <errno.h>

bool store_place_may_replace(const struct store_place *place, const char *directory)
{
    return place->may_overwrite && !path_is_under_releases(directory);
}

const char *store_place_remedy(const char *directory)
{
    return path_is_under_releases(directory)
               ? " under releases/: choose another name"
               : " without -o overwrite: remove it first, or choose another name";
}

int store_place_refuse(const char *directory, const char *name, struct err *err)
{
    return err_set(err, EEXIST, "%s is there already with other bytes, and nothing is replaced%s",
                   name, store_place_remedy(directory));
}
