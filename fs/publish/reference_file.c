#include "reference_file.h"

#include "../path.h"
#include "../symlink.h"
#include "../utf8.h"
#include "../virtual/virtual.h"
#include "base/buf.h"
#include "base/scope.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN_SIZE = 100 }; // bytes of a field that a sentence quotes; a line may hold 64 KiB

#define EXTENSION_TAR ".tar"
#define EXTENSION_TAR_GZ ".tar.gz"
#define SIGNATURES ".signatures"
#define NAME_EXAMPLE "runtime:main-abc1234.tar"

// The fields of one line as they were written, pointing into it; NULL where left out.
struct fields {
    const char *reference;
    const char *name;
    const char *platform;
    const char *tag;
};

// A field as a sentence quotes it: cut where it is long, at a character's edge.
struct shown {
    char text[SHOWN_SIZE + sizeof("...")];
};

static struct shown shown(const char *field)
{
    struct shown result;
    size_t size = utf8_fit(field, SHOWN_SIZE);

    memcpy(result.text, field, size);
    memcpy(result.text + size, "...", sizeof("..."));
    if (field[size] == '\0')
        result.text[size] = '\0';
    return result;
}

static bool ends_in(const char *name, const char *extension)
{
    size_t name_size = strlen(name);
    size_t extension_size = strlen(extension);

    return name_size > extension_size && strcmp(name + name_size - extension_size, extension) == 0;
}

bool reference_name_format(const char *name, enum archive_format *ret_format)
{
    bool is_gzip = ends_in(name, EXTENSION_TAR_GZ);

    if (!is_gzip && !ends_in(name, EXTENSION_TAR))
        return false;
    *ret_format = is_gzip ? ARCHIVE_FORMAT_TAR_GZ : ARCHIVE_FORMAT_TAR;
    return true;
}

char *reference_signatures_name(const char *name)
{
    char *signatures = NULL;
    enum archive_format format = ARCHIVE_FORMAT_TAR;
    bool is_tarball = reference_name_format(name, &format);
    const char *extension = format == ARCHIVE_FORMAT_TAR_GZ ? EXTENSION_TAR_GZ : EXTENSION_TAR;
    int stem_size = (int)(strlen(name) - (is_tarball ? strlen(extension) : 0));

    return asprintf(&signatures, "%.*s" SIGNATURES "%s", stem_size, name, extension) < 0
               ? NULL
               : signatures;
}

bool reference_name_is_signatures(const char *name)
{
    return ends_in(name, SIGNATURES EXTENSION_TAR) || ends_in(name, SIGNATURES EXTENSION_TAR_GZ);
}

// ---- one line into fields ----------------------------------------------------------------------

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

// Cuts the next field off *cursor; NULL at the line's end or where a comment begins. A '#' within
// a field is the field's own.
static char *next_field(char **cursor)
{
    char *field = *cursor;

    while (is_blank(*field))
        field++;
    if (*field == '\0' || *field == '#')
        return NULL;
    char *end = field;
    while (*end != '\0' && !is_blank(*end))
        end++;
    *cursor = *end == '\0' ? end : end + 1;
    *end = '\0';
    return field;
}

static int take_key(char *field, struct fields *fields, struct err *err)
{
    char *equals = strchr(field, '=');
    const char *value = equals + 1;
    const char **member;

    *equals = '\0';
    if (strcmp(field, "platform") == 0)
        member = &fields->platform;
    else if (strcmp(field, "tag") == 0)
        member = &fields->tag;
    else
        return err_set(err, EINVAL,
                       "unknown KEY \"%s=\": there are platform=OS/ARCH[/VARIANT]|all and "
                       "tag=REPOSITORY:TAG (and a NAME may not hold a '=')",
                       shown(field).text);
    if (*member)
        return err_set(err, EINVAL, "%s= stands twice: \"%s\" and \"%s\"; keep one of them", field,
                       shown(*member).text, shown(value).text);
    if (*value == '\0')
        return err_set(err, EINVAL, "%s= is empty: write %s, or leave it out", field,
                       member == &fields->tag ? "tag=REPOSITORY:TAG, as in tag=runtime:latest"
                                              : "platform=OS/ARCH, as in platform=linux/arm64");
    *member = value;
    return 0;
}

// fields->reference stays NULL for a blank line and a comment.
static int split_line(char *line, struct fields *ret_fields, struct err *err)
{
    struct fields fields = {.reference = next_field(&line)};
    bool is_second = true;
    char *field;

    while (fields.reference && (field = next_field(&line))) {
        if (strchr(field, '=')) {
            int error = take_key(field, &fields, err);
            if (error < 0)
                return error;
        } else if (is_second) {
            fields.name = field;
        } else if (fields.name) {
            return err_set(err, EINVAL,
                           "\"%s\" is one field too many: a line is REFERENCE [NAME] "
                           "[KEY=VALUE]..., and NAME is \"%s\" already",
                           shown(field).text, shown(fields.name).text);
        } else {
            return err_set(err, EINVAL,
                           "\"%s\" is no KEY=VALUE; if it is meant as NAME, it stands right "
                           "after the reference, before any KEY=VALUE",
                           shown(field).text);
        }
        is_second = false;
    }
    *ret_fields = fields;
    return 0;
}

