// s3.h - the door of the S3 room: one bucket seen through one set of credentials, STS, and
// presigned links. Knows nothing of images, directories or FUSE.
//
// Every function is thread-safe and blocks its caller; all requests of one purpose share a
// `struct call` (base/call.h) that cancels them and counts their retries. Requests are retried
// inside where that is safe. Keys are bytes as S3 holds them (UTF-8, no leading '/'); sizes are
// bytes; times are milliseconds since 1970, UTC. Errors that many answer, beside what
// base/http.h says: EACCES (403, bad signature, expired credentials), ENOENT (no such key,
// bucket, upload), EEXIST (a condition `If-None-Match: *` failed), ESTALE (a condition on an
// ETag failed), EIO (the store failed, after retries), EPROTO (an answer that is no S3).
// err->code holds S3's own error code.
#pragma once

#include "base/call.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/http.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    S3_KEY_SIZE_MAX = 1024,   // bytes of a key
    S3_LIST_PAGE_KEYS = 1000, // entries of one listing page
    S3_PARTS_MAX = 10000,     // parts of one multipart upload, numbered from 1
    S3_ETAG_SIZE = 128,       // bytes kept of an ETag, NUL and quotes included
    S3_UPLOAD_ID_SIZE = 1024,
    S3_EXPIRES_MAX_S = 7 * 24 * 3600, // what SigV4 allows a presigned link
};
#define S3_PART_SIZE_MIN (UINT64_C(5) << 20)                          // every part but the last
#define S3_PART_SIZE_MAX (UINT64_C(5) << 30)                          // also of a copied part
#define S3_OBJECT_SIZE_MAX (UINT64_C(50) * 1000 * 1000 * 1000 * 1000) // 50 TB

// ---- credentials -----------------------------------------------------------------------------

// Access key, secret key and session token, as one immutable, counted value.
struct s3_credentials;
struct s3_credentials *s3_credentials_new(const char *access_key, const struct secret *secret_key,
                                          const struct secret *session_token, // or NULL
                                          int64_t expires_ms);                // INT64_MAX: never
struct s3_credentials *s3_credentials_ref(struct s3_credentials *credentials);
void s3_credentials_unref(struct s3_credentials *credentials); // accepts NULL
const char *s3_credentials_access_key(const struct s3_credentials *credentials);
int64_t s3_credentials_expires_ms(const struct s3_credentials *credentials);

// Where credentials come from: the AWS chain (environment, a profile's role, web identity, GitHub
// Actions, the profile's keys or process, container, instance; see docs/credentials.md).
//
// Credentials that expire are renewed before that, on a thread of the provider's own, once for
// all who wait; while the old ones live nobody waits, and a failed renewal disturbs nobody.
struct s3_provider;

struct s3_environment {
    const char *(*get)(void *context, const char *name); // NULL where unset; getenv's shape
    void *context;
    const char *directory; // that relative paths begin at; NULL: the one at that moment
};
extern const struct s3_environment s3_environment_process; // the process's own

struct s3_provider_options {
    const char *profile;      // NULL: AWS_PROFILE, else "default". A profile given here goes before
                              // the environment's keys, as --profile does for the AWS CLI.
    const char *region;       // where roles are asked for; NULL: what the chain says ...
    const char *sts_endpoint; // ... and there, NULL likewise, else AWS's for the region
    const struct s3_environment *environment;
    const struct clock *clock;
    struct http_client *http;
    // Told of each renewal's end, with NULL where it went well; on the provider's thread, no lock
    // held. May be NULL.
    void (*on_renewal)(void *context, const struct err *failure);
    void *context;
};
// Finds the source and asks it once: EACCES with a sentence that names every place that was
// looked at where none has credentials; EINVAL for a file that cannot be parsed, with file and
// line, and for settings that contradict each other.
int s3_provider_new(const struct s3_provider_options *options, struct call *call,
                    struct s3_provider **ret_provider, struct err *err);
void s3_provider_free(struct s3_provider *provider);                // accepts NULL
const char *s3_provider_source(const struct s3_provider *provider); // "environment variables"
// The credentials to sign with now; the caller unrefs. Waits only where they have expired. EACCES,
// or what the source's servers failed with, where they have and cannot be renewed.
int s3_provider_get(struct s3_provider *provider, struct call *call,
                    struct s3_credentials **ret_credentials, struct err *err);

