// http_trust.h - the CA certificates that TLS trusts, read once and shared by all handles. Private
// to http.c.
//
// libcurl reads the bundle once for each handle: a megabyte and 20 ms each with Debian's 140
// certificates, of which a busy mount would hold dozens. Thread-safe.
#pragma once

#include <curl/curl.h>

struct http_trust;

// ca_bundle: a PEM file, instead of the system's; NULL for the system's. Copied; read when the
// first connection wants it. NULL on no memory.
struct http_trust *http_trust_new(const char *ca_bundle);
void http_trust_free(struct http_trust *trust); // accepts NULL
// Makes connections of this handle trust these. *trust must outlive its exchanges.
CURLcode http_trust_attach(struct http_trust *trust, CURL *easy);
