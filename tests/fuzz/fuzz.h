// fuzz.h - what each fuzz target is: one parser, fed with anything.
//
// fuzz_NAME.c is linked twice: with libFuzzer, for tools/fuzz, and with replay.c, which feeds it
// tests/corpus/NAME in the unit tests. A target only has to come back: the sanitizers, and the
// assertions in it, say what is wrong. It prints nothing.
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

// A NUL-terminated copy, for parsers of texts; free() it. Never NULL.
char *fuzz_text(const uint8_t *bytes, size_t size);
