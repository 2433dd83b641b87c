#include "aws_config.h"

#include "base/secret.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

// One property. Names and values are pieces of aws_config.text, each closed by a NUL there.
struct property {
    const char *section;
    const char *name;   // lower case
    const char *nested; // NULL, or the name below `name`
    char *value;
};

struct aws_config {
    char *text; // the file's bytes, cut up in place; values only ever move towards its front
    size_t text_size;
    const char **sections;
    size_t section_count;
    struct property *properties;
    size_t property_count;
};

// ---- growing ------------------------------------------------------------------------------

// Doubles at powers of two; returns the array with room for one more, or NULL.
static void *with_room(void *array, size_t count, size_t item_size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return array;
    return reallocarray(array, count == 0 ? 1 : count * 2, item_size);
}

static int add_section(struct aws_config *config, const char *name, struct err *err)
{
    const char **sections = with_room(config->sections, config->section_count, sizeof(sections[0]));
    if (!sections)
        return err_no_memory(err);
    config->sections = sections;
    sections[config->section_count++] = name;
    return 0;
}

static int add_property(struct aws_config *config, const struct property *property, struct err *err)
{
    struct property *properties =
        with_room(config->properties, config->property_count, sizeof(properties[0]));
    if (!properties)
        return err_no_memory(err);
    config->properties = properties;
    properties[config->property_count++] = *property;
    return 0;
}

// ---- lines --------------------------------------------------------------------------------

struct reader {
    struct aws_config *config;
    const char *path;
    const char *section; // NULL before the first
    size_t last;         // the property that an indented line continues ...
    bool has_last;       // ... where there is one in this section
    bool is_nesting;     // its value was empty: indented lines are nested properties
    size_t indent;       // of its line
    unsigned line_number;
};

static int refuse(const struct reader *reader, struct err *err, const char *why)
{
    return err_set(err, EINVAL, "%s line %u: %s", reader->path, reader->line_number, why);
}

// Cuts white space off both ends, in place.
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    return text;
}

static void lower(char *text)
{
    for (; *text; text++)
        *text = (char)tolower((unsigned char)*text);
}

static int read_section(struct reader *reader, char *line, struct err *err)
{
    char *end = strrchr(line, ']');
    if (!end || end == line + 1)
        return refuse(reader, err, "a section's name needs to stand in [brackets]");
    *end = '\0';
    if (aws_config_has(reader->config, line + 1))
        return refuse(reader, err, "this section is there twice");
    reader->section = line + 1;
    reader->has_last = false;
    return add_section(reader->config, reader->section, err);
}

static int read_nested(struct reader *reader, char *line, struct err *err)
{
    char *separator = strchr(line, '=');
    if (!separator)
        return refuse(reader, err, "a nested property needs NAME = VALUE");
    *separator = '\0';
    const struct property *parent = &reader->config->properties[reader->last];
    struct property property = {parent->section, parent->name, trim(line), trim(separator + 1)};
    // The first of two wins at the look-up, the last in configparser: so the older one goes.
    for (size_t i = reader->last + 1; i < reader->config->property_count; i++)
        if (strcmp(reader->config->properties[i].nested, property.nested) == 0) {
            reader->config->properties[i].value = property.value;
            return 0;
        }
    return add_property(reader->config, &property, err);
}

// Moves the line up to the value that it continues: both lie in the same text.
static void continue_value(struct reader *reader, const char *line)
{
    char *value = reader->config->properties[reader->last].value;
    size_t size = strlen(value);
    value[size] = '\n';
    memmove(value + size + 1, line, strlen(line) + 1);
}

static int read_property(struct reader *reader, char *line, struct err *err)
{
    if (!reader->section)
        return refuse(reader, err, "a property stands before the first [section]");
    char *separator = strpbrk(line, "=:");
    if (!separator)
        return refuse(reader, err, "this is no section, property or comment");
    *separator = '\0';
    char *name = trim(line);
    if (*name == '\0')
        return refuse(reader, err, "a property has no name");
    lower(name);
    if (aws_config_get(reader->config, reader->section, name))
        return refuse(reader, err, "this property is there twice in its section");
    struct property property = {reader->section, name, NULL, trim(separator + 1)};
    reader->last = reader->config->property_count;
    reader->has_last = true;
    reader->is_nesting = *property.value == '\0';
    return add_property(reader->config, &property, err);
}

static int read_line(struct reader *reader, char *line, struct err *err)
{
    size_t indent = 0;
    while (isspace((unsigned char)line[indent]))
        indent++;
    char *content = trim(line);
    if (*content == '\0' || *content == '#' || *content == ';')
        return 0;
    if (reader->has_last && indent > reader->indent) {
        if (reader->is_nesting)
            return read_nested(reader, content, err);
        continue_value(reader, content);
        return 0;
    }
    reader->indent = indent;
    if (*content == '[')
        return read_section(reader, content, err);
    return read_property(reader, content, err);
}

