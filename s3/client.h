// client.h - the inside of a struct s3_client: one bucket, asked with one set of credentials.
#pragma once

#include "request.h"

#include <stdatomic.h>

struct s3_client {
    struct s3_skew skew; // its own and its presigner's
    struct s3_service service;
    atomic_bool has_refused_completion; // since the key existed
    atomic_int copy_binding;            // object_copy.c: whether a copy's condition is honoured
};
