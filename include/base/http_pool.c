#include "base/http_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct http_pool {
    CURLSH *share;
    pthread_mutex_t share_locks[CURL_LOCK_DATA_LAST]; // taken by libcurl alone, one for each kind

    struct {
        pthread_mutex_t mutex;
        struct http_handle *first; // the last one given back comes first
        int count;
    } idle;
};

static void lock_share(CURL *easy, curl_lock_data data, curl_lock_access access, void *context)
{
    (void)easy;
    (void)access;
    struct http_pool *pool = context;
    pthread_mutex_lock(&pool->share_locks[data]);
}

static void unlock_share(CURL *easy, curl_lock_data data, void *context)
{
    (void)easy;
    struct http_pool *pool = context;
    pthread_mutex_unlock(&pool->share_locks[data]);
}

static void handle_free(struct http_handle *handle)
{
    if (!handle)
        return;
    curl_easy_cleanup(handle->easy);
    free(handle->origin);
    free(handle);
}

struct http_pool *http_pool_new(void)
{
    struct http_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->idle.mutex, NULL);
    for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_init(&pool->share_locks[i], NULL);
    pool->share = curl_share_init();
    if (!pool->share ||
        curl_share_setopt(pool->share, CURLSHOPT_LOCKFUNC, lock_share) != CURLSHE_OK ||
        curl_share_setopt(pool->share, CURLSHOPT_UNLOCKFUNC, unlock_share) != CURLSHE_OK ||
        curl_share_setopt(pool->share, CURLSHOPT_USERDATA, pool) != CURLSHE_OK ||
        curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK ||
        curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK) {
        http_pool_free(pool);
        return NULL;
    }
    return pool;
}

void http_pool_free(struct http_pool *pool)
{
    if (!pool)
        return;
    while (pool->idle.first) {
        struct http_handle *handle = pool->idle.first;
        pool->idle.first = handle->next;
        handle_free(handle);
    }
    if (pool->share)
        curl_share_cleanup(pool->share);
    for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_destroy(&pool->share_locks[i]);
    pthread_mutex_destroy(&pool->idle.mutex);
    free(pool);
}

static struct http_handle *handle_new(struct http_pool *pool, const char *origin)
{
    struct http_handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return NULL;
    handle->origin = strdup(origin);
    handle->easy = curl_easy_init();
    if (!handle->origin || !handle->easy ||
        curl_easy_setopt(handle->easy, CURLOPT_SHARE, pool->share) != CURLE_OK) {
        handle_free(handle);
        return NULL;
    }
    return handle;
}

struct http_handle *http_pool_take(struct http_pool *pool, const char *origin)
{
    struct http_handle *handle = NULL;
    pthread_mutex_lock(&pool->idle.mutex);
    for (struct http_handle **at = &pool->idle.first; *at; at = &(*at)->next) {
        if (strcmp((*at)->origin, origin) == 0) {
            handle = *at;
            *at = handle->next;
            pool->idle.count--;
            break;
        }
    }
    pthread_mutex_unlock(&pool->idle.mutex);
    // Never one of another origin: its connection would be given up for nothing.
    return handle ? handle : handle_new(pool, origin);
}

static struct http_handle *take_last_locked(struct http_pool *pool)
{
    struct http_handle **at = &pool->idle.first;
    while ((*at)->next)
        at = &(*at)->next;
    struct http_handle *last = *at;
    *at = NULL;
    pool->idle.count--;
    return last;
}

void http_pool_drop(struct http_handle *handle)
{
    handle_free(handle);
}

void http_pool_give_back(struct http_pool *pool, struct http_handle *handle)
{
    // Keeps the connection, forgets every pointer to the exchange.
    curl_easy_reset(handle->easy);
    struct http_handle *excess = NULL;
    pthread_mutex_lock(&pool->idle.mutex);
    handle->next = pool->idle.first;
    pool->idle.first = handle;
    pool->idle.count++;
    if (pool->idle.count > HTTP_POOL_IDLE_LIMIT)
        excess = take_last_locked(pool);
    pthread_mutex_unlock(&pool->idle.mutex);
    handle_free(excess); // closes a connection: not with the lock held
}
