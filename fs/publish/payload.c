#include "payload.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static bool ends_in(const char *name, const char *extension)
{
    size_t name_size = strlen(name), size = strlen(extension);
    return size > 0 && name_size > size && strcasecmp(name + name_size - size, extension) == 0;
}

int payload_check(const struct registry_image *image, const char *name, struct err *err)
{
    const char *extension = strrchr(name, '.');
    if (!image->artifact_type)
        return err_set(err, EINVAL,
                       "it is a container image, and NAME ends neither in .tar nor in .tar.gz: a "
                       "right one is runtime:main-abc1234.tar");
    if (image->layer_count != 1)
        return err_set(err, EPROTONOSUPPORT,
                       "it is an artifact of %zu files, and NAME ends in %s, which takes one: end "
                       "it in .tar for all of them, as an OCI layout",
                       image->layer_count, extension);
    const struct registry_descriptor *file = &image->layers[0];
    if (file->extension[0] == '\0')
        return err_set(err, EINVAL,
                       "it is an artifact that does not say what its file's name ends in, and NAME "
                       "ends in %s: end it in .tar for an OCI layout",
                       extension);
    if (!ends_in(name, file->extension))
        return err_set(err, EINVAL,
                       "it is an artifact whose file ends in %s, and NAME ends in %s: end it in %s "
                       "for the file itself, or in .tar for an OCI layout",
                       file->extension, extension, file->extension);
    if (file->size_bytes == 0)
        return err_set(err, EPROTONOSUPPORT,
                       "its file is empty: end NAME in .tar for an OCI layout of it");
    return 0;
}
