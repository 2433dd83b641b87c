// What http_perform makes of the other side's certificates and of TLS that goes wrong. The
// certificates are made here: an authority, and leaves that are good and bad in each way.
#include "test.h"

#include "base/http.h"
#include "base/scope.h"
#include "test_server.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static struct identity authority;
static struct identity stranger; // an authority that nobody trusts
static char bundle_path[] = "/tmp/prereleasefs-test-ca-XXXXXX";

enum { DAY = 24 * 60 * 60 }; // seconds

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

// issuer NULL: signed by itself. names NULL: an authority.
static struct identity make_identity(const char *subject, const struct identity *issuer,
                                     const char *names, long from, long to)
{
    static long serial = 1;
    struct identity identity = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    X509 *certificate = identity.certificate;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to);
    X509_set_pubkey(certificate, identity.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)subject, -1, -1, 0);
    if (!issuer)
        issuer = &identity;
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate));
    if (names)
        add_extension(certificate, NID_subject_alt_name, names);
    else
        add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(certificate, issuer->key, EVP_sha256()) > 0);
    return identity;
}

static void free_identity(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

static SSL_CTX *make_context(const struct identity *identity)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(context, identity->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, identity->key), 1);
    return context;
}

static int set_up_group(void **state)
{
    (void)state;
    authority = make_identity("test authority", NULL, NULL, -DAY, DAY);
    stranger = make_identity("strange authority", NULL, NULL, -DAY, DAY);
    int fd = mkstemp(bundle_path);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    PEM_write_X509(file, authority.certificate);
    fclose(file);
    return 0;
}

static int tear_down_group(void **state)
{
    (void)state;
    free_identity(&authority);
    free_identity(&stranger);
    unlink(bundle_path);
    return 0;
}

static struct http_client *new_client(const char *ca_bundle)
{
    struct http_client *client = NULL;
    struct err err = {0};
    struct http_options options = {.ca_bundle = ca_bundle, .stall_timeout_ms = 5000};
    assert_int_equal(http_client_new(&options, &client, &err), 0);
    return client;
}

static int get_with(struct http_client *client, const struct test_server *server, struct err *err)
{
    char url[128];
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/x?X-Amz-Signature=sesame",
             test_server_port(server));
    struct call call;
    call_init(&call, clock_system());
    struct http_request request = {.method = "GET", .url = url};
    auto_http_response struct http_response response = {0};
    memset(err, 0, sizeof(*err));
    int r = http_perform(client, &call, &request, &response, err);
    if (r == 0) {
        assert_int_equal(response.status, 200);
        assert_string_equal(buf_text(&response.body), "ok");
        return 0;
    }
    print_message("  (%s)\n", err->text);
    char host[64];
    snprintf(host, sizeof(host), "127.0.0.1:%d", test_server_port(server));
    assert_non_null(strstr(err->text, host));
    assert_null(strstr(err->text, "sesame"));
    return r;
}

