#include "base/http_failure.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROXY_NAME_SIZE = 300 };

#define UNKNOWN_AUTHORITY "is not signed by a known authority; ca_bundle= names further ones"

#define CORRECT_PROXY "correct HTTPS_PROXY (or http_proxy), or name the host in NO_PROXY"

// Whether another host than the request's was connected to, so a proxy; it is in no field of
// libcurl's, only in "Failed to connect to NAME port NUMBER [via PROXY ]after ...".
static bool find_proxy(const struct http_failure *f, char name[PROXY_NAME_SIZE])
{
    char host[256];
    char port[8];
    if (sscanf(f->curl_text, "Failed to connect to %255s port %7[0-9] via %299s", host, port,
               name) == 3)
        return true;
    if (sscanf(f->curl_text, "Failed to connect to %255s port %7[0-9]", host, port) != 2)
        return false;
    snprintf(name, PROXY_NAME_SIZE, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return strcmp(name, f->host) != 0;
}

static int explain_unreachable(const struct http_failure *f, struct err *err)
{
    char proxy[PROXY_NAME_SIZE];
    long os_errno = 0;
    curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &os_errno);
    if (f->code == CURLE_COULDNT_RESOLVE_PROXY)
        err_set(err, EHOSTUNREACH,
                "the proxy on the way to %s cannot be found by its name: " CORRECT_PROXY, f->host);
    else if (strstr(f->curl_text, "proxy scheme"))
        return err_set(
            err, EINVAL, // libcurl's text holds all of it, a password too
            "HTTPS_PROXY (or http_proxy) is of a kind that is not known: write http://HOST:PORT");
    else if (f->code == CURLE_COULDNT_RESOLVE_HOST)
        err_set(err, EHOSTUNREACH,
                "the name of %s cannot be resolved: check its spelling; it does not exist, or no "
                "name server answers",
                f->host);
    else if (find_proxy(f, proxy))
        err_set(err, EHOSTUNREACH,
                "the proxy %s on the way to %s cannot be reached%s: " CORRECT_PROXY, proxy, f->host,
                os_errno == ECONNREFUSED ? " (connection refused)" : "");
    else if (os_errno == ECONNREFUSED)
        err_set(err, EHOSTUNREACH,
                "%s refused the connection: check its name and port, and whether it runs", f->host);
    else
        err_set(err, EHOSTUNREACH, "%s cannot be reached: %s", f->host, f->curl_text);
    err->is_retryable = true;
    return -err->errnum;
}

static int explain_timeout(const struct http_failure *f, struct err *err)
{
    if (f->was_connected && f->total_timeout_ms > 0)
        err_set(err, ETIMEDOUT, "%s does not answer within %d s", f->host,
                (f->total_timeout_ms + 999) / 1000);
    else if (f->was_connected)
        err_set(err, ETIMEDOUT, "the transfer with %s stalled: no byte for %d s", f->host,
                (f->stall_timeout_ms + 999) / 1000);
    else
        err_set(err, ETIMEDOUT, "no connection to %s within %d s", f->host,
                (f->connect_timeout_ms + 999) / 1000);
    err->is_retryable = true;
    return -err->errnum;
}

// libcurl has one code for a certificate that is refused; only its text, which is the TLS
// library's, tells why.
static int explain_certificate(const struct http_failure *f, struct err *err)
{
    static const struct {
        const char *text;
        const char *meaning;
    } reasons[] = {
        {"expired", "has expired, or this machine's clock is wrong"},
        {"not yet valid", "is not valid yet, or this machine's clock is wrong"},
        {"subject name", "is for another name"},
        {"self-signed", UNKNOWN_AUTHORITY},
        {"self signed", UNKNOWN_AUTHORITY},
        {"issuer certificate", UNKNOWN_AUTHORITY},
        {"first certificate", UNKNOWN_AUTHORITY},
    };
    const char *meaning = "is refused";
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        if (strstr(f->curl_text, reasons[i].text)) {
            meaning = reasons[i].meaning;
            break;
        }
    }
    return err_set(err, EPROTO, "the TLS certificate of %s %s (%s)", f->host, meaning,
                   f->curl_text);
}