// What the same chain says of region and endpoints (AWS_REGION, AWS_DEFAULT_REGION, profile
// `region`; AWS_ENDPOINT_URL_S3, _STS, AWS_ENDPOINT_URL, profile `endpoint_url` and services
// sections; AWS_IGNORE_CONFIGURED_ENDPOINT_URLS; AWS_CA_BUNDLE). NULL where silent; free each.
struct s3_settings {
    char *region;
    char *s3_endpoint;
    char *sts_endpoint;
    char *ca_bundle;
};
int s3_settings_read(const char *profile, const struct s3_environment *environment,
                     struct s3_settings *ret_settings, struct err *err);
void s3_settings_done(struct s3_settings *settings);

// ---- the bucket ------------------------------------------------------------------------------

enum s3_addressing { S3_ADDRESSING_AUTO, S3_ADDRESSING_PATH, S3_ADDRESSING_VIRTUAL };

struct s3_client;

struct s3_options {
    const char *bucket;
    const char *region;   // "us-east-1"
    const char *endpoint; // NULL: AWS's for the region; else "http[s]://host[:port][/path]"
    enum s3_addressing addressing;
    struct s3_provider *provider; // stays the caller's, outlives the client
    struct http_client *http;     // likewise
    const struct clock *clock;    // corrected by the servers' Date, see s3_client_clock_skew_ms
};
int s3_client_new(const struct s3_options *options, struct s3_client **ret_client, struct err *err);
void s3_client_free(struct s3_client *client);

const char *s3_client_bucket(const struct s3_client *client);
const char *s3_client_region(const struct s3_client *client); // the bucket's own, once learned
// Scheme, host and port that links will lead to, "https://bucket.s3.eu-west-1.amazonaws.com:443".
const char *s3_client_origin(const struct s3_client *client);

// Whether the bucket can be listed under prefix with these credentials, region and endpoint: one
// sentence that says which of them is wrong if not. Learns the clock's offset.
int s3_client_probe(struct s3_client *client, struct call *call, const char *prefix,
                    struct err *err);
// The servers' clock minus the machine's own, by which the client has corrected its clock; 0 while
// they agree to a few seconds. One client corrects one clock: others that share it read 0.
int64_t s3_client_clock_skew_ms(const struct s3_client *client);

// ---- listing ---------------------------------------------------------------------------------

struct s3_object_info {
    const char *key; // NUL-terminated; keys that hold a NUL are left out and counted
    uint64_t size_bytes;
    int64_t modified_ms;
    const char *etag;          // with its quotes, as If-Match wants it
    const char *storage_class; // "STANDARD" where the store says nothing
};

struct s3_page {
    struct s3_object_info *objects;
    size_t object_count;
    const char **prefixes; // common prefixes, each ending in the delimiter
    size_t prefix_count;
    size_t unnameable_count; // keys left out because they hold a NUL
    char *next_token;        // NULL on the last page; opaque: this room's, not the server's
    void *arena;             // owns the strings of objects and prefixes
};
// One ListObjectsV2 page with encoding-type=url. delimiter "/" or NULL; token from the page before
// or NULL; start_after or NULL; max_keys 1 to S3_LIST_PAGE_KEYS.
int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err);
void s3_page_done(struct s3_page *page);

// ---- objects ---------------------------------------------------------------------------------

struct s3_metadata { // x-amz-meta-NAME: VALUE; names lower case, values printable ASCII
    const char *name;
    const char *value;
};

struct s3_head {
    uint64_t size_bytes;
    int64_t modified_ms;
    char etag[S3_ETAG_SIZE];
    char *content_type;
    char storage_class[32];
    struct s3_metadata *metadata;
    size_t metadata_count;
};
int s3_object_head(struct s3_client *client, struct call *call, const char *key,
                   struct s3_head *ret_head, struct err *err);
const char *s3_head_metadata(const struct s3_head *head, const char *name); // or NULL
void s3_head_done(struct s3_head *head);

// Bytes [offset, offset+size) to sink, in order, resumed where a connection breaks (bytes already
// handed over are not repeated). if_match NULL or an ETag: ESTALE when the object is another by
// now; with NULL the first answer's ETag binds the rest. EIO when the object is shorter. size 0
// sends no request. A negative errno of the sink ends the reading with that error.
int s3_object_read(struct s3_client *client, struct call *call, const char *key,
                   const char *if_match, uint64_t offset, uint64_t size,
                   int (*sink)(void *context, const void *bytes, size_t size), void *context,
                   struct err *err);

