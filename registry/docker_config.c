#include "docker_config.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct docker_config {
    char *path; // NULL where there is no home to look in
    struct secret *github_token;
    const char *github_token_name; // the variable it came from
};

// Any user name goes with a token on ghcr.io; this one GitHub uses itself.
static const char github_user[] = "x-access-token";

static const char *real_environment(const char *name)
{
    return getenv(name); // NOLINT(concurrency-mt-unsafe): asked while the client is made
}

static int default_path(const char *(*environment)(const char *name), char **ret_path)
{
    const char *directory = environment("DOCKER_CONFIG");
    const char *home = environment("HOME");
    int size = 0;
    *ret_path = NULL;
    if (directory != NULL && directory[0] != '\0')
        size = asprintf(ret_path, "%s/config.json", directory);
    else if (home != NULL && home[0] != '\0')
        size = asprintf(ret_path, "%s/.docker/config.json", home);
    if (size < 0)
        *ret_path = NULL;
    return size < 0 ? -ENOMEM : 0;
}

static int read_github_token(struct docker_config *config, const char *(*environment)(const char *))
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
        status = default_path(environment, &config->path);
    else if ((config->path = strdup(path)) == NULL)
        status = -ENOMEM;
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
    free(config->path);
    secret_free(config->github_token);
    free(config);
}

void registry_login_done(struct login *login)
{
    if (login == NULL)
        return;
    free(login->user);
    secret_free(login->password);
    *login = (struct login){0};
}

// ---- what a config.json says -------------------------------------------------------------------

// Keys are hosts, or URLs of them as old dockers wrote ("https://index.docker.io/v1/").
static bool key_names_host(const char *key, const char *host)
{
    if (strncasecmp(key, "https://", 8) == 0)
        key += 8;
    else if (strncasecmp(key, "http://", 7) == 0)
        key += 7;
    size_t size = strcspn(key, "/");
    return size == strlen(host) && strncasecmp(key, host, size) == 0;
}

// The entry of a host: under exactly its name, or under a URL of it.
static json_t *find_host(json_t *entries, const char *host)
{
    json_t *entry = json_object_get(entries, host);
    if (entry != NULL)
        return entry;
    const char *key;
    json_object_foreach(entries, key, entry) if (key_names_host(key, host)) return entry;
    return NULL;
}

// docker login keeps Docker Hub under the name of its first API; some write the host itself.
static json_t *find_entry(json_t *entries, const char *host)
{
    static const char *const hub[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
    bool is_hub = false;
    for (size_t i = 0; i < ARRAY_SIZE(hub); i++)
        is_hub = is_hub || strcmp(host, hub[i]) == 0;
    if (!is_hub)
        return find_host(entries, host);
    json_t *entry = json_object_get(entries, "https://index.docker.io/v1/");
    for (size_t i = 0; i < ARRAY_SIZE(hub) && entry == NULL; i++)
        entry = find_host(entries, hub[i]);
    return entry;
}

static int set_login(struct login *login, const char *user, size_t user_size, const char *password,
                     size_t password_size)
{
    login->user = strndup(user, user_size);
    login->password = secret_new(password, password_size);
    if (login->user != NULL && login->password != NULL)
        return 0;
    registry_login_done(login);
    return -ENOMEM;
}

// base64("USER:PASSWORD"); the password may hold colons, and docker pads it with NULs.
static int decode_auth(const char *auth, struct login *login)
{
    size_t size;
    errno = 0;
    char *text = digest_from_base64(auth, &size);
    if (text == NULL)
        return errno == ENOMEM ? -ENOMEM : -EINVAL;
    int status = -EINVAL;
    const char *colon = memchr(text, ':', size);
    if (colon != NULL && colon > text) {
        const char *password = colon + 1;
        status = set_login(login, text, (size_t)(colon - text), password,
                           strnlen(password, (size_t)(text + size - password)));
    }
    secret_wipe(text, size);
    free(text);
    return status;
}

static int parse_entry(const json_t *entry, const char *host, struct login *login, struct err *err)
{
    const char *auth = json_document_text(entry, "auth");
    const char *user = json_document_text(entry, "username");
    const char *password = json_document_text(entry, "password");
    int status = 0;
    if (auth != NULL && auth[0] != '\0')
        status = decode_auth(auth, login);
    else if (user != NULL && user[0] != '\0' && password != NULL)
        status = set_login(login, user, strlen(user), password, strlen(password));
    if (status == -ENOMEM)
        return err_no_memory(err);
    if (status < 0)
        return err_set(err, EPROTO, "\"auth\" of %s is not base64 of USER:PASSWORD", host);
    return 0;
}

// The helper that would be asked before `auths`, NULL where none is named.
static const char *helper_for(const json_t *config, const char *host)
{
    json_t *helper = find_entry(json_object_get(config, "credHelpers"), host);
    const char *name = json_string_value(helper);
    if (name == NULL)
        name = json_document_text(config, "credsStore");
    return name != NULL && name[0] != '\0' ? name : NULL;
}

int registry_docker_config_parse(const char *bytes, size_t size, const char *host,
                                 struct login *ret_login, struct err *err)
{
    struct login login = {0};
    auto_json json_t *config = json_document_parse(bytes, size, false, "it", err);
    if (config == NULL)
        return -err->errnum;
    json_t *entry = find_entry(json_object_get(config, "auths"), host);
    int status = parse_entry(entry, host, &login, err);
    if (status < 0)
        return status;
    const char *helper = helper_for(config, host);
    if (login.user == NULL && helper != NULL)
        snprintf(login.whose, sizeof(login.whose),
                 "none (its credential helper docker-credential-%.64s is not asked)", helper);
    *ret_login = login;
    return 0;
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

static int login_from_file(const char *path, const char *host, struct login *login, struct err *err)
{
    auto_buf struct buf bytes = BUF_INIT(DOCKER_CONFIG_LIMIT);
    int status = read_file(path, &bytes);
    bool is_absent = status == -ENOENT || status == -ENOTDIR || (status == 0 && bytes.size == 0);
    if (status == -ENOMEM)
        err_no_memory(err);
    else if (status < 0)
        status =
            err_set(err, EACCES, "docker's %s cannot be read: %s", path, strerrordesc_np(-status));
    else if (!is_absent)
        status = registry_docker_config_parse(buf_text(&bytes), bytes.size, host, login, err);
    if (bytes.bytes != NULL)
        secret_wipe(bytes.bytes, bytes.size);
    if (is_absent)
        return 0;
    if (status == -EPROTO) {
        err_wrap(err, "docker's %s makes no sense", path);
        err->errnum = EACCES;
    }
    if (status == 0 && login->user != NULL)
        snprintf(login->whose, sizeof(login->whose), "%s", path);
    return status < 0 ? -err->errnum : 0;
}

int registry_docker_config_login(const struct docker_config *config, const char *host,
                                 struct login *ret_login, struct err *err)
{
    struct login login = {0};
    if (config->path != NULL) {
        int status = login_from_file(config->path, host, &login, err);
        if (status < 0)
            return status;
    }
    if (login.user == NULL && config->github_token != NULL && strcmp(host, "ghcr.io") == 0) {
        int status =
            set_login(&login, github_user, strlen(github_user), secret_text(config->github_token),
                      secret_size(config->github_token));
        if (status < 0)
            return err_no_memory(err);
        snprintf(login.whose, sizeof(login.whose), "%s", config->github_token_name);
    }
    if (login.whose[0] == '\0')
        snprintf(login.whose, sizeof(login.whose), "none");
    *ret_login = login;
    return 0;
}
