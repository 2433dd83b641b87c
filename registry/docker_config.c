#include "docker_config.h"

#include "credential_helper.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MAX = 4 };

struct docker_config {
    char *paths[FILES_MAX]; // in the order in which they are asked
    size_t path_count;
    struct secret *github_token;
    const char *github_token_name; // the variable it came from
};

// Any user name goes with a token on ghcr.io; this one GitHub uses itself.
static const char github_user[] = "x-access-token";

static const char *real_environment(const char *name)
{
    return getenv(name); // NOLINT(concurrency-mt-unsafe): asked while the client is made
}

typedef const char *environment_get(const char *name);

static const char *value_of(environment_get *environment, const char *name)
{
    const char *value = environment(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

// Of a directory that a variable names, else of one below another; neither may be set.
static int add_path(struct docker_config *config, const char *directory, const char *file,
                    const char *other_directory, const char *other_file)
{
    char *path = NULL;
    int size = 0;
    if (directory != NULL)
        size = asprintf(&path, "%s%s", directory, file);
    else if (other_directory != NULL)
        size = asprintf(&path, "%s%s", other_directory, other_file);
    if (size < 0)
        return -ENOMEM;
    if (path != NULL)
        config->paths[config->path_count++] = path;
    if (path == NULL || path[0] == '/')
        return 0;
    // The program leaves its directory once it is mounted.
    auto_free char *here = getcwd(NULL, 0);
    auto_free char *relative = path;
    size = asprintf(&path, "%s/%s", here == NULL ? "" : here, relative);
    config->paths[config->path_count - 1] = size < 0 ? NULL : path;
    config->path_count -= size < 0;
    return size < 0 ? -ENOMEM : 0;
}

static int add_default_paths(struct docker_config *config, environment_get *environment)
{
    const char *home = value_of(environment, "HOME");
    char run[64];
    snprintf(run, sizeof(run), "/run/containers/%u", (unsigned)getuid());
    int status = add_path(config, value_of(environment, "REGISTRY_AUTH_FILE"), "", NULL, NULL);
    if (status == 0)
        status = add_path(config, value_of(environment, "DOCKER_CONFIG"), "/config.json", home,
                          "/.docker/config.json");
    if (status == 0)
        status = add_path(config, value_of(environment, "XDG_RUNTIME_DIR"), "/containers/auth.json",
                          run, "/auth.json");
    if (status == 0)
        status = add_path(config, value_of(environment, "XDG_CONFIG_HOME"), "/containers/auth.json",
                          home, "/.config/containers/auth.json");
    return status;
}

static int read_github_token(struct docker_config *config, environment_get *environment)
{
    static const char *const names[] = {"GITHUB_TOKEN", "GH_TOKEN"};
    for (size_t i = 0; i < ARRAY_SIZE(names) && config->github_token == NULL; i++) {
        const char *token = environment(names[i]);
        if (token == NULL || token[0] == '\0')
            continue;
        config->github_token = secret_from_text(token);
        config->github_token_name = names[i];
        if (config->github_token == NULL)
            return -ENOMEM;
    }
    return 0;
}

int registry_docker_config_new(const char *path, const char *(*environment)(const char *name),
                               struct docker_config **ret_config, struct err *err)
{
    json_document_setup();
    struct docker_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return err_no_memory(err);
    if (environment == NULL)
        environment = real_environment;
    int status = 0;
    if (path == NULL)
        status = add_default_paths(config, environment);
    else
        status = add_path(config, path, "", NULL, NULL);
    if (status == 0)
        status = read_github_token(config, environment);
    if (status < 0) {
        registry_docker_config_free(config);
        return err_no_memory(err);
    }
    *ret_config = config;
    return 0;
}

void registry_docker_config_free(struct docker_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->path_count; i++)
        free(config->paths[i]);
    secret_free(config->github_token);
    free(config);
}

// ---- the look-up -------------------------------------------------------------------------------

static int read_file(const char *path, struct buf *bytes)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    char chunk[4096];
    for (;;) {
        ssize_t size = read(fd, chunk, sizeof(chunk));
        int status = size < 0 ? -errno : 0;
        if (size > 0)
            status = buf_append(bytes, chunk, (size_t)size);
        secret_wipe(chunk, size > 0 ? (size_t)size : 0);
        if (status == -EINTR)
            continue;
        if (size <= 0 || status < 0)
            return status;
    }
}

