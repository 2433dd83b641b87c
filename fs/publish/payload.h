// payload.h - whether a NAME publishes an artifact's only file as it is. Pure.
#pragma once

#include "base/err.h"
#include "registry.h"

// For a line whose format is ARCHIVE_FORMAT_PAYLOAD: EINVAL where what the reference names is a
// container image, or the name does not end as the artifact's file does; EPROTONOSUPPORT where it
// has not one file. With what to write instead.
int payload_check(const struct registry_image *image, const char *name, struct err *err);
