// discard_writer.h - a writer that takes everything and stores nothing: a generated file that is
// copied onto a generated name (`cp -r build releases/v1.2.3`) needs no storing, since the
// directory makes its own.
#pragma once

#include "writer.h"

struct writer *discard_writer_new(void); // NULL on no memory
