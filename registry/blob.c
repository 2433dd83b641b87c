// Ranged reads of blobs. The registry is asked anew for every attempt, since the links that it
// redirects to live minutes; ranges are closed, since some registries answer 416 to open ones;
// whether ranges are taken shows in the answer, since most do not announce it.
#include "blob.h"

#include "reference.h"
#include "request.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    const struct registry_descriptor *blob;
    uint64_t next; // byte of the blob that is handed over next
    uint64_t end;  // one past the last
    int (*sink)(void *context, const void *bytes, size_t size);
    void *context;
    int sink_status;
    bool is_uncut; // the registry answers 416 to ranges
    // of the answer under way
    uint64_t skip;       // its bytes that stand before `next`
    uint64_t answer_end; // where in the blob it ends
    struct err unusable; // errnum 0 while it can be used
};

// ---- the answer's range ------------------------------------------------------------------------

static bool take_number(const char **text, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *c = *text;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (number > (UINT64_MAX - 9) / 10)
            return false;
        number = number * 10 + (uint64_t)(*c - '0');
    }
    bool is_there = c > *text;
    *text = c;
    *ret_number = number;
    return is_there;
}

// "bytes 0-99/1234" or "bytes 0-99/*" (RFC 9110 section 14.4). *ret_total is `otherwise` for '*'.
static bool parse_content_range(const char *text, uint64_t otherwise, uint64_t *ret_first,
                                uint64_t *ret_last, uint64_t *ret_total)
{
    if (text == NULL || strncmp(text, "bytes ", 6) != 0)
        return false;
    text += 6;
    if (!take_number(&text, ret_first) || *text++ != '-' || !take_number(&text, ret_last) ||
        *text++ != '/')
        return false;
    if (strcmp(text, "*") == 0) {
        *ret_total = otherwise;
        return *ret_first <= *ret_last;
    }
    return take_number(&text, ret_total) && *text == '\0' && *ret_first <= *ret_last &&
           *ret_last < *ret_total;
}

static int wrong_size(struct err *err, const struct registry_descriptor *blob, uint64_t size)
{
    return err_set(err, EBADMSG,
                   "the registry has %" PRIu64
                   " bytes of %s, and the manifest says it has %" PRIu64,
                   size, blob->digest, blob->size_bytes);
}

static void look_at_part(struct reading *reading, const struct http_response *response)
{
    uint64_t first = 0, last = 0, total = 0, size = reading->blob->size_bytes;
    const char *range = http_response_header(response, "content-range");
    if (!parse_content_range(range, size, &first, &last, &total))
        err_set(&reading->unusable, EPROTO,
                "an answer of 206 without a Content-Range that can be read");
    else if (total != size)
        wrong_size(&reading->unusable, reading->blob, total);
    else if (first > reading->next || last < reading->next)
        err_set(&reading->unusable, EPROTO,
                "bytes %" PRIu64 "-%" PRIu64 " came where %" PRIu64 "-%" PRIu64 " were asked for",
                first, last, reading->next, reading->end - 1);
    reading->skip = reading->next - first;
    reading->answer_end = last + 1;
}

static bool look_at_answer(void *context, const struct http_response *response)
{
    struct reading *reading = context;
    if (response->status == 206) {
        look_at_part(reading, response);
    } else if (response->status == 200) {
        reading->skip = reading->next;
        reading->answer_end = reading->blob->size_bytes;
        if (response->content_length >= 0 &&
            (uint64_t)response->content_length != reading->blob->size_bytes)
            wrong_size(&reading->unusable, reading->blob, (uint64_t)response->content_length);
    } else {
        err_set(&reading->unusable, EPROTO, "an answer of %d where bytes should be",
                response->status);
    }
    return true;
}

static int take_bytes(void *context, const void *bytes, size_t size)
{
    struct reading *reading = context;
    if (reading->unusable.errnum != 0 || reading->next == reading->end)
        return -ECANCELED;
    size_t skipped = reading->skip < size ? (size_t)reading->skip : size;
    reading->skip -= skipped;
    size -= skipped;
    uint64_t wanted = reading->end - reading->next;
    size_t taken = size < wanted ? size : (size_t)wanted;
    if (taken > 0)
        reading->sink_status =
            reading->sink(reading->context, (const char *)bytes + skipped, taken);
    if (reading->sink_status < 0)
        return reading->sink_status;
    reading->next += taken;
    // An answer that ends here is read to its end, so that its connection lives on.
    bool has_more = reading->answer_end > reading->end;
    return reading->next == reading->end && has_more ? -ECANCELED : 0;
}

// ---- reading -----------------------------------------------------------------------------------

