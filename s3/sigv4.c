#include "sigv4.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/scope.h"
#include "base/url.h"
#include "credentials.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALGORITHM "AWS4-HMAC-SHA256"

enum {
    DATE_SIZE = 8,             // "20130524"
    SCOPE_SIZE_MAX = 256,      // "20130524/us-east-1/s3/aws4_request"
    SECRET_KEY_SIZE_MAX = 512, // AWS's have 40 bytes
};

// A buffer that is full has met its limit; that memory is out shows as the same.
static int too_large(struct err *err)
{
    return err_set(err, E2BIG, "a request is too large to be signed");
}

// ---- the query ----------------------------------------------------------------------------

struct encoded_pair {
    char *name;
    char *value;
};

static void encoded_pairs_done(struct encoded_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
}

static char *encoded(const char *text)
{
    auto_buf struct buf out = BUF_INIT(SIGV4_CANONICAL_LIMIT);
    if (url_encode(&out, text, strlen(text), false) < 0)
        return NULL;
    return buf_take(&out);
}

// By encoded name, then by encoded value. Comparing "name=value" as one text would be the
// tempting wrong way: '-' and '.' sort before '='.
static int compare_pairs(const void *a, const void *b)
{
    const struct encoded_pair *x = a;
    const struct encoded_pair *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->value, y->value);
}

int sigv4_query_text(const struct sigv4_pair *pairs, size_t count, struct buf *text,
                     struct err *err)
{
    if (count > SIGV4_PAIRS_MAX)
        return err_set(err, E2BIG, "a request has more than %d parameters", SIGV4_PAIRS_MAX);
    struct encoded_pair sorted[SIGV4_PAIRS_MAX];
    for (size_t i = 0; i < count; i++) {
        sorted[i].name = encoded(pairs[i].name);
        sorted[i].value = encoded(pairs[i].value);
        if (!sorted[i].name || !sorted[i].value) {
            encoded_pairs_done(sorted, i + 1);
            return err_no_memory(err);
        }
    }
    if (count > 1)
        qsort(sorted, count, sizeof(sorted[0]), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        (void)buf_append_text(text, i == 0 ? "" : "&");
        (void)buf_append_text(text, sorted[i].name);
        (void)buf_append_char(text, '=');
        (void)buf_append_text(text, sorted[i].value);
    }
    encoded_pairs_done(sorted, count);
    return text->is_full ? too_large(err) : 0;
}

// ---- the headers --------------------------------------------------------------------------

// By name; stable, because values of one name are joined in the order in which they are sent.
struct sorted_headers {
    const struct http_header *items[SIGV4_PAIRS_MAX];
    size_t count;
};

static int compare_names(const struct http_header *a, const struct http_header *b)
{
    return strcasecmp(a->name, b->name);
}

static int sort_headers(const struct sigv4_request *request, struct sorted_headers *ret_sorted,
                        struct err *err)
{
    if (request->header_count > SIGV4_PAIRS_MAX)
        return err_set(err, E2BIG, "a request has more than %d headers", SIGV4_PAIRS_MAX);
    ret_sorted->count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        size_t at = ret_sorted->count++;
        for (; at > 0 && compare_names(ret_sorted->items[at - 1], &request->headers[i]) > 0; at--)
            ret_sorted->items[at] = ret_sorted->items[at - 1];
        ret_sorted->items[at] = &request->headers[i];
    }
    return 0;
}

static void append_lower(struct buf *text, const char *name)
{
    for (const char *c = name; *c; c++)
        (void)buf_append_char(text, (char)tolower((unsigned char)*c));
}

// Without spaces at either end, runs of them made one.
static void append_trimmed(struct buf *text, const char *value)
{
    bool is_first = true;
    for (const char *c = value; *c;) {
        size_t blank = strspn(c, " \t");
        size_t word = strcspn(c + blank, " \t");
        if (blank > 0 && !is_first && word > 0)
            (void)buf_append_char(text, ' ');
        (void)buf_append(text, c + blank, word);
        is_first = is_first && word == 0;
        c += blank + word;
    }
}

static bool is_repeated(const struct sorted_headers *headers, size_t i)
{
    // cppcheck-suppress arrayIndexOutOfBoundsCond ; i is below count, which sort_headers bounds
    return i > 0 && compare_names(headers->items[i - 1], headers->items[i]) == 0;
}

static void append_headers(struct buf *text, const struct sorted_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (is_repeated(headers, i)) {
            (void)buf_append_char(text, ',');
        } else {
            if (i > 0)
                (void)buf_append_char(text, '\n');
            append_lower(text, headers->items[i]->name);
            (void)buf_append_char(text, ':');
        }
        append_trimmed(text, headers->items[i]->value);
    }
    (void)buf_append_char(text, '\n');
}

