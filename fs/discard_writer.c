#include "discard_writer.h"

#include <stdlib.h>

static void take_write(struct writer *writer, uint64_t offset, const void *bytes, size_t size,
                       writer_reply reply, void *context)
{
    (void)writer;
    (void)offset;
    (void)bytes;
    (void)size;
    reply(context, 0);
}

static void take_flush(struct writer *writer, enum writer_flush how, writer_reply reply,
                       void *context)
{
    (void)writer;
    (void)how;
    reply(context, 0);
}

static void take_interrupt(struct writer *writer, void *context, int error)
{
    (void)writer; // nothing ever waits
    (void)context;
    (void)error;
}

static void take_release(struct writer *writer, bool is_abandoned)
{
    (void)is_abandoned;
    free(writer);
}

static const struct writer_methods methods = {
    .write = take_write,
    .flush = take_flush,
    .interrupt = take_interrupt,
    .release = take_release,
};

struct writer *discard_writer_new(void)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (writer)
        writer->methods = &methods;
    return writer;
}
