#include "base/http_trust.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct http_trust {
    char *ca_bundle; // NULL: the system's
    pthread_mutex_t lock;
    X509_STORE *store; // NULL until it was read; guarded by the lock
};

struct http_trust *http_trust_new(const char *ca_bundle)
{
    struct http_trust *trust = calloc(1, sizeof(*trust));
    if (!trust || (ca_bundle && !(trust->ca_bundle = strdup(ca_bundle)))) {
        free(trust);
        return NULL;
    }
    pthread_mutex_init(&trust->lock, NULL);
    return trust;
}

void http_trust_free(struct http_trust *trust)
{
    if (!trust)
        return;
    X509_STORE_free(trust->store);
    pthread_mutex_destroy(&trust->lock);
    free(trust->ca_bundle);
    free(trust);
}

// Where this libcurl was built to look.
static bool load_system(X509_STORE *store)
{
    const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
    bool has_file = built->cainfo && X509_STORE_load_file(store, built->cainfo) == 1;
    bool has_path = built->capath && X509_STORE_load_path(store, built->capath) == 1;
    return has_file || has_path || X509_STORE_set_default_paths(store) == 1;
}

static X509_STORE *read_store(const struct http_trust *trust)
{
    X509_STORE *store = X509_STORE_new();
    if (!store)
        return NULL;
    bool is_read =
        trust->ca_bundle ? X509_STORE_load_file(store, trust->ca_bundle) == 1 : load_system(store);
    // As libcurl does: a bundle may name an intermediate authority alone.
    if (is_read && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1)
        return store;
    X509_STORE_free(store);
    return NULL;
}

static CURLcode trust_store(CURL *easy, void *ssl_context, void *context)
{
    (void)easy;
    struct http_trust *trust = context;
    pthread_mutex_lock(&trust->lock);
    if (!trust->store)
        trust->store = read_store(trust);
    if (trust->store)
        SSL_CTX_set1_cert_store(ssl_context, trust->store);
    bool has_store = trust->store;
    pthread_mutex_unlock(&trust->lock);
    return has_store ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

CURLcode http_trust_attach(struct http_trust *trust, CURL *easy)
{
    CURLcode code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, trust_store);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, trust);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    return code;
}