static void append_names(struct buf *text, const struct sorted_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (is_repeated(headers, i))
            continue;
        if (i > 0)
            (void)buf_append_char(text, ';');
        append_lower(text, headers->items[i]->name);
    }
}

// ---- the canonical request ----------------------------------------------------------------

// query: the parameters' canonical text.
static int write_canonical(const struct sigv4_key *key, const struct sigv4_request *request,
                           const char *query, struct buf *text, struct err *err)
{
    struct sorted_headers headers = {.count = 0};
    int r = sort_headers(request, &headers, err);
    if (r < 0)
        return r;

    (void)buf_printf(text, "%s\n", request->method);
    if (strcmp(key->service, "s3") == 0)
        (void)buf_append_text(text, request->path);
    else
        (void)url_encode(text, request->path, strlen(request->path), true);
    (void)buf_append_char(text, '\n');
    (void)buf_append_text(text, query);
    (void)buf_append_char(text, '\n');
    append_headers(text, &headers);
    (void)buf_append_char(text, '\n');
    append_names(text, &headers);
    (void)buf_printf(text, "\n%s", request->payload);
    return text->is_full ? too_large(err) : 0;
}

int sigv4_canonical_request(const struct sigv4_key *key, const struct sigv4_request *request,
                            struct buf *text, struct err *err)
{
    auto_buf struct buf query = BUF_INIT(SIGV4_CANONICAL_LIMIT);
    int r = sigv4_query_text(request->query, request->query_count, &query, err);
    return r < 0 ? r : write_canonical(key, request, buf_text(&query), text, err);
}

// ---- the signature ------------------------------------------------------------------------

// The seed stays on the stack: a `struct secret`, with pages of its own, would cost each of ten
// thousand links more than its signature does.
static int derive_key(const struct sigv4_key *key, const char *date, uint8_t ret_key[SHA256_SIZE],
                      struct err *err)
{
    const struct secret *secret_key = s3_credentials_secret_key(key->credentials);
    char seed[SECRET_KEY_SIZE_MAX + sizeof("AWS4")];
    if (secret_size(secret_key) > SECRET_KEY_SIZE_MAX)
        return err_set(err, EINVAL, "the secret key is longer than %d bytes", SECRET_KEY_SIZE_MAX);
    int seed_size = snprintf(seed, sizeof(seed), "AWS4%s", secret_text(secret_key));
    uint8_t a[SHA256_SIZE];
    uint8_t b[SHA256_SIZE];
    hmac_sha256(seed, (size_t)seed_size, date, DATE_SIZE, a);
    hmac_sha256(a, sizeof(a), key->region, strlen(key->region), b);
    hmac_sha256(b, sizeof(b), key->service, strlen(key->service), a);
    hmac_sha256(a, sizeof(a), "aws4_request", strlen("aws4_request"), ret_key);
    secret_wipe(a, sizeof(a));
    secret_wipe(b, sizeof(b));
    secret_wipe(seed, sizeof(seed));
    return 0;
}

static int sign(const struct sigv4_key *key, const struct sigv4_request *request, const char *query,
                const char date_time[CLOCK_BASIC_SIZE], const char *scope,
                char ret_signature[SHA256_HEX_SIZE], struct err *err)
{
    auto_buf struct buf canonical = BUF_INIT(SIGV4_CANONICAL_LIMIT);
    int r = write_canonical(key, request, query, &canonical, err);
    char canonical_hash[SHA256_HEX_SIZE];
    if (r == 0)
        sha256_hex_of(canonical.bytes, canonical.size, canonical_hash);
    secret_wipe(canonical.bytes, canonical.capacity); // it may hold the session token
    if (r < 0)
        return r;

    char text[sizeof(ALGORITHM) + CLOCK_BASIC_SIZE + SCOPE_SIZE_MAX + SHA256_HEX_SIZE];
    int size =
        snprintf(text, sizeof(text), ALGORITHM "\n%s\n%s\n%s", date_time, scope, canonical_hash);
    uint8_t derived[SHA256_SIZE];
    uint8_t mac[SHA256_SIZE];
    r = derive_key(key, date_time, derived, err);
    if (r < 0)
        return r;
    hmac_sha256(derived, sizeof(derived), text, (size_t)size, mac);
    secret_wipe(derived, sizeof(derived));
    digest_hex(mac, sizeof(mac), ret_signature);
    return 0;
}

