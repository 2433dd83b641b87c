// environment.h - what the process was started with, as an argument: tests hand in their own.
#pragma once

#include "s3.h"

// The variable's value, NULL where it is unset or empty (the AWS tools treat both alike).
const char *s3_environment_get(const struct s3_environment *environment, const char *name);

// A file's path: the variable's value, or else `fallback`; a leading "~/" becomes the home
// directory (HOME, or what the user database says). malloc'ed, NULL on no memory.
char *s3_environment_path(const struct s3_environment *environment, const char *name,
                          const char *fallback);

// The same path, from the environment's directory where it is relative. malloc'ed, NULL on no
// memory.
char *s3_environment_absolute(const struct s3_environment *environment, const char *path);
