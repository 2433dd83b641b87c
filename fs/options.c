#include "options.h"

#include "base/buf.h"
#include "base/scope.h"
#include "option_table.h"
#include "path.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// "parallel" without a value, or "overwrite=yes" with one.
static int refuse_unknown(const char *word, struct err *err)
{
    size_t size = strcspn(word, "=");
    for (const struct option *option = option_table; option->name; option++) {
        if (strncmp(option->name, word, size) != 0 || strcspn(option->name, "=") != size)
            continue;
        if (word[size] == '=')
            return err_set(err, EINVAL, "option %s takes no value", option->name);
        return err_set(err, EINVAL, "option %s needs a value: %s%s", option->name, option->name,
                       option->value);
    }
    return err_set(err, EINVAL, "unknown option '%.*s'", size > 100 ? 100 : (int)size, word);
}

static int take_fuse_option(const char *word, struct options *options, struct err *err)
{
    if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0)
        options->is_read_only = word[1] == 'o';
    if (strcmp(word, "allow_other") == 0)
        options->is_allow_other = true;
    return option_list_append(&options->fuse_options, word, err);
}

// *before is the option that the word before gave, or NULL.
static int take_word(const char *word, const struct option **before, struct options *options,
                     struct err *err)
{
    if (word[0] == '\0')
        return 0;
    const struct option *option = option_find(word);
    if (option) {
        *before = option;
        return option->take(option, word + strlen(option->name), options, err);
    }
    if (option_is_for_fuse(word))
        return take_fuse_option(word, options, err);
    if (option_is_for_mount(word))
        return 0;
    if (*before && option_is_list(*before, word))
        return (*before)->take(*before, word, options, err);
    return refuse_unknown(word, err);
}

// The words of one -o, cut at commas that no backslash stands before.
static int take_words(const char *text, struct options *options, struct err *err)
{
    const struct option *before = NULL;
    auto_free char *word = malloc(strlen(text) + 1);
    if (!word)
        return err_no_memory(err);
    for (const char *c = text;;) {
        size_t size = 0;
        while (*c && *c != ',') {
            if (*c == '\\' && (c[1] == ',' || c[1] == '\\'))
                c++;
            word[size++] = *c++;
        }
        word[size] = '\0';
        if (take_word(word, &before, options, err) < 0)
            return -err->errnum;
        if (*c++ == '\0')
            return 0;
    }
}

// ---- bucket and mountpoint ---------------------------------------------------------------------

static bool is_bucket(const char *name)
{
    size_t size = strlen(name);
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
            return false;
    }
    return size >= 3 && size <= 255 && isalnum((unsigned char)name[0]);
}

// BUCKET[/PREFIX], also as AWS's tools write it, s3://BUCKET/PREFIX.
static int take_bucket(const char *text, struct options *options, struct err *err)
{
    if (strncmp(text, "s3://", strlen("s3://")) == 0)
        text += strlen("s3://");
    size_t bucket_size = strcspn(text, "/");
    options->bucket = strndup(text, bucket_size);
    if (!options->bucket)
        return err_no_memory(err);
    if (!is_bucket(options->bucket))
        return err_set(err, EINVAL, "'%.100s' is no bucket's name; say BUCKET or BUCKET/PREFIX",
                       options->bucket);

    auto_buf struct buf prefix = BUF_INIT(S3_KEY_SIZE_MAX);
    for (const char *c = text + bucket_size; *c; c += strcspn(c, "/")) {
        c += strspn(c, "/");
        size_t size = strcspn(c, "/");
        if (size == 0)
            break;
        if (!path_is_component(c, size) ||
            (size == strlen(PATH_OWN_DIRECTORY) && strncmp(c, PATH_OWN_DIRECTORY, size) == 0))
            return err_set(err, EINVAL, "'%.*s' cannot be part of the prefix",
                           size > 100 ? 100 : (int)size, c);
        buf_append(&prefix, c, size);
        buf_append_char(&prefix, '/');
    }
    if (prefix.is_full)
        return err_set(err, EINVAL, "the prefix is longer than a key, %d bytes", S3_KEY_SIZE_MAX);
    options->prefix = buf_take(&prefix);
    return options->prefix ? 0 : err_no_memory(err);
}

// What is neither option nor their text: looked at when all of it is there, since who writes one
// too many may mean the first by none of them.
struct positional {
    bool is_all; // behind a --
    int count;
    const char *list[2];
};

static int take_positional(const struct positional *given, struct options *options, struct err *err)
{
    if (given->count > 2)
        return err_set(
            err, EINVAL,
            "%d arguments are given, where BUCKET[/PREFIX] MOUNTPOINT is all there is: options "
            "go behind -o, separated by commas",
            given->count);
    if (given->count < 2)
        return err_set(err, EINVAL, "%s? Say prereleasefs BUCKET[/PREFIX] MOUNTPOINT",
                       given->count == 0 ? "which bucket" : "mount where");
    if (take_bucket(given->list[0], options, err) < 0)
        return -err->errnum;
    if (given->list[1][0] == '\0')
        return err_set(err, EINVAL, "the mountpoint is empty");
    options->mountpoint = strdup(given->list[1]);
    return options->mountpoint ? 0 : err_no_memory(err);
}

// ---- the command line --------------------------------------------------------------------------

// "-f", "-fd", "-oX", "-o X": *i is moved over what follows. The letters after an 'o' are its text.
static int take_letters(int argc, char **argv, int *i, struct options *options, struct err *err)
{
    for (const char *c = argv[*i] + 1; *c; c++) {
        switch (*c) {
        case 'd':
            options->is_fuse_debug = true;
            options->is_foreground = true;
            break;
        case 'f':
            options->is_foreground = true;
            break;
        case 'h':
            options->wants_help = true;
            break;
        case 'V':
            options->wants_version = true;
            break;
        case 'o':
            if (c[1] != '\0')
                return take_words(c + 1, options, err);
            if (*i + 1 >= argc)
                return err_set(err, EINVAL, "-o needs options behind it");
            return take_words(argv[++*i], options, err);
        default:
            return err_set(err, EINVAL, "unknown option '%.100s'", argv[*i]);
        }
    }
    return 0;
}