static int format_scope(const struct sigv4_key *key, const char *date_time,
                        char ret_scope[SCOPE_SIZE_MAX], struct err *err)
{
    int size = snprintf(ret_scope, SCOPE_SIZE_MAX, "%.8s/%s/%s/aws4_request", date_time,
                        key->region, key->service);
    if (size >= SCOPE_SIZE_MAX)
        return err_set(err, EINVAL, "the region's name is too long: %s", key->region);
    return 0;
}

int sigv4_sign_headers(const struct sigv4_key *key, const struct sigv4_request *request,
                       int64_t now_ms, struct secret **ret_authorization, struct err *err)
{
    char date_time[CLOCK_BASIC_SIZE];
    clock_format_basic(now_ms, date_time);
    char scope[SCOPE_SIZE_MAX];
    int r = format_scope(key, date_time, scope, err);
    if (r < 0)
        return r;
    auto_buf struct buf query = BUF_INIT(SIGV4_CANONICAL_LIMIT);
    r = sigv4_query_text(request->query, request->query_count, &query, err);
    if (r < 0)
        return r;
    char signature[SHA256_HEX_SIZE];
    r = sign(key, request, buf_text(&query), date_time, scope, signature, err);
    if (r < 0)
        return r;

    struct sorted_headers headers = {.count = 0};
    r = sort_headers(request, &headers, err);
    if (r < 0)
        return r;
    auto_buf struct buf names = BUF_INIT(SIGV4_CANONICAL_LIMIT);
    append_names(&names, &headers);
    if (names.is_full)
        return too_large(err);
    struct secret *authorization =
        secret_join(ALGORITHM " Credential=", s3_credentials_access_key(key->credentials), "/",
                    scope, ", SignedHeaders=", buf_text(&names), ", Signature=", signature, NULL);
    if (!authorization)
        return err_no_memory(err);
    *ret_authorization = authorization;
    return 0;
}

int sigv4_sign_query(const struct sigv4_key *key, const struct sigv4_request *request,
                     int64_t now_ms, int expires_s, struct buf *query, struct err *err)
{
    enum { ADDED = 6 };
    if (request->query_count + ADDED > SIGV4_PAIRS_MAX)
        return err_set(err, E2BIG, "a request has more than %d parameters", SIGV4_PAIRS_MAX);
    char date_time[CLOCK_BASIC_SIZE];
    clock_format_basic(now_ms, date_time);
    char scope[SCOPE_SIZE_MAX];
    int r = format_scope(key, date_time, scope, err);
    if (r < 0)
        return r;
    struct sorted_headers headers = {.count = 0};
    r = sort_headers(request, &headers, err);
    if (r < 0)
        return r;

    auto_buf struct buf names = BUF_INIT(SIGV4_CANONICAL_LIMIT);
    append_names(&names, &headers);
    auto_buf struct buf credential = BUF_INIT(SIGV4_CANONICAL_LIMIT);
    (void)buf_printf(&credential, "%s/%s", s3_credentials_access_key(key->credentials), scope);
    if (names.is_full || credential.is_full)
        return err_no_memory(err);
    char expires[16];
    snprintf(expires, sizeof(expires), "%d", expires_s);

    struct sigv4_pair pairs[SIGV4_PAIRS_MAX];
    size_t count = request->query_count;
    if (count > 0)
        memcpy(pairs, request->query, count * sizeof(pairs[0]));
    pairs[count++] = (struct sigv4_pair){"X-Amz-Algorithm", ALGORITHM};
    pairs[count++] = (struct sigv4_pair){"X-Amz-Credential", buf_text(&credential)};
    pairs[count++] = (struct sigv4_pair){"X-Amz-Date", date_time};
    pairs[count++] = (struct sigv4_pair){"X-Amz-Expires", expires};
    pairs[count++] = (struct sigv4_pair){"X-Amz-SignedHeaders", buf_text(&names)};
    const struct secret *token = s3_credentials_session_token(key->credentials);
    if (token)
        pairs[count++] = (struct sigv4_pair){"X-Amz-Security-Token", secret_text(token)};

    // What is signed is what is sent: one text.
    size_t begin = query->size;
    r = sigv4_query_text(pairs, count, query, err);
    if (r < 0)
        return r;
    char signature[SHA256_HEX_SIZE];
    r = sign(key, request, buf_text(query) + begin, date_time, scope, signature, err);
    if (r < 0)
        return r;
    if (buf_printf(query, "&X-Amz-Signature=%s", signature) < 0)
        return too_large(err);
    return 0;
}
