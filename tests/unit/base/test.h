// test.h - cmocka, with the headers that it wants before it.
#pragma once

#include <setjmp.h> // IWYU pragma: keep
#include <stdarg.h> // IWYU pragma: keep
#include <stddef.h> // IWYU pragma: keep
#include <stdint.h> // IWYU pragma: keep

#include <cmocka.h>
