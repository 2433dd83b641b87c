#include "client.h"

#include "host.h"
#include "token.h"

#include "base/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void free_list(char **list)
{
    for (char **text = list; text != NULL && *text != NULL; text++)
        free(*text);
    free(list);
}

static int copy_list(const char *const *list, char ***ret_list)
{
    size_t count = 0;
    if (list == NULL)
        return 0;
    while (list[count] != NULL)
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(list[i]);
        if (copy[i] == NULL) {
            free_list(copy);
            copy = NULL;
        }
    }
    *ret_list = copy;
    return copy == NULL ? -ENOMEM : 0;
}

int registry_client_new(const struct registry_options *options, struct registry_client **ret_client,
                        struct err *err)
{
    struct registry_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return err_no_memory(err);
    pthread_mutex_init(&client->lock, NULL);
    call_wait_init(&client->changed);
    client->http = options->http;
    client->clock = options->clock;
    int status = 0;
    if (copy_list(options->allowed_hosts, &client->allowed_hosts) < 0 ||
        copy_list(options->plain_hosts, &client->plain_hosts) < 0)
        status = err_no_memory(err);
    if (status == 0)
        status = registry_docker_config_new(options->docker_config, options->environment,
                                            &client->docker_config, err);
    if (status < 0) {
        registry_client_free(client);
        return status;
    }
    *ret_client = client;
    return 0;
}

void registry_client_free(struct registry_client *client)
{
    if (client == NULL)
        return;
    registry_tokens_free(client);
    registry_hosts_free(client);
    registry_docker_config_free(client->docker_config);
    free_list(client->allowed_hosts);
    free_list(client->plain_hosts);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

int registry_client_wait_locked(struct registry_client *client, struct call *call, struct err *err)
{
    if (!call_wait(call, &client->changed, &client->lock))
        return err_set(err, EINTR, "cancelled");
    return 0;
}

bool registry_client_may_speak_plain(const struct registry_client *client, const char *host,
                                     int port)
{
    char with_port[300];
    snprintf(with_port, sizeof(with_port), "%s:%d", host, port);
    if (url_host_is_loopback(host))
        return true;
    for (char **plain = client->plain_hosts; plain != NULL && *plain != NULL; plain++)
        if (strcasecmp(*plain, host) == 0 || strcasecmp(*plain, with_port) == 0)
            return true;
    return false;
}
