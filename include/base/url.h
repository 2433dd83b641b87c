// url.h - URLs: taking them apart, percent-encoding, redirects' rules. Uses libcurl's URL API
// for parsing and resolving; the encoding is ours because signatures depend on every byte.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum {
    URL_SIZE_LIMIT = 16 * 1024, // bytes; presigned URLs of any store stay below a quarter of it
};

struct url {
    char *scheme; // "https" or "http", lower case; nothing else is accepted
    char *host;   // lower case; an IPv6 literal keeps its brackets
    int port;     // always filled in: 443 or 80 where the text names none
    char *path;   // percent-encoded as given, "/" at least
    char *query;  // without '?', "" where there is none
};

// Total. -EINVAL for anything but http and https, for user names, passwords and fragments, for
// spaces, control characters and non-ASCII bytes, and past URL_SIZE_LIMIT. The sentence never
// quotes the URL.
int url_parse(const char *text, struct url *ret_url, struct err *err);
void url_done(struct url *url); // accepts NULL and zeroed

// `location` as a redirect from `base` gives it (may be relative; a fragment is dropped).
// malloc'ed text that url_parse accepts.
int url_resolve(const char *base, const char *location, char **ret_url, struct err *err);

// Scheme, host and port are the same.
bool url_same_origin(const struct url *a, const struct url *b);
// 127.0.0.0/8, [::1] (also as [::ffff:127.0.0.1]) or localhost: plain HTTP may always be spoken
// to these. Names that merely look alike ("127.evil.com") are none.
bool url_host_is_loopback(const char *host);
// 169.254.0.0/16 in any notation, fe80::/10, and fd00:ec2::/32, where AWS has its metadata
// addresses: no redirect may lead there. A name that resolves to one is not seen through; that is
// for whoever connects, with url_address_is_link_local.
bool url_host_is_link_local(const char *host);
struct sockaddr;
bool url_address_is_link_local(const struct sockaddr *address);

// The text up to '?' and without user name and password, for logs and sentences: what follows
// may be a signature.
// Writes into a caller-given buffer, cut where it does not fit; returns it.
const char *url_without_query(const char *text, char *buffer, size_t buffer_size);

// Percent-encodes every byte outside A-Za-z0-9-._~ (RFC 3986 unreserved), upper-case hex; with
// keep_slash '/' stays (S3's canonical path), without it becomes %2F (query values).
int url_encode(struct buf *ret_text, const char *bytes, size_t size, bool keep_slash);
// Decodes %XX in place of text; '+' stays. malloc'ed, NULL on a broken escape or no memory.
char *url_decode(const char *text, size_t *ret_size);