// ---- fields into a line ------------------------------------------------------------------------

// Whether an artifact's file may have that name; what else it must be is known when the artifact is
// (payload.h). Not what looks like a mistyped .tar or a tag, nor a name with a meaning of its own.
static bool may_be_payload(const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t digits = dot ? strspn(dot + 1, "0123456789") : 0;
    size_t size = dot ? strlen(dot + 1) : 0;

    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)dot[1 + i]))
            return false;
    return dot > name && size > digits && size < REGISTRY_EXTENSION_SIZE - 1 &&
           strcasecmp(dot, EXTENSION_TAR) != 0 && !path_is_reference_file(name) &&
           !symlink_is_object_name(name) && !virtual_find(name);
}

static int check_name(const char *name, enum archive_format *ret_format, struct err *err)
{
    size_t size = strlen(name);

    if (strchr(name, '/'))
        return err_set(
            err, EINVAL,
            "NAME \"%s\" holds a '/': it is a file of this directory, as in " NAME_EXAMPLE
            " (a .ref file in another directory publishes there)",
            shown(name).text);
    if (strcmp(name, EXTENSION_TAR) == 0 || strcmp(name, EXTENSION_TAR_GZ) == 0)
        return err_set(err, EINVAL,
                       "NAME \"%s\" has nothing before its extension: a right one is " NAME_EXAMPLE,
                       name);
    if (!reference_name_format(name, ret_format) && !may_be_payload(name))
        return err_set(
            err, EINVAL,
            "NAME \"%s\" ends neither in .tar nor in .tar.gz: a right one is " NAME_EXAMPLE,
            shown(name).text);
    if (reference_name_is_signatures(name))
        return err_set(err, EINVAL,
                       "NAME \"%s\" is that of an image's signatures: give the line another NAME, "
                       "as in " NAME_EXAMPLE,
                       shown(name).text);
    if (!reference_name_format(name, ret_format))
        *ret_format = ARCHIVE_FORMAT_PAYLOAD;
    if (size > PATH_NAME_MAX)
        return err_set(err, EINVAL,
                       "NAME \"%s\" has %zu bytes, and a file name has at most %d: give the line a "
                       "shorter NAME, as in " NAME_EXAMPLE,
                       shown(name).text, size, PATH_NAME_MAX);
    for (size_t at = 0, step; at < size; at += step) {
        if (utf8_is_deceptive(utf8_decode(name + at, size - at, &step)))
            return err_set(err, EINVAL,
                           "NAME \"%s\" holds an invisible character (at byte %zu): type it afresh "
                           "rather than paste it; a right one is " NAME_EXAMPLE,
                           shown(name).text, at + 1);
    }
    return 0;
}

// The NAME that a line leaves out.
static char *default_name(const struct registry_reference *reference, enum archive_format format)
{
    auto_free char *stem = registry_reference_default_name(reference);
    auto_buf struct buf name = BUF_INIT(REFERENCE_FILE_LIMIT);

    if (!stem)
        return NULL;
    buf_append_text(&name, stem);
    buf_append_text(&name, format == ARCHIVE_FORMAT_TAR_GZ ? EXTENSION_TAR_GZ : EXTENSION_TAR);
    return buf_take(&name);
}

static void line_done(struct reference_line *line)
{
    registry_reference_done(&line->reference);
    free(line->name);
    free(line->tag);
    *line = (struct reference_line){0};
}

// What it fills in is the caller's to end, also on failure.
static int fill_line(const struct fields *fields, const struct reference_defaults *defaults,
                     struct reference_line *line, struct err *err)
{
    int error = registry_reference_parse(fields->reference, &line->reference, err);
    if (error < 0)
        return error;

    line->platforms = defaults->platforms;
    if (fields->platform) {
        error = registry_platforms_parse(fields->platform, &line->platforms, err);
        if (error < 0)
            return err_wrap(err, "platform=%s", shown(fields->platform).text);
    }
    if (fields->tag) {
        error = registry_tag_check(fields->tag, err);
        if (error < 0)
            return err_wrap(err, "tag=%s", shown(fields->tag).text);
    }
    line->name =
        fields->name ? strdup(fields->name) : default_name(&line->reference, defaults->format);
    line->tag =
        fields->tag ? strdup(fields->tag) : registry_reference_default_tag(&line->reference);
    if (!line->name || !line->tag)
        return err_no_memory(err);
    if (strchr(line->tag, '['))
        return err_set(
            err, EINVAL,
            "the image would be called \"%s\", and docker and podman load no name with an "
            "IPv6 address: give it another, as in tag=runtime:latest",
            shown(line->tag).text);
    return check_name(line->name, &line->format, err);
}

// ---- the file ----------------------------------------------------------------------------------

