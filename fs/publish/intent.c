#include "intent.h"

#include "../path.h"
#include "../utf8.h"
#include "base/scope.h"
#include "s3.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHAPE_VERSION = 1, // of the JSON; new members do not need a new one, new meanings do
    PROGRAM_MAX = 255, // bytes of this program's version
    // What hostile JSON may hold before it is built into objects, which take many times the room.
    VALUES_MAX = INTENT_NAMES_MAX + 100,
    DEPTH_MAX = 8,
};

DEFINE_SCOPE_CLEANUP(intent, struct intent, intent_free)
#define auto_intent AUTO(intent_scope)

static void json_scope(json_t **json)
{
    json_decref(*json);
}
#define auto_json AUTO(json_scope)

void intent_done(struct intent *intent)
{
    for (size_t i = 0; i < intent->name_count; i++)
        free(intent->names[i]);
    free(intent->names);
    free(intent->directory);
    free(intent->program);
    *intent = (struct intent){0};
}

void intent_free(struct intent *intent)
{
    if (intent)
        intent_done(intent);
    free(intent);
}

static int refuse(struct err *err, const char *member, const char *reason)
{
    return err_set(err, EBADMSG, "\"%s\" %s", member, reason);
}

// ---- what an intent must be, whoever wrote it --------------------------------------------------

static bool is_of(const char *text, size_t size, const char *characters)
{
    return strlen(text) == size && strspn(text, characters) == size;
}

static bool is_id(const char *text)
{
    return is_of(text, INTENT_ID_SIZE - 1, "0123456789abcdef");
}

static int check_origin(const struct intent_origin *origin, struct err *err)
{
    if (!utf8_is_line(origin->host, strlen(origin->host)))
        return refuse(err, "host", "is no host's name");
    if (*origin->machine && !is_id(origin->machine))
        return refuse(err, "machine", "is neither empty nor 32 hex digits");
    if (*origin->boot && !is_of(origin->boot, INTENT_BOOT_SIZE - 1, "0123456789abcdef-"))
        return refuse(err, "boot", "is neither empty nor a boot id");
    if (origin->pid_namespace > UINT32_MAX)
        return refuse(err, "pid_namespace", "is no inode of a namespace");
    if (origin->pid <= 0 || origin->pid > INT32_MAX)
        return refuse(err, "pid", "is no process number");
    if (origin->started_ticks > INT64_MAX)
        return refuse(err, "started", "is no time");
    return 0;
}

static bool is_directory(const char *path)
{
    size_t size = strlen(path);
    if (size > S3_KEY_SIZE_MAX || !utf8_is_valid(path, size))
        return false;
    size_t own_size = strcspn(path, "/");
    if (own_size == strlen(PATH_OWN_DIRECTORY) && memcmp(path, PATH_OWN_DIRECTORY, own_size) == 0)
        return false;
    for (const char *name = path; *path; name++) {
        size_t name_size = strcspn(name, "/");
        if (!path_is_component(name, name_size))
            return false;
        name += name_size;
        if (!*name)
            break;
    }
    return true;
}

static bool is_name(const char *name)
{
    return path_is_component(name, strlen(name)) && utf8_is_valid(name, strlen(name));
}

static int check(const struct intent *intent, struct err *err)
{
    assert(intent->program && intent->directory);
    int error = check_origin(&intent->origin, err);
    if (error < 0)
        return error;
    if (!is_id(intent->mount))
        return refuse(err, "mount", "is no 32 hex digits");
    if (strlen(intent->program) > PROGRAM_MAX ||
        !utf8_is_line(intent->program, strlen(intent->program)))
        return refuse(err, "program", "is no version");
    if (!is_directory(intent->directory))
        return refuse(err, "directory", "is none that holds tarballs");
    if (intent->name_count == 0 || intent->name_count > INTENT_NAMES_MAX)
        return refuse(err, "names", "are none, or more than one write can have");
    for (size_t i = 0; i < intent->name_count; i++)
        if (!is_name(intent->names[i]))
            return refuse(err, "names", "are not all names");
    return 0;
}