// libcurl has one code for a handshake that failed and one that was cut off; only its text
// tells them apart.
static int explain_handshake(const struct http_failure *f, struct err *err)
{
    static const char *const cut_off[] = {"SSL_ERROR_SYSCALL", "Connection reset", "unexpected eof",
                                          "Broken pipe"};
    for (size_t i = 0; i < ARRAY_SIZE(cut_off); i++) {
        if (strstr(f->curl_text, cut_off[i])) {
            err_set(err, EIO, "%s closed the connection during the TLS handshake", f->host);
            err->is_retryable = true;
            return -err->errnum;
        }
    }
    // The server's alert, or OpenSSL's own word where the server goes on with what it was not
    // offered.
    if (strstr(f->curl_text, "alert protocol version") ||
        strstr(f->curl_text, "unsupported protocol"))
        return err_set(err, EPROTO, "%s speaks no TLS 1.2 or newer, and older is not safe (%s)",
                       f->host, f->curl_text);
    if (strstr(f->curl_text, "wrong version number") ||
        strstr(f->curl_text, "packet length too long"))
        return err_set(
            err, EPROTO,
            "%s does not speak TLS: check its port, and whether its URL begins with http:// (%s)",
            f->host, f->curl_text);
    return err_set(err, EPROTO, "the TLS handshake with %s failed: %s", f->host, f->curl_text);
}

// What a proxy answered instead of opening the way; libcurl has one code for it and lost lines.
static int explain_tunnel(const struct http_failure *f, struct err *err)
{
    const char *number = strstr(f->curl_text, "response ");
    int status = number ? atoi(number + strlen("response ")) : 0;
    err_set(err, EHOSTUNREACH,
            "the proxy (HTTPS_PROXY) does not open the way to %s%s (it answers %d)", f->host,
            status == 407   ? ": it wants a name and password, http://NAME:PASSWORD@HOST:PORT"
            : status == 403 ? ": its administrators have to allow this host"
                            : "",
            status);
    err->is_retryable = status == 0 || status >= 500;
    return -err->errnum;
}

static int explain_lost(const struct http_failure *f, struct err *err)
{
    if (strstr(f->curl_text, "CONNECT tunnel failed"))
        return explain_tunnel(f, err);
    if (f->code == CURLE_GOT_NOTHING)
        err_set(err, EIO, "%s closed the connection without an answer", f->host);
    else if (f->code == CURLE_PARTIAL_FILE && f->content_length >= 0)
        err_set(err, EIO, "%s closed the connection early: %lld of the announced %lld bytes came",
                f->host, (long long)f->received_bytes, (long long)f->content_length);
    else if (f->code == CURLE_PARTIAL_FILE)
        err_set(err, EIO, "%s closed the connection before the answer was whole", f->host);
    else
        err_set(err, EIO, "the connection to %s was lost: %s", f->host, f->curl_text);
    err->is_retryable = true;
    return -err->errnum;
}

int http_failure_explain(const struct http_failure *f, struct err *err)
{
    switch (f->code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return explain_unreachable(f, err);
    case CURLE_OPERATION_TIMEDOUT:
        return explain_timeout(f, err);
    case CURLE_PEER_FAILED_VERIFICATION:
        return explain_certificate(f, err);
    case CURLE_SSL_CONNECT_ERROR:
        return explain_handshake(f, err);
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(
            err, EPROTO,
            "the CA certificates to check %s with cannot be read; see ca_bundle=", f->host);
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_INITFAILED:
        return err_set(err, EPROTO, "TLS with %s failed: %s", f->host, f->curl_text);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
        return explain_lost(f, err);
    case CURLE_OUT_OF_MEMORY:
        // libcurl also says this of a single header line past its own limit of 100 KiB.
        if (!f->was_connected || f->has_headers)
            return err_no_memory(err);
        err_set(err, EFBIG, "the headers that %s answered are too large, or memory is out",
                f->host);
        err->is_retryable = true;
        return -err->errnum;
    case CURLE_URL_MALFORMAT:
        return err_set(err, EINVAL, "not a usable URL");
    case CURLE_UNSUPPORTED_PROTOCOL: // "HTTP/0.9": the answer began with no status line
    case CURLE_WEIRD_SERVER_REPLY:
        err_set(err, EIO, "%s did not answer in HTTP: %s", f->host, f->curl_text);
        err->is_retryable = true;
        return -err->errnum;
    default:
        return err_set(err, EIO, "the exchange with %s failed: %s", f->host,
                       f->curl_text[0] ? f->curl_text : curl_easy_strerror(f->code));
    }
}
