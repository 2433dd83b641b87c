#include "base/url.h"

#include "base/scope.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

DEFINE_SCOPE_CLEANUP(curlu, CURLU, curl_url_cleanup)

// PATH_AS_IS: an object's key may hold "..", and a signature covers it.
enum { PARSE_FLAGS = CURLU_PATH_AS_IS | CURLU_DISALLOW_USER };

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_hex_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int refuse(struct err *err, const char *reason)
{
    // The URL itself stays out of the sentence: it is untrusted, and may hold a password.
    return err_set(err, EINVAL, "not a usable URL: %s", reason);
}

// What libcurl would repair or read generously and another program differently: a URL that two
// parsers take apart in two ways leads past every check of its host.
static int check_text(const char *text, struct err *err)
{
    size_t size = strnlen(text, URL_SIZE_LIMIT + 1);
    if (size > URL_SIZE_LIMIT)
        return err_set(err, EINVAL, "not a usable URL: longer than %d bytes", URL_SIZE_LIMIT);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~') // char may be signed or not; both catch 0x80 and up
            return refuse(err, "it holds a space, a control character or a non-ASCII byte");
    return 0;
}

// "scheme://authority", the authority made of nothing but a host and a port.
static int check_origin(const char *text, struct err *err)
{
    const char *authority = NULL;
    if (strncasecmp(text, "https://", 8) == 0)
        authority = text + 8;
    else if (strncasecmp(text, "http://", 7) == 0)
        authority = text + 7;
    else
        return refuse(err, "it begins with neither https:// nor http://");
    size_t size = strcspn(authority, "/?#");
    if (memchr(authority, '@', size))
        return refuse(err, "it holds a user name or password");
    for (size_t i = 0; i < size; i++)
        if (!is_alphanumeric(authority[i]) && !strchr("-._:[]", authority[i]))
            return refuse(err, "its host holds a character that no host has");
    if (size == 0 || authority[0] == ':')
        return refuse(err, "it names no host");
    if (strchr(text, '#'))
        return refuse(err, "it holds a fragment (#)");
    return 0;
}

// A copy of one part in malloc's memory, because free is what the caller knows; "" where the URL
// lacks the part, NULL when memory is out.
static char *copy_part(CURLU *handle, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(handle, part, &text, flags);
    if (code == CURLUE_OUT_OF_MEMORY)
        return NULL;
    char *copy = strdup(code == CURLUE_OK ? text : "");
    curl_free(text);
    return copy;
}