// ---- to JSON -----------------------------------------------------------------------------------

static json_t *names_to_json(const struct intent *intent)
{
    json_t *names = json_array();
    for (size_t i = 0; names && i < intent->name_count; i++) {
        if (json_array_append_new(names, json_string(intent->names[i])) < 0) {
            json_decref(names);
            return NULL;
        }
    }
    return names;
}

static int append_json(const char *bytes, size_t size, void *context)
{
    return buf_append(context, bytes, size);
}

int intent_format(const struct intent *intent, struct buf *ret_json, struct err *err)
{
    const struct intent_origin *origin = &intent->origin;
    int error = check(intent, err);
    if (error < 0)
        return err_wrap(err, "an intent that nobody could read");
    auto_json json_t *names = names_to_json(intent);
    auto_json json_t *json =
        !names ? NULL
               : json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:O}", "version",
                           SHAPE_VERSION, "host", origin->host, "machine", origin->machine, "boot",
                           origin->boot, "pid_namespace", (json_int_t)origin->pid_namespace, "pid",
                           (json_int_t)origin->pid, "started", (json_int_t)origin->started_ticks,
                           "mount", intent->mount, "program", intent->program, "directory",
                           intent->directory, "names", names);
    if (!json)
        return err_no_memory(err);
    if (json_dump_callback(json, append_json, ret_json, JSON_COMPACT) < 0 ||
        buf_append_char(ret_json, '\n') < 0)
        return err_set(err, EFBIG, "the intent is larger than %zu bytes", ret_json->limit);
    return 0;
}

// ---- from JSON ---------------------------------------------------------------------------------

// Whether the text holds few enough values, and nested few enough, to be parsed at all. What else
// is wrong with it the parser will say.
static bool is_bounded(const char *json, size_t size)
{
    size_t depth = 0;
    size_t values = 0;
    bool is_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = json[i];
        if (is_string && c == '\\')
            i++;
        else if (c == '"')
            is_string = !is_string;
        else if (!is_string && (c == '[' || c == '{'))
            values += ++depth > DEPTH_MAX ? VALUES_MAX : 1;
        else if (!is_string && (c == ']' || c == '}'))
            depth -= depth > 0;
        else if (!is_string && c == ',')
            values++;
    }
    return values < VALUES_MAX;
}