static int read_once(struct registry_client *client, struct call *call,
                     const struct registry_reference *reference, struct reading *reading,
                     struct err *err)
{
    char path[sizeof("blobs/") + REGISTRY_DIGEST_SIZE];
    char range[sizeof("bytes=-") + 2 * 20];
    snprintf(path, sizeof(path), "blobs/%s", reading->blob->digest);
    snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, reading->next, reading->end - 1);
    // The whole is asked for without a range: caches that have not got it yet serve that better.
    bool is_whole =
        reading->is_uncut || (reading->next == 0 && reading->end == reading->blob->size_bytes);
    const struct registry_request request = {
        .method = "GET",
        .reference = reference,
        .path = path,
        .range = is_whole ? NULL : range,
        .wants_bytes = look_at_answer,
        .on_bytes = take_bytes,
        .context = reading,
    };
    auto_http_response struct http_response response = {0};
    reading->unusable = (struct err){0};
    int status = registry_request_once(client, call, &request, &response, err);
    if (reading->next == reading->end)
        return 0;
    if (reading->sink_status < 0)
        return status < 0 ? status : reading->sink_status;
    if (reading->unusable.errnum != 0) {
        *err = reading->unusable;
        return -err->errnum;
    }
    if (status == 0) {
        status = err_set(err, EIO, "the answer ended %" PRIu64 " bytes early",
                         reading->end - reading->next);
        err->is_retryable = true;
        err->retry_after_ms = -1;
    }
    return status;
}

static int read_range(struct registry_client *client, struct call *call,
                      const struct registry_reference *reference, struct reading *reading,
                      struct err *err)
{
    for (int attempt = 1;; attempt++) {
        uint64_t before = reading->next;
        int status = read_once(client, call, reference, reading, err);
        if (status == 0 || reading->sink_status < 0)
            return status;
        // Some registries cannot cut a blob: then it is read from its start and skipped.
        if (err->http_status == 416 && !reading->is_uncut) {
            reading->is_uncut = true;
            continue;
        }
        // What brought bytes was no failed attempt; the call's budget bounds how often.
        if (reading->next > before)
            attempt = 1;
        if (!call_should_retry(call, attempt, err))
            return -err->errnum;
    }
}

int registry_blob_read(struct registry_client *client, struct call *call,
                       const struct registry_reference *reference,
                       const struct registry_descriptor *blob, uint64_t offset, uint64_t size,
                       int (*sink)(void *context, const void *bytes, size_t size), void *context,
                       struct err *err)
{
    if (offset > blob->size_bytes || size > blob->size_bytes - offset)
        return err_set(err, EINVAL, "bytes %" PRIu64 "+%" PRIu64 " of %s, which has %" PRIu64,
                       offset, size, blob->digest, blob->size_bytes);
    if (!registry_digest_is_sha256(blob->digest))
        return err_set(err, EPROTONOSUPPORT, "a blob whose digest is no sha256");
    if (size == 0)
        return 0;
    struct reading reading = {
        .blob = blob,
        .next = offset,
        .end = offset + size,
        .sink = sink,
        .context = context,
    };
    int status = read_range(client, call, reference, &reading, err);
    return status < 0
               ? err_wrap(err, "%s of %s/%s", blob->digest, reference->host, reference->repository)
               : 0;
}

// ---- small blobs -------------------------------------------------------------------------------

struct filling {
    char *bytes;
    size_t size;
};

static int fill(void *context, const void *bytes, size_t size)
{
    struct filling *filling = context;
    memcpy(filling->bytes + filling->size, bytes, size);
    filling->size += size;
    return 0;
}

static int fetch_once(struct registry_client *client, struct call *call,
                      const struct registry_reference *reference,
                      const struct registry_descriptor *blob, char *bytes, struct err *err)
{
    struct filling filling = {.bytes = bytes};
    char hex[SHA256_HEX_SIZE];
    int status =
        registry_blob_read(client, call, reference, blob, 0, blob->size_bytes, fill, &filling, err);
    if (status < 0)
        return status;
    sha256_hex_of(bytes, filling.size, hex);
    if (strcmp(hex, blob->digest + strlen("sha256:")) == 0)
        return 0;
    return err_set(err, EBADMSG, "the bytes that %s sends for %s are others: their sha256 is %s",
                   reference->host, blob->digest, hex);
}

int registry_blob_fetch(struct registry_client *client, struct call *call,
                        const struct registry_reference *reference,
                        const struct registry_descriptor *blob, size_t limit, char **ret_bytes,
                        struct err *err)
{
    if (blob->size_bytes > limit)
        return err_set(err, EFBIG, "%s has %" PRIu64 " bytes, more than the %zu that are taken",
                       blob->digest, blob->size_bytes, limit);
    auto_free char *bytes = malloc((size_t)blob->size_bytes + 1);
    if (bytes == NULL)
        return err_no_memory(err);
    int status = fetch_once(client, call, reference, blob, bytes, err);
    if (status == -EBADMSG) {
        err->is_retryable = true;
        err->retry_after_ms = -1;
        if (call_should_retry(call, 1, err))
            status = fetch_once(client, call, reference, blob, bytes, err);
    }
    if (status < 0)
        return -err->errnum;
    bytes[blob->size_bytes] = '\0';
    *ret_bytes = TAKE(bytes);
    return 0;
}