static void serve_ok(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    while (test_read_request(connection, &request))
        test_send_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

// One GET of a server with such a certificate.
static int get_from(const struct identity *identity, struct err *err)
{
    SSL_CTX *context = make_context(identity);
    struct test_server *server = test_server_start(serve_ok, NULL, context);
    struct http_client *client = new_client(bundle_path);
    int r = get_with(client, server, err);
    http_client_free(client);
    test_server_stop(server);
    SSL_CTX_free(context);
    return r;
}

static void expect_refused(struct identity identity, const char *says)
{
    struct err err;
    assert_int_equal(get_from(&identity, &err), -EPROTO);
    assert_false(err.is_retryable);
    assert_non_null(strstr(err.text, says));
    free_identity(&identity);
}

static void good_certificate(void **state)
{
    (void)state;
    struct identity leaf = make_identity("x", &authority, "IP:127.0.0.1", -DAY, DAY);
    struct err err;
    assert_int_equal(get_from(&leaf, &err), 0);
    free_identity(&leaf);
}

static void bad_certificates(void **state)
{
    (void)state;
    expect_refused(make_identity("x", &authority, "IP:127.0.0.1", -2 * DAY, -DAY), "expired");
    expect_refused(make_identity("x", &authority, "IP:127.0.0.1", DAY, 2 * DAY), "not valid yet");
    expect_refused(make_identity("x", &authority, "DNS:other.test", -DAY, DAY),
                   "is for another name");
    expect_refused(make_identity("x", &authority, "IP:127.0.0.2", -DAY, DAY),
                   "is for another name");
    expect_refused(make_identity("x", &stranger, "IP:127.0.0.1", -DAY, DAY), "known authority");
    expect_refused(make_identity("x", NULL, "IP:127.0.0.1", -DAY, DAY), "known authority");
}

static void bundle_replaces_the_system(void **state)
{
    (void)state;
    struct identity leaf = make_identity("x", &authority, "IP:127.0.0.1", -DAY, DAY);
    SSL_CTX *context = make_context(&leaf);
    struct test_server *server = test_server_start(serve_ok, NULL, context);
    struct err err;
    struct http_client *client = new_client(NULL); // the system does not know the authority
    assert_int_equal(get_with(client, server, &err), -EPROTO);
    assert_non_null(strstr(err.text, "known authority"));
    http_client_free(client);
    client = new_client("/dev/null");
    assert_int_equal(get_with(client, server, &err), -EPROTO);
    http_client_free(client);
    test_server_stop(server);
    SSL_CTX_free(context);
    free_identity(&leaf);
}

// A copy for each connection would cost a megabyte each with a bundle of the usual size.
static void certificates_are_read_once(void **state)
{
    (void)state;
    struct identity leaf = make_identity("x", &authority, "IP:127.0.0.1", -DAY, DAY);
    SSL_CTX *context = make_context(&leaf);
    struct test_server *first = test_server_start(serve_ok, NULL, context);
    struct test_server *second = test_server_start(serve_ok, NULL, context);
    char path[] = "/tmp/prereleasefs-test-ca-XXXXXX";
    FILE *copy = fdopen(mkstemp(path), "w");
    PEM_write_X509(copy, authority.certificate);
    fclose(copy);
    struct http_client *client = new_client(path);
    struct err err;
    assert_int_equal(get_with(client, first, &err), 0);
    unlink(path);
    assert_int_equal(get_with(client, second, &err), 0);
    http_client_free(client);
    test_server_stop(first);
    test_server_stop(second);
    SSL_CTX_free(context);
    free_identity(&leaf);
}

static void old_tls_is_refused(void **state)
{
    (void)state;
    struct identity leaf = make_identity("x", &authority, "IP:127.0.0.1", -DAY, DAY);
    SSL_CTX *context = make_context(&leaf);
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    struct test_server *server = test_server_start(serve_ok, NULL, context);
    struct http_client *client = new_client(bundle_path);
    struct err err;
    assert_int_equal(get_with(client, server, &err), -EPROTO);
    assert_false(err.is_retryable);
    http_client_free(client);
    test_server_stop(server);
    SSL_CTX_free(context);
    free_identity(&leaf);
}

static void serve_plain(struct test_connection *connection)
{
    char bytes[16];
    (void)!recv(connection->fd, bytes, sizeof(bytes), 0);
    test_send_text(connection, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
}

static void serve_close(struct test_connection *connection)
{
    char bytes[4096];
    (void)!recv(connection->fd, bytes, sizeof(bytes), 0);
}

static void serve_reset(struct test_connection *connection)
{
    char bytes[16];
    (void)!recv(connection->fd, bytes, sizeof(bytes), 0);
    test_reset(connection);
}

static void handshake_goes_wrong(void **state)
{
    (void)state;
    static const struct {
        void (*serve)(struct test_connection *connection);
        int r;
        bool is_retryable;
    } cases[] = {
        {serve_plain, -EPROTO, false},
        {serve_close, -EIO, true},
        {serve_reset, -EIO, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct test_server *server = test_server_start(cases[i].serve, NULL, NULL);
        struct http_client *client = new_client(bundle_path);
        struct err err;
        assert_int_equal(get_with(client, server, &err), cases[i].r);
        assert_int_equal(err.is_retryable, cases[i].is_retryable);
        http_client_free(client);
        test_server_stop(server);
    }
}

static void serve_cut(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    if (test_read_request(connection, &request))
        test_send_text(connection, connection->context);
    // No close_notify: anybody on the way could have cut the connection.
}

static void truncation_is_noticed(void **state)
{
    (void)state;
    struct identity leaf = make_identity("x", &authority, "IP:127.0.0.1", -DAY, DAY);
    SSL_CTX *context = make_context(&leaf);
    static char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok";
    struct test_server *server = test_server_start(serve_cut, answer, context);
    struct http_client *client = new_client(bundle_path);
    struct err err;
    assert_int_equal(get_with(client, server, &err), -EIO);
    assert_true(err.is_retryable);
    assert_int_equal(err.http_status, 200);
    http_client_free(client);
    test_server_stop(server);
    SSL_CTX_free(context);
    free_identity(&leaf);
}

static void serve_reset_upload(struct test_connection *connection)
{
    char bytes[1000];
    SSL_read(connection->tls, bytes, sizeof(bytes));
    test_reset(connection);
}

// The reset must come as an error, not as SIGPIPE, whose default ends the process.
static void reset_upload_does_not_kill(void **state)
{
    (void)state;
    struct identity leaf = make_identity("x", &authority, "IP:127.0.0.1", -DAY, DAY);
    SSL_CTX *context = make_context(&leaf);
    struct test_server *server = test_server_start(serve_reset_upload, NULL, context);
    struct http_client *client = new_client(bundle_path);
    enum { BIG = 8 * 1024 * 1024 };
    auto_free char *big = calloc(1, BIG);
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", test_server_port(server));
    struct call call;
    call_init(&call, clock_system());
    const struct http_piece piece = {big, BIG};
    struct http_request request = {.method = "PUT", .url = url, .body = &piece, .body_count = 1};
    for (int i = 0; i < 5; i++) {
        auto_http_response struct http_response response = {0};
        struct err err = {0};
        assert_int_equal(http_perform(client, &call, &request, &response, &err), -EIO);
        assert_true(err.is_retryable);
        print_message("  (%s)\n", err.text);
    }
    http_client_free(client);
    test_server_stop(server);
    SSL_CTX_free(context);
    free_identity(&leaf);
}

static atomic_int resumed; // connections that began with another one's session

// Answers the first request at once, and the second and third when both are there.
static void serve_together(struct test_connection *connection)
{
    atomic_int *arrived = connection->context;
    if (SSL_session_reused(connection->tls))
        atomic_fetch_add(&resumed, 1);
    auto_buf struct buf request = {0};
    while (test_read_request(connection, &request)) {
        if (atomic_fetch_add(arrived, 1) > 0)
            for (int i = 0; i < 5000 && atomic_load(arrived) < 3; i++)
                usleep(1000);
        test_send_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

struct getter {
    struct http_client *client;
    struct test_server *server;
    int r;
};

static void *get_in_thread(void *context)
{
    struct getter *getter = context;
    struct err err;
    getter->r = get_with(getter->client, getter->server, &err);
    return NULL;
}

// Of two exchanges at a time, one finds the kept connection; the other's handle has never met
// the origin, and resumes the TLS session nevertheless.
static void sessions_are_shared(void **state)
{
    (void)state;
    struct identity leaf = make_identity("x", &authority, "IP:127.0.0.1", -DAY, DAY);
    SSL_CTX *context = make_context(&leaf);
    atomic_int arrived = 0;
    atomic_store(&resumed, 0);
    struct test_server *server = test_server_start(serve_together, &arrived, context);
    struct http_client *client = new_client(bundle_path);
    struct err err;
    assert_int_equal(get_with(client, server, &err), 0);
    assert_int_equal(atomic_load(&resumed), 0);
    struct getter getters[] = {{client, server, -1}, {client, server, -1}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_in_thread, &getters[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(getters[0].r, 0);
    assert_int_equal(getters[1].r, 0);
    assert_int_equal(test_server_connections(server), 2);
    assert_int_equal(atomic_load(&resumed), 1);
    http_client_free(client);
    test_server_stop(server);
    SSL_CTX_free(context);
    free_identity(&leaf);
}

int main(void)
{
    alarm(120); // a test that hangs has failed
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_certificate),           cmocka_unit_test(bad_certificates),
        cmocka_unit_test(bundle_replaces_the_system), cmocka_unit_test(certificates_are_read_once),
        cmocka_unit_test(old_tls_is_refused),         cmocka_unit_test(handshake_goes_wrong),
        cmocka_unit_test(truncation_is_noticed),      cmocka_unit_test(reset_upload_does_not_kill),
        cmocka_unit_test(sessions_are_shared),
    };
    return cmocka_run_group_tests_name("base/http_tls", tests, set_up_group, tear_down_group);
}