static int take_argument(int argc, char **argv, int *i, struct positional *positional,
                         struct options *options, struct err *err)
{
    const char *text = argv[*i];
    if (positional->is_all || text[0] != '-' || text[1] == '\0') {
        if (positional->count < (int)ARRAY_SIZE(positional->list))
            positional->list[positional->count] = text;
        positional->count++;
        return 0;
    }
    if (strcmp(text, "--") == 0)
        positional->is_all = true;
    else if (strcmp(text, "--help") == 0)
        options->wants_help = true;
    else if (strcmp(text, "--version") == 0)
        options->wants_version = true;
    else
        return take_letters(argc, argv, i, options, err);
    return 0;
}

static int check(const struct options *options, struct err *err)
{
    if (options->presign_role && options->presign_profile)
        return err_set(err, EINVAL, "presign_role= and presign_profile= exclude each other");
    if (options->min_expires_s > options->expires_s)
        return err_set(err, EINVAL,
                       "min_expires=%d is longer than expires=%d: no link could be "
                       "handed out",
                       options->min_expires_s, options->expires_s);
    return 0;
}

enum { MODE_NOT_GIVEN = 1 << 12 }; // no mode that take_mode answers

static void fill_in_defaults(struct options *options)
{
    *options = (struct options){
        .addressing = S3_ADDRESSING_AUTO,
        .presign_session_s = OPTIONS_PRESIGN_SESSION_MAX_S,
        .expires_s = S3_EXPIRES_MAX_S,
        .platforms = {.list = {{.os = "linux", .architecture = "amd64"}}, .count = 1},
        .format = ARCHIVE_FORMAT_TAR,
        .parallel = 8,
        .memory_bytes = UINT64_C(128) << 20,
        .list_ttl_ms = 1000,
        .stall_timeout_s = HTTP_STALL_TIMEOUT_MS / 1000,
        .link_mode = MODE_NOT_GIVEN,
        .log_level = LOG_LEVEL_INFO,
        .uid = getuid(),
        .gid = getgid(),
        .file_mode = MODE_NOT_GIVEN,
        .directory_mode = 0755,
    };
}

int options_parse(int argc, char **argv, struct options *ret_options, struct err *err)
{
    struct options options;
    fill_in_defaults(&options);
    struct positional positional = {0};
    int error = 0;
    for (int i = 1; i < argc && error == 0; i++)
        error = take_argument(argc, argv, &i, &positional, &options, err);
    if (error == 0 && !options.wants_help && !options.wants_version) {
        error = take_positional(&positional, &options, err);
        if (error == 0)
            error = check(&options, err);
    }
    // Others may come in, but only as far as modes let them: the kernel is to look at those.
    if (error == 0 && options.is_allow_other)
        error = option_list_append(&options.fuse_options, "default_permissions", err);
    if (error < 0) {
        options_done(&options);
        return error;
    }
    if (options.link_mode == MODE_NOT_GIVEN)
        options.link_mode = options.is_allow_other ? 0440 : 0444;
    // Then the kernel lets nobody open a file to write that its mode says is read-only, root alone
    // excepted: whoever may make files in a directory may also write the same one again.
    if (options.file_mode == MODE_NOT_GIVEN)
        options.file_mode = 0444 | (options.is_allow_other ? options.directory_mode & 0222 : 0);
    *ret_options = options;
    return 0;
}

static void free_list(char **list)
{
    for (char **text = list; text && *text; text++)
        free(*text);
    free(list);
}

void options_done(struct options *options)
{
    if (!options)
        return;
    free(options->bucket);
    free(options->prefix);
    free(options->mountpoint);
    free(options->region);
    free(options->endpoint);
    free(options->sts_endpoint);
    free(options->profile);
    free(options->presign_role);
    free(options->presign_profile);
    free(options->kms_key);
    free(options->verify_key);
    free(options->platform);
    free_list(options->registries);
    free_list(options->insecure_registries);
    free(options->contact);
    free(options->title);
    free(options->ca_bundle);
    free_list(options->fuse_options);
    *options = (struct options){0};
}

void options_print_help(void)
{
    printf("usage: prereleasefs [-o OPTIONS] [-f] [-d] BUCKET[/PREFIX] MOUNTPOINT\n"
           "\n"
           "Makes an S3 bucket a directory that container images are published into:\n"
           "    cp images.ref MOUNTPOINT/BRANCH/SHA/\n"
           "    cut -f1,2 MOUNTPOINT/BRANCH/SHA/urls.tsv\n"
           "\n"
           "    -f  stay in the foreground and log to stderr\n"
           "    -d  the same, and show every FUSE request\n"
           "    -h  this help\n"
           "    -V  the version\n"
           "\n"
           "OPTIONS, separated by commas (\"\\,\" is a comma inside a value):\n");
    for (const struct option *option = option_table; option->name; option++) {
        int width = printf("    %s%s", option->name, option->value);
        printf("%*s%s\n%36sdefault: %s\n", width < 36 ? 36 - width : 1, "", option->help, "",
               option->initial);
    }
    printf("    FUSE's own: ro, allow_other, allow_root, default_permissions, auto_unmount, "
           "fsname=,\n    subtype=, nodev, nosuid, noexec, noatime, ...\n"
           "\n"
           "Credentials come from the AWS chain (environment, profiles), never from an option.\n");
}
