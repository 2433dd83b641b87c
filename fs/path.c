#include "path.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    DOWNLOAD_NAME_MAX = 200, // bytes
    EXTENSION_MAX = 20,      // of one that is kept
    HASH_CHARS = 8, // of a collided download name: 32 bits tell 10,000 names of one directory apart
};

bool path_is_component(const char *name, size_t size)
{
    if (size == 0 || size > PATH_NAME_MAX)
        return false;
    if (memchr(name, '/', size) || memchr(name, '\0', size))
        return false;
    return !(size == 1 && name[0] == '.') && !(size == 2 && name[0] == '.' && name[1] == '.');
}

bool path_is_reference_file(const char *name)
{
    size_t size = strlen(name);
    return size >= strlen(".ref") && strcmp(name + size - strlen(".ref"), ".ref") == 0;
}

bool path_is_commit(const char *name, size_t size)
{
    return size >= 7 && size <= 64 && strspn(name, "0123456789abcdef") >= size;
}

bool path_is_under_releases(const char *directory)
{
    size_t size = strlen(PATH_RELEASES);
    return strncmp(directory, PATH_RELEASES, size) == 0 &&
           (directory[size] == '\0' || directory[size] == '/');
}

char *path_join(const char *directory, const char *name)
{
    return path_key("", directory, name);
}

char *path_key(const char *prefix, const char *directory, const char *name)
{
    char *key = NULL;
    const char *slash = directory[0] != '\0' ? "/" : "";
    return asprintf(&key, "%s%s%s%s", prefix, directory, slash, name) < 0 ? NULL : key;
}

char *path_list_prefix(const char *prefix, const char *directory)
{
    return path_key(prefix, directory, "");
}

char *path_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strndup(path, slash ? (size_t)(slash - path) : 0);
}

const char *path_last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

uint64_t path_hash(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

// Where the extension begins: ".tar.gz" is one.
static size_t extension_offset(const char *name)
{
    size_t size = strlen(name);
    if (size > strlen(".tar.gz") && strcasecmp(name + size - strlen(".tar.gz"), ".tar.gz") == 0)
        return size - strlen(".tar.gz");
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? (size_t)(dot - name) : size;
}

// wget cuts a name of more than some 230 bytes by itself, and then no checksum finds it; and a hash
// is to fit behind it.
static void shorten(char *safe)
{
    size_t size = strlen(safe);
    size_t extension = size - extension_offset(safe);
    if (size <= DOWNLOAD_NAME_MAX)
        return;
    if (extension > EXTENSION_MAX)
        extension = 0;
    memmove(safe + DOWNLOAD_NAME_MAX - extension, safe + size - extension, extension + 1);
}

char *path_download_name(const char *name)
{
    char *safe = strdup(name);
    if (!safe)
        return NULL;
    for (char *c = safe; *c; c++) {
        bool is_plain = (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ||
                        (*c >= '0' && *c <= '9') || strchr("._+-", *c);
        if (!is_plain)
            *c = '_';
    }
    if (safe[0] == '.' || safe[0] == '-')
        safe[0] = '_';
    shorten(safe);
    return safe;
}

// "runtime_1.tar" and "runtime:1.tar": the second becomes "runtime_1-5f0c2a9e.tar".
static char *with_hash(const char *safe, const char *name, size_t hash_chars)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex_of(name, strlen(name), hex);
    hex[hash_chars] = '\0';
    char *unique = NULL;
    size_t extension = extension_offset(safe);
    int size = asprintf(&unique, "%.*s-%s%s", (int)extension, safe, hex, safe + extension);
    return size < 0 ? NULL : unique;
}

static int compare_names(const void *a, const void *b)
{
    return strcasecmp(a, b);
}

static void keep_name(void *name)
{
    (void)name; // the set only points into ret_names
}

// A name for names[i] that none in *taken has; added to the set. NULL on no memory.
static char *unique_name(const char *name, void **taken)
{
    auto_free char *safe = path_download_name(name);
    if (!safe)
        return NULL;
    auto_free char *candidate = strdup(safe);
    // Somebody may have named a file as a hash would have it: then more of the hash is taken.
    for (size_t chars = HASH_CHARS;
         candidate && tfind(candidate, taken, compare_names) && chars < SHA256_HEX_SIZE; chars++) {
        free(candidate);
        candidate = with_hash(safe, name, chars);
    }
    if (!candidate || !tsearch(candidate, taken, compare_names))
        return NULL;
    return TAKE(candidate);
}

int path_download_names(const char *const *names, size_t count, char **ret_names)
{
    void *taken = NULL;
    size_t made = 0;
    while (made < count && (ret_names[made] = unique_name(names[made], &taken)))
        made++;
    tdestroy(taken, keep_name);
    if (made == count)
        return 0;
    while (made > 0)
        free(ret_names[--made]);
    return -ENOMEM;
}
