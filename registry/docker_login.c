#include "docker_login.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/scope.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void registry_login_done(struct login *login)
{
    if (login == NULL)
        return;
    free(login->user);
    secret_free(login->password);
    *login = (struct login){0};
}

int registry_login_set(struct login *login, const char *user, size_t user_size,
                       const char *password, size_t password_size)
{
    login->user = strndup(user, user_size);
    login->password = secret_new(password, password_size);
    if (login->user != NULL && login->password != NULL)
        return 0;
    registry_login_done(login);
    return -ENOMEM;
}

// ---- whose an entry is ------------------------------------------------------------------------

// What old dockers put behind a host; podman puts a namespace there, "quay.io/team".
static bool is_api_path(const char *path)
{
    static const char *const paths[] = {"/", "/v1", "/v1/", "/v2", "/v2/"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (strcmp(path, paths[i]) == 0)
            return true;
    return false;
}

// Keys are hosts, or URLs of them as old dockers wrote ("https://index.docker.io/v1/").
static bool key_names_host(const char *key, const char *host)
{
    const char *name = key;
    if (strncasecmp(key, "https://", 8) == 0)
        name += 8;
    else if (strncasecmp(key, "http://", 7) == 0)
        name += 7;
    size_t size = strcspn(name, "/");
    bool is_host = name != key || name[size] == '\0' || is_api_path(name + size);
    return is_host && size == strlen(host) && strncasecmp(name, host, size) == 0;
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

static bool is_docker_hub(const char *host)
{
    return strcmp(host, "docker.io") == 0 || strcmp(host, "index.docker.io") == 0 ||
           strcmp(host, "registry-1.docker.io") == 0;
}

// docker login keeps Docker Hub under the name of its first API; some write the host itself.
static json_t *find_entry(json_t *entries, const char *host)
{
    static const char *const hub[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
    if (!is_docker_hub(host))
        return find_host(entries, host);
    json_t *entry = json_object_get(entries, DOCKER_HUB_SERVER);
    for (size_t i = 0; i < ARRAY_SIZE(hub) && entry == NULL; i++)
        entry = find_host(entries, hub[i]);
    return entry;
}

// podman's: the longest of HOST/a/b, HOST/a that is there. NULL too where memory is out: then
// *ret_status is -ENOMEM.
static json_t *find_namespace(json_t *entries, const char *host, const char *repository,
                              int *ret_status)
{
    auto_free char *key = NULL;
    if (asprintf(&key, "%s/%s", is_docker_hub(host) ? "docker.io" : host, repository) < 0) {
        key = NULL;
        *ret_status = -ENOMEM;
        return NULL;
    }
    for (char *slash; (slash = strrchr(key, '/')) != NULL; *slash = '\0') {
        const char *path = strchr(key, '/');
        assert(path); // there is a last one
        json_t *entry = is_api_path(path) ? NULL : json_object_get(entries, key);
        if (entry != NULL)
            return entry;
    }
    return NULL;
}

// ---- what it says -----------------------------------------------------------------------------

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
        status = registry_login_set(login, text, (size_t)(colon - text), password,
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
    const char *token = json_document_text(entry, "identitytoken");
    int status = 0;
    if (token != NULL && token[0] != '\0') {
        // docker keeps the user's name beside it, and an empty password.
        status = registry_login_set(login, DOCKER_TOKEN_USER, strlen(DOCKER_TOKEN_USER), token,
                                    strlen(token));
        login->is_identity_token = status == 0;
    } else if (auth != NULL && auth[0] != '\0') {
        status = decode_auth(auth, login);
    } else if (user != NULL && user[0] != '\0' && password != NULL) {
        status = registry_login_set(login, user, strlen(user), password, strlen(password));
    }
    if (status == -ENOMEM)
        return err_no_memory(err);
    if (status < 0)
        return err_set(err, EPROTO, "\"auth\" of %s is not base64 of USER:PASSWORD", host);
    return 0;
}

// The helper that is asked before `auths`, NULL where none is named. An empty name switches the
// store off for one host.
static const char *helper_for(const json_t *config, const char *host)
{
    const char *name = json_string_value(find_entry(json_object_get(config, "credHelpers"), host));
    if (name == NULL)
        name = json_document_text(config, "credsStore");
    return name != NULL && name[0] != '\0' ? name : NULL;
}

// It becomes a part of a program's name, which is looked for in PATH.
static int check_helper(const char *name, struct err *err)
{
    static const char taken[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._+-";
    if (strlen(name) < DOCKER_HELPER_SIZE && name[strspn(name, taken)] == '\0')
        return 0;
    return err_set(err, EPROTO, "the credential helper \"%.64s\" is no program's name", name);
}

int registry_docker_config_parse(const char *bytes, size_t size, const char *host,
                                 const char *repository, struct docker_word *ret_word,
                                 struct err *err)
{
    struct docker_word word = {0};
    auto_json json_t *config = json_document_parse(bytes, size, false, "it", err);
    if (config == NULL)
        return -err->errnum;
    json_t *auths = json_object_get(config, "auths");
    int status = 0;
    json_t *entry = find_namespace(auths, host, repository, &status);
    if (status < 0)
        return err_no_memory(err);
    bool is_particular = entry != NULL;
    if (entry == NULL)
        entry = find_entry(auths, host);
    const char *helper = is_particular ? NULL : helper_for(config, host);
    status = helper == NULL ? 0 : check_helper(helper, err);
    if (status == 0)
        status = parse_entry(entry, host, &word.login, err);
    if (status < 0)
        return status;
    if (helper != NULL)
        snprintf(word.helper, sizeof(word.helper), "%s", helper);
    *ret_word = word;
    return 0;
}

const char *registry_docker_server(const char *host)
{
    return is_docker_hub(host) ? DOCKER_HUB_SERVER : host;
}
