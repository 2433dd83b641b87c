// download.h - download.sh and download.ps1: the files of a directory by one command; pure.
//
// Each is a script that stands beside this header, with the files and what is told of them filled
// in. Names, links and whatever else others wrote enter it as single-quoted words alone.
#pragma once

#include "snapshot.h"

#include "base/buf.h"
#include "base/err.h"

int download_sh_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
int download_ps1_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