// What of it was copied stays in *url also on failure.
static int fill(CURLU *handle, struct url *url, struct err *err)
{
    auto_free char *port_text = copy_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    url->scheme = copy_part(handle, CURLUPART_SCHEME, 0);
    url->host = copy_part(handle, CURLUPART_HOST, 0);
    url->path = copy_part(handle, CURLUPART_PATH, 0);
    url->query = copy_part(handle, CURLUPART_QUERY, 0);
    if (!port_text || !url->scheme || !url->host || !url->path || !url->query)
        return err_no_memory(err);
    long port = strtol(port_text, NULL, 10); // libcurl has checked that it is digits
    if (port < 1 || port > 65535)
        return refuse(err, "its port is not between 1 and 65535");
    url->port = (int)port;
    for (char *c = url->host; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return 0;
}

int url_parse(const char *text, struct url *ret_url, struct err *err)
{
    int r = check_text(text, err);
    if (r == 0)
        r = check_origin(text, err);
    if (r < 0)
        return r;
    AUTO(curlu_scope) CURLU *handle = curl_url();
    if (!handle)
        return err_no_memory(err);
    CURLUcode code = curl_url_set(handle, CURLUPART_URL, text, PARSE_FLAGS);
    if (code == CURLUE_OUT_OF_MEMORY)
        return err_no_memory(err);
    if (code != CURLUE_OK)
        return refuse(err, curl_url_strerror(code));

    struct url url = {0};
    r = fill(handle, &url, err);
    if (r < 0) {
        url_done(&url);
        return r;
    }
    *ret_url = url;
    return 0;
}

void url_done(struct url *url)
{
    if (!url)
        return;
    free(url->scheme);
    free(url->host);
    free(url->path);
    free(url->query);
    *url = (struct url){0};
}

static bool has_scheme(const char *text)
{
    size_t size = strcspn(text, ":/?#");
    return text[size] == ':';
}

int url_resolve(const char *base, const char *location, char **ret_url, struct err *err)
{
    struct url url = {0};
    int r = url_parse(base, &url, err);
    url_done(&url);
    if (r == 0)
        r = check_text(location, err);
    if (r < 0)
        return r;
    if (location[0] == '\0')
        return refuse(err, "it is empty");

    AUTO(curlu_scope) CURLU *handle = curl_url();
    if (!handle)
        return err_no_memory(err);
    CURLUcode code = curl_url_set(handle, CURLUPART_URL, base, PARSE_FLAGS);
    // RFC 3986 5.2.4 wants the dots of a relative reference resolved; a whole URL is signed as
    // it stands.
    unsigned flags = CURLU_DISALLOW_USER | (has_scheme(location) ? CURLU_PATH_AS_IS : 0U);
    if (code == CURLUE_OK)
        code = curl_url_set(handle, CURLUPART_URL, location, flags);
    // A fragment is for the client alone and never sent.
    if (code == CURLUE_OK)
        code = curl_url_set(handle, CURLUPART_FRAGMENT, NULL, 0);
    if (code == CURLUE_OUT_OF_MEMORY)
        return err_no_memory(err);
    if (code != CURLUE_OK)
        return refuse(err, curl_url_strerror(code));
    auto_free char *text = copy_part(handle, CURLUPART_URL, 0);
    if (!text)
        return err_no_memory(err);
    r = url_parse(text, &url, err);
    url_done(&url);
    if (r < 0)
        return r;
    *ret_url = TAKE(text);
    return 0;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->port == b->port && strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0;
}

// An IPv6 literal with or without its brackets.
static bool parse_ipv6(const char *host, struct in6_addr *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    size_t size = strlen(host);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    if (size >= sizeof(text))
        return false;
    memcpy(text, host, size);
    text[size] = '\0';
    return inet_pton(AF_INET6, text, ret_address) == 1;
}

// The IPv4 address inside ::ffff:a.b.c.d, in host byte order.
static bool is_mapped(const struct in6_addr *address, uint32_t *ret_ipv4)
{
    if (!IN6_IS_ADDR_V4MAPPED(address))
        return false;
    uint32_t ipv4;
    memcpy(&ipv4, &address->s6_addr[12], sizeof(ipv4));
    *ret_ipv4 = ntohl(ipv4);
    return true;
}

// Loopback is trusted with plain HTTP, so in doubt the answer is no: only the strict dotted form
// counts, and "127.evil.com" is a name like any other.
bool url_host_is_loopback(const char *host)
{
    if (strcasecmp(host, "localhost") == 0)
        return true;
    struct in_addr ipv4;
    if (inet_pton(AF_INET, host, &ipv4) == 1)
        return ntohl(ipv4.s_addr) >> 24 == 127;
    struct in6_addr ipv6;
    if (!parse_ipv6(host, &ipv6))
        return false;
    uint32_t mapped;
    if (is_mapped(&ipv6, &mapped))
        return mapped >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&ipv6);
}

static bool is_link_local_ipv4(uint32_t ipv4)
{
    return ipv4 >> 16 == 0xA9FE; // 169.254
}