// The whole of a small object into memory: EFBIG past limit. ret_etag may be NULL.
int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err);

enum s3_condition {
    S3_CONDITION_NONE,
    S3_CONDITION_ABSENT, // If-None-Match: *  (some stores ignore it; see docs/decisions)
};
struct s3_put {
    const char *key;
    const struct http_piece *body;
    size_t body_count;
    const char *content_type;
    const struct s3_metadata *metadata;
    size_t metadata_count;
    enum s3_condition condition;
};
// A put whose reply was lost, or cannot be used, is settled by reading the object: 0 when it has
// exactly these bytes, whoever wrote them. EOPNOTSUPP with err->code NotImplemented: the store has
// no conditions.
int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err);

// 0 also where there was no such object.
int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err);

struct s3_copy {
    struct s3_put put; // key, content_type and metadata of the new object, which has no others;
                       // body and condition are not looked at
    const char *source_key;
    const char *source_etag;
    const struct s3_metadata *identity; // a pair of put.metadata that only this copy has; NULL: a
                                        // lost reply cannot be settled
};
// The whole of an object of at most S3_PART_SIZE_MAX, at once. ESTALE where the source is another
// than source_etag - on stores that look at that, see s3_client_copies_conditionally. Replaces
// what bears the key: whoever must not do that has to hold the name some other way.
int s3_object_copy(struct s3_client *client, struct call *call, const struct s3_copy *copy,
                   char ret_etag[S3_ETAG_SIZE], struct err *err);
// Whether the store refuses a copy whose source is another than it should be: some ignore that,
// and no answer tells. Tried once, with a copy of source_key (some small object) that should not
// come about; where it does, at scratch_key, it is deleted. false also where it could not be tried.
bool s3_client_copies_conditionally(struct s3_client *client, struct call *call,
                                    const char *source_key, const char *scratch_key);

// ---- multipart uploads -------------------------------------------------------------------------

struct s3_upload { // filled by s3_multipart_create; plain data
    char key[S3_KEY_SIZE_MAX + 1];
    char id[S3_UPLOAD_ID_SIZE];
};
struct s3_part {
    int number; // from 1
    char etag[S3_ETAG_SIZE];
};

// put->body and put->condition are not looked at. A creation whose reply is lost is asked for
// again, and leaves an upload without parts behind that nobody has the id of and that nothing in a
// listing tells from another host's: finding it is the caller's (see fs/publish/intents.h).
int s3_multipart_create(struct s3_client *client, struct call *call, const struct s3_put *put,
                        struct s3_upload *ret_upload, struct err *err);
// Over plain HTTP the body travels with a Content-MD5, so that the store refuses altered bytes.
int s3_multipart_upload_part(struct s3_client *client, struct call *call,
                             const struct s3_upload *upload, int part_number,
                             const struct http_piece *body, size_t body_count,
                             struct s3_part *ret_part, struct err *err);
// Copies [offset, offset+size) of source_key; size 0: all of it, which S3 wants to be said that way
// of a source of up to S3_PART_SIZE_MIN. x-amz-copy-source-if-match is sent, but some stores ignore
// it: the caller compares the source's ETag before and after.
int s3_multipart_copy_part(struct s3_client *client, struct call *call,
                           const struct s3_upload *upload, int part_number, const char *source_key,
                           const char *source_etag, uint64_t offset, uint64_t size,
                           struct s3_part *ret_part, struct err *err);
// Parts in ascending order. The body of a 200 decides; a lost reply is settled by looking at the
// object (size, metadata of the upload's own): the answer is 0 only when this upload took effect.
// expected_size is the object's; identity names a metadata pair that only this upload has (NULL:
// a lost reply cannot be settled). EEXIST: the condition failed, or another write of the key was
// under way (err->code ConditionalRequestConflict: nothing may stand there after all; a new upload
// is needed). EOPNOTSUPP with code NotImplemented: the store has no conditions. Where no answer
// explains a failure, the upload has been aborted, if that was possible, and the object looked at.
// *ret_etag is "" on success where the store does not say it (Ceph RGW).
int s3_multipart_complete(struct s3_client *client, struct call *call,
                          const struct s3_upload *upload, const struct s3_part *parts, size_t count,
                          enum s3_condition condition, uint64_t expected_size,
                          const struct s3_metadata *identity, char ret_etag[S3_ETAG_SIZE],
                          struct err *err);