// Texts of at most size - 1 bytes, into a struct's own array.
static int take_text(const json_t *object, const char *member, char *ret_text, size_t size,
                     struct err *err)
{
    const char *text = json_string_value(json_object_get(object, member));
    if (!text)
        return refuse(err, member, "is missing or no text");
    if (strlen(text) >= size)
        return refuse(err, member, "is too long");
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

static int copy_text(const json_t *text, const char *member, char **ret_text, struct err *err)
{
    if (!json_is_string(text))
        return refuse(err, member, "is missing or no text");
    *ret_text = strdup(json_string_value(text));
    return *ret_text ? 0 : err_no_memory(err);
}

static int take_number(const json_t *object, const char *member, uint64_t *ret_number,
                       struct err *err)
{
    const json_t *number = json_object_get(object, member);
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return refuse(err, member, "is missing or no whole number");
    *ret_number = (uint64_t)json_integer_value(number);
    return 0;
}

static int parse_origin(const json_t *json, struct intent_origin *origin, struct err *err)
{
    uint64_t pid = 0;
    int error = take_text(json, "host", origin->host, sizeof(origin->host), err);
    if (error == 0)
        error = take_text(json, "machine", origin->machine, sizeof(origin->machine), err);
    if (error == 0)
        error = take_text(json, "boot", origin->boot, sizeof(origin->boot), err);
    if (error == 0)
        error = take_number(json, "pid_namespace", &origin->pid_namespace, err);
    if (error == 0)
        error = take_number(json, "pid", &pid, err);
    if (error == 0)
        error = take_number(json, "started", &origin->started_ticks, err);
    origin->pid = (int64_t)pid;
    return error;
}

static int parse_names(const json_t *names, struct intent *intent, struct err *err)
{
    size_t count = json_array_size(names);
    if (!json_is_array(names) || count == 0 || count > INTENT_NAMES_MAX)
        return refuse(err, "names", "is missing, no list, empty, or longer than any write's");
    intent->names = calloc(count, sizeof(*intent->names));
    if (!intent->names)
        return err_no_memory(err);
    for (; intent->name_count < count; intent->name_count++) {
        int error = copy_text(json_array_get(names, intent->name_count), "names",
                              &intent->names[intent->name_count], err);
        if (error < 0)
            return error;
    }
    return 0;
}

static int parse_intent(const json_t *json, struct intent *intent, struct err *err)
{
    int error = parse_origin(json, &intent->origin, err);
    if (error == 0)
        error = take_text(json, "mount", intent->mount, sizeof(intent->mount), err);
    if (error == 0)
        error = copy_text(json_object_get(json, "program"), "program", &intent->program, err);
    if (error == 0)
        error = copy_text(json_object_get(json, "directory"), "directory", &intent->directory, err);
    if (error == 0)
        error = parse_names(json_object_get(json, "names"), intent, err);
    return error < 0 ? error : check(intent, err);
}

int intent_parse(const char *json, size_t size, struct intent **ret_intent, struct err *err)
{
    json_error_t why;
    if (size > INTENT_LIMIT || !is_bounded(json, size))
        return err_set(err, EBADMSG, "the intent is larger than any write's");
    auto_json json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(err, EBADMSG, "the intent is no JSON: %s", why.text);
    const json_t *version = json_object_get(root, "version");
    if (!json_is_integer(version) || json_integer_value(version) < SHAPE_VERSION)
        return refuse(err, "version", "is missing or none there ever was");
    if (json_integer_value(version) > SHAPE_VERSION)
        return err_set(err, EPROTONOSUPPORT,
                       "the intent has shape %" JSON_INTEGER_FORMAT
                       ", and this program reads shape %d: a newer one wrote it",
                       json_integer_value(version), SHAPE_VERSION);
    auto_intent struct intent *intent = calloc(1, sizeof(*intent));
    if (!intent)
        return err_no_memory(err);
    int error = parse_intent(root, intent, err);
    if (error < 0)
        return err_wrap(err, "this is no intent");
    *ret_intent = TAKE(intent);
    return 0;
}

// ---- keys --------------------------------------------------------------------------------------

#define INTENTS PATH_OWN_DIRECTORY "/intents/"

// A host's name as a component: what other tools could stumble over is '_'. Names that become
// one share a folder; the intents in it tell them apart.
static void append_host(struct buf *key, const char *host)
{
    if (!*host)
        buf_append_char(key, '_');
    for (const char *c = host; *c; c++) {
        bool is_safe = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                       (*c >= 'A' && *c <= 'Z') || *c == '-' || (*c == '.' && c > host);
        buf_append_char(key, is_safe ? *c : '_');
    }
}

char *intent_prefix(const char *prefix, const char *host)
{
    auto_buf struct buf key = BUF_INIT(2 * S3_KEY_SIZE_MAX);
    buf_printf(&key, "%s" INTENTS, prefix);
    if (host) {
        append_host(&key, host);
        buf_append_char(&key, '/');
    }
    return buf_take(&key);
}

char *intent_object_key(const char *prefix, const char *host, const char *id)
{
    auto_free char *folder = intent_prefix(prefix, host);
    char *key = NULL;
    return folder && asprintf(&key, "%s%s.json", folder, id) >= 0 ? key : NULL;
}
