#include "xml.h"

#include "base/buf.h"
#include "base/scope.h"
#include "base/secret.h"

#include <ctype.h>
#include <errno.h>
#include <expat.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>

#define NAMESPACE_SEPARATOR '\n' // stands in no name and in no namespace

struct xml_reader {
    XML_Parser parser;
    xml_on_element *on_element;
    void *context;
    struct err *err;
    int result; // 0 while all is well
    char path[XML_DEPTH_MAX * (XML_NAME_MAX + 1) + 1];
    size_t path_size;
    size_t depth;
    // One text for each open element, because an element's text goes on behind its children.
    struct buf texts[XML_DEPTH_MAX];
};

// ---- memory that is wiped -----------------------------------------------------------------

static void free_wiped(void *p)
{
    secret_wipe(p, malloc_usable_size(p));
    free(p);
}

static void *realloc_wiped(void *p, size_t size)
{
    void *larger = malloc(size);
    if (!larger || !p)
        return larger;
    size_t old_size = malloc_usable_size(p);
    memcpy(larger, p, old_size < size ? old_size : size);
    free_wiped(p);
    return larger;
}

static const XML_Memory_Handling_Suite wiped_memory = {malloc, realloc_wiped, free_wiped};

// ---- expat's callbacks --------------------------------------------------------------------

static void stop(struct xml_reader *reader, int result)
{
    if (reader->result != 0)
        return;
    reader->result = result;
    XML_StopParser(reader->parser, XML_FALSE);
}

static void refuse(struct xml_reader *reader, const char *why)
{
    if (reader->result == 0)
        stop(reader, err_set(reader->err, EBADMSG, "XML line %lu: %s",
                             (unsigned long)XML_GetCurrentLineNumber(reader->parser), why));
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct xml_reader *reader = user;
    if (reader->result != 0)
        return;
    const char *separator = strrchr(name, NAMESPACE_SEPARATOR);
    const char *local = separator ? separator + 1 : name;
    size_t size = strlen(local);
    if (reader->depth == XML_DEPTH_MAX) {
        refuse(reader, "elements are nested too deep");
        return;
    }
    if (size > XML_NAME_MAX) {
        refuse(reader, "an element's name is too long");
        return;
    }
    if (reader->depth > 0)
        reader->path[reader->path_size++] = '/';
    memcpy(reader->path + reader->path_size, local, size + 1);
    reader->path_size += size;
    buf_clear(&reader->texts[reader->depth]);
    reader->depth++;
}

static void on_end(void *user, const XML_Char *name)
{
    (void)name;
    struct xml_reader *reader = user;
    if (reader->result != 0)
        return;
    reader->depth--;
    const char *text = buf_text(&reader->texts[reader->depth]);
    int r = reader->on_element(reader->context, reader->path, text, reader->err);
    if (r < 0) {
        stop(reader, r);
        return;
    }
    const char *slash = strrchr(reader->path, '/');
    reader->path_size = slash ? (size_t)(slash - reader->path) : 0;
    reader->path[reader->path_size] = '\0';
}

static void on_text(void *user, const XML_Char *bytes, int size)
{
    struct xml_reader *reader = user;
    if (reader->result != 0 || reader->depth == 0)
        return;
    int r = buf_append(&reader->texts[reader->depth - 1], bytes, (size_t)size);
    if (r == -E2BIG)
        refuse(reader, "a text is too long");
    else if (r < 0)
        stop(reader, err_no_memory(reader->err));
}

static void on_doctype(void *user, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_internal_subset)
{
    (void)name, (void)system_id, (void)public_id, (void)has_internal_subset;
    refuse(user, "a document type declaration is not accepted");
}

// ---- masking ------------------------------------------------------------------------------

static bool is_character(unsigned long c)
{
    return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0xD800) ||
           (c >= 0xE000 && c < 0xFFFE) || (c >= 0x10000 && c <= 0x10FFFF);
}

// The size of a reference to a character that XML does not have; 0 where none begins.
static size_t bad_reference(const char *at, const char *end)
{
    size_t size = (size_t)(end - at);
    if (size < 4 || at[0] != '&' || at[1] != '#')
        return 0;
    int base = at[2] == 'x' ? 16 : 10;
    const char *digit = at + (base == 16 ? 3 : 2);
    unsigned long c = 0;
    for (; digit < end && isxdigit((unsigned char)*digit) && c <= 0x10FFFF; digit++)
        c = c * (unsigned)base +
            (unsigned)(isdigit((unsigned char)*digit) ? *digit - '0' : (*digit | 0x20) - 'a' + 10);
    return digit < end && *digit == ';' && !is_character(c) ? (size_t)(digit - at) + 1 : 0;
}

// The size of a raw character that XML does not have: a control character, U+FFFE or U+FFFF.
static size_t bad_character(const char *at, const char *end)
{
    if (!is_character((unsigned char)*at))
        return 1;
    return end - at >= 3 && memcmp(at, "\xEF\xBF", 2) == 0 && (at[2] & 0x3F) >= 0x3E ? 3 : 0;
}

void xml_mask(char *bytes, size_t size)
{
    if (!size) // bytes may be NULL then
        return;
    const char *end = bytes + size;
    for (char *at = bytes; at < end; at++) {
        memset(at, XML_MASK, bad_character(at, end));
        memset(at, XML_MASK, bad_reference(at, end));
    }
}

// ---- reading ------------------------------------------------------------------------------

static void run(struct xml_reader *reader, const char *bytes, size_t size)
{
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
    enum XML_Status status = XML_Parse(reader->parser, bytes, (int)size, XML_TRUE);
    if (status == XML_STATUS_OK || reader->result != 0)
        return;
    enum XML_Error code = XML_GetErrorCode(reader->parser);
    reader->result = code == XML_ERROR_NO_MEMORY
                         ? err_no_memory(reader->err)
                         : err_set(reader->err, EBADMSG, "XML line %lu: %s",
                                   (unsigned long)XML_GetCurrentLineNumber(reader->parser),
                                   XML_ErrorString(code));
}

int xml_read(const void *bytes, size_t size, xml_on_element *on_element, void *context,
             struct err *err)
{
    if (size > XML_SIZE_MAX)
        return err_set(err, EBADMSG, "XML of %zu bytes is too large", size);
    const char *text = bytes;
    while (size > 0 && strchr(" \t\r\n", *text) && *text) {
        text++;
        size--;
    }
    if (size == 0)
        return err_set(err, EBADMSG, "there is no XML, only emptiness");

    auto_free struct xml_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return err_no_memory(err);
    reader->on_element = on_element;
    reader->context = context;
    reader->err = err;
    for (size_t i = 0; i < XML_DEPTH_MAX; i++)
        buf_init(&reader->texts[i], XML_TEXT_MAX);
    static const XML_Char separator[] = {NAMESPACE_SEPARATOR, '\0'};
    reader->parser = XML_ParserCreate_MM(NULL, &wiped_memory, separator);
    if (!reader->parser)
        return err_no_memory(err);
    run(reader, text, size);
    XML_ParserFree(reader->parser);
    for (size_t i = 0; i < XML_DEPTH_MAX; i++) {
        secret_wipe(reader->texts[i].bytes, reader->texts[i].capacity);
        buf_done(&reader->texts[i]);
    }
    return reader->result;
}