// What a file says; an empty word where it is not there.
static int word_of_file(const char *path, const char *host, const char *repository,
                        struct docker_word *word, struct err *err)
{
    auto_buf struct buf bytes = BUF_INIT(DOCKER_CONFIG_LIMIT);
    int status = read_file(path, &bytes);
    bool is_absent = status == -ENOENT || status == -ENOTDIR || (status == 0 && bytes.size == 0);
    if (status == -ENOMEM)
        err_no_memory(err);
    else if (status < 0)
        status = err_set(err, EACCES, "%s cannot be read: %s", path, strerrordesc_np(-status));
    else if (!is_absent)
        status =
            registry_docker_config_parse(buf_text(&bytes), bytes.size, host, repository, word, err);
    if (bytes.bytes != NULL)
        secret_wipe(bytes.bytes, bytes.size);
    if (is_absent)
        return 0;
    if (status == -EPROTO) {
        err_wrap(err, "%s makes no sense", path);
        err->errnum = EACCES;
    }
    if (status == 0 && word->login.user != NULL)
        snprintf(word->login.whose, sizeof(word->login.whose), "%s", path);
    return status < 0 ? -err->errnum : 0;
}

// The helper's answer, where it has one, in place of what the file itself holds.
static int ask_helper(struct docker_word *word, const char *host, struct call *call,
                      struct err *err)
{
    struct login login = {0};
    int status = registry_credential_helper_ask(word->helper, host, call, &login, err);
    if (status == 0 && login.user != NULL) {
        registry_login_done(&word->login);
        word->login = login;
    }
    return status;
}

// *failure is that of the last helper that failed; errnum 0 while none has.
static int login_from_files(const struct docker_config *config, struct call *call, const char *host,
                            const char *repository, struct login *login, struct err *failure,
                            struct err *err)
{
    for (size_t i = 0; i < config->path_count && login->user == NULL; i++) {
        struct docker_word word = {0};
        int status = word_of_file(config->paths[i], host, repository, &word, err);
        if (status < 0)
            return status;
        if (word.helper[0] != '\0' && ask_helper(&word, host, call, failure) < 0) {
            err_wrap(failure, "%s", config->paths[i]);
            if (failure->errnum == EINTR || failure->errnum == ENOMEM) {
                registry_login_done(&word.login);
                *err = *failure;
                return -err->errnum;
            }
        }
        *login = word.login;
    }
    return 0;
}

static int login_from_github(const struct docker_config *config, const char *host,
                             struct login *login, struct err *err)
{
    if (config->github_token == NULL || strcmp(host, "ghcr.io") != 0)
        return 0;
    if (registry_login_set(login, github_user, strlen(github_user),
                           secret_text(config->github_token),
                           secret_size(config->github_token)) < 0)
        return err_no_memory(err);
    snprintf(login->whose, sizeof(login->whose), "%s", config->github_token_name);
    return 0;
}

int registry_docker_config_login(const struct docker_config *config, struct call *call,
                                 const char *host, const char *repository, struct login *ret_login,
                                 struct err *err)
{
    struct login login = {0};
    struct err failure = {0};
    int status = login_from_files(config, call, host, repository, &login, &failure, err);
    if (status == 0 && login.user == NULL)
        status = login_from_github(config, host, &login, err);
    if (status < 0)
        return status;
    if (login.user == NULL && failure.errnum != 0) {
        *err = failure;
        return -err->errnum;
    }
    if (login.whose[0] == '\0')
        snprintf(login.whose, sizeof(login.whose), "none");
    *ret_login = login;
    return 0;
}