static int read_lines(struct aws_config *config, const char *path, struct err *err)
{
    struct reader reader = {.config = config, .path = path};
    char *line = config->text;
    if (strncmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    while (*line) {
        reader.line_number++;
        char *end = strchrnul(line, '\n');
        char *next = *end ? end + 1 : end;
        *end = '\0';
        int r = read_line(&reader, line, err);
        if (r < 0)
            return r;
        line = next;
    }
    return 0;
}

// ---- the file -----------------------------------------------------------------------------

int aws_config_parse(const char *bytes, size_t size, const char *path,
                     struct aws_config **ret_config, struct err *err)
{
    if (size > AWS_CONFIG_SIZE_MAX)
        return err_set(err, EFBIG, "%s is larger than %d bytes", path, AWS_CONFIG_SIZE_MAX);
    if (memchr(bytes, '\0', size))
        return err_set(err, EINVAL, "%s holds a NUL byte: it is no text", path);
    auto_aws_config struct aws_config *config = calloc(1, sizeof(*config));
    if (!config)
        return err_no_memory(err);
    config->text = strndup(bytes, size);
    if (!config->text)
        return err_no_memory(err);
    config->text_size = size;
    int r = read_lines(config, path, err);
    if (r < 0)
        return r;
    *ret_config = TAKE(config);
    return 0;
}

static int read_all(int fd, const char *path, char *bytes, size_t room, size_t *ret_size,
                    struct err *err)
{
    size_t size = 0;
    while (size < room) {
        ssize_t n = read(fd, bytes + size, room - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, EIO, "cannot read %s: %s", path, strerrordesc_np(errno));
        if (n == 0)
            break;
        size += (size_t)n;
    }
    *ret_size = size;
    return 0;
}

int aws_config_read(const char *path, struct aws_config **ret_config, struct err *err)
{
    // A pipe would block the mount, and botocore takes regular files only as well.
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, ENOENT, "%s: %s", path, strerrordesc_np(errno));
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return err_set(err, ENOENT, "%s is no regular file", path);

    size_t room = AWS_CONFIG_SIZE_MAX + 1;
    auto_free char *bytes = malloc(room);
    if (!bytes)
        return err_no_memory(err);
    size_t size = 0;
    int r = read_all(fd, path, bytes, room, &size, err);
    if (r == 0)
        r = aws_config_parse(bytes, size, path, ret_config, err);
    secret_wipe(bytes, size);
    return r;
}

void aws_config_free(struct aws_config *config)
{
    if (!config)
        return;
    secret_wipe(config->text, config->text_size);
    free(config->text);
    free(config->sections);
    free(config->properties);
    free(config);
}

// ---- looking up ---------------------------------------------------------------------------

bool aws_config_has(const struct aws_config *config, const char *section)
{
    for (size_t i = 0; config && i < config->section_count; i++)
        if (strcmp(config->sections[i], section) == 0)
            return true;
    return false;
}

const char *aws_config_get_nested(const struct aws_config *config, const char *section,
                                  const char *name, const char *nested)
{
    for (size_t i = 0; config && i < config->property_count; i++) {
        const struct property *property = &config->properties[i];
        if (strcmp(property->section, section) != 0 || strcmp(property->name, name) != 0)
            continue;
        if (nested ? property->nested && strcmp(property->nested, nested) == 0 : !property->nested)
            return property->value;
    }
    return NULL;
}

const char *aws_config_get(const struct aws_config *config, const char *section, const char *name)
{
    return aws_config_get_nested(config, section, name, NULL);
}

// Whether a section's name is KIND and one more word, which may stand in quotes, and that is NAME.
static bool is_section_of(const char *section, const char *kind, const char *name)
{
    size_t kind_size = strlen(kind);
    if (strncmp(section, kind, kind_size) != 0 || !isspace((unsigned char)section[kind_size]))
        return false;
    const char *word = section + kind_size;
    while (isspace((unsigned char)*word))
        word++;
    size_t size = strlen(word);
    while (size > 0 && isspace((unsigned char)word[size - 1]))
        size--;
    if (size >= 2 && (*word == '"' || *word == '\'') && word[size - 1] == *word) {
        word++;
        size -= 2;
    } else if (memchr(word, ' ', size) || memchr(word, '\t', size)) {
        return false; // two words: the SDKs take that for no profile
    }
    return size == strlen(name) && memcmp(word, name, size) == 0;
}

const char *aws_config_section(const struct aws_config *config, const char *kind, const char *name)
{
    for (size_t i = 0; config && i < config->section_count; i++)
        if (is_section_of(config->sections[i], kind, name))
            return config->sections[i];
    bool is_default = strcmp(kind, "profile") == 0 && strcmp(name, "default") == 0;
    return is_default && aws_config_has(config, "default") ? "default" : NULL;
}
