// virtual_private.h - what the room's own files ask of a mount's virtuals.
#pragma once

#include "collect.h"
#include "virtual.h"

const struct collect_options *virtuals_collect_options(const struct virtuals *virtuals);
// EACCES with the options that are missing, where no links can be made. what: the subject of the
// sentence.
int virtuals_check_presigner(const struct virtuals *virtuals, const char *what, struct err *err);