// Also the translated forms of IPv4.
static bool is_link_local_ipv6(const struct in6_addr *ipv6)
{
    static const uint8_t metadata_prefix[] = {0xFD, 0x00, 0x0E, 0xC2}; // fd00:ec2::/32
    static const uint8_t nat64_prefix[12] = {0x00, 0x64, 0xFF, 0x9B};  // 64:ff9b::/96
    uint32_t inner;
    memcpy(&inner, &ipv6->s6_addr[12], sizeof(inner));
    if (IN6_IS_ADDR_V4MAPPED(ipv6) || IN6_IS_ADDR_V4COMPAT(ipv6) ||
        memcmp(ipv6->s6_addr, nat64_prefix, sizeof(nat64_prefix)) == 0)
        return is_link_local_ipv4(ntohl(inner));
    return IN6_IS_ADDR_LINKLOCAL(ipv6) ||
           memcmp(ipv6->s6_addr, metadata_prefix, sizeof(metadata_prefix)) == 0;
}

bool url_address_is_link_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_link_local_ipv4(
            ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    return address->sa_family == AF_INET6 &&
           is_link_local_ipv6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

// Link-local is what must not be reached, so in doubt the answer is yes: also the forms that
// inet_aton takes (decimal, octal, hexadecimal, fewer parts), and a dot behind.
bool url_host_is_link_local(const char *host)
{
    char text[64] = "";
    size_t size = strlen(host);
    if (size >= sizeof(text))
        return false;
    memcpy(text, host, size + 1);
    if (size > 0 && text[size - 1] == '.')
        text[size - 1] = '\0';

    struct in_addr ipv4;
    if (inet_aton(text, &ipv4) != 0)
        return is_link_local_ipv4(ntohl(ipv4.s_addr));
    struct in6_addr ipv6;
    return parse_ipv6(text, &ipv6) && is_link_local_ipv6(&ipv6);
}

const char *url_without_query(const char *text, char *buffer, size_t buffer_size)
{
    if (buffer_size == 0)
        return "";
    const char *authority = strstr(text, "://");
    authority = authority ? authority + 3 : text;
    size_t head_size = (size_t)(authority - text);
    const char *end = text + strcspn(text, "?#");
    if (authority > end) { // the "://" stands in the query
        authority = text;
        head_size = 0;
    }
    // A user name and password go as well.
    const char *authority_end = authority + strcspn(authority, "/?#");
    for (const char *c = authority; c < authority_end; c++)
        if (*c == '@')
            authority = c + 1;

    size_t used = 0;
    for (size_t i = 0; i < head_size && used + 1 < buffer_size; i++)
        buffer[used++] = text[i];
    for (const char *c = authority; c < end && used + 1 < buffer_size; c++)
        buffer[used++] = *c;
    buffer[used] = '\0';
    return buffer;
}

static bool is_unreserved(char c)
{
    return is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

int url_encode(struct buf *ret_text, const char *bytes, size_t size, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size_before = ret_text->size;
    for (size_t i = 0; i < size;) {
        // In runs: most of what is encoded stays as it is.
        size_t end = i;
        while (end < size && (is_unreserved(bytes[end]) || (bytes[end] == '/' && keep_slash)))
            end++;
        int r = end > i ? buf_append(ret_text, bytes + i, end - i) : 0;
        if (r == 0 && end < size) {
            unsigned char byte = (unsigned char)bytes[end++];
            const char escape[] = {'%', digits[byte >> 4], digits[byte & 0x0F]};
            r = buf_append(ret_text, escape, sizeof(escape));
        }
        if (r < 0) { // as an append: all of it or nothing
            ret_text->size = size_before;
            if (ret_text->bytes)
                ret_text->bytes[size_before] = '\0';
            return r;
        }
        i = end;
    }
    return 0;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

char *url_decode(const char *text, size_t *ret_size)
{
    auto_free char *bytes = malloc(strlen(text) + 1);
    if (!bytes)
        return NULL;
    size_t size = 0;
    for (const char *c = text; *c; c++) {
        if (*c != '%') {
            bytes[size++] = *c;
            continue;
        }
        if (!is_hex_digit(c[1]) || !is_hex_digit(c[2]))
            return NULL;
        bytes[size++] = (char)(hex_value(c[1]) << 4 | hex_value(c[2]));
        c += 2;
    }
    bytes[size] = '\0';
    if (ret_size)
        *ret_size = size;
    return TAKE(bytes);
}
