// fault_memory.h - makes the nth allocation of the code under test fail.
//
// Works by the linker's --wrap, so it reaches what the program itself calls (and libcurl, where a
// test hands it these functions), not the C library's inside.
#pragma once

#include <stdbool.h>

// From now on, this thread's allocation number `nth` (from 1) fails and all others succeed; 0: none
// fails. mmap counts as one.
void memory_fail_at(int nth);
// The allocation that was to fail has been asked for since.
bool memory_has_failed(void);