// Whether the store refuses a conditional completion where the key exists: AWS does, and any that
// has done so once. Some ignore the condition, and nothing in an answer tells which.
bool s3_client_completes_conditionally(const struct s3_client *client);
// Asks with ListParts: neither completed nor aborted.
int s3_multipart_is_open(struct s3_client *client, struct call *call,
                         const struct s3_upload *upload, bool *ret_is_open, struct err *err);
// The ETag that an object of these parts has: the MD5 of their MD5s. false where the parts' ETags
// are no MD5s (SSE-KMS) or memory is out. Pure.
bool s3_multipart_etag(const struct s3_part *parts, size_t count, char ret_etag[S3_ETAG_SIZE]);
// 0 also when the upload is not there any more.
int s3_multipart_abort(struct s3_client *client, struct call *call, const struct s3_upload *upload,
                       struct err *err);
// Tells of every upload under way whose key begins with prefix, of all hosts, page by page. What
// on_upload answers below 0 ends it with that error. Keys that hold a NUL are left out.
int s3_multipart_list(struct s3_client *client, struct call *call, const char *prefix,
                      int (*on_upload)(void *context, const struct s3_upload *upload,
                                       int64_t initiated_ms),
                      void *context, struct err *err);

// ---- presigned links ---------------------------------------------------------------------------

// Signs GET links with an assumed read-only role's session (or a separate user's profile), never
// with the bucket client's own credentials.
struct s3_presigner;

struct s3_presigner_options {
    const char *role_arn;         // this ...
    struct s3_provider *reader;   // ... or this (presign_profile's), not both
    struct s3_provider *provider; // the service account's: signs AssumeRole
    const char *sts_endpoint;     // NULL: AWS's for the region
    const char *region;
    int session_s;             // DurationSeconds asked for, 900 to 43200
    const char *prefix;        // links lead under this ("" for the whole bucket) ...
    const char *denied_prefix; // ... and never under this (".prereleasefs/" with its prefix)
    const char *kms_key;       // ARN for kms:Decrypt, NULL for none
    struct http_client *http;
    const struct clock *clock;
};
// Assumes the role once, so that a mount that cannot presign fails at once. EACCES/EINVAL with a
// sentence. When STS refuses session_s, 3600 is taken: see s3_presigner_session_s.
int s3_presigner_new(const struct s3_presigner_options *options, struct s3_client *client,
                     struct call *call, struct s3_presigner **ret_presigner, struct err *err);
void s3_presigner_free(struct s3_presigner *presigner);
// What STS granted, 0 with a reader (no session ends).
int s3_presigner_session_s(const struct s3_presigner *presigner);

// A session not older than 5 minutes (assumed afresh if need be, once for all who wait). All
// links of one rendering are signed by one session. With a reader it is the reader's own keys:
// EINVAL where they are the service account's.
struct s3_session;
int s3_presigner_session(struct s3_presigner *presigner, struct call *call,
                         struct s3_session **ret_session, struct err *err);
void s3_session_unref(struct s3_session *session); // accepts NULL

// Pure arithmetic and hashing, no request. Asks to live expires_s (1 to S3_EXPIRES_MAX_S); writes
// the link and when it truly dies: the earlier of now + expires_s and the session's own end.
// download_name goes into response-content-disposition; it must be [A-Za-z0-9._+-]+. *ret_url is
// replaced. EACCES when the session has ended meanwhile.
int s3_presign_get(struct s3_session *session, const char *key, const char *download_name,
                   int expires_s, struct buf *ret_url, int64_t *ret_expires_ms, struct err *err);

// Before the first link is handed out: a link to this object is tried, for one byte, until one has
// led to its object; from then on 0 without a request. EACCES: the role (or user) lacks a
// permission, and the sentence says which. 0 also where the store gave no answer that tells.
int s3_presigner_try(struct s3_presigner *presigner, struct call *call, struct s3_session *session,
                     const char *key, struct err *err);