static int check_text(const char *bytes, size_t size, struct err *err)
{
    for (size_t at = 0, step; at < size; at += step) {
        uint32_t character = utf8_decode(bytes + at, size - at, &step);
        if (character == '\0' || (unsigned char)bytes[at] >= 0xFE)
            return err_set(err, EINVAL,
                           "byte %zu (0x%02x) is no text; save the file as UTF-8 (PowerShell's '>' "
                           "writes UTF-16: use Set-Content -Encoding ascii)",
                           at + 1, (unsigned char)bytes[at]);
        if (character == UTF8_BROKEN && step == 1)
            return err_set(err, EINVAL, "byte %zu (0x%02x) is not UTF-8; save the file as UTF-8",
                           at + 1, (unsigned char)bytes[at]);
        if (character != '\t' && utf8_is_control(character))
            return err_set(err, EINVAL,
                           "byte %zu is the control character U+%04X; fields are separated by "
                           "blanks and tabs, lines end in a newline",
                           at + 1, (unsigned)character);
    }
    return 0;
}

struct lines {
    struct reference_line *items;
    size_t count;
    size_t capacity;
};

// An empty line at the end; NULL on no memory.
static struct reference_line *add_line(struct lines *lines)
{
    if (lines->count == lines->capacity) {
        size_t capacity = lines->capacity ? 2 * lines->capacity : 4;
        struct reference_line *items =
            realloc(lines->items, capacity * sizeof(struct reference_line));
        if (!items)
            return NULL;
        lines->items = items;
        lines->capacity = capacity;
    }
    struct reference_line *line = &lines->items[lines->count++];
    *line = (struct reference_line){0};
    return line;
}

static int parse_line(struct lines *lines, const char *bytes, size_t size, unsigned line_number,
                      const struct reference_defaults *defaults, struct err *err)
{
    struct fields fields = {0};

    if (size > 0 && bytes[size - 1] == '\r')
        size--;
    int error = check_text(bytes, size, err);
    if (error < 0)
        return err_wrap(err, "line %u", line_number);

    auto_free char *text = strndup(bytes, size);
    if (!text)
        return err_no_memory(err);
    error = split_line(text, &fields, err);
    if (error < 0)
        return err_wrap(err, "line %u", line_number);
    if (!fields.reference)
        return 0;
    struct reference_line *line = add_line(lines);
    if (!line)
        return err_no_memory(err);
    line->line_number = line_number;
    error = fill_line(&fields, defaults, line, err);
    return error < 0 ? err_wrap(err, "line %u", line_number) : 0;
}

static int compare_by_name(const void *a, const void *b)
{
    const struct reference_line *first = *(const struct reference_line *const *)a;
    const struct reference_line *second = *(const struct reference_line *const *)b;
    int order = strcmp(first->name, second->name);

    if (order != 0)
        return order;
    return first->line_number < second->line_number ? -1 : 1;
}

static int check_names_differ(const struct lines *lines, struct err *err)
{
    auto_free const struct reference_line **sorted = calloc(lines->count, sizeof(void *));

    if (!sorted)
        return err_no_memory(err);
    for (size_t i = 0; i < lines->count; i++)
        sorted[i] = &lines->items[i];
    qsort(sorted, lines->count, sizeof(void *), compare_by_name);
    for (size_t i = 1; i < lines->count; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return err_set(err, EINVAL,
                           "line %u: NAME \"%s\" is that of line %u already; give one of them "
                           "another NAME after its reference",
                           sorted[i]->line_number, shown(sorted[i]->name).text,
                           sorted[i - 1]->line_number);
    }
    return 0;
}

static int parse_lines(struct lines *lines, const char *bytes, size_t size, unsigned line_number,
                       const struct reference_defaults *defaults, struct err *err)
{
    static const char byte_order_mark[] = {'\xEF', '\xBB', '\xBF'};
    const char *end = bytes + size;

    // Windows' editors begin UTF-8 files with one.
    if (line_number == 1 && size >= sizeof(byte_order_mark) &&
        memcmp(bytes, byte_order_mark, sizeof(byte_order_mark)) == 0)
        bytes += sizeof(byte_order_mark);
    for (; bytes < end; line_number++) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        const char *line_end = newline ? newline : end;
        int error =
            parse_line(lines, bytes, (size_t)(line_end - bytes), line_number, defaults, err);
        if (error < 0)
            return error;
        bytes = newline ? newline + 1 : end;
    }
    return lines->count > 1 ? check_names_differ(lines, err) : 0;
}

int reference_file_parse(const char *bytes, size_t size, unsigned first_line_number,
                         const struct reference_defaults *defaults,
                         struct reference_line **ret_lines, size_t *ret_count, struct err *err)
{
    struct lines lines = {0};

    if (size > REFERENCE_FILE_LIMIT)
        return err_set(
            err, EFBIG,
            "an image reference file has at most %d bytes, and this one has %zu or more; "
            "split it",
            REFERENCE_FILE_LIMIT, size);
    int error = parse_lines(&lines, bytes, size, first_line_number, defaults, err);
    if (error < 0) {
        reference_lines_free(lines.items, lines.count);
        return error;
    }
    *ret_lines = lines.items;
    *ret_count = lines.count;
    return 0;
}

void reference_lines_free(struct reference_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        line_done(&lines[i]);
    free(lines);
}
